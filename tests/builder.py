"""Puts programs of random weights together, value by value, for the tests."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from grulet.format import LEVELS, NONE
from grulet.operators import (
    WEIGHT_GROUP,
    Activation,
    Affine,
    AnyOperator,
    Binary,
    Concat,
    Dense,
    Depthwise,
    Embedding,
    FirstFrame,
    Gru,
    History,
    LayerNorm,
    Lstm,
    Matrix,
    Port,
    PRelu,
    Program,
    Rnn,
    Select,
    Slice,
    StateRead,
    StateWrite,
    Text,
    Value,
)
from grulet.weights import QUANTIZED

Floats = NDArray[np.float32]

FORMATS = (
    ("f32", "f32"), ("f16", "f32"), ("int8", "int16"), ("int8", "int8"), ("int4", "int16"), ("int4", "int8"),
)  # fmt: skip
STYLES = ("plain", "zeros", "saturated", "huge", "tiny", "mixed")
#: Class, sets of rows, biases and vectors of state of the recurrent cells.
CELLS: dict[str, tuple[type[Gru | Lstm | Rnn], int, int, int]] = {
    "gru": (Gru, 3, 4, 1),
    "lstm": (Lstm, 4, 4, 2),
    "rnn": (Rnn, 1, 1, 1),
}


# ---- weights --------------------------------------------------------------------------------------------------------


def _float_rows(rng: np.random.Generator, shape: tuple[int, ...], weights: str, style: str) -> Matrix:
    dtype, huge, tiny = {"f32": (np.float32, 1e38, 1e-39), "f16": (np.float16, 65504, 2.0**-24)}[weights]
    signs = rng.choice(np.array([-1.0, 1.0]), shape)
    values = {"zeros": np.zeros(shape), "saturated": signs, "huge": huge * signs, "tiny": tiny * signs}
    made = values[style] if style in values else rng.uniform(-1, 1, shape) / np.sqrt(shape[2])
    return Matrix(made.astype(dtype))


def _integer_rows(rng: np.random.Generator, shape: tuple[int, int, int], weights: str, style: str) -> Matrix:
    """Weights of all values, multipliers of all values, and a scale a row (without the level of the operand)."""
    low, high = {"int8": (-127, 127), "int4": (-8, 7)}[weights]
    values = rng.integers(low, high + 1, shape)
    scale = rng.uniform(0.5, 1.5, shape[:2]) / (127 * np.sqrt(shape[2]))
    if style == "zeros":
        values[:] = 0
        scale[:] = 0
    elif style == "saturated":  # rows of the largest weight, rows of the smallest, rows of both
        values = rng.choice(np.array([low, high]), shape)
        values[:, ::3] = high
        values[:, 1::3] = low
    elif style == "huge":
        scale[:] = 2.0**64
    elif style == "tiny":
        scale[:] = 1e-41
    multipliers = _multipliers(rng, shape, style) if weights == "int4" else None
    return Matrix(values.astype(np.int8), scale.astype(np.float32), multipliers)


def _multipliers(rng: np.random.Generator, shape: tuple[int, int, int], style: str) -> NDArray[np.int8]:
    """Of the groups of each row of int4 weights."""
    groups = (*shape[:2], -(-shape[2] // WEIGHT_GROUP))
    made = rng.integers(-15, 16, groups)
    if style == "saturated":
        made = 15 * rng.choice(np.array([-1, 1]), groups)
        made[:, 2:] = -15
    return made.astype(np.int8)


def _rows_of_all_styles(rng: np.random.Generator, shape: tuple[int, int, int], weights: str) -> Matrix:
    """Another style for every row."""
    sets, units, inputs = shape
    rows = [
        random_matrix(rng, sets, 1, inputs, weights, style=str(rng.choice(STYLES[: STYLES.index("mixed")])))
        for _ in range(units)
    ]

    def joined(parts: list[Any]) -> Any:
        return None if parts[0] is None else np.concatenate(parts, axis=1)

    names = ("values", "scale", "multipliers")
    return Matrix(*(joined([getattr(row, name) for row in rows]) for name in names))


def random_matrix(
    rng: np.random.Generator, sets: int, units: int, inputs: int, weights: str, level: float = 1.0, style: str = "plain"
) -> Matrix:
    """Weights (sets, units, inputs) in one of `STYLES`; ``mixed`` takes another style for every row.

    ``level`` is multiplied into the scales: the level of the hidden state for a recurrent matrix.
    """
    shape = (sets, units, inputs)
    if style == "mixed":
        matrix = _rows_of_all_styles(rng, shape, weights)
    elif weights in QUANTIZED:
        matrix = _integer_rows(rng, shape, weights, style)
    else:
        matrix = _float_rows(rng, shape, weights, style)
    if matrix.scale is None:
        return matrix
    return replace(matrix, scale=(matrix.scale * np.float32(level)).astype(np.float32))


# ---- programs -------------------------------------------------------------------------------------------------------


class Builder:
    """Puts a `Program` together: every method adds an operator and returns the index of the value it makes."""

    def __init__(self, seed: int = 0, weights: str = "int8", activations: str = "int16") -> None:
        self.rng = np.random.default_rng(seed)
        self.weights, self.activations = weights, activations
        self.inputs: list[Port] = []
        self.outputs: list[Port] = []
        self.widths: list[int] = []
        self.operators: list[AnyOperator] = []
        self._loops = 0
        self._schedule: dict[str, Any] = {}

    def _value(self, width: int) -> int:
        self.widths.append(width)
        return len(self.widths) - 1

    def add(self, kind: type[Any], value: int, width: int, *fields: Any, **options: Any) -> int:
        """Add an operator of the current loop and return its output."""
        name, output = f"{kind.__name__.lower()}_{len(self.operators)}", self._value(width)
        self.operators.append(kind(name, value, output, *fields, **{**self._schedule, **options}))
        return output

    def _floats(self, *shape: int) -> Floats:
        return self.rng.normal(size=shape).astype(np.float32)

    def input(self, name: str, width: int, tokens: int = 0) -> int:
        """Add an input port; all come before the first operator."""
        self.inputs.append(Port(name, len(self.widths), tokens))
        return self._value(width)

    def output(self, name: str, value: int) -> None:
        """Name a value as an output of the model."""
        self.outputs.append(Port(name, value))

    def cell(
        self, kind: str, value: int, units: int, *, bias: bool = True, initial: bool = False, style: str = "plain",
        peak: float = 0.0, forget: float = 0.0, reverse: bool = False,
    ) -> int:  # fmt: skip
        """Add a recurrent layer: gru, lstm or rnn.

        ``forget`` is added to the biases of a GRU's z (large: the state hardly ever changes).
        """
        made, sets, bias_rows, states = CELLS[kind]
        inputs = self.widths[value]
        level = 1 / LEVELS[self.activations] if self.weights in QUANTIZED else 1.0
        biases = self.rng.normal(size=(bias_rows, units)) if bias else np.zeros((bias_rows, units))
        biases[0] += forget
        matrices = (
            random_matrix(self.rng, sets, units, inputs, self.weights, style=style),
            random_matrix(self.rng, sets, units, units, self.weights, level, style),
        )
        shape = (units,) if states == 1 else (states, units)
        state = (self.rng.uniform(-1, 1, shape) if initial else np.zeros(shape)).astype(np.float32)
        return self.add(
            made, value, units, self.weights, self.activations, *matrices, biases.astype(np.float32), state, peak,
            **({"reverse": True} if reverse else {}),
        )  # fmt: skip

    def gru(self, value: int, units: int, **options: Any) -> int:
        """Add a GRU layer (options: see `cell`)."""
        return self.cell("gru", value, units, **options)

    def dense(
        self, value: int, units: int, function: str = "none", *, alpha: float = 0.0, bias: bool = True,
        style: str = "plain", peak: float = 0.0,
    ) -> int:  # fmt: skip
        """Add a dense layer with a function behind it."""
        matrix = random_matrix(self.rng, 1, units, self.widths[value], self.weights, style=style)
        biases = (self.rng.normal(size=(1, units)) if bias else np.zeros((1, units))).astype(np.float32)
        return self.add(
            Dense, value, units, self.weights, self.activations, matrix, biases, function, alpha, peak
        )  # fmt: skip

    def activation(self, value: int, function: str, alpha: float = 0.0, beta: float = 0.0, size: int = 0) -> int:
        """Add a function of a vector."""
        return self.add(Activation, value, self.widths[value], function, alpha, beta, size)

    def binary(self, value: int, other: int, function: str) -> int:
        """Add a function of two vectors of equal width."""
        return self.add(Binary, value, self.widths[value], other, function)

    def affine(self, value: int) -> int:
        """Add ``x * scale + shift``."""
        width = self.widths[value]
        return self.add(Affine, value, width, self._floats(width), self._floats(width))

    def prelu(self, value: int) -> int:
        """Add a leaky relu with a slope for every element."""
        return self.add(PRelu, value, self.widths[value], self._floats(self.widths[value]))

    def concat(self, value: int, other: int) -> int:
        """Add one vector behind the other."""
        return self.add(Concat, value, self.widths[value] + self.widths[other], other)

    def slice(self, value: int, first: int, width: int) -> int:
        """Add a part of a vector."""
        return self.add(Slice, value, width, first)

    def select(self, value: int, width: int) -> int:
        """Add any elements of a vector, in any order."""
        return self.add(Select, value, width, self.rng.integers(0, self.widths[value], width).astype(np.uint32))

    def embedding(self, value: int, width: int, rows: int = 0, style: str = "plain") -> int:
        """Add a table of ``rows`` rows (0: one for each token of the input ``value``)."""
        rows = rows or self.inputs[value].tokens
        table = random_matrix(self.rng, 1, rows, width, self.weights, style=style)
        parts = (table.values, table.scale, table.multipliers)
        matrix = Matrix(*(None if part is None else part[0] for part in parts))
        return self.add(Embedding, value, self.widths[value] * width, self.weights, matrix)

    def layer_norm(self, value: int, size: int = 0, epsilon: float = 1e-5) -> int:
        """Add a norm of every part of ``size`` elements (0: of the whole)."""
        width = self.widths[value]
        return self.add(LayerNorm, value, width, self._floats(size or width), self._floats(size or width), epsilon)

    def history(self, value: int, taps: int, dilation: int = 1) -> int:
        """Add frames of the past."""
        return self.add(History, value, taps * self.widths[value], taps, dilation)

    def depthwise(self, value: int, taps: int) -> int:
        """Add a convolution of every channel by itself, over what `history` gives."""
        channels = self.widths[value] // taps
        return self.add(Depthwise, value, channels, self._floats(taps, channels), self._floats(channels))

    @contextmanager
    def loop(self, *, reverse: bool = False) -> Iterator[None]:
        """Operators added inside run together, frame by frame."""
        self._loops += 1
        self._schedule = {"loop": self._loops, "reverse": reverse}
        yield
        self._schedule = {}

    def state_read(self, width: int, *, initial: bool = False) -> int:
        """Add a state, as the frame before has left it."""
        start = self._floats(width) if initial else np.zeros(width, np.float32)
        return self.add(StateRead, NONE, width, start)

    def state_write(self, value: int, state: int) -> int:
        """Write the state that is read as the value ``state``; gives ``value`` itself."""
        reader = next(o for o, op in enumerate(self.operators) if op.output == state)
        return self.add(StateWrite, value, self.widths[value], reader)

    def first_frame(self, value: int) -> int:
        """Add a value as it is in the first frame of the sequence."""
        return self.add(FirstFrame, value, self.widths[value], reverse=True)

    def _offsets(self, reuse: bool) -> list[int]:
        """Where values lie: one behind the other, or (``reuse``) as low as the values still needed allow."""
        offsets = [sum(self.widths[:value]) for value in range(len(self.widths))]
        if not reuse:
            return offsets
        kept = {port.value for port in self.outputs}
        for o, op in enumerate(self.operators):
            needed = kept | {value for later in self.operators[o:] for value in _inputs_of(later)}
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


def _inputs_of(op: AnyOperator) -> tuple[int, ...]:
    """The values that an operator reads."""
    return (op.input, op.second_input) if isinstance(op, Binary | Concat) else (op.input,)
