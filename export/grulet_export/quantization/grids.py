"""Grids: which numbers a matrix may be rounded to, in every format of weights, and how the best grid is found.

A row of an int8 matrix is ``q * S``: 255 evenly spaced numbers, so that a row's grid is its scale ``S``.  In an int4
row every group of 32 inputs has a multiplier besides, ``q * m * S`` with q from -8 to 7, so that a negative ``m`` gives
a group one more step upwards than downwards.  Floats have no grid to choose, but the same functions.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from grulet.format import LEVELS, SILENCE
from grulet.operators import WEIGHT_GROUP, Matrix

Floats: TypeAlias = NDArray[np.float32]
Integers: TypeAlias = NDArray[np.int8]

WEIGHTS = ("int8", "int4", "f16", "f32")
INTEGERS = ("int8", "int4")  # formats whose inputs are rounded, too
ACTIVATIONS = ("int16", "int8")
ROUNDINGS = ("plain", "fitted", "compensated")

#: Smallest and largest ``q`` of a format.
RANGES = {"int8": (-127, 127), "int4": (-8, 7)}
MULTIPLIERS = 15  # the largest multiplier of a group
F16_LIMIT = 65504.0  # the largest finite half

#: How many steps of the row the largest weight of a row lies from zero: the scales that a fit tries.  More steps than
#: the range has (127; 8 * 15 = 120) clip the largest weights, for a finer step of the others.
_INT8_STEPS = np.arange(121, 151, 0.75)
_INT4_STEPS = np.array([90, 97.5, 105, 108, 112.5, 116, 120, 125, 130, 136, 142, 150])
_BLOCK = 1 << 15  # weights that are fitted at once: they stay in the cache


@dataclass(frozen=True)
class Grid:
    """Where the weights of a matrix (sets, units, inputs) may lie: ``q * multipliers[group] * scale``, or any float.

    The scale is that of the weights alone; `matrix` folds the level of a hidden state into it.
    """

    weights: str
    scale: Floats | None = None  # (sets, units), not negative; None: floats
    multipliers: Integers | None = None  # (sets, units, groups of 32 inputs), within 15; None: not int4

    def steps(self, inputs: int) -> NDArray[np.float64]:
        """(sets, units, 1 or inputs) the distance of neighbours; negative where the multiplier is, 0: all are 0."""
        assert self.scale is not None
        scale = self.scale.astype(np.float64)[..., None]
        return scale if self.multipliers is None else scale * spread(self.multipliers, inputs)

    def values(self, rounded: NDArray[Any]) -> Floats:
        """What rounded weights mean, (sets, units, inputs)."""
        if self.scale is None:
            return rounded.astype(np.float32)
        return (rounded * self.steps(rounded.shape[-1])).astype(np.float32)

    def matrix(self, rounded: NDArray[Any], activations: str | None = None) -> Matrix:
        """Make the file's matrix of rounded weights.

        ``activations``: of a recurrent matrix, the format of the hidden state, whose level its scale holds.
        """
        if self.scale is None:
            return Matrix(rounded)
        level = 1.0 / LEVELS[activations] if activations else 1.0
        return Matrix(rounded, (self.scale.astype(np.float64) * level).astype(np.float32), self.multipliers)


def spread(multipliers: NDArray[Any], inputs: int) -> NDArray[Any]:
    """(..., groups) -> (..., inputs): each input's multiplier."""
    return np.repeat(multipliers, WEIGHT_GROUP, axis=-1)[..., :inputs]


def round_to(values: Floats, grid: Grid) -> NDArray[Any]:
    """Round every weight of (sets, units, inputs) to the nearest: int8 q, or float16 or float32 of a float format."""
    if grid.scale is None:
        return np.ascontiguousarray(values, np.float16 if grid.weights == "f16" else np.float32)
    steps = grid.steps(values.shape[-1])
    somewhere = steps != 0
    nearest = np.rint(values / np.where(somewhere, steps, 1.0))
    return np.where(somewhere, np.clip(nearest, *RANGES[grid.weights]), 0).astype(np.int8)


def find_grid(values: Floats, weights: str, rounding: str = "fitted") -> Grid:
    """Choose the grid of a matrix (sets, units, inputs).

    ``rounding`` "plain": every weight is in range, the largest of a row (int4: of a group) exactly.  "fitted", or
    anything cleverer: the least squared error that a search finds, never more than that of "plain".
    """
    if weights not in INTEGERS:
        return Grid(weights)
    sets, units, inputs = values.shape
    rows = values.reshape(sets * units, inputs)
    plain = _plain(rows, weights)
    grid = plain if rounding == "plain" else _best(rows, plain, _fitted(rows, weights))
    multipliers = None if grid.multipliers is None else grid.multipliers[0].reshape(sets, units, -1)
    assert grid.scale is not None
    return Grid(weights, grid.scale.reshape(sets, units), multipliers)


# ---- rows: everything below works on (rows, inputs), and gives grids of one set --------------------------------------


def _grid(weights: str, scale: NDArray[Any], multipliers: NDArray[Any] | None) -> Grid:
    integers = None if multipliers is None else multipliers.astype(np.int8)[None]
    return Grid(weights, scale.astype(np.float32)[None], integers)


def grouped(rows: NDArray[Any]) -> NDArray[Any]:
    """(rows, inputs) -> (rows, groups, 32), zeros behind the last input."""
    padded = np.pad(rows, ((0, 0), (0, -rows.shape[1] % WEIGHT_GROUP)))
    return padded.reshape(len(rows), -1, WEIGHT_GROUP)


def _audible(largest: NDArray[Any]) -> NDArray[Any]:
    """The largest magnitude of each row, or 0 where a scale could not express it."""
    return np.where(largest < SILENCE, 0, largest)


def _plain(rows: Floats, weights: str) -> Grid:
    if weights == "int8":
        return _grid(weights, _audible(np.abs(rows).max(axis=1)) / np.float32(127), None)
    largest = _audible(np.abs(grouped(rows)).max(axis=2)).astype(np.float64)
    scale = (largest.max(axis=1) / (7 * MULTIPLIERS)).astype(np.float32)
    wanted = np.divide(largest / 7, scale[:, None], out=np.zeros_like(largest), where=scale[:, None] > 0)
    return _grid(weights, scale, np.minimum(np.ceil(wanted - 1e-6), MULTIPLIERS))


def _fitted(rows: Floats, weights: str) -> Grid:
    """Search block by block, so that the memory is bounded."""
    size = max(1, _BLOCK // rows.shape[1])
    fit = {"int8": _fitted_int8, "int4": _fitted_int4}[weights]
    found = [fit(rows[at : at + size]) for at in range(0, len(rows), size)]
    scales, multipliers = zip(*found, strict=True)
    return _grid(weights, np.concatenate(scales), np.concatenate(multipliers) if weights == "int4" else None)


def _errors(values: Floats, steps: Floats, weights: str) -> Floats:
    """(..., inputs) values, (...) steps, none 0 -> (...) the squared errors of rounding, summed over the inputs."""
    rounded = values * (1 / steps)[..., None]
    np.rint(rounded, out=rounded)
    np.clip(rounded, *map(np.float32, RANGES[weights]), out=rounded)
    rounded *= steps[..., None]
    rounded -= values
    return np.asarray(np.einsum("...i,...i->...", rounded, rounded))


def _starts(rows: Floats) -> tuple[Floats, NDArray[np.bool_]]:
    """The largest magnitude of each row, 1 for silent rows, and which are silent."""
    largest = np.abs(rows).max(axis=1)
    silent = largest < SILENCE
    return np.where(silent, np.float32(1), largest), silent


def _fitted_int8(rows: Floats) -> tuple[Floats, None]:
    largest, silent = _starts(rows)
    best = np.full(len(rows), np.inf, np.float32)
    scale = largest
    for steps in _INT8_STEPS:
        tried = (largest / np.float32(steps)).astype(np.float32)
        error = _errors(rows, tried, "int8")
        scale = np.where(error < best, tried, scale)
        best = np.minimum(error, best)
    scale = _least_squares(rows, _grid("int8", np.where(silent, 0, scale), None))
    return scale, None


def _fitted_int4(rows: Floats) -> tuple[Floats, Floats]:
    groups = grouped(rows)
    largest, silent = _starts(rows)
    best = np.full(len(rows), np.inf, np.float32)
    scale, multipliers = largest, np.zeros(groups.shape[:2], np.float32)
    for steps in _INT4_STEPS:
        tried = (largest / np.float32(steps)).astype(np.float32)
        chosen, errors = best_multipliers(groups, tried)
        error = errors.sum(axis=1)
        better = error < best
        scale, best = np.where(better, tried, scale), np.where(better, error, best)
        multipliers = np.where(better[:, None], chosen, multipliers)
    multipliers[silent] = 0
    return _least_squares(rows, _grid("int4", np.where(silent, 0, scale), multipliers)), multipliers


def best_multipliers(groups: Floats, scale: Floats) -> tuple[Floats, Floats]:
    """(rows, groups, 32) weights, (rows,) scales, none 0 -> (rows, groups) best multipliers, and their errors."""
    errors, chosen = np.square(groups).sum(axis=2), np.zeros(groups.shape[:2], np.float32)
    for magnitude in range(1, MULTIPLIERS + 1):
        for multiplier in (np.float32(magnitude), np.float32(-magnitude)):
            steps = np.broadcast_to((scale * multiplier)[:, None], errors.shape)
            error = _errors(groups, steps, "int4")
            better = error < errors
            errors, chosen = np.where(better, error, errors), np.where(better, multiplier, chosen)
    return chosen, errors


def _least_squares(rows: Floats, grid: Grid) -> Floats:
    """(rows,) the scales of least error for the integers that the grid's own scales give."""
    assert grid.scale is not None
    scale = grid.scale[0].astype(np.float64)
    unit = grid.values(round_to(rows[None], grid))[0] / np.where(scale > 0, scale, 1.0)[:, None]
    products, squares = (rows * unit).sum(axis=1), (unit * unit).sum(axis=1)
    best = np.where(squares > 0, products / np.where(squares > 0, squares, 1.0), scale)
    return np.asarray(best, np.float32)


def _best(rows: Floats, *grids: Grid) -> Grid:
    """Of each row the grid whose error, exactly computed, is least; of equals the first."""
    doubles = rows.astype(np.float64)
    errors = np.stack([np.square(grid.values(round_to(rows[None], grid))[0] - doubles).sum(axis=1) for grid in grids])
    choice, row = errors.argmin(axis=0), np.arange(len(rows))

    def chosen(arrays: list[Any]) -> NDArray[Any]:
        return np.asarray(np.stack(arrays)[choice, 0, row][None])

    multipliers = None if grids[0].multipliers is None else chosen([grid.multipliers for grid in grids])
    return Grid(grids[0].weights, chosen([grid.scale for grid in grids]), multipliers)
