"""Rounding: grids, compensation and its moments, against brute force and independent computations."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from every_node import EVERYWHERE, LOOPS, WHOLE, frames_of
from every_node import graph_of as graph_of_nodes

from grulet.errors import FrameError, GruletError
from grulet.format import LEVELS, write
from grulet.model import load
from grulet_export.graph import Array, Dense, Embedding, Graph, Gru, Lstm, Node, Port, Rnn
from grulet_export.lower import lower
from grulet_export.quantization.calibration import checked, seen
from grulet_export.quantization.compensation import DAMPING, Moments, compensated, mean_error
from grulet_export.quantization.grids import WEIGHTS, Grid, best_multipliers, find_grid, round_to
from grulet_export.quantization.node import bias_of, in_biases, matrices_of, with_weights
from grulet_export.quantization.quantize import quantize
from grulet_export.quantization.settings import Settings

SHAPES = [(1, 1, 1), (3, 5, 31), (4, 3, 32), (1, 7, 33), (2, 2, 600)]


def weights_of_all_kinds(shape: tuple[int, ...], seed: int = 0) -> Array:
    """Rows that are normal, uniform, silent, tiny, with an outlier, of one sign."""
    random = np.random.default_rng(seed)
    values = random.standard_normal(shape).astype(np.float32)
    rows = values.reshape(-1, shape[-1])
    kinds = [
        lambda row: row,
        lambda row: random.uniform(-1, 1, len(row)),
        lambda row: row * 0,
        lambda row: row * 1e-20,
        lambda row: np.where(np.arange(len(row)) == 0, 50 * row, row),
        np.abs,
        lambda row: row * 1e-35,  # below what counts as silence
    ]
    for at, row in enumerate(rows):
        rows[at] = kinds[at % len(kinds)](row)
    return values


def error(values: Array, grid: Grid) -> np.ndarray:
    """(sets, units) squared errors of rounding to a grid."""
    return np.square(values.astype(np.float64) - grid.values(round_to(values, grid))).sum(axis=2)


# ---- grids ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("weights", WEIGHTS)
@pytest.mark.parametrize("rounding", ["plain", "fitted"])
def test_what_is_rounded_fits_the_format(weights: str, rounding: str, shape: tuple[int, ...]) -> None:
    """Integers, multipliers and scales are within the limits of docs/format.md, and mean the same."""
    values = weights_of_all_kinds(shape)
    grid = find_grid(values, weights, rounding)
    rounded = round_to(values, grid)
    matrix = grid.matrix(rounded)
    if weights in ("f16", "f32"):
        assert matrix.scale is None
        assert matrix.values.dtype == {"f16": np.float16, "f32": np.float32}[weights]
        assert np.array_equal(grid.values(rounded), values.astype(matrix.values.dtype).astype(np.float32))
        return
    assert matrix.values.dtype == np.int8
    assert matrix.scale is not None
    assert matrix.scale.dtype == np.float32
    assert matrix.scale.shape == shape[:2]
    assert (matrix.scale >= 0).all()
    if weights == "int8":
        assert np.abs(matrix.values.astype(int)).max() <= 127
    else:
        assert matrix.multipliers is not None
        assert matrix.values.min() >= -8
        assert matrix.values.max() <= 7
        assert matrix.multipliers.dtype == np.int8
        assert np.abs(matrix.multipliers.astype(int)).max() <= 15
        assert matrix.multipliers.shape == (*shape[:2], -(-shape[2] // 32))
    meant = matrix.integers * matrix.scale.astype(np.float64)[..., None]
    assert np.allclose(grid.values(rounded), meant, rtol=1e-6, atol=0)
    silent = np.abs(values).max(axis=2) < 2.0**-100
    assert (matrix.scale[silent] == 0).all()
    assert not matrix.values[silent].any()


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("weights", ["int8", "int4"])
def test_a_fit_is_never_worse_than_plain(weights: str, shape: tuple[int, ...]) -> None:
    """Row by row, and better in sum where there is room."""
    values = weights_of_all_kinds(shape, seed=1)
    plain, fitted = (error(values, find_grid(values, weights, rounding)) for rounding in ("plain", "fitted"))
    assert (fitted <= plain).all()
    assert shape[2] < 32 or fitted.sum() < plain.sum()


@pytest.mark.parametrize("activations", ["int16", "int8"])
def test_a_recurrent_matrix_holds_the_level_of_its_state(activations: str) -> None:
    """The scale of the file is that of the weights times one level of h."""
    values = weights_of_all_kinds((3, 4, 40))
    grid = find_grid(values, "int4")
    assert grid.scale is not None
    scale = grid.matrix(round_to(values, grid), activations).scale
    assert np.array_equal(scale, (grid.scale.astype(np.float64) / LEVELS[activations]).astype(np.float32))


@pytest.mark.parametrize("weights", WEIGHTS)
@pytest.mark.parametrize("rounding", ["plain", "fitted"])
def test_rounding_twice_changes_nothing(weights: str, rounding: str) -> None:
    """Weights on a grid stay where they are: on that grid, and on one found anew except for int4's many grids."""
    values = weights_of_all_kinds((3, 5, 70), seed=2)
    grid = find_grid(values, weights, rounding)
    once = grid.values(round_to(values, grid))
    assert np.array_equal(grid.values(round_to(once, grid)), once)
    if weights != "int4":
        again = find_grid(once, weights, rounding)
        assert np.allclose(again.values(round_to(once, again)), once, rtol=3e-6, atol=0)


@pytest.mark.parametrize("weights", ["int8", "int4"])
def test_plain_is_by_the_largest_weight(weights: str) -> None:
    """No weight is clipped: the error is at most half a step anywhere."""
    values = np.random.default_rng(3).standard_normal((2, 6, 100)).astype(np.float32)
    grid = find_grid(values, weights, "plain")
    off = np.abs(grid.values(round_to(values, grid)) - values)
    assert (off <= 0.5 * np.abs(grid.steps(100)) * (1 + 1e-5) + 1e-7).all()
    if weights == "int8":
        assert np.array_equal(grid.scale, np.abs(values).max(axis=2) / np.float32(127))


def test_the_multipliers_are_the_best_there_are() -> None:
    """Against trying every multiplier on every weight, in plain Python."""
    random = np.random.default_rng(4)
    groups = random.standard_normal((3, 2, 32)).astype(np.float32) * np.float32(0.1)
    scale = np.array([0.001, 0.002, 0.004], np.float32)
    chosen, errors = best_multipliers(groups, scale)
    for row, group in itertools.product(range(3), range(2)):
        found = {}
        for multiplier in range(-15, 16):
            step = float(scale[row]) * multiplier
            steps = [min(7, max(-8, round(float(w) / step))) if step else 0 for w in groups[row, group]]
            found[multiplier] = sum((float(w) - q * step) ** 2 for w, q in zip(groups[row, group], steps, strict=True))
        assert errors[row, group] == pytest.approx(min(found.values()), rel=1e-4)
        assert found[int(chosen[row, group])] == pytest.approx(min(found.values()), rel=1e-4)


# ---- compensation ---------------------------------------------------------------------------------------------------


def moving_together(inputs: int, frames: int, seed: int = 0) -> Array:
    """(frames, inputs) that depend on a few causes, with a mean."""
    random = np.random.default_rng(seed)
    causes = random.standard_normal((frames, max(1, inputs // 4)))
    mixed = causes @ random.standard_normal((causes.shape[1], inputs)) + 0.2 * random.standard_normal((frames, inputs))
    return (mixed + random.standard_normal(inputs)).astype(np.float32)


def output_error(values: Array, rounded: Array, frames: Array) -> float:
    """The variance of what rounding does to the products: without the mean, which goes into the biases."""
    return float((frames.astype(np.float64) @ (values.astype(np.float64) - rounded)[0].T).var(axis=0).sum())


@pytest.mark.parametrize("weights", ["int8", "int4"])
@pytest.mark.parametrize("inputs", [31, 70])
def test_compensation_saves_most_of_the_error(weights: str, inputs: int) -> None:
    """On other frames than those it knows, of inputs that move together, at most 0.6 of rounding to the nearest."""
    values = np.random.default_rng(5).standard_normal((1, 40, inputs)).astype(np.float32)
    frames = moving_together(inputs, 4000)
    grid = find_grid(values, weights)
    nearest = output_error(values, grid.values(round_to(values, grid)), frames[2000:])
    rounded, chosen = compensated(values, grid, Moments.of(frames[:2000]))
    assert output_error(values, chosen.values(rounded), frames[2000:]) < 0.6**2 * nearest
    matrix = chosen.matrix(rounded)
    assert np.abs(matrix.integers.astype(int)).max() <= 127


def test_compensation_against_all_possible_roundings() -> None:
    """Of 3^5 roundings of each row to neighbours, the compensated ones come near the best."""
    random = np.random.default_rng(6)
    values = random.standard_normal((1, 100, 5)).astype(np.float32)
    frames = moving_together(5, 500, seed=6) + 0.7 * random.standard_normal((500, 5)).astype(np.float32)
    moments = Moments.of(frames)
    grid = Grid("int8", np.full((1, 100), 0.3, np.float32))
    covariance = moments.covariance + DAMPING * np.diag(moments.covariance).mean() * np.eye(5)

    def loss(rows: np.ndarray) -> np.ndarray:
        off = values[0].astype(np.float64) - rows
        return np.einsum("ri,ij,rj->r", off, covariance, off)

    nearest = round_to(values, grid)[0]
    every = np.stack([loss((nearest + step) * 0.3) for step in itertools.product((-1, 0, 1), repeat=5)])
    ours = loss(compensated(values, grid, moments)[0][0] * 0.3)
    assert (ours >= every.min(axis=0) - 1e-9).all()
    assert ours.sum() < 1.35 * every.min(axis=0).sum(), "the best of all, but for a third as much again"
    assert ours.sum() < 0.85 * loss(nearest * 0.3).sum()


@pytest.mark.parametrize("weights", ["int8", "int4"])
def test_inputs_that_never_move_are_rounded_to_the_nearest(weights: str) -> None:
    """All of them, or some: a dead input takes no part, and spoils nothing."""
    values = np.random.default_rng(7).standard_normal((1, 8, 40)).astype(np.float32)
    grid = find_grid(values, weights)
    rounded, same = compensated(values, grid, Moments.of(np.zeros((100, 40), np.float32)))
    assert np.array_equal(rounded, round_to(values, grid))
    assert same is grid
    frames = moving_together(40, 1000)
    frames[:, 11] = 0
    frames[:, 12] = 3
    rounded, chosen = compensated(values, grid, Moments.of(frames))
    assert np.array_equal(rounded[..., 11:13], round_to(values, chosen)[..., 11:13])


def test_weights_on_the_grid_stay() -> None:
    """Nothing to compensate, nothing changes: int8 rows come back as they are."""
    values = weights_of_all_kinds((2, 6, 50), seed=8)
    grid = find_grid(values, "int8")
    once = round_to(values, grid)
    again, _ = compensated(grid.values(once), grid, Moments.of(moving_together(50, 500)))
    assert np.array_equal(again, once)


def test_moments() -> None:
    """The mean and the variances are those of the frames; what is independent is found to be so."""
    frames = moving_together(12, 20000, seed=9)
    moments = Moments.of(frames)
    assert np.allclose(moments.mean, frames.mean(axis=0), atol=1e-4)
    assert np.allclose(moments.covariance, np.cov(frames.T, bias=True), rtol=0.01, atol=0.02)
    independent = np.random.default_rng(9).standard_normal((60, 50)).astype(np.float32)
    moments = Moments.of(independent)
    off = moments.covariance - np.diag(np.diag(moments.covariance))
    assert np.allclose(np.diag(moments.covariance), independent.var(axis=0), rtol=1e-4)
    plain = np.cov(independent.T, bias=True)
    assert np.square(off).sum() < 0.05 * np.square(plain - np.diag(np.diag(plain))).sum()


def test_the_mean_error_is_what_the_biases_need() -> None:
    """With it, products with rounded weights have the right mean."""
    values = np.random.default_rng(10).standard_normal((2, 6, 33)).astype(np.float32)
    frames = moving_together(33, 800)
    grid = find_grid(values, "int4")
    rounded = grid.values(round_to(values, grid))
    missing = mean_error(values, rounded, Moments.of(frames))
    means = [np.einsum("suo,to->su", matrix, frames, dtype=np.float64) / len(frames) for matrix in (values, rounded)]
    assert np.allclose(means[1] + missing, means[0], atol=1e-4)


# ---- nodes and what they see ----------------------------------------------------------------------------------------


def cell(kind: str, inputs: int, units: int, reverse: bool = False, seed: int = 0) -> Node:
    """A cell from "x" to "h" with an initial state."""
    random = np.random.default_rng(seed)

    def some(*shape: int) -> Array:
        return (random.standard_normal(shape) * 0.4).astype(np.float32)

    sets = {"gru": 3, "lstm": 4, "rnn": 1}[kind]
    matrices = some(sets, units, inputs), some(sets, units, units)
    place = "cell", ("x",), "h"
    if kind == "gru":
        return Gru(*place, *matrices, some(3, units), some(3, units), np.clip(some(units), -1, 1), reverse)
    if kind == "lstm":
        return Lstm(*place, *matrices, some(4, units), np.clip(some(2, units), -1, 1), reverse)
    return Rnn(*place, *matrices, some(1, units), np.clip(some(units), -1, 1), reverse)


def graph_of(*nodes: Node, inputs: int) -> Graph:
    """A graph from "x" to the last node's output."""
    return Graph((Port("x", "x", inputs),), (Port("y", nodes[-1].output, 0),), nodes, "")


@pytest.mark.parametrize("reverse", [False, True])
@pytest.mark.parametrize("kind", ["gru", "lstm", "rnn"])
def test_a_cell_sees_its_own_state(kind: str, reverse: bool) -> None:
    """Of the frame before, from the initial state at the start of every recording; reversed layers the other way."""
    node = cell(kind, 3, 5, reverse)
    random = np.random.default_rng(11)
    recordings = [random.standard_normal((frames, 3)).astype(np.float32) for frames in (1, 1500, 40)]
    graph = graph_of(node, inputs=3)
    got = np.concatenate(list(seen(graph, {}, node, recordings)))
    expected = np.concatenate([independent_states(kind, node, frames, reverse) for frames in recordings])
    assert np.array_equal(got[:, :3], np.concatenate(recordings))
    assert np.allclose(got[:, 3:], expected, atol=2e-5)


def independent_states(kind: str, node: Node, frames: Array, reverse: bool) -> np.ndarray:
    """(frames, units) h of the frame before, in float64, frame by frame."""
    assert isinstance(node, Gru | Lstm | Rnn)
    w, r = (matrix.astype(np.float64) for matrix in matrices_of(node))
    bias = bias_of(node).astype(np.float64)
    state = node.initial_state.astype(np.float64)
    h, c = (state[0], state[1]) if kind == "lstm" else (state, state)
    before = np.empty((len(frames), len(h)))
    for t in reversed(range(len(frames))) if reverse else range(len(frames)):
        before[t] = h
        x_part, h_part = w @ frames[t], r @ h
        if kind == "gru":
            z, reset = (1 / (1 + np.exp(-(x_part[k] + h_part[k] + bias[k]))) for k in (0, 1))
            n = np.tanh(x_part[2] + bias[2] + reset * (h_part[2] + bias[3]))
            h = n + z * (h - n)
        elif kind == "lstm":
            i, f, g, o = x_part + h_part + bias
            c = c / (1 + np.exp(-f)) + np.tanh(g) / (1 + np.exp(-i))
            h = np.tanh(c) / (1 + np.exp(-o))
        else:
            h = np.tanh(x_part[0] + h_part[0] + bias[0])
    return before


@pytest.mark.parametrize("kind", ["gru", "lstm", "rnn"])
def test_weights_come_out_as_they_went_in(kind: str) -> None:
    """`with_weights` undoes `matrices_of` and `bias_of`; every set's mean error meets its own bias."""
    node = cell(kind, 3, 5)
    assert isinstance(node, Gru | Lstm | Rnn)
    other = cell(kind, 3, 5, seed=1)
    assert isinstance(other, Gru | Lstm | Rnn)
    changed = with_weights(node, matrices_of(other), bias_of(other))
    assert all(np.array_equal(a, b) for a, b in zip(matrices_of(changed), matrices_of(other), strict=True))
    assert np.allclose(bias_of(changed), bias_of(other))
    sets = len(matrices_of(node)[0])
    per_set = np.arange(sets * 5, dtype=np.float64).reshape(sets, 5)
    from_x, from_h = (in_biases(node, matrix, per_set) for matrix in (0, 1))
    assert from_x.shape == from_h.shape == bias_of(node).shape
    if kind == "gru":
        assert np.array_equal(from_x[2], per_set[2])
        assert not from_x[3].any()
        assert np.array_equal(from_h[3], per_set[2])
        assert not from_h[2].any()
    else:
        assert np.array_equal(from_x, from_h)


def test_formats_by_name() -> None:
    """A mapping names operators; the others are "*"; sums that are no weights stay exact; tables have no inputs."""
    random = np.random.default_rng(12)
    dense = Dense("head", ("h",), "y", random.standard_normal((4, 5)).astype(np.float32), np.zeros(4, np.float32))
    total = Dense("sum", ("y",), "s", np.ones((1, 4), np.float32), np.zeros(1, np.float32), exact=True)
    table = Embedding("table", ("x",), "e", random.standard_normal((9, 3)).astype(np.float32))
    gru = cell("gru", 3, 5)
    nodes = table, Gru(gru.name, ("e",), *list(vars(gru).values())[2:]), dense, total
    graph = Graph((Port("x", "x", 1, 9),), (Port("y", "s", 1),), nodes, "")
    made = quantize(graph, Settings({"head": "f16", "*": "int4"}))
    assert {name: node.weights for name, node in made.items()} == {
        "table": "int4", "cell": "int4", "head": "f16", "sum": "f32",
    }  # fmt: skip
    assert {name: node.activations for name, node in made.items()} == {
        "table": "f32", "cell": "int16", "head": "f32", "sum": "f32",
    }  # fmt: skip
    with pytest.raises(
        GruletError, match="no operator with weights is called 'tail'; there are 'table', 'cell', 'head'"
    ):
        quantize(graph, Settings({"tail": "f16"}))
    tokens = random.integers(0, 9, (50, 1)).astype(np.float32)
    assert quantize(graph, Settings("int4"), checked(graph, tokens))["cell"].weights == "int4"
    with pytest.raises(FrameError, match="input 'x' holds a number that is no token: 0 to 8"):
        checked(graph, tokens + 1)


def test_weights_that_f16_cannot_hold() -> None:
    """Are named, with what would work."""
    dense = Dense("head", ("x",), "y", np.full((1, 1), 1e6, np.float32), np.zeros(1, np.float32))
    with pytest.raises(GruletError, match="operator 'head': its largest weight, 1e\\+06, is more than f16 can hold"):
        quantize(graph_of(dense, inputs=1), Settings("f16"))


#: All but the embedding that no file may have: of tokens that are no input.
NODES = {name: nodes for name, nodes in (EVERYWHERE | WHOLE | LOOPS).items() if name != "tokens out of a value"}


@pytest.mark.parametrize("weights", ["int8", "int4"])
@pytest.mark.parametrize("name", NODES)
def test_every_node_calibrates(name: str, weights: str) -> None:
    """Convolutions, loops, tokens, reversed layers: the file answers near the float one, within what its bits allow."""
    graph = graph_of_nodes(NODES[name])
    frames = frames_of(graph, 60)
    quantized = quantize(graph, Settings(weights), checked(graph, frames))
    right, ours = (load(write(lower(graph, made))).stream().run_vector(frames) for made in ({}, quantized))
    assert np.square(ours - right).mean() <= {"int8": 0.01, "int4": 0.2}[weights] ** 2 * np.square(right).mean()
