"""Rounding a matrix so that its errors make up for each other on the inputs that it really sees.

A weight's rounding error can be undone in part by the weights of inputs that move together with its own.  So the inputs
are gone through in order, and every rounding error is handed on to the weights that are still free, in the way that
least squares asks for: the second-order method of OBQ (Frantar and Alistarh, 2022) in the form of GPTQ (Frantar et al.,
2022).  What cannot move together with anything is rounded to the nearest.

The error counts without its mean, because the biases take that away: after rounding, `mean_error` goes into them
("bias correction", Nagel et al., 2019).
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from grulet.operators import WEIGHT_GROUP
from grulet_export.graph import Array
from grulet_export.quantization.grids import RANGES, Grid, best_multipliers, grouped, round_to

Doubles: TypeAlias = NDArray[np.float64]

#: Added to every input's variance, as a share of their mean: how little a calibration is believed to the letter.
DAMPING = 0.01
_ROWS = 512  # rows of a matrix that are worked on at once, so that the memory is bounded


@dataclass(frozen=True)
class Moments:
    """What a matrix sees: the mean of its inputs (inputs,), and their covariance (inputs, inputs)."""

    mean: Doubles
    covariance: Doubles

    @classmethod
    def of(cls, frames: Array) -> Moments:
        """Of (frames, inputs).  Covariances that few frames cannot tell from chance are drawn towards 0.

        The share by which they are is that of Schaefer and Strimmer (2005): how uncertain the correlations are, by how
        large they are.
        """
        mean = frames.mean(axis=0, dtype=np.float64)
        centred = frames - mean
        variance = np.square(centred).mean(axis=0)
        deviation = np.sqrt(np.where(variance > 0, variance, 1.0))
        centred /= deviation
        correlation = centred.T @ centred / len(frames)
        squares = np.square(centred, out=centred)
        uncertainty = (squares.T @ squares / len(frames) - np.square(correlation)) / len(frames)
        others = ~np.eye(len(mean), dtype=bool)
        size = float(np.square(correlation)[others].sum())
        shrinkage = min(1.0, float(uncertainty[others].sum()) / size) if size > 0 else 0.0
        correlation[others] *= 1 - shrinkage
        return cls(mean, correlation * deviation[:, None] * deviation)


def compensated(values: Array, grid: Grid, moments: Moments) -> tuple[NDArray[Any], Grid]:
    """Round (sets, units, inputs): the integers, and the grid, whose int4 multipliers are chosen on the way.

    Floats are rounded to the nearest, and so is everything where the inputs never move.
    """
    covariance = moments.covariance
    damping = DAMPING * float(np.diag(covariance).mean())
    if grid.scale is None or damping == 0:
        return round_to(values, grid), grid
    inverse = np.linalg.inv(covariance + damping * np.eye(len(covariance)))
    factor = np.linalg.cholesky(inverse).T  # row j: how an error of input j is handed on, by that of its own
    inputs = values.shape[2]
    rows = values.reshape(-1, inputs)
    scale = grid.scale.reshape(-1)
    rounded = np.empty((len(rows), inputs), np.int8)
    multipliers = None if grid.multipliers is None else grid.multipliers.reshape(len(rows), -1).copy()
    for first in range(0, len(rows), _ROWS):
        part = slice(first, first + _ROWS)
        rounded[part] = _rows(
            rows[part], scale[part], None if multipliers is None else multipliers[part], factor, RANGES[grid.weights]
        )
    if multipliers is not None:
        multipliers = multipliers.reshape(*values.shape[:2], -1)
    return rounded.reshape(values.shape), replace(grid, multipliers=multipliers)


def _rows(
    rows: Array, scale: Array, multipliers: NDArray[np.int8] | None, factor: Doubles, limits: tuple[int, int]
) -> NDArray[np.int8]:
    """(rows, inputs) -> integers; writes the multipliers (rows, groups) that it chooses."""
    free = rows.T.astype(np.float64)  # (inputs, rows): what the weights not yet rounded are to be
    rounded = np.zeros(free.shape, np.int8)
    steps = scale.astype(np.float64)
    for first in range(0, len(free), WEIGHT_GROUP):
        last = min(first + WEIGHT_GROUP, len(free))
        if multipliers is not None:
            audible = np.where(scale > 0, scale, np.float32(1))
            wanted = grouped(free[first:last].T.astype(np.float32))
            chosen = best_multipliers(wanted, audible)[0][:, 0]
            multipliers[:, first // WEIGHT_GROUP] = np.where(scale > 0, chosen, 0)
            steps = scale.astype(np.float64) * multipliers[:, first // WEIGHT_GROUP]
        somewhere = steps != 0
        divisor = np.where(somewhere, steps, 1.0)
        errors = np.empty((last - first, len(rows)))
        for j in range(first, last):
            nearest = np.clip(np.rint(free[j] / divisor), *limits) * somewhere
            rounded[j] = nearest
            errors[j - first] = (free[j] - nearest * steps) / factor[j, j]
            free[j + 1 : last] -= factor[j, j + 1 : last, None] * errors[j - first]
        free[last:] -= factor[first:last, last:].T @ errors
    return rounded.T


def mean_error(values: Array, rounded: Array, moments: Moments) -> Doubles:
    """(sets, units) what rounding takes, on average, from the products of a matrix (sets, units, inputs)."""
    return (values.astype(np.float64) - rounded) @ moments.mean
