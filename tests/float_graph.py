"""What a float graph means, in float64 numpy: written from the docstrings of `grulet_export.graph`, nothing shared.

Nodes that carry something from frame to frame are functions of whole sequences; a loop between a `StateRead` and its
`StateWrite` goes frame by frame through the nodes between them.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from grulet_export import graph as g

Floats = NDArray[np.float64]


def sigmoid(x: Floats) -> Floats:
    """Return the logistic function of every element."""
    with np.errstate(over="ignore"):
        return 1 / (1 + np.exp(-x))


def softmax(x: Floats, size: int) -> Floats:
    """Return shares within parts of so many elements (0: within all) of the last axis."""
    parts = x.reshape(*x.shape[:-1], -1, size or x.shape[-1])
    powers = np.exp(parts - parts.max(axis=-1, keepdims=True))
    return (powers / powers.sum(axis=-1, keepdims=True)).reshape(x.shape)


#: Functions of x, alpha and beta.
FUNCTIONS: dict[str, Callable[[Floats, float, float], Floats]] = {
    "relu": lambda x, a, b: np.maximum(x, 0),
    "leaky_relu": lambda x, a, b: np.where(x < 0, a * x, x),
    "sigmoid": lambda x, a, b: sigmoid(x),
    "tanh": lambda x, a, b: np.tanh(x),
    "clip": lambda x, a, b: np.minimum(np.maximum(x, a), b),
    "elu": lambda x, a, b: np.where(x < 0, a * np.expm1(np.minimum(x, 0)), x),
    "hard_sigmoid": lambda x, a, b: np.clip(a * x + b, 0, 1),
    "softplus": lambda x, a, b: np.logaddexp(x, 0),
    "softsign": lambda x, a, b: x / (1 + np.abs(x)),
    "thresholded_relu": lambda x, a, b: np.where(x > a, x, 0),
    "exp": lambda x, a, b: np.exp(x),
    "log": lambda x, a, b: np.log(x),
    "sqrt": lambda x, a, b: np.sqrt(x),
    "abs": lambda x, a, b: np.abs(x),
    "reciprocal": lambda x, a, b: 1 / x,
}
BINARY: dict[str, Callable[[Floats, Floats], Floats]] = {
    "add": np.add,
    "sub": np.subtract,
    "mul": np.multiply,
    "div": np.divide,
    "min": np.minimum,
    "max": np.maximum,
}


def in_time(step: Callable[[Floats], Floats], frames: Floats, reverse: bool) -> Floats:
    """Return a step's answers to the frames, gone through in this direction, in the order of the frames."""
    order = range(len(frames))[::-1] if reverse else range(len(frames))
    answers = {t: step(frames[t]) for t in order}
    return np.stack([answers[t] for t in range(len(frames))])


def gru(node: g.Gru, frames: Floats) -> Floats:
    """Return (time, units)."""
    h = node.initial_state.astype(np.float64)

    def step(x: Floats) -> Floats:
        nonlocal h
        z, r, n = node.input_weights.astype(np.float64) @ x + node.input_bias
        hz, hr, hn = node.recurrent_weights.astype(np.float64) @ h + node.recurrent_bias
        z, r = sigmoid(z + hz), sigmoid(r + hr)
        n = np.tanh(n + r * hn)
        h = n + z * (h - n)
        return h

    return in_time(step, frames, node.reverse)


def lstm(node: g.Lstm, frames: Floats) -> Floats:
    """Return (time, units)."""
    h, c = node.initial_state.astype(np.float64)

    def step(x: Floats) -> Floats:
        nonlocal h, c
        sums = node.input_weights.astype(np.float64) @ x + node.recurrent_weights.astype(np.float64) @ h + node.bias
        i, f, o = sigmoid(sums[0]), sigmoid(sums[1]), sigmoid(sums[3])
        c = f * c + i * np.tanh(sums[2])
        h = o * np.tanh(c)
        return h

    return in_time(step, frames, node.reverse)


def rnn(node: g.Rnn, frames: Floats) -> Floats:
    """Return (time, units)."""
    h = node.initial_state.astype(np.float64)

    def step(x: Floats) -> Floats:
        nonlocal h
        h = np.tanh(node.input_weights[0].astype(np.float64) @ x + node.recurrent_weights[0] @ h + node.bias[0])
        return h

    return in_time(step, frames, node.reverse)


def history(node: g.History, x: Floats) -> Floats:
    """Return every frame behind earlier ones, zeros before the first."""
    reach = (node.taps - 1) * node.dilation
    padded = np.concatenate([np.zeros((reach, x.shape[1])), x])
    return np.concatenate([padded[k * node.dilation : k * node.dilation + len(x)] for k in range(node.taps)], axis=1)


def layer_norm(node: g.LayerNorm, x: Floats) -> Floats:
    """Return every part with mean 0 and deviation 1, scaled and shifted."""
    parts = x.reshape(len(x), -1, node.size)
    centred = parts - parts.mean(axis=-1, keepdims=True)
    spread = np.sqrt((centred**2).mean(axis=-1, keepdims=True) + node.epsilon)
    return (centred / spread * node.scale + node.shift).reshape(x.shape)


def plain(node: g.Node, inputs: list[Floats]) -> Floats:
    """Return what a node makes of whole sequences, (time, width) each."""
    x = inputs[0]
    match node:
        case g.Gru():
            return gru(node, x)
        case g.Lstm():
            return lstm(node, x)
        case g.Rnn():
            return rnn(node, x)
        case g.Dense():
            assert not node.input_range or np.abs(x).max() <= node.input_range * (1 + 1e-9), node.name
            return x @ node.weights.T.astype(np.float64) + node.bias
        case g.Depthwise():
            taps, channels = node.weights.shape
            return (x.reshape(-1, taps, channels) * node.weights).sum(axis=1) + node.bias
        case g.History():
            return history(node, x)
        case g.Activation(function="softmax"):
            return softmax(x, node.size)
        case g.Activation():
            return FUNCTIONS[node.function](x, node.alpha, node.beta)
        case g.PRelu():
            return np.where(x < 0, node.slopes * x, x)
        case g.Binary():
            assert inputs[0].shape == inputs[1].shape, node.name
            return BINARY[node.function](*inputs)
        case g.Affine():
            return x * node.scale.astype(np.float64) + node.shift
        case g.Concat():
            assert len(inputs) >= 2, node.name
            return np.concatenate(inputs, axis=1)
        case g.Slice():
            assert node.first + node.width <= x.shape[1], node.name
            return x[:, node.first : node.first + node.width]
        case g.Select():
            return x[:, list(node.indices)]
        case g.Embedding():
            return node.table[x.astype(int)].reshape(len(x), -1).astype(np.float64)
        case g.LayerNorm():
            return layer_norm(node, x)
        case g.FirstFrame():
            return np.repeat(x[:1], len(x), axis=0)
    raise TypeError(f"this interpreter does not know {type(node).__name__}")


def loops(nodes: tuple[g.Node, ...]) -> list[list[g.Node]]:
    """Return the nodes in pieces: loops from the first `StateRead` to the last `StateWrite` of it, or single nodes."""
    pieces: list[list[g.Node]] = []
    open_states: set[str] = set()
    writes = [node.state for node in nodes if isinstance(node, g.StateWrite)]
    reads = [node.state for node in nodes if isinstance(node, g.StateRead)]
    assert sorted(writes) == sorted(reads)
    assert len(set(reads)) == len(reads)
    for node in nodes:
        if open_states:
            pieces[-1].append(node)
        else:
            pieces.append([node])
        if isinstance(node, g.StateRead):
            open_states.add(node.state)
        if isinstance(node, g.StateWrite):
            open_states.discard(node.state)
    return pieces


def run_loop(nodes: list[g.Node], values: dict[str, Floats], length: int) -> None:
    """Go frame by frame through nodes of which some write what others read in the next frame."""
    reads = [node for node in nodes if isinstance(node, g.StateRead)]
    reverse = {node.reverse for node in reads}
    assert len(reverse) == 1
    states = {node.state: node.initial.astype(np.float64)[None] for node in reads}
    own = {node.output for node in nodes}
    frames: dict[int, dict[str, Floats]] = {}
    for t in range(length)[::-1] if reverse == {True} else range(length):
        here: dict[str, Floats] = {}
        for node in nodes:
            inputs = [here[value] if value in own else values[value][t : t + 1] for value in node.inputs]
            match node:
                case g.StateRead():
                    here[node.output] = states[node.state]
                case g.StateWrite():
                    states[node.state] = here[node.output] = inputs[0]
                case _:
                    assert not isinstance(node, g.Gru | g.Lstm | g.Rnn | g.History), "carries a state of its own"
                    here[node.output] = plain(node, inputs)
        frames[t] = here
    for value in own:
        values[value] = np.concatenate([frames[t][value] for t in range(length)])


def evaluate(graph: g.Graph, frames: Mapping[str, NDArray[Any]]) -> dict[str, Floats]:
    """Return (time, width) of every output port for (time, width) of every input port."""
    values = {port.value: np.asarray(frames[port.name], np.float64) for port in graph.inputs}
    length = max(map(len, values.values()))
    for port in graph.inputs:
        assert values[port.value].shape == (length, port.width)
        assert not port.tokens or ((values[port.value] >= 0) & (values[port.value] < port.tokens)).all()
    for piece in loops(graph.nodes):
        if isinstance(piece[0], g.StateRead):
            run_loop(piece, values, length)
        else:
            (node,) = piece
            values[node.output] = plain(node, [values[value] for value in node.inputs])
    for port in graph.outputs:
        assert values[port.value].shape == (length, port.width)
    return {port.name: values[port.value] for port in graph.outputs}
