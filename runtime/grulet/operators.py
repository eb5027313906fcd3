"""A `.grulet` program in Python: values, ports and operators with plain matrices; `grulet.format` reads and writes it.

What the operators compute is docs/numerics.md, and as a program `grulet.reference`.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

NONE = 0xFFFFFFFF
WEIGHT_GROUP = 32  # inputs that share a multiplier in an int4 row

Floats: TypeAlias = NDArray[np.float32]


@dataclass(frozen=True)
class Value:
    """A float32 vector of ``width`` elements at ``offset`` (in elements) of the frame's arena."""

    offset: int
    width: int


@dataclass(frozen=True)
class Port:
    """A named input or output: a slice of the model's input or output vector.

    ``tokens``: 0, or every element of this input is a whole number from 0 to ``tokens`` - 1.
    """

    name: str
    value: int
    tokens: int = 0


@dataclass(frozen=True)
class Matrix:
    """Weights of one operand, (sets, units, inputs).  A table of embeddings has no sets: (rows, width).

    ==========  =============================  ===========================  ===============================
    format      ``values``                     ``scale`` (sets, units)      ``multipliers``
    ==========  =============================  ===========================  ===============================
    ``f32``     float32                        None                         None
    ``f16``     float16, finite                None                         None
    ``int8``    int8 in [-127, 127]            float32, not negative        None
    ``int4``    int8 in [-8, 7]                float32, not negative        int8 in [-15, 15], (sets, units,
                                                                            groups of 32 inputs)
    ==========  =============================  ===========================  ===============================

    An int8 weight means ``values * scale``, an int4 weight ``values * multipliers[its group] * scale``.  The scale of a
    recurrent matrix already holds the level of the hidden state (1 / 32767 or 1 / 127).
    """

    values: NDArray[np.float32] | NDArray[np.float16] | NDArray[np.int8]
    scale: Floats | None = None
    multipliers: NDArray[np.int8] | None = None

    @property
    def integers(self) -> NDArray[np.int8]:
        """What the products of int8 and int4 weights are made of: ``values``, times their group's multiplier."""
        values = self.values.astype(np.int8)
        if self.multipliers is None:
            return values
        each = np.repeat(self.multipliers, WEIGHT_GROUP, axis=-1)[..., : values.shape[-1]]
        return np.asarray(values * each, np.int8)


@dataclass(frozen=True)
class Operator:
    """What all operators have: a name for humans, an input value and an output value (indices).

    ``loop``: operators with the same number run together, frame by frame; 0: none.  ``reverse``: from the last frame of
    a whole sequence to the first.
    """

    name: str
    input: int
    output: int
    loop: int = field(default=0, kw_only=True)
    reverse: bool = field(default=False, kw_only=True)


@dataclass(frozen=True)
class Cell(Operator):
    """A recurrent layer.

    ``input_peak``: the static range of a quantized input, 0 for each frame's own largest magnitude.
    """

    weights: str  # f32, f16, int8, int4
    activations: str  # f32 of f32 and f16 weights; int16 or int8
    input_matrix: Matrix
    recurrent_matrix: Matrix
    bias: Floats
    initial_state: Floats
    input_peak: float = 0.0

    @property
    def matrices(self) -> tuple[Matrix, ...]:
        """The operator's matrices, in the order of the file."""
        return self.input_matrix, self.recurrent_matrix


@dataclass(frozen=True)
class Gru(Cell):
    """A GRU layer, linear_before_reset=1, gates z, r, n; state (units,).

    ``bias`` (4, units): z (input and recurrent bias added), r (likewise), n's input bias, n's recurrent bias.
    """


@dataclass(frozen=True)
class Lstm(Cell):
    """An LSTM layer, gates i, f, g, o; ``bias`` (4, units), input and recurrent bias added; state (2, units): h, c."""


@dataclass(frozen=True)
class Rnn(Cell):
    """A tanh RNN layer; ``bias`` (1, units), input and recurrent bias added; state (units,)."""


@dataclass(frozen=True)
class Dense(Operator):
    """``function(matrix @ x + bias)``; ``bias`` (1, units), ``matrix.values`` (1, units, inputs)."""

    weights: str  # as of a `Cell`
    activations: str
    matrix: Matrix
    bias: Floats
    function: str = "none"
    alpha: float = 0.0
    input_peak: float = 0.0

    @property
    def matrices(self) -> tuple[Matrix, ...]:
        """The operator's matrices, in the order of the file."""
        return (self.matrix,)


@dataclass(frozen=True)
class Activation(Operator):
    """A function applied to a vector; softmax to parts of ``size`` elements, 0: to the whole."""

    function: str
    alpha: float = 0.0
    beta: float = 0.0
    size: int = 0


@dataclass(frozen=True)
class Binary(Operator):
    """A function of two vectors, elementwise: add, sub, mul, div, min, max."""

    second_input: int
    function: str


@dataclass(frozen=True)
class Affine(Operator):
    """``x * scale + shift``, elementwise."""

    scale: Floats
    shift: Floats


@dataclass(frozen=True)
class PRelu(Operator):
    """``x < 0 ? x * slopes : x``, elementwise."""

    slopes: Floats


@dataclass(frozen=True)
class Concat(Operator):
    """The input, and behind it the second input."""

    second_input: int


@dataclass(frozen=True)
class Slice(Operator):
    """As many elements of the input as the output has, from ``first`` on."""

    first: int


@dataclass(frozen=True)
class Select(Operator):
    """``y[i] = x[indices[i]]``."""

    indices: NDArray[np.uint32]


@dataclass(frozen=True)
class Embedding(Operator):
    """Rows of ``table``, one for each token of the input."""

    weights: str  # f32, f16, int8, int4
    table: Matrix


@dataclass(frozen=True)
class LayerNorm(Operator):
    """Every part of ``len(scale)`` elements to mean 0 and variance 1, times ``scale`` plus ``shift``."""

    scale: Floats
    shift: Floats
    epsilon: float


@dataclass(frozen=True)
class History(Operator):
    """The frames of ``taps`` points in time, ``dilation`` frames apart, oldest first; the last is this frame."""

    taps: int
    dilation: int


@dataclass(frozen=True)
class Depthwise(Operator):
    """``y[c] = sum over k of taps[k, c] * x[k * channels + c] + bias[c]``; ``taps`` (taps, channels)."""

    taps: Floats
    bias: Floats


@dataclass(frozen=True)
class StateRead(Operator):
    """What the `StateWrite` of the same state wrote in the frame before.  ``input`` is `NONE`."""

    initial_state: Floats


@dataclass(frozen=True)
class StateWrite(Operator):
    """Keeps its input as the state that operator ``reader``, a `StateRead`, reads in the next frame; passes it on."""

    reader: int


@dataclass(frozen=True)
class FirstFrame(Operator):
    """The input as it is in the first frame of the whole sequence."""


AnyOperator: TypeAlias = (
    Gru | Lstm | Rnn | Dense | Activation | Binary | Affine | PRelu | Concat | Slice | Select | Embedding
    | LayerNorm | History | Depthwise | StateRead | StateWrite | FirstFrame
)  # fmt: skip

#: The number and the name of every kind of operator in a file.
KINDS: dict[type[Operator], tuple[int, str]] = {
    Gru: (1, "gru"),
    Dense: (2, "dense"),
    Activation: (3, "activation"),
    Lstm: (4, "lstm"),
    Rnn: (5, "rnn"),
    Binary: (6, "binary"),
    Affine: (7, "affine"),
    PRelu: (8, "prelu"),
    Concat: (9, "concat"),
    Slice: (10, "slice"),
    Select: (11, "select"),
    Embedding: (12, "embedding"),
    LayerNorm: (13, "layer_norm"),
    History: (14, "history"),
    Depthwise: (15, "depthwise"),
    StateRead: (16, "state_read"),
    StateWrite: (17, "state_write"),
    FirstFrame: (18, "first_frame"),
}


@dataclass(frozen=True)
class Text:
    """What humans read: JSON at the end of the tables."""

    exporter: str
    source_sha256: str
    metadata: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Program:
    """A whole file."""

    inputs: tuple[Port, ...]
    outputs: tuple[Port, ...]
    values: tuple[Value, ...]
    operators: tuple[AnyOperator, ...]
    arena_floats: int
    text: Text

    def width(self, value: int) -> int:
        """Elements of a value."""
        return self.values[value].width

    @property
    def input_width(self) -> int:
        """Elements of the input vector of a frame."""
        return sum(self.width(port.value) for port in self.inputs)

    @property
    def output_width(self) -> int:
        """Elements of the output vector of a frame."""
        return sum(self.width(port.value) for port in self.outputs)

    @property
    def needs_sequence(self) -> bool:
        """Whether some operator goes from the last frame to the first."""
        return any(op.reverse for op in self.operators)


def state_floats(program: Program, op: Operator) -> int:
    """Elements of the state that an operator owns."""
    match op:
        case Cell() | StateRead():
            return op.initial_state.size
        case History():
            return 1 + (op.taps - 1) * op.dilation * program.width(op.input)
    return 0


def initial_state(program: Program, op: Operator) -> Floats:
    """(`state_floats`,) what a reset stream starts from."""
    if isinstance(op, Cell | StateRead):
        return op.initial_state.reshape(-1)
    return np.zeros(state_floats(program, op), np.float32)
