"""The user's own measure: accuracy, word errors, decibels, whatever counts in the end."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np

from grulet.errors import GruletError
from grulet.model import Model
from grulet.operators import Program
from grulet_export.graph import Array
from grulet_export.quality.result import MetricValues
from grulet_export.quality.running import opened

#: One of the two models as a function: frames (T, in) float32 from the initial state -> answers (T, out).
Network: TypeAlias = Callable[[Array], Any]


@dataclass(frozen=True)
class UserMetric:
    """``measure(network)`` gives one number; it is called with the float model and with the quantized one.

    ``network(frames)`` runs a recording (T, in) float32 from the initial state and gives what `Stream.run` gives, so
    the measure can take as many recordings as it likes.
    """

    measure: Callable[[Network], float]
    name: str = "your metric"

    def values(self, float_program: Program, quantized: Program) -> MetricValues:
        """Measure both; `GruletError` if the measure gives anything but a finite number."""
        exact, rounded = (self._value(opened(program)) for program in (float_program, quantized))
        return MetricValues(self.name, exact, rounded)

    def _value(self, model: Model) -> float:
        given = self.measure(lambda frames: model.stream(block=64).run(np.ascontiguousarray(frames, np.float32)))
        try:
            value = float(given)
        except (TypeError, ValueError):
            value = math.nan
        if not math.isfinite(value):
            raise GruletError(f"metric '{self.name}' must give one finite number, not {given!r}")
        return value
