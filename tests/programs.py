"""Random programs and frames for the tests: a builder, extreme weights, extreme frames, hypothesis strategies."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from hypothesis import strategies as st
from numpy.typing import NDArray

from grulet import format as grulet_format
from grulet.format import (
    FUNCTIONS,
    LEVELS,
    Activation,
    AnyOperator,
    Dense,
    Gru,
    Matrix,
    Port,
    Program,
    Text,
    Value,
)

Floats = NDArray[np.float32]

# Of all CPUs, the best of each first.
KERNELS = ("avx512vnni", "avxvnni", "avx2", "dotprod", "neon", "armv7neon", "simd128", "generic")
FORMATS = (("f32", "f32"), ("int8", "int16"), ("int8", "int8"))
STYLES = ("plain", "zeros", "saturated", "huge", "tiny", "mixed")
LARGEST = np.float32(3.4028235e38)


# ---- weights --------------------------------------------------------------------------------------------------------


def _float_rows(rng: np.random.Generator, shape: tuple[int, int, int], style: str) -> Floats:
    signs = rng.choice(np.array([-1, 1], np.float32), shape)
    if style == "zeros":
        return np.zeros(shape, np.float32)
    if style == "saturated":
        return signs
    if style == "huge":
        return signs * np.float32(1e38)
    if style == "tiny":
        return signs * np.float32(1e-39)
    return (rng.uniform(-1, 1, shape) / np.sqrt(shape[2])).astype(np.float32)


def _int8_rows(rng: np.random.Generator, shape: tuple[int, int, int], style: str) -> tuple[NDArray[np.int8], Floats]:
    """Weights in [-127, 127] and a scale a row (without the level of the operand)."""
    values = rng.integers(-127, 128, shape).astype(np.int8)
    scale = rng.uniform(0.5, 1.5, shape[:2]) / (127 * np.sqrt(shape[2]))
    if style == "zeros":
        values[:] = 0
        scale[:] = 0
    elif style == "saturated":  # rows of +127, rows of -127, rows of both
        values = 127 * rng.choice(np.array([-1, 1], np.int8), shape)
        values[:, ::3] = 127
        values[:, 1::3] = -127
    elif style == "huge":
        scale[:] = 2.0**64
    elif style == "tiny":
        scale[:] = 1e-41
    return values.astype(np.int8), scale.astype(np.float32)


def random_matrix(
    rng: np.random.Generator, sets: int, units: int, inputs: int, weights: str, level: float = 1.0, style: str = "plain"
) -> Matrix:
    """Weights (sets, units, inputs) in one of `STYLES`; ``mixed`` takes another style for every row.

    ``level`` is multiplied into the scales: the level of the hidden state for a recurrent matrix.
    """
    shape = (sets, units, inputs)
    if weights == "f32":
        values = _float_rows(rng, shape, style)
        if style == "mixed":
            for row in range(units):
                values[:, row] = _float_rows(rng, (sets, 1, inputs), str(rng.choice(STYLES[:-1])))[:, 0]
        return Matrix(values)
    quantized, scale = _int8_rows(rng, shape, style)
    if style == "mixed":
        for row in range(units):
            part = _int8_rows(rng, (sets, 1, inputs), str(rng.choice(STYLES[:-1])))
            quantized[:, row], scale[:, row] = part[0][:, 0], part[1][:, 0]
    return Matrix(quantized, (scale * np.float32(level)).astype(np.float32))


# ---- programs -------------------------------------------------------------------------------------------------------


class Builder:
    """Puts a `Program` together value by value: every method returns the index of the value it makes."""

    def __init__(self, seed: int = 0, weights: str = "int8", activations: str = "int16") -> None:
        self.rng = np.random.default_rng(seed)
        self.weights, self.activations = weights, activations
        self.inputs: list[Port] = []
        self.outputs: list[Port] = []
        self.widths: list[int] = []
        self.operators: list[AnyOperator] = []

    def _value(self, width: int) -> int:
        self.widths.append(width)
        return len(self.widths) - 1

    def input(self, name: str, width: int) -> int:
        """Add an input port; all come before the first operator."""
        self.inputs.append(Port(name, len(self.widths)))
        return self._value(width)

    def output(self, name: str, value: int) -> None:
        """Name a value as an output of the model."""
        self.outputs.append(Port(name, value))

    def gru(
        self, value: int, units: int, *, bias: bool = True, initial: bool = False, style: str = "plain",
        peak: float = 0.0, forget: float = 0.0,
    ) -> int:  # fmt: skip
        """Add a GRU layer; ``forget`` is added to the biases of z (large: the state hardly ever changes)."""
        inputs = self.widths[value]
        level = 1.0 if self.weights == "f32" else 1 / LEVELS[self.activations]
        biases = self.rng.normal(size=(4, units)) if bias else np.zeros((4, units))
        biases[0] += forget
        self.operators.append(
            Gru(
                f"gru_{len(self.operators)}",
                value,
                self._value(units),
                self.weights,
                self.activations,
                random_matrix(self.rng, 3, units, inputs, self.weights, style=style),
                random_matrix(self.rng, 3, units, units, self.weights, level, style),
                biases.astype(np.float32),
                (self.rng.uniform(-1, 1, units) if initial else np.zeros(units)).astype(np.float32),
                peak,
            )
        )
        return len(self.widths) - 1

    def dense(
        self, value: int, units: int, function: str = "none", *, alpha: float = 0.0, bias: bool = True,
        style: str = "plain", peak: float = 0.0,
    ) -> int:  # fmt: skip
        """Add a dense layer with a function behind it."""
        matrix = random_matrix(self.rng, 1, units, self.widths[value], self.weights, style=style)
        biases = (self.rng.normal(size=(1, units)) if bias else np.zeros((1, units))).astype(np.float32)
        name, output = f"dense_{len(self.operators)}", self._value(units)
        formats = (self.weights, self.activations)
        self.operators.append(Dense(name, value, output, *formats, matrix, biases, function, alpha, peak))
        return output

    def activation(self, value: int, function: str, alpha: float = 0.0) -> int:
        """Add a function of a vector."""
        output = self._value(self.widths[value])
        self.operators.append(Activation(f"activation_{len(self.operators)}", value, output, function, alpha))
        return output

    def _offsets(self, reuse: bool) -> list[int]:
        """Where values lie: one behind the other, or (``reuse``) as low as the values still needed allow."""
        offsets = [sum(self.widths[:value]) for value in range(len(self.widths))]
        if not reuse:
            return offsets
        kept = {port.value for port in self.outputs}
        for o, op in enumerate(self.operators):
            needed = kept | {later.input for later in self.operators[o:]}
            taken = sorted((offsets[v], offsets[v] + self.widths[v]) for v in range(op.output) if v in needed)
            at = 0
            for start, end in taken:
                if start >= at + self.widths[op.output]:
                    break
                at = max(at, end)
            offsets[op.output] = at
        return offsets

    def program(self, *, reuse: bool = False, metadata: dict[str, Any] | None = None) -> Program:
        """Return the program; ``reuse`` lets values share room in the arena once they are dead."""
        values = tuple(Value(at, width) for at, width in zip(self._offsets(reuse), self.widths, strict=True))
        arena = max(value.offset + value.width for value in values)
        text = Text("tests", "0" * 64, metadata or {})
        return Program(tuple(self.inputs), tuple(self.outputs), values, tuple(self.operators), arena, text)


@dataclass(frozen=True)
class Recipe:
    """Everything that decides a random program: small fields, so that hypothesis can shrink a failure."""

    seed: int
    formats: tuple[str, str]
    inputs: tuple[int, ...]
    layers: tuple[int, ...]
    heads: tuple[tuple[int, str], ...]
    style: str = "plain"
    bias: bool = True
    initial: bool = False
    peak: float = 0.0
    between: str = "none"  # a function between the first layer and the second
    state_out: bool = False  # the last layer's state is an output too
    reuse: bool = False


def build(recipe: Recipe) -> Program:
    """Return the program of a recipe.

    Layers are stacked on the first input; heads read the last layer and the further inputs in turn.
    """
    builder = Builder(recipe.seed, *recipe.formats)
    inputs = [builder.input(f"input_{i}", width) for i, width in enumerate(recipe.inputs)]
    value = inputs[0]
    for k, units in enumerate(recipe.layers):
        # A static peak belongs to the unbounded input; a hidden state needs none.
        peak = recipe.peak if k == 0 and recipe.formats[0] == "int8" else 0.0
        options = {"bias": recipe.bias, "initial": recipe.initial, "style": recipe.style}
        value = builder.gru(value, units, peak=peak, **options)
        if k == 0 and recipe.between != "none":
            value = builder.activation(value, recipe.between, 0.25 if recipe.between == "leaky_relu" else 0.0)
    sources = [value, *inputs[1:]]
    if recipe.state_out or not recipe.heads:
        builder.output("state", value)
    for i, (units, function) in enumerate(recipe.heads):
        alpha = -0.5 if function == "leaky_relu" else 0.0
        source = sources[i % len(sources)]
        head = builder.dense(source, units, function, alpha=alpha, bias=recipe.bias, style=recipe.style)
        builder.output(f"output_{i}", head)
    return builder.program(reuse=recipe.reuse)


def recipes(largest: int = 300, layers: int = 3) -> st.SearchStrategy[Recipe]:
    """Recipes of up to ``layers`` layers of 1 to ``largest`` units and inputs: multiples of nothing."""
    size = st.one_of(st.integers(1, min(40, largest)), st.integers(1, largest))
    return st.builds(
        Recipe,
        seed=st.integers(0, 2**32 - 1),
        formats=st.sampled_from(FORMATS),
        inputs=st.lists(size, min_size=1, max_size=3).map(tuple),
        layers=st.lists(size, min_size=1, max_size=layers).map(tuple),
        heads=st.lists(st.tuples(size, st.sampled_from(FUNCTIONS)), max_size=3).map(tuple),
        style=st.sampled_from(STYLES),
        bias=st.booleans(),
        initial=st.booleans(),
        peak=st.sampled_from([0.0, 0.0, 1.0, 3.0, 1e-20, 1e30]),
        between=st.sampled_from(FUNCTIONS),
        state_out=st.booleans(),
        reuse=st.booleans(),
    )


def small_program(weights: str = "int8", activations: str = "int16", seed: int = 7) -> Program:
    """Return a small ordinary model: two layers, a softmax head, sizes that are multiples of nothing."""
    builder = Builder(seed, weights, activations)
    x = builder.input("input", 5)
    h = builder.gru(builder.gru(x, 19, initial=True), 7)
    builder.output("output", builder.dense(h, 3, "softmax"))
    return builder.program()


def small_file(weights: str = "int8", activations: str = "int16", seed: int = 7) -> bytes:
    """Return `small_program` as a file."""
    return grulet_format.write(small_program(weights, activations, seed))


# ---- frames ---------------------------------------------------------------------------------------------------------


def plain_frames(seed: int, count: int, width: int) -> Floats:
    """Normal noise (count, width)."""
    return np.random.default_rng(seed).normal(size=(count, width)).astype(np.float32)


def _extreme_rows(rng: np.random.Generator, width: int) -> list[Floats]:
    signs = rng.choice(np.array([-1, 1], np.float32), width)
    noise = rng.normal(size=width)
    one_peak = noise * 1e-3
    one_peak[rng.integers(width)] = 1e3
    alternating = np.where(np.arange(width) % 2 == 0, 1.0, -1.0)
    rows = [
        noise,
        np.zeros(width),
        np.full(width, -0.0),
        signs * 1e-40,  # subnormal: read as zero
        signs * 1e-30,  # above 2^-100
        signs * 1e-31,  # below 2^-100: silence for quantized operands
        signs * float(LARGEST),
        np.full(width, float(LARGEST)),  # all levels at their end: the largest sums
        np.full(width, -float(LARGEST)),
        alternating * 3.0,
        one_peak,
        noise * 10.0 ** rng.uniform(-38, 38, width),
    ]
    return [np.clip(row, -float(LARGEST), float(LARGEST)).astype(np.float32) for row in rows]


def extreme_frames(seed: int, count: int, width: int) -> Floats:
    """Frames that break careless arithmetic: silence, subnormals, the largest floats, saturating sign patterns."""
    rng = np.random.default_rng(seed)
    rows: list[Floats] = []
    while len(rows) < count:
        batch = _extreme_rows(rng, width)
        rows += [batch[i] for i in rng.permutation(len(batch))]
    return np.stack(rows[:count])


# ---- comparing ------------------------------------------------------------------------------------------------------


def assert_same_bits(actual: Floats, expected: Floats, what: object = "") -> None:
    """Equal shapes, dtypes and bits; on failure says where and by how much."""
    assert actual.dtype == expected.dtype == np.float32, (what, actual.dtype, expected.dtype)
    assert actual.shape == expected.shape, (what, actual.shape, expected.shape)
    left, right = np.ascontiguousarray(actual).view(np.uint32), np.ascontiguousarray(expected).view(np.uint32)
    if not np.array_equal(left, right):
        where = np.argwhere(left != right)
        first = tuple(int(i) for i in where[0])
        raise AssertionError(f"{what}: {len(where)} floats differ, first at {first}: {actual[first]} {expected[first]}")
