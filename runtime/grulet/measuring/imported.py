"""Reports of other machines: what grulet-bench (programs/) wrote on a board, or `grulet bench --json` anywhere."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from grulet.errors import GruletError
from grulet.measuring.names import READ, STEP, TICK, printable
from grulet.measuring.schema import fault, report_schema

LONGEST_NAME = 20
_MOST_BYTES = 64 << 20
_SCHEMA = report_schema((READ, TICK, STEP), (READ, STEP))


@dataclass(frozen=True)
class Imported:
    """One report; ``name``: of its file, without the ending."""

    name: str
    data: dict[str, Any]

    def model_differs(self, crc32: str) -> str:
        """Say which other model it is of; "" if it is of the one with this checksum."""
        if self.data["model_crc32"] == crc32:
            return ""
        name, bytes_read = printable(Path(self.data["model"]).name), self.data["weight_bytes"]
        return f"ANOTHER MODEL: {name}, {bytes_read:,} bytes of weights, CRC-32 {self.data['model_crc32']}"


def read_report(path: str) -> Imported:
    """Read a report; `GruletError` says what is wrong with any other file."""
    try:
        data = Path(path).read_bytes()
    except (OSError, ValueError) as error:
        raise GruletError(f"{path}: {getattr(error, 'strerror', None) or error}") from error
    if len(data) > _MOST_BYTES:
        raise GruletError(f"{path}: not a report: it has {len(data):,} bytes")
    try:
        report = json.loads(data)
    except (ValueError, RecursionError) as error:  # UnicodeDecodeError is a ValueError
        raise GruletError(f"{path}: not a report: it is no JSON: {error}") from error
    if wrong := fault(report, _SCHEMA):
        raise GruletError(
            f"{path}: not a report of grulet-bench --json or grulet bench --json of this version: {wrong}"
        )
    return Imported(Path(path).stem[:LONGEST_NAME], report)
