"""What every operator costs by itself: the model's error if it alone is quantized, and its weights' part of that."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from grulet.operators import Program
from grulet.progress import progress
from grulet_export.graph import Array
from grulet_export.quality.running import answers
from grulet_export.quality.variants import unrounded_activations, weighted, with_operator

FRAMES = 1000


@dataclass(frozen=True)
class AloneCost:
    """Error power over the output's power (the mean of all outputs): of the operator, and of its weights alone."""

    whole: float
    from_weights: float
    from_activations: float


def alone(float_program: Program, quantized: Program, frames: Array) -> dict[str, AloneCost]:
    """Quantize one operator after the other, the rest in f32; both programs must have the same structure."""
    exact = answers(float_program, frames)
    costs = {}
    chosen = [(index, op) for index, op in weighted(quantized) if op.weights != "f32"]
    with progress("operators one by one", len(chosen), "operators") as done:
        for number, (index, op) in enumerate(chosen):
            rounded = answers(with_operator(float_program, index, op), frames)
            weights = answers(with_operator(float_program, index, unrounded_activations(op)), frames)
            costs[op.name] = AloneCost(
                _relative(float_program, exact, exact, rounded),
                _relative(float_program, exact, exact, weights),
                _relative(float_program, exact, weights, rounded),
            )
            done(number + 1)
    return costs


def _relative(program: Program, exact: Array, a: Array, b: Array) -> float:
    """Power of ``b - a`` over that of ``exact``, the mean of all outputs that are not silent."""
    ends = np.cumsum([program.width(port.value) for port in program.outputs])[:-1]
    ratios = []
    for signal, left, right in zip(*(np.split(x, ends, axis=1) for x in (exact, a, b)), strict=True):
        power = float(np.square(signal, dtype=np.float64).mean())
        if power > 0:
            ratios.append(float(np.square(left.astype(np.float64) - right).mean()) / power)
    return float(np.mean(ratios)) if ratios else 0.0
