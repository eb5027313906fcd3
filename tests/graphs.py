"""Float graphs: what they compute, in numpy and float64, and whether two are equal."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from grulet_export.graph import Activation, Dense, Graph, Gru

Floats = NDArray[np.float64]


def sigmoid(x: Floats) -> Floats:
    """Return the logistic function of every element."""
    return 1 / (1 + np.exp(-x))


def softmax(x: Floats) -> Floats:
    """Return the softmax over the last axis."""
    powers = np.exp(x - x.max(axis=-1, keepdims=True))
    shares: Floats = powers / powers.sum(axis=-1, keepdims=True)
    return shares


FUNCTIONS: dict[str, Callable[[Floats, float], Floats]] = {
    "relu": lambda x, alpha: np.maximum(x, 0),
    "leaky_relu": lambda x, alpha: np.where(x < 0, alpha * x, x),
    "sigmoid": lambda x, alpha: sigmoid(x),
    "tanh": lambda x, alpha: np.tanh(x),
    "softmax": lambda x, alpha: softmax(x),
}


def run_gru(node: Gru, frames: Floats) -> Floats:
    """Return (time, units) by the formula in the docstring of `Gru`."""
    h = node.initial_state.astype(np.float64)
    states = []
    for x in frames:
        z, r, n = node.input_weights.astype(np.float64) @ x + node.input_bias
        hz, hr, hn = node.recurrent_weights.astype(np.float64) @ h + node.recurrent_bias
        z, r = sigmoid(z + hz), sigmoid(r + hr)
        n = np.tanh(n + r * hn)
        h = n + z * (h - n)
        states.append(h)
    return np.stack(states)


def evaluate(graph: Graph, frames: Mapping[str, NDArray[Any]]) -> dict[str, Floats]:
    """Return (time, width) of every output port for (time, width) of every input port."""
    values = {port.value: np.asarray(frames[port.name], np.float64) for port in graph.inputs}
    for node in graph.nodes:
        x = values[node.input]
        match node:
            case Gru():
                values[node.output] = run_gru(node, x)
            case Dense():
                values[node.output] = x @ node.weights.T.astype(np.float64) + node.bias
            case Activation():
                values[node.output] = FUNCTIONS[node.function](x, node.alpha)
    return {port.name: values[port.value] for port in graph.outputs}


def assert_equal_graphs(one: Graph, other: Graph) -> None:
    """Compare two graphs in everything but the hash of their source."""
    assert (one.inputs, one.outputs, one.metadata) == (other.inputs, other.outputs, other.metadata)
    assert len(one.nodes) == len(other.nodes)
    for first, second in zip(one.nodes, other.nodes, strict=True):
        assert type(first) is type(second)
        for key, value in vars(first).items():
            np.testing.assert_array_equal(value, vars(second)[key], strict=isinstance(value, np.ndarray))
