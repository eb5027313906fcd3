"""Small graphs that together have every node of `grulet_export.graph` in all its variants, by what forms they have."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from grulet.operators import Program
from grulet_export.graph import (
    BINARY_FUNCTIONS,
    FUNCTIONS,
    Activation,
    Affine,
    Binary,
    Concat,
    Dense,
    Depthwise,
    Embedding,
    FirstFrame,
    Graph,
    Gru,
    History,
    LayerNorm,
    Lstm,
    Node,
    Port,
    PRelu,
    Rnn,
    Select,
    Slice,
    StateRead,
    StateWrite,
)
from grulet_export.lower import lower
from grulet_export.quantization.quantize import quantize
from grulet_export.quantization.settings import Settings

Array = NDArray[np.float32]

WIDTH = 6
TOKENS = 5


def weights(*shape: int) -> Array:
    """Return reproducible numbers, within 1."""
    return np.random.default_rng(sum(shape)).uniform(-1, 1, shape).astype(np.float32)


def gru(reverse: bool = False, start: float = 0.0) -> list[Node]:
    """Return a GRU of 5 units over x."""
    parts = weights(3, 5, WIDTH), weights(3, 5, 5), weights(3, 5), weights(3, 5) / 2
    return [Gru("gru", ("x",), "y", *parts, np.full(5, start, np.float32), reverse)]


def lstm(reverse: bool = False, start: float = 0.0) -> list[Node]:
    """Return an LSTM of 5 units over x."""
    parts = weights(4, 5, WIDTH), weights(4, 5, 5), weights(4, 5), np.full((2, 5), start, np.float32)
    return [Lstm("lstm", ("x",), "y", *parts, reverse)]


def rnn(reverse: bool = False, start: float = 0.0) -> list[Node]:
    """Return an RNN of 5 units over x."""
    parts = weights(1, 5, WIDTH), weights(1, 5, 5), weights(1, 5), np.full(5, start, np.float32)
    return [Rnn("rnn", ("x",), "y", *parts, reverse)]


def history(dilation: int, reader: Callable[[str], Node]) -> list[Node]:
    """Return three frames of x, and what reads them."""
    return [History("history", ("x",), "past", 3, dilation), reader("past")]


def dense(units: int, inputs: int, bias: bool = True) -> Callable[[str], Node]:
    """Return what makes a dense layer."""
    biases = weights(units) if bias else np.zeros(units, np.float32)
    return lambda source: Dense("dense", (source,), "y", weights(units, inputs), biases)


def depthwise(source: str) -> Node:
    """Return three taps for each channel."""
    return Depthwise("depthwise", (source,), "y", weights(3, WIDTH), weights(WIDTH))


def function(name: str) -> list[Node]:
    """Return a function of x, of positive numbers where it needs them."""
    positive: list[Node] = [Activation("abs", ("x",), "p", "abs")] if name in ("log", "sqrt", "reciprocal") else []
    parameters = {"clip": (-0.5, 0.75), "hard_sigmoid": (0.125, 0.5)}.get(name, (0.25, 0.0))  # as float32 holds them
    return [*positive, Activation(name, ("p" if positive else "x",), "y", name, *parameters[: FUNCTIONS[name]])]


def accumulator(initial: Array) -> list[Node]:
    """Return a loop: y = 0.5 y + x."""
    half = np.full(WIDTH, 0.5, np.float32), np.zeros(WIDTH, np.float32)
    return [
        StateRead("read", (), "before", "sum", initial),
        Affine("half", ("before",), "less", *half),
        Binary("add", ("less", "x"), "more", "add"),
        StateWrite("write", ("more",), "y", "sum"),
    ]


def both_directions() -> list[Node]:
    """Return a GRU forwards and an LSTM backwards, side by side."""
    (back,) = lstm(reverse=True)
    return [*gru(), replace(back, output="back"), Concat("both", ("y", "back"), "z")]


#: What stands in every form, and reads back as an equal graph from all of them.
SAME = {
    "gru": gru(),
    "lstm": lstm(),
    "rnn": rnn(),
    "dense": [dense(4, WIDTH)("x")],
    "dense without bias": [dense(4, WIDTH, bias=False)("x")],
    "embedding": [Embedding("embedding", ("token",), "y", weights(TOKENS, 4))],
    "two tokens": [Embedding("embedding", ("pair",), "y", weights(TOKENS, 4))],
    "layer norm": [LayerNorm("norm", ("x",), "y", weights(WIDTH), weights(WIDTH), 2.0**-16, WIDTH)],
    "layer norm in parts": [LayerNorm("norm", ("x",), "y", weights(3), weights(3), 2.0**-16, 3)],
    "slice": [Slice("slice", ("x",), "y", 1, 3)],
    "select": [Select("select", ("x",), "y", (5, 0, 0, 3))],
    "concat": [Activation("tanh", ("x",), "t", "tanh"), Concat("concat", ("x", "t"), "y")],
    "prelu": [PRelu("prelu", ("x",), "y", weights(WIDTH))],
    "affine": [Affine("affine", ("x",), "y", weights(WIDTH), weights(WIDTH))],
    "scale": [Affine("affine", ("x",), "y", weights(WIDTH), np.zeros(WIDTH, np.float32))],
    "shift": [Affine("affine", ("x",), "y", np.ones(WIDTH, np.float32), weights(WIDTH))],
    "softmax in parts": [Activation("softmax", ("x",), "y", "softmax", size=2)],
    **{name: function(name) for name in FUNCTIONS},
    **{
        f"binary {name}": [Activation("tanh", ("x",), "t", "tanh"), Binary(name, ("x", "t"), "y", name)]
        for name in BINARY_FUNCTIONS
    },
}
#: What stands in every form, and reads back as an equal graph from whole sequences.
CONVOLUTIONS = {
    "convolution": history(1, dense(4, 3 * WIDTH)),
    "dilated convolution": history(2, dense(4, 3 * WIDTH)),
    "depthwise convolution": history(2, depthwise),
}
#: What stands in every form, and reads back as a graph of the same answers.
LIKE = {
    "several parts": [Slice("part", ("x",), "p", 1, 3), Concat("concat", ("x", "p", "x"), "y")],
    "depthwise": [Activation("tanh", ("x",), "t", "tanh"), Concat("thrice", ("x", "t", "x"), "p"), depthwise("p")],
    "history": history(2, lambda source: Activation("tanh", (source,), "y", "tanh")),
    "history and its reader": [*history(1, dense(4, 3 * WIDTH)), Concat("both", ("y", "past"), "z")],
}
#: What stands in every form, but means less to who reads it: a file does not say what its states start from.
NOT_BACK = {
    "gru from a state": gru(start=0.5),
    "lstm from a state": lstm(start=0.5),
    "rnn from a state": rnn(start=0.5),
    "tokens as numbers": [Concat("concat", ("token", "pair", "x"), "y")],
    "tokens out of a value": [Slice("second", ("pair",), "t", 1, 1), Embedding("e", ("t",), "y", weights(TOKENS, 4))],
}
#: What stands over whole sequences alone.
BACKWARDS = {
    "reverse gru": gru(reverse=True),
    "reverse lstm": lstm(reverse=True),
    "reverse rnn": rnn(reverse=True),
    "reverse gru from a state": gru(reverse=True, start=0.5),
    "reverse lstm from a state": lstm(reverse=True, start=0.5),
    "both directions": both_directions(),
}
FIRST = {"first frame": [*gru(reverse=True), FirstFrame("first", ("y",), "f"), Concat("both", ("f", "y"), "z")]}
#: What stands in the step form alone.
LOOPS = {"loop": accumulator(weights(WIDTH)), "loop from zeros": accumulator(np.zeros(WIDTH, np.float32))}

EVERYWHERE = SAME | CONVOLUTIONS | LIKE | NOT_BACK
WHOLE = BACKWARDS | FIRST


def graph_of(nodes: list[Node]) -> Graph:
    """Return the nodes with the inputs they read; the last value is the output."""
    ports = (Port("x", "x", WIDTH), Port("token", "token", 1, TOKENS), Port("pair", "pair", 2, TOKENS))
    read = {value for node in nodes for value in node.inputs}
    graph = Graph(tuple(port for port in ports if port.value in read), (), tuple(nodes), "0" * 64)
    program = program_of(with_output(graph, 1))
    return with_output(graph, program.width(program.outputs[0].value))


def program_of(graph: Graph, weights: str = "f32") -> Program:
    """Return the graph as a file's program."""
    return lower(graph, quantize(graph, Settings(weights)))


def with_output(graph: Graph, width: int) -> Graph:
    """Return the graph with its last value as its output."""
    return Graph(graph.inputs, (Port("out", graph.nodes[-1].output, width),), graph.nodes, graph.source_sha256)


def frames_of(graph: Graph, count: int) -> Array:
    """Return frames (count, in), with tokens where the graph takes them."""
    random = np.random.default_rng(1)
    parts = [
        random.integers(0, port.tokens, (count, port.width)) if port.tokens else random.normal(size=(count, port.width))
        for port in graph.inputs
    ]
    return np.concatenate(parts, axis=1).astype(np.float32)
