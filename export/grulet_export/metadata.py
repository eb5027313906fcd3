"""The user's metadata inside an ONNX file: one JSON object under one key of ``metadata_props``."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from typing import Any, NoReturn

from grulet_export.errors import Refusal

#: The key of ``ModelProto.metadata_props``.
KEY = "grulet"

REMEDY = "metadata are a dict with string keys that holds strings, finite numbers, booleans, None, lists and dicts"


def to_json(metadata: Mapping[str, Any]) -> str:
    """Return the canonical text: sorted keys, no spaces, ASCII; the same metadata give the same bytes."""
    try:
        _check(metadata)
        return json.dumps(dict(metadata), sort_keys=True, separators=(",", ":"), allow_nan=False)
    except (TypeError, ValueError, RecursionError) as error:
        raise Refusal(f"the metadata are not JSON ({error})", REMEDY) from error


def from_json(text: str) -> dict[str, Any]:
    """Return the metadata a file holds; anything but one JSON object is refused."""
    try:
        metadata = json.loads(text, parse_constant=_no_constant)
        _check(metadata)
    except (ValueError, RecursionError) as error:
        raise Refusal(f"the metadata under '{KEY}' are not JSON ({error})", REMEDY) from error
    if not isinstance(metadata, dict):
        raise Refusal(f"the metadata under '{KEY}' are JSON, but not an object", REMEDY)
    return metadata


def _no_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is not a JSON number")


def _check(value: Any) -> None:
    """Raise ValueError for what the json module lets through, though it would not come back as it was."""
    match value:
        case str():
            value.encode()  # a lone surrogate has no bytes
        case float() if not math.isfinite(value):
            raise ValueError(f"{value} is not a JSON number")
        case Mapping():
            for key, item in value.items():
                if not isinstance(key, str):
                    raise ValueError(f"the key {key!r} is not a string")
                _check(key)
                _check(item)
        case list() | tuple():
            for item in value:
                _check(item)
