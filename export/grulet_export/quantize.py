"""Rounding of weights: one float32 matrix to one matrix of the file."""

from __future__ import annotations

import numpy as np

from grulet.format import LEVELS, SILENCE
from grulet.operators import Matrix
from grulet_export.graph import Array

WEIGHTS = ("int8", "f32")
ACTIVATIONS = ("int16", "int8")


def quantize_matrix(values: Array, weights: str, *, recurrent_activations: str | None = None) -> Matrix:
    """(sets, units, inputs) float32 -> a matrix in the format ``weights``.

    int8: each row has its own scale, its largest magnitude over 127 (docs/numerics.md).  For a recurrent matrix the
    level of the hidden state, which is fixed by the format of its activations, is folded into the scale.
    """
    if weights == "f32":
        return Matrix(np.ascontiguousarray(values, np.float32))
    largest = np.abs(values).max(axis=2)
    scale = np.where(largest < SILENCE, np.float32(0), largest / np.float32(127)).astype(np.float32)
    divisor = np.where(scale > 0, scale, np.float32(1)).astype(np.float64)
    rounded = np.rint(values / divisor[:, :, None])
    integers = np.where(scale[:, :, None] > 0, np.clip(rounded, -127, 127), 0).astype(np.int8)
    level = 1.0 / LEVELS[recurrent_activations] if recurrent_activations else 1.0
    return Matrix(integers, (scale.astype(np.float64) * level).astype(np.float32))
