"""What the doctor can find, how bad it is, and one thing it found."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from enum import IntEnum
from typing import Any


class Severity(IntEnum):
    """What a finding puts at risk, the worst first."""

    WRONG_NUMBERS = 0
    WILL_NOT_RUN = 1
    COSTS_ACCURACY = 2
    COSTS_BYTES = 3
    NOTE = 4

    def __str__(self) -> str:
        return self.name.lower().replace("_", " ")


#: Every kind of finding. docs/doctor.md has a row for each.
KINDS: Mapping[str, Severity] = {
    "linear_before_reset": Severity.WRONG_NUMBERS,
    "layout": Severity.WRONG_NUMBERS,
    "nonfinite_weights": Severity.WRONG_NUMBERS,
    "training_mode": Severity.WRONG_NUMBERS,
    "invalid": Severity.WILL_NOT_RUN,
    "missing_data": Severity.WILL_NOT_RUN,
    "opset": Severity.WILL_NOT_RUN,
    "domain": Severity.WILL_NOT_RUN,
    "onnxruntime": Severity.WILL_NOT_RUN,
    "grulet": Severity.WILL_NOT_RUN,
    "frozen_batch": Severity.WILL_NOT_RUN,
    "frozen_time": Severity.WILL_NOT_RUN,
    "frozen_reshape": Severity.WILL_NOT_RUN,
    "initial_state": Severity.WILL_NOT_RUN,
    "state_not_returned": Severity.WILL_NOT_RUN,
    "outliers": Severity.COSTS_ACCURACY,
    "float16": Severity.COSTS_ACCURACY,
    "float64": Severity.COSTS_BYTES,
    "duplicate_weights": Severity.COSTS_BYTES,
    "unused_weights": Severity.COSTS_BYTES,
    "zero_rows": Severity.COSTS_BYTES,
    "no_state": Severity.NOTE,
    "state_not_taken": Severity.NOTE,
    "whole_sequence": Severity.NOTE,
    "subnormal_weights": Severity.NOTE,
    "constant_output": Severity.NOTE,
    "dead_nodes": Severity.NOTE,
    "unused_input": Severity.NOTE,
    "unused_output": Severity.NOTE,
    "external_data": Severity.NOTE,
}


def counted(count: int, noun: str) -> str:
    """Return the unit of a count: the noun, or its plural."""
    return noun if count == 1 else f"{noun}s"


@dataclass(frozen=True)
class Finding:
    """One thing that is wrong or risky.

    ``kind`` is a key of `KINDS`; ``node`` and ``operator`` say where ("" and "ONNX file" for the file as a whole);
    ``risk`` and ``remedy`` are a sentence each. ``value`` is a number of ``unit``, None where nothing can be measured;
    ``details`` are further facts, such as the worst rows of a matrix.
    """

    kind: str
    node: str
    operator: str
    risk: str
    remedy: str
    value: float | None = None
    unit: str = ""
    details: tuple[str, ...] = ()

    @property
    def severity(self) -> Severity:
        """What is at risk."""
        return KINDS[self.kind]

    @property
    def where(self) -> str:
        """Operator and node, as errors name them."""
        return f"{self.operator} '{self.node}'" if self.node else self.operator

    @property
    def measured(self) -> str:
        """The number and its unit; "" if there is none."""
        if self.value is None:
            return ""
        return f"{self.value:,} {self.unit}" if isinstance(self.value, int) else f"{self.value:.3g} {self.unit}"

    def as_json(self) -> dict[str, Any]:
        """For ``--json``."""
        return {"severity": str(self.severity)} | asdict(self)
