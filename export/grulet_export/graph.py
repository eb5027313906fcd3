"""The float graph: what a model means frame by frame, before any quantization.

A graph is a list of nodes in an order in which they can run.  Every node reads named float32 vectors, one each per
frame, and writes one; state belongs to the node that keeps it.  All arrays are float32 and in grulet's own order (GRU
gates z, r, n; LSTM gates i, f, g, o; rows are outputs), whatever their source.

Three cells are nodes of their own, because devices run them all day: the GRU as torch, cuDNN and Keras have it, the
LSTM and the tanh RNN.  Every other recurrence (reset before the product, clipped gates, other functions, peepholes,
states that a step model passes in and out) is spelled out between a `StateRead` and its `StateWrite`.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float32]

#: Functions of one vector, by name, and how many numbers they take (alpha, beta).  Softmax takes the whole vector.
FUNCTIONS = {
    "relu": 0,  # max(x, 0)
    "leaky_relu": 1,  # x < 0 ? alpha x : x
    "sigmoid": 0,
    "tanh": 0,
    "softmax": 0,
    "clip": 2,  # alpha <= y <= beta
    "elu": 1,  # x < 0 ? alpha (e^x - 1) : x
    "hard_sigmoid": 2,  # alpha x + beta, within 0 and 1
    "softplus": 0,  # ln(1 + e^x)
    "softsign": 0,  # x / (1 + |x|)
    "thresholded_relu": 1,  # x > alpha ? x : 0
    "exp": 0,
    "log": 0,
    "sqrt": 0,
    "abs": 0,
    "reciprocal": 0,
}
#: Functions of two vectors of one width.
BINARY_FUNCTIONS = ("add", "sub", "mul", "div", "min", "max")


@dataclass(frozen=True)
class Port:
    """A named input or output of the whole graph: a float32 vector of ``width`` elements per frame.

    ``tokens``: 0, or the elements of this input are whole numbers from 0 to ``tokens`` - 1.
    """

    name: str
    value: str
    width: int
    tokens: int = 0


@dataclass(frozen=True)
class Node:
    """What all nodes have: a name for humans, the values they read, the value they write."""

    name: str
    inputs: tuple[str, ...]
    output: str


@dataclass(frozen=True)
class Gru(Node):
    """One GRU layer, ``linear_before_reset=1`` (torch, cuDNN, Keras).

    ``z = sigmoid(Wz x + bWz + Rz h + bRz)``, ``r`` likewise, ``n = tanh(Wn x + bWn + r * (Rn h + bRn))``,
    ``h' = n + z * (h - n)``.  ``reverse``: from the last frame to the first, so only on whole sequences.
    """

    input_weights: Array  # (3, units, inputs), gates z r n
    recurrent_weights: Array  # (3, units, units)
    input_bias: Array  # (3, units)
    recurrent_bias: Array  # (3, units)
    initial_state: Array  # (units,), within [-1, 1]: what a reset stream starts from
    reverse: bool = False


@dataclass(frozen=True)
class Lstm(Node):
    """One LSTM layer: ``i, f, o = sigmoid(...)``, ``g = tanh(...)``, ``c' = f * c + i * g``, ``h' = o * tanh(c')``."""

    input_weights: Array  # (4, units, inputs), gates i f g o
    recurrent_weights: Array  # (4, units, units)
    bias: Array  # (4, units), input and recurrent bias added
    initial_state: Array  # (2, units): h within [-1, 1], c
    reverse: bool = False


@dataclass(frozen=True)
class Rnn(Node):
    """One RNN layer: ``h' = tanh(W x + R h + b)``."""

    input_weights: Array  # (1, units, inputs)
    recurrent_weights: Array  # (1, units, units)
    bias: Array  # (1, units)
    initial_state: Array  # (units,), within [-1, 1]
    reverse: bool = False


@dataclass(frozen=True)
class Dense(Node):
    """``y = weights @ x + bias``.

    ``input_range``: the input is known to lie within ± this (a bounded state), 0 where nothing is known.
    ``exact``: a sum or a mean, not trained weights: never quantized.
    """

    weights: Array  # (units, inputs)
    bias: Array  # (units,)
    input_range: float = 0.0
    exact: bool = False


@dataclass(frozen=True)
class Depthwise(Node):
    """Channels by themselves: ``y[c] = sum over k of weights[k, c] * x[k * channels + c] + bias[c]``."""

    weights: Array  # (taps, channels)
    bias: Array  # (channels,)


@dataclass(frozen=True)
class History(Node):
    """A frame behind earlier ones, oldest first: ``y = [x(t - (taps-1) dilation), ..., x(t - dilation), x(t)]``.

    Zeros stand for frames before the first.  With a `Dense` behind it, it is a causal convolution.
    """

    taps: int  # at least 2
    dilation: int


@dataclass(frozen=True)
class Activation(Node):
    """One of `FUNCTIONS`, elementwise (softmax: over the vector, in parts of ``size`` elements if that is not 0)."""

    function: str
    alpha: float = 0.0
    beta: float = 0.0
    size: int = 0


@dataclass(frozen=True)
class PRelu(Node):
    """``x < 0 ? slopes * x : x``."""

    slopes: Array  # (width,)


@dataclass(frozen=True)
class Binary(Node):
    """One of `BINARY_FUNCTIONS` of two values of the same width, elementwise."""

    function: str


@dataclass(frozen=True)
class Affine(Node):
    """``y = x * scale + shift``, elementwise (constants, folded batch norm)."""

    scale: Array  # (width,)
    shift: Array  # (width,)


@dataclass(frozen=True)
class Concat(Node):
    """The inputs, two or more, one behind the other."""


@dataclass(frozen=True)
class Slice(Node):
    """Elements ``first`` to ``first + width`` of the input."""

    first: int
    width: int


@dataclass(frozen=True)
class Select(Node):
    """``y[i] = x[indices[i]]``: permutations, strided slices, repetition."""

    indices: tuple[int, ...]


@dataclass(frozen=True)
class Embedding(Node):
    """Rows of a table, one for each element of an input of tokens, one behind the other."""

    table: Array  # (tokens, width)


@dataclass(frozen=True)
class LayerNorm(Node):
    """``(x - mean) / sqrt(variance + epsilon) * scale + shift``, over every part of ``size`` elements."""

    scale: Array  # (size,)
    shift: Array  # (size,)
    epsilon: float
    size: int


@dataclass(frozen=True)
class StateRead(Node):
    """What `StateWrite` of the same ``state`` wrote in the frame before, at first ``initial``.  It reads no value."""

    state: str
    initial: Array  # (width,)
    reverse: bool = False


@dataclass(frozen=True)
class StateWrite(Node):
    """Keeps its input for the next frame, and passes it on."""

    state: str


@dataclass(frozen=True)
class FirstFrame(Node):
    """The input as it is in the first frame of the whole sequence, in every frame: a reverse layer's final state."""


@dataclass(frozen=True)
class Graph:
    """A whole model.

    ``metadata`` is copied into the file (JSON: strings, numbers, lists, dicts); ``source_sha256`` is the hex digest
    of the ONNX bytes it came from.
    """

    inputs: tuple[Port, ...]
    outputs: tuple[Port, ...]
    nodes: tuple[Node, ...]
    source_sha256: str
    metadata: dict[str, Any] = field(default_factory=dict)


def width_of(node: Node, widths: dict[str, int]) -> int:
    """Elements of a node's output, given those of its inputs."""
    match node:
        case Gru() | Rnn():
            return len(node.initial_state)
        case Lstm():
            return int(node.initial_state.shape[1])
        case Dense() | Depthwise():
            return len(node.bias)
        case History():
            return node.taps * widths[node.inputs[0]]
        case Concat():
            return sum(widths[value] for value in node.inputs)
        case Slice():
            return node.width
        case Select():
            return len(node.indices)
        case Embedding():
            return int(node.table.shape[1]) * widths[node.inputs[0]]
        case StateRead():
            return len(node.initial)
    return widths[node.inputs[0]]


def needs_sequence(graph: Graph) -> str:
    """Name of the first node that goes from the last frame to the first; "" if the model runs frame by frame."""
    return next((node.name for node in graph.nodes if getattr(node, "reverse", False)), "")
