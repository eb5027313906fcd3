"""The float graph: what an ONNX file means to grulet, before any quantization.

A graph is a list of frame operators in execution order. Every operator reads one named float32 vector and
writes another, once per frame; the recurrent state belongs to the operator that keeps it. All arrays are float32
and in grulet's own order (gates z, r, n; rows are outputs), whatever their source.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

Array: TypeAlias = NDArray[np.float32]

#: Activation functions a graph may hold, by name.
ACTIVATIONS = ("relu", "leaky_relu", "sigmoid", "tanh", "softmax")


@dataclass(frozen=True)
class Port:
    """A named input or output of the whole graph: a float32 vector of ``width`` elements per frame."""

    name: str
    value: str
    width: int


@dataclass(frozen=True)
class Gru:
    """One forward GRU layer, ``linear_before_reset=1`` (torch, cuDNN).

    ``z = sigmoid(Wz x + bWz + Rz h + bRz)``, ``r`` likewise, ``n = tanh(Wn x + bWn + r * (Rn h + bRn))``,
    ``h' = n + z * (h - n)``.
    """

    name: str
    input: str
    output: str
    input_weights: Array  # (3, units, inputs), gates z r n
    recurrent_weights: Array  # (3, units, units)
    input_bias: Array  # (3, units)
    recurrent_bias: Array  # (3, units)
    initial_state: Array  # (units,), what a reset stream starts from


@dataclass(frozen=True)
class Dense:
    """``y = weights @ x + bias``."""

    name: str
    input: str
    output: str
    weights: Array  # (units, inputs)
    bias: Array  # (units,)


@dataclass(frozen=True)
class Activation:
    """An elementwise function (or softmax over the vector); ``alpha`` is leaky_relu's slope, else 0."""

    name: str
    input: str
    output: str
    function: str  # one of ACTIVATIONS
    alpha: float = 0.0


Node: TypeAlias = Gru | Dense | Activation


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
