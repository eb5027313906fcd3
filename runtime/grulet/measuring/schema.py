"""The keys of a report, and what may stand there: of `grulet bench --json` and of grulet-bench on a board alike."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from grulet.measuring.histogram import BINS_PER_DOUBLING

_MOST_BINS = 64 * BINS_PER_DOUBLING  # of nanoseconds in 64 bits


@dataclass(frozen=True)
class _Plain:
    """A value that is no object: what it is called, and whether a value is one."""

    what: str
    allows: Callable[[Any], bool]


@dataclass(frozen=True)
class _Each:
    """Any keys, the same under each; those in ``needed`` must be there."""

    schema: Any
    needed: tuple[str, ...] = ()


@dataclass(frozen=True)
class _Maybe:
    """A key that may be missing."""

    schema: Any


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)


def _is_whole(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and 0 <= value < 2**63


def _is_text(value: Any) -> bool:
    return isinstance(value, str) and value.isprintable()


def _is_counts(value: Any) -> bool:
    return (
        isinstance(value, list) and len(value) <= 64 * BINS_PER_DOUBLING and all(map(_is_whole, value)) and any(value)
    )


TEXT = _Plain("a line of text", _is_text)
NAME = _Plain("text", lambda value: isinstance(value, str))
TEXT_OR_NULL = _Plain("a line of text or null", lambda value: value is None or _is_text(value))
TEXTS = _Plain("an array of texts", lambda value: isinstance(value, list) and all(map(_is_text, value)))
FLAG = _Plain("true or false", lambda value: isinstance(value, bool))
WHOLE = _Plain("a whole number", _is_whole)
WHOLE_OR_NULL = _Plain("a whole number or null", lambda value: value is None or _is_whole(value))
NUMBER = _Plain("a number", _is_number)
NUMBER_OR_NULL = _Plain("a number or null", lambda value: value is None or _is_number(value))
AMOUNT = _Plain("a number of at least 0", lambda value: _is_number(value) and value >= 0)
POSITIVE = _Plain("a number above 0", lambda value: _is_number(value) and value > 0)
BINS = _Plain(str(BINS_PER_DOUBLING), lambda value: value == BINS_PER_DOUBLING)
PLACE = _Plain(
    f"a bin, below {64 * BINS_PER_DOUBLING}", lambda value: _is_whole(value) and value < 64 * BINS_PER_DOUBLING
)
COUNTS = _Plain("an array of whole numbers, not all 0", _is_counts)

LATENCY = {"p50": AMOUNT, "p99": AMOUNT, "p999": AMOUNT, "worst": AMOUNT, "jitter": AMOUNT, "steps": WHOLE}
DISTRIBUTION = {**LATENCY, "histogram": {"first": PLACE, "counts": COUNTS, "bins_per_doubling": BINS}}
MACHINE = {
    "program": TEXT,
    "cpu": TEXT,
    "system": TEXT,
    "release": TEXT,
    "python": TEXT_OR_NULL,
    "numpy": TEXT_OR_NULL,
    "grulet": TEXT,
    "isa": TEXT,
    "page_bytes": WHOLE_OR_NULL,
    "pinned_to_cpu": WHOLE_OR_NULL,
    "scheduler": TEXT,
    "memory_locked": FLAG,
    "refused": TEXTS,
    "emulator": TEXT_OR_NULL,
    "frequency_mhz": {"before": NUMBER_OR_NULL, "after": NUMBER_OR_NULL},
    "governor": {"before": TEXT_OR_NULL, "after": TEXT_OR_NULL},
}
OPERATOR = {
    "name": NAME,
    "kind": TEXT,
    "inputs": WHOLE,
    "units": WHOLE,
    "weights": TEXT,
    "activations": TEXT,
    "function": TEXT,
    "weight_bytes": WHOLE,
    "parameter": WHOLE,
    "microseconds": LATENCY,
    "share": NUMBER,
    "times_its_read": NUMBER_OR_NULL,
}
CONTESTANT = {
    "compute_microseconds": DISTRIBUTION,
    "late_microseconds": DISTRIBUTION,
    "answer_microseconds": DISTRIBUTION,
    "deadline_misses": WHOLE,
    "real_time_factor": AMOUNT,
    "real_time_factor_hot": AMOUNT,
}


def report_schema(contestants: tuple[str, ...], paced: tuple[str, ...]) -> dict[str, Any]:
    """Of a report that has at least these contestants, hot and (if it has frames in real time) in real time."""
    return {
        "model": NAME,
        "model_crc32": TEXT,
        "weight_bytes": WHOLE,
        "machine": MACHINE,
        "answers": {"frames": WHOLE, "inputs_crc32": TEXT, "outputs_crc32": TEXT},
        "microseconds": _Each(DISTRIBUTION, contestants),
        "operators": [OPERATOR],
        "rest": {"microseconds": NUMBER, "share": NUMBER},
        "paced": _Maybe(
            {
                "period_seconds": POSITIVE,
                "between_bytes": WHOLE,
                "touched_bytes": WHOLE,
                "contestants": _Each(CONTESTANT, paced),
            }
        ),
    }


def fault(value: Any, schema: Any, where: str = "") -> str:
    """What is wrong with ``value``, as one sentence; "" if nothing is.  Keys that the schema lacks are no fault."""
    inside = f"{where}." if where else ""
    match schema:
        case _Plain():
            return "" if schema.allows(value) else f"{where} is not {schema.what}"
        case _Maybe():
            return fault(value, schema.schema, where)
        case list():
            if not isinstance(value, list):
                return f"{where} is not an array"
            found = (fault(item, schema[0], f"{where}[{index}]") for index, item in enumerate(value))
        case _ if not isinstance(value, dict):
            return f"{where or 'it'} is not an object"
        case _Each():
            missing = [key for key in schema.needed if key not in value]
            if missing:
                return f"{inside}{missing[0]} is missing"
            found = (fault(item, schema.schema, f"{inside}{key}") for key, item in value.items())
        case _:
            missing = [key for key, part in schema.items() if key not in value and not isinstance(part, _Maybe)]
            if missing:
                return f"{inside}{missing[0]} is missing"
            found = (fault(value[key], part, f"{inside}{key}") for key, part in schema.items() if key in value)
    return next(filter(None, found), "")
