"""The numpy oracle against float64 and torch: it defines the bits, so it must itself be right."""

import dataclasses
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from programs import (
    FORMATS,
    LARGEST,
    Builder,
    Floats,
    assert_same_bits,
    build,
    extreme_frames,
    plain_frames,
    recipes,
    small_file,
    small_program,
)

import grulet
from grulet import format as grulet_format
from grulet import functions, reference
from grulet.operators import Cell, Dense, Gru, Lstm, Matrix, Port, Program, Text, Value
from grulet.reference import Reference

EDGES = np.array(
    [
        *(0.0, 1e-45, 1.17549435e-38, 2.0**-64, 1e-7, 0.5, 1.0, 9.99, 10.0, 10.01, 17.0),
        *(86.9, 87.0, 87.1, 88.8, 1e4, 1e30, float(LARGEST), float("inf")),
    ],
    np.float32,
)


def every_nth_float(n: int) -> Floats:
    """All float32 that are no NaN, every n-th of them, both signs, by their bits."""
    positive = np.arange(0, 0x7F800001, n, dtype=np.uint32).view(np.float32)
    return np.concatenate([-positive[::-1], -EDGES, EDGES, positive])


def dense_samples() -> Floats:
    """Floats all over the range, and a fine grid where the functions move."""
    return np.concatenate([every_nth_float(4099), np.linspace(-90, 90, 400_001, dtype=np.float32)])


def _sigmoid64(x: Any) -> Any:
    return np.exp(-np.logaddexp(0.0, -x))


# name -> function, the same in float64, range, and the largest absolute error in docs/numerics.md (over all floats,
# by tests/c/gates.c).
FUNCTIONS: dict[str, tuple[Callable[[Floats], Floats], Callable[[Any], Any], float, float, float]] = {
    "sigmoid": (functions.sigmoid, _sigmoid64, 1.6e-38, 1.0, 9.54e-8),
    "tanh": (functions.tanh, np.tanh, -1.0, 1.0, 1.52e-7),
    "exp, x <= 0": (functions.exp, np.exp, 1.6e-38, 1.0, 7.42e-8),
}


# ---- functions ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", FUNCTIONS)
def test_error_and_range(name: str) -> None:
    """Against float64 over the whole range of floats: small absolute error, and never outside the range."""
    function, exact, low, high, error = FUNCTIONS[name]
    x = dense_samples()
    if name == "exp, x <= 0":
        x = x[x <= 0]
    with np.errstate(over="ignore", under="ignore"):
        y, expected = function(x), exact(x.astype(np.float64))
    assert y.dtype == np.float32
    assert np.isfinite(y).all()
    assert y.min() >= low
    assert y.max() <= high
    assert np.abs(y - expected).max() <= error
    assert y.max() == high


@pytest.mark.parametrize("name", FUNCTIONS)
def test_never_falls(name: str) -> None:
    """A larger input never gives a smaller result."""
    x = np.sort(dense_samples())
    y = FUNCTIONS[name][0](x[x <= 0] if name == "exp, x <= 0" else x)
    assert (y[1:] >= y[:-1]).all()


@pytest.mark.parametrize(
    ("name", "exact", "allowed"),
    [
        ("log", np.log, lambda y: 1e-7 * np.maximum(1, np.abs(y))),
        ("sqrt", np.sqrt, lambda y: 1.3e-7 * y),
        ("softplus", lambda x: np.logaddexp(0, x), lambda y: 2e-7 * np.maximum(1, np.abs(y))),
        ("elu", lambda x: np.where(x < 0, np.expm1(np.minimum(x, 0)), x), lambda y: 1e-7),
        ("softsign", lambda x: x / (1 + np.abs(x)), lambda y: 1.2e-7),
        ("exp", lambda x: np.exp(np.clip(x, -87, 88.375)), lambda y: 4.2e-6 * y),
        ("reciprocal", lambda x: 1 / x, lambda y: 1e-7 * np.abs(y)),
    ],
)
def test_rarer_functions(name: str, exact: Callable[[Any], Any], allowed: Callable[[Any], Any]) -> None:
    """Against float64 over the normal numbers that the function takes."""
    x = dense_samples()
    x = x[np.isfinite(x) & (np.abs(x) >= 2.0**-126) & (np.abs(x) <= 2.0**126)]
    if name in ("log", "sqrt"):
        x = x[x > 0]
    with np.errstate(over="ignore", under="ignore"):
        y, expected = functions.apply_function(x, name, alpha=1.0), exact(x.astype(np.float64))
        assert (np.abs(y - expected) <= allowed(expected)).all()
    assert y.dtype == np.float32


def test_layer_norm() -> None:
    """Against float64, in parts, also where the variance is all epsilon."""
    x = np.random.default_rng(3).normal(5, 3, 48).astype(np.float32)
    scale, shift = np.linspace(-1, 2, 24, dtype=np.float32), np.linspace(0, 1, 24, dtype=np.float32)
    parts = x.reshape(2, 24).astype(np.float64)
    variance = parts.var(axis=1, keepdims=True)
    expected = (parts - parts.mean(axis=1, keepdims=True)) / np.sqrt(variance + 1e-5) * scale + shift
    assert np.abs(functions.layer_norm(x, scale, shift, 1e-5).reshape(2, 24) - expected).max() < 1e-6
    constant = np.full(24, 7, np.float32)
    assert_same_bits(functions.layer_norm(constant, scale, shift, 1e-5), shift)


def test_tanh_is_odd() -> None:
    """tanh(-x) has exactly the bits of -tanh(x), zeros included."""
    x = dense_samples()
    assert_same_bits(functions.tanh(-x), -functions.tanh(x))


def test_tanh_is_exact_in_relative_terms_near_zero() -> None:
    """A small state is not lost: relative error of a few last places down to the subnormals."""
    x = every_nth_float(8191)
    x = x[(np.abs(x) >= 2.0**-126) & (np.abs(x) < 1)]
    exact = np.tanh(x.astype(np.float64))
    assert np.abs(functions.tanh(x) / exact - 1).max() <= 2.71e-7


def test_exp_loses_relative_accuracy_slowly() -> None:
    """Besides two last places, rounding y / ln 2 costs e^y up to 7.3e-8 |y| of its value (docs/numerics.md)."""
    x = np.linspace(-87, 0, 200_001, dtype=np.float32)
    exact = np.exp(x.astype(np.float64))
    allowed = 1.5e-7 + 7.3e-8 * np.abs(x)
    assert (np.abs(functions.exp(x) / exact - 1) <= allowed).all()


def test_fixed_points() -> None:
    """Values that later arithmetic relies on."""
    one = np.ones(1, np.float32)
    assert functions.sigmoid(0 * one)[0] == 0.5
    assert functions.sigmoid(87 * one)[0] == 1.0
    assert functions.sigmoid(-np.inf * one)[0] >= 2.0**-126, "never 0, so r * infinity is never NaN"
    assert functions.tanh(10 * one)[0] == 1.0
    assert functions.exp(0 * one)[0] == 1.0
    assert functions.exp(-np.inf * one)[0] == functions.exp(-87 * one)[0] >= 2.0**-126


def test_nan_and_infinity() -> None:
    """Sums may overflow, and infinities of both signs may meet: the gates still give numbers, always the same."""
    bad = np.array([np.nan, -np.nan, np.inf, -np.inf], np.float32)
    bad[1:2].view(np.uint32)[0] = 0xFFC12345
    assert functions.sigmoid(bad).tolist() == [1.0, 1.0, 1.0, float(functions.sigmoid(-87 * np.ones(1, np.float32))[0])]
    assert functions.tanh(bad).tolist() == [1.0, 1.0, 1.0, -1.0]
    assert functions.finite(bad).tolist() == [LARGEST, LARGEST, LARGEST, -LARGEST]


def test_activations() -> None:
    """relu and leaky_relu by their definitions; softmax sums to one and keeps the order."""
    x = extreme_frames(0, 12, 9)
    for row in x:
        assert_same_bits(functions.apply_function(row, "relu", 0.0), np.where(row > 0, row, np.float32(0)))
        leaky = functions.apply_function(row, "leaky_relu", 0.25)
        assert_same_bits(leaky, np.where(row < 0, row * np.float32(0.25), row))
        assert_same_bits(functions.apply_function(row, "none", 0.0), row)
        with np.errstate(over="ignore", under="ignore"):
            probabilities = functions.softmax(row)
        assert abs(probabilities.astype(np.float64).sum() - 1) < 1e-6
        assert (np.diff(probabilities[np.argsort(row, kind="stable")]) >= 0).all()
    with np.errstate(over="ignore"):
        overflowed = functions.apply_function(np.array([-LARGEST, LARGEST]), "leaky_relu", -2.0)
    assert overflowed.tolist() == [LARGEST, LARGEST]


# ---- quantization ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("levels", [32767, 127])
@pytest.mark.parametrize("peak", [0.0, 3.0])
def test_quantize(levels: int, peak: float) -> None:
    """Levels are within half a level of the input, ends included; what a static peak does not hold is clipped."""
    for row in [*plain_frames(0, 20, 40), np.linspace(-3, 3, 40, dtype=np.float32)]:
        quantized, level = reference.quantize(row, levels, peak)
        assert np.abs(quantized).max() <= levels
        held = np.clip(row, -peak, peak) if peak else row
        assert np.abs(quantized * np.float64(level) - held).max() <= 0.5001 * level
        if not peak:
            assert np.abs(quantized).max() == levels


def test_quantize_silence() -> None:
    """Frames below 2^-100 are silent; at 2^-100 they are not."""
    for top, silent in [(0.0, True), (1e-31, True), (2.0**-101, True), (2.0**-100, False), (1e-30, False)]:
        quantized, level = reference.quantize(np.array([top, -top / 2], np.float32), 127, 0.0)
        assert (not quantized.any()) == silent
        assert (level == 0) == silent


# ---- torch ----------------------------------------------------------------------------------------------------------


def program_of(gru: Any) -> Program:
    """A file's program straight from a torch.nn.GRU: gates r, z, n become z, r, n; biases of r and z are added."""
    order = [1, 0, 2]
    widths = [gru.input_size] + [gru.hidden_size] * gru.num_layers
    operators = []
    for k in range(gru.num_layers):
        kernel = [
            getattr(gru, f"{name}_l{k}").detach().numpy().reshape(3, gru.hidden_size, -1)[order].copy()
            for name in ("weight_ih", "weight_hh")
        ]
        x, h = (getattr(gru, f"bias_{name}_l{k}").detach().numpy().reshape(3, -1)[order] for name in ("ih", "hh"))
        bias = np.stack([x[0] + h[0], x[1] + h[1], x[2], h[2]])
        zero = np.zeros(gru.hidden_size, np.float32)
        operators.append(Gru(f"gru_{k}", k, k + 1, "f32", "f32", Matrix(kernel[0]), Matrix(kernel[1]), bias, zero))
    values = tuple(Value(sum(widths[:v]), width) for v, width in enumerate(widths))
    ports = (Port("input", 0),), (Port("output", gru.num_layers),)
    return Program(*ports, values, tuple(operators), sum(widths), Text("tests", "", {}))


@pytest.mark.parametrize(("inputs", "units", "layers"), [(64, 256, 1), (40, 37, 3)])
def test_against_torch(inputs: int, units: int, layers: int) -> None:
    """f32 weights, 1,000 steps: at most 2e-6 from torch.nn.GRU; the kernels have the oracle's bits."""
    torch = pytest.importorskip("torch")
    torch.manual_seed(0)
    gru = torch.nn.GRU(inputs, units, layers)
    frames = plain_frames(0, 1000, inputs)
    with torch.no_grad():
        expected = gru(torch.from_numpy(frames))[0].numpy()
    data = grulet_format.write(program_of(gru))
    answer = Reference(data).run(frames)
    assert np.abs(answer - expected).max() <= 2e-6
    assert np.abs(answer).max() > 0.3, "a network that does something"
    assert_same_bits(grulet.load(data).stream().run(frames), answer)


def test_torch_initial_state() -> None:
    """The file's initial state is torch's h_0."""
    torch = pytest.importorskip("torch")
    torch.manual_seed(1)
    gru = torch.nn.GRU(3, 21)
    h0 = torch.rand(1, 21) * 2 - 1
    frames = plain_frames(0, 10, 3)
    with torch.no_grad():
        expected = gru(torch.from_numpy(frames), h0)[0].numpy()
    program = program_of(gru)
    state = Reference(program)
    state.state["gru_0"] = h0[0].numpy()
    assert np.abs(state.run(frames) - expected).max() <= 1e-6


def _float64_weights(op: Cell) -> tuple[Any, Any]:
    """Input and recurrent matrix, weight by weight: q * S, q * m * S, or the float; without the level of the state."""

    def floats(matrix: Matrix) -> Any:
        values = matrix.values.astype(np.float64)
        if matrix.multipliers is not None:
            for i in range(values.shape[2]):
                values[:, :, i] *= matrix.multipliers[:, :, i // 32]
        return values if matrix.scale is None else values * matrix.scale.astype(np.float64)[:, :, None]

    levels = {"int16": 32767, "int8": 127, "f32": 1}[op.activations]
    return floats(op.input_matrix), floats(op.recurrent_matrix) * levels


def _float64_gru(op: Gru, frames: Any) -> Any:
    """A GRU layer in plain float64, weights dequantized: the textbook."""
    wx, wh = _float64_weights(op)
    h, rows = op.initial_state.astype(np.float64), []
    for x in frames:
        z = _sigmoid64(wx[0] @ x + wh[0] @ h + op.bias[0])
        r = _sigmoid64(wx[1] @ x + wh[1] @ h + op.bias[1])
        n = np.tanh(wx[2] @ x + op.bias[2] + r * (wh[2] @ h + op.bias[3]))
        h = (1 - z) * n + z * h
        rows.append(h)
    return np.array(rows)


def _float64_lstm(op: Lstm, frames: Any) -> Any:
    """An LSTM layer likewise."""
    wx, wh = _float64_weights(op)
    (h, c), rows = op.initial_state.astype(np.float64), []
    for x in frames:
        i, f, g, o = wx @ x + wh @ h + op.bias
        c = _sigmoid64(f) * c + _sigmoid64(i) * np.tanh(g)
        h = _sigmoid64(o) * np.tanh(c)
        rows.append(h)
    return np.array(rows)


TEXTBOOK: dict[str, Callable[[Any, Any], Any]] = {"gru": _float64_gru, "lstm": _float64_lstm}


@pytest.mark.parametrize("kind", TEXTBOOK)
@pytest.mark.parametrize(("inputs", "units"), [(9, 30), (70, 37), (33, 5)])
@pytest.mark.parametrize(
    ("formats", "error"),
    [
        (("f32", "f32"), 1e-6),
        (("f16", "f32"), 1e-6),
        (("int8", "int16"), 1e-4),
        (("int8", "int8"), 2e-2),
        (("int4", "int16"), 1e-4),
        (("int4", "int8"), 2e-2),
    ],
    ids=str,
)
def test_against_the_textbook(formats: tuple[str, str], error: float, inputs: int, units: int, kind: str) -> None:
    """Against float64 with the same weights: only the rounding of activations is left, and it is small."""
    builder = Builder(11, *formats)
    builder.output("state", builder.cell(kind, builder.input("input", inputs), units, initial=True))
    program = builder.program()
    frames = plain_frames(3, 200, inputs)
    expected = TEXTBOOK[kind](program.operators[0], frames)
    assert np.abs(expected).max() > 0.5, "a network that does something"
    assert np.abs(Reference(program).run(frames) - expected).max() < error
    exact = Reference(program, exact_activations=True).run(frames)
    assert np.abs(exact - expected).max() < 1e-6


@pytest.mark.parametrize("inputs", [511, 512, 513, 1030])
def test_int4_over_spans(inputs: int) -> None:
    """More inputs than a span: the sum of q * m * levels, to within the rounding of three float operations."""
    builder = Builder(inputs, "int4", "int16")
    builder.output("output", builder.dense(builder.input("input", inputs), 6, style="saturated"))
    op = builder.program().operators[0]
    for x in plain_frames(1, 5, inputs):
        peak = np.abs(x).max().astype(np.float64)
        levels = np.rint((x * (np.float32(32767) / np.float32(peak))).astype(np.float64))
        each = np.repeat(op.matrix.multipliers[0].astype(np.float64), 32, axis=1)[:, :inputs]
        exact = (op.matrix.values[0] * each) @ levels * op.matrix.scale[0] * (peak / 32767) + op.bias[0]
        size = np.abs(op.matrix.values[0] * each).sum(axis=1) * op.matrix.scale[0] * peak + np.abs(op.bias[0])
        answer = Reference(builder.program()).run(x[None])[0]
        assert (np.abs(answer - exact) <= 4e-7 * size).all()


def test_halves_are_converted_exactly() -> None:
    """Every finite half, subnormals and zeros of both signs too, comes out as the float it stands for."""
    halves = np.arange(0, 2**16, dtype=np.uint16).view(np.float16)
    halves = halves[np.isfinite(halves)]
    builder = Builder(0, "f16", "f32")
    tokens = builder.input("tokens", 1, len(halves))
    builder.output("output", builder.embedding(tokens, 1))
    builder.operators[0] = dataclasses.replace(builder.operators[0], table=Matrix(halves[:, None]))
    answer = Reference(builder.program()).run(np.arange(len(halves), dtype=np.float32)[:, None])[:, 0]
    exponents, fractions = halves.view(np.uint16) >> 10 & 31, halves.view(np.uint16) & 1023
    small = exponents == 0
    sizes = np.where(small, fractions * 2.0**-24, (1024 + fractions) * 2.0 ** (exponents.astype(np.float64) - 25))
    signs = np.where(halves.view(np.uint16) >> 15, -1.0, 1.0)
    assert_same_bits(answer, (signs * sizes).astype(np.float32))


# ---- gates ----------------------------------------------------------------------------------------------------------


@settings(max_examples=40, derandomize=True, deadline=None)
@given(recipe=recipes(largest=40))
def test_gates_are_consistent(recipe: Any) -> None:
    """h' = n + z (h - n) in float32 from the gates shown; gates in range; |h| <= 1; looking changes no output."""
    program = build(recipe)
    frames = extreme_frames(recipe.seed, 8, program.input_width)
    outputs, gates = Reference(program).run_with_gates(frames)
    assert_same_bits(Reference(program).run(frames), outputs)
    assert np.isfinite(outputs).all()
    assert set(gates) == {op.name for op in program.operators if isinstance(op, Cell)}
    for op in program.operators:
        if isinstance(op, Lstm):
            _check_lstm_gates(op, gates[op.name])
        if not isinstance(op, Gru):
            continue
        shown = gates[op.name]
        assert shown["h"].shape == (8, len(op.initial_state))
        for gate, low in ((shown["z"], 0), (shown["r"], 0), (shown["n"], -1), (shown["h"], -1)):
            assert gate.min() >= low
            assert gate.max() <= 1
        before = np.concatenate([op.initial_state[None], shown["h"][:-1]])
        blended = shown["n"] + shown["z"] * (before - shown["n"])
        flushed = np.where(np.abs(blended) < 2.0**-64, np.float32(0), blended)
        assert_same_bits(shown["h"], flushed.astype(np.float32))


def _check_lstm_gates(op: Lstm, shown: dict[str, Floats]) -> None:
    """c' = f c + i g, h' = o tanh(c'), flushed, from the gates shown."""
    before = np.concatenate([op.initial_state[1:], shown["c"][:-1]])
    c = shown["f"] * before + shown["i"] * shown["g"]
    assert_same_bits(shown["c"], np.where(np.abs(c) < 2.0**-64, np.float32(0), c))
    h = shown["o"] * functions.tanh(shown["c"])
    assert_same_bits(shown["h"], np.where(np.abs(h) < 2.0**-64, np.float32(0), h))


def test_gates_continue_over_calls() -> None:
    """Two calls in a row show what one call shows, and `reset` starts again."""
    frames = plain_frames(0, 12, 5)
    whole = Reference(small_program()).run_with_gates(frames)[1]["gru_1"]
    split = Reference(small_file())
    parts = [split.run_with_gates(part)[1]["gru_1"] for part in (frames[:5], frames[5:5], frames[5:])]
    assert_same_bits(np.concatenate([part["z"] for part in parts]), whole["z"])
    assert_same_bits(np.concatenate([part["h"] for part in parts]), whole["h"])
    assert_same_bits(split.state["gru_1"], whole["h"][-1])
    split.reset()
    assert_same_bits(split.run_with_gates(frames)[1]["gru_1"]["h"], whole["h"])


def test_state_never_leaves_one() -> None:
    """n + z (h - n) in float32 stays in [-1, 1] for all h, n in [-1, 1] and z in [0, 1]: ends, neighbours, random."""
    rng = np.random.default_rng(0)
    one = np.float32(1)
    ends = [one]
    for _ in range(40):
        ends.append(np.nextafter(ends[-1], np.float32(0)))
    special = np.concatenate([ends, 2.0 ** -np.arange(0, 30.0), [0.0]]).astype(np.float32)
    values = np.concatenate([special, -special, rng.uniform(-1, 1, 120).astype(np.float32)])
    n, h, z = values[:, None, None], values[None, :, None], np.abs(values)[None, None, :]
    assert np.abs(n + z * (h - n)).max() == 1


@pytest.mark.parametrize("formats", FORMATS, ids="-".join)
def test_states_at_their_ends(formats: tuple[str, str]) -> None:
    """A layer driven to h = +-1 and back, the largest operands there are: in range, the kernels agree."""
    builder = Builder(0, *formats)
    builder.output("state", builder.gru(builder.input("input", 2), 40, style="saturated"))
    program = builder.program()
    op = program.operators[0]
    bias = np.zeros((4, 40), np.float32)
    bias[0] = -200.0  # z = 0: h' = n
    bias[2] = np.where(np.arange(40) % 2, 200.0, -200.0)  # n = +-1
    driven = Gru(op.name, 0, 1, *formats, op.input_matrix, op.recurrent_matrix, bias, op.initial_state)
    data = grulet_format.write(Program(*_ports_and_values(program), (driven,), program.arena_floats, program.text))
    frames = plain_frames(0, 20, 2)
    states = Reference(data).run(frames)
    assert np.abs(states).max() == 1
    for isa in grulet.isas():
        grulet.use_isa(isa)
        assert_same_bits(grulet.load(data).stream().run(frames), states, isa)


def _ports_and_values(program: Program) -> tuple[Any, Any, Any]:
    return program.inputs, program.outputs, program.values


# ---- what it refuses ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("frames", "message"),
    [
        (np.zeros((2, 4), np.float32), r"float32 \(frames, 5\), not float32 \(2, 4\)"),
        (np.zeros((2, 5)), "not float64"),
        (np.zeros(5, np.float32), r"not float32 \(5,\)"),
        (np.full((1, 5), np.nan, np.float32), "NaN or an infinity"),
        (np.full((1, 5), np.inf, np.float32), "NaN or an infinity"),
    ],
)
def test_bad_frames(frames: Any, message: str) -> None:
    """The oracle refuses what the kernels refuse, and its state has not changed."""
    oracle = Reference(small_program())
    with pytest.raises(grulet.FrameError, match=message):
        oracle.run(frames)
    assert_same_bits(oracle.run(plain_frames(0, 3, 5)), Reference(small_program()).run(plain_frames(0, 3, 5)))


def test_observe() -> None:
    """`observe` sees every operator's input vector of every frame: operator by operator, each in order."""
    seen: list[tuple[str, int]] = []
    oracle = Reference(small_program(), observe=lambda op, x: seen.append((op.name, len(x))))
    oracle.run(plain_frames(0, 2, 5))
    assert seen == [(name, width) for name, width in [("gru_0", 5), ("gru_1", 19), ("dense_2", 7)] for _ in range(2)]
    assert isinstance(oracle.program.operators[2], Dense)
