"""From the float graph to the program of the file: fuse, order, place the values in the arena, place the weights."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from grulet import operators
from grulet.format import SILENCE
from grulet.operators import NONE, AnyOperator, Program, Value
from grulet_export import graph as nodes_of
from grulet_export.canonical import Names
from grulet_export.graph import Activation, Array, Concat, Dense, Graph, Node, width_of
from grulet_export.quantization.node import Cell, QuantizedNode, Weighted, in_floats
from grulet_export.schedule import schedule

_VALUE_ALIGN = 16  # float32 elements: 64 bytes

#: Functions that a dense operator computes itself.
_FUSED = ("relu", "leaky_relu", "sigmoid", "tanh", "softmax")


def lower(graph: Graph, quantized: Mapping[str, QuantizedNode] | None = None, *, exporter: str = "") -> Program:
    """Make the program.  ``quantized``: node name -> its weights as the file stores them; absent: float32."""
    quantized = quantized or {}
    functions, fused = _fuse(graph)
    order = schedule(_in_pairs(fused))
    nodes = [node for node, _, _ in order]
    index = {port.value: i for i, port in enumerate(graph.inputs)}
    for node in nodes:
        index[node.output] = len(index)
    values, arena_floats = _plan(graph, nodes)
    readers = {node.state: o for o, node in enumerate(nodes) if isinstance(node, nodes_of.StateRead)}
    made = tuple(
        _operator(node, index, quantized.get(node.name), functions.get(node.name), readers, loop, reverse)
        for node, loop, reverse in order
    )
    return Program(
        tuple(operators.Port(port.name, index[port.value], port.tokens) for port in graph.inputs),
        tuple(operators.Port(port.name, index[port.value]) for port in graph.outputs),
        tuple(values),
        made,
        arena_floats,
        operators.Text(exporter, graph.source_sha256, graph.metadata),
    )


def _fuse(graph: Graph) -> tuple[dict[str, Activation], list[Node]]:
    """Join an activation to the dense layer in front of it where nothing else reads that layer's output."""
    readers: dict[str, list[Node | nodes_of.Port]] = {}
    for node in graph.nodes:
        for value in node.inputs:
            readers.setdefault(value, []).append(node)
    for port in graph.outputs:
        readers.setdefault(port.value, []).append(port)
    functions: dict[str, Activation] = {}
    nodes: list[Node] = []
    fused: set[str] = set()
    for node in graph.nodes:
        if node.name in fused:
            continue
        match node, readers.get(node.output, []):
            case Dense(), [Activation(function=function) as only] if function in _FUSED:
                if only.size in (0, len(node.bias)):
                    functions[node.name] = only
                    fused.add(only.name)
                    node = replace(node, output=only.output)
        nodes.append(node)
    return functions, nodes


def _in_pairs(nodes: Sequence[Node]) -> list[Node]:
    """Join several values two by two, as the operator of the file does."""
    names = Names()
    for node in nodes:
        names.unique(node.name)
    made: list[Node] = []
    for node in nodes:
        if isinstance(node, Concat):
            so_far, *others, last = node.inputs
            for value in others:
                part = names.unique(node.name)
                made.append(Concat(part, (so_far, value), f"{node.output} {part}"))
                so_far = made[-1].output
            node = replace(node, inputs=(so_far, last))
        made.append(node)
    return made


def _plan(graph: Graph, nodes: list[Node]) -> tuple[list[Value], int]:
    """Place every value in the arena: the lowest place where it overlaps nothing that is still needed."""
    widths = {port.value: port.width for port in graph.inputs}
    last_read = {value: i for i, node in enumerate(nodes) for value in node.inputs}
    last_read.update({port.value: len(nodes) for port in graph.outputs})
    places: dict[str, Value] = {}
    end = 0
    for port in graph.inputs:
        places[port.value] = Value(end, port.width)
        end += port.width
    for i, node in enumerate(nodes):
        widths[node.output] = width = width_of(node, widths)
        needed = sorted(
            (place for value, place in places.items() if last_read.get(value, -1) >= i), key=lambda p: p.offset
        )
        offset = 0
        for place in needed:
            if offset + width <= place.offset:
                break
            offset = max(offset, place.offset + place.width)
            offset += -offset % _VALUE_ALIGN
        places[node.output] = Value(offset, width)
    return list(places.values()), max(place.offset + place.width for place in places.values())


def _floats(array: Array) -> Array:
    return np.ascontiguousarray(array, np.float32)


def _operator(
    node: Node,
    index: Mapping[str, int],
    quantized: QuantizedNode | None,
    fused: Activation | None,
    readers: Mapping[str, int],
    loop: int,
    reverse: bool,
) -> AnyOperator:
    """Make one operator of the file."""
    source = [index[value] for value in node.inputs]

    def weights(node: Weighted) -> QuantizedNode:
        return quantized or in_floats(node)

    def cell(node: Cell) -> tuple[Any, ...]:
        it = weights(node)
        return it.weights, it.activations, *it.matrices, it.bias, _floats(node.initial_state), it.input_peak

    def dense(node: Dense) -> tuple[Any, ...]:
        it = weights(node)
        function, alpha = (fused.function, fused.alpha) if fused else ("none", 0.0)
        return it.weights, it.activations, *it.matrices, it.bias, function, alpha, it.input_peak

    def embedding(node: nodes_of.Embedding) -> tuple[Any, ...]:
        it = weights(node)
        (table,) = it.matrices  # one set
        scale, multipliers = (None if part is None else part[0] for part in (table.scale, table.multipliers))
        return it.weights, operators.Matrix(table.values[0], scale, multipliers)

    made: Mapping[type[Node], tuple[type[operators.Operator], Callable[[Any], tuple[Any, ...]]]] = {
        nodes_of.Gru: (operators.Gru, cell),
        nodes_of.Lstm: (operators.Lstm, cell),
        nodes_of.Rnn: (operators.Rnn, cell),
        Dense: (operators.Dense, dense),
        nodes_of.Depthwise: (operators.Depthwise, lambda n: (_floats(n.weights), _floats(n.bias))),
        nodes_of.History: (operators.History, lambda n: (n.taps, n.dilation)),
        Activation: (operators.Activation, lambda n: (n.function, n.alpha, n.beta, n.size)),
        nodes_of.PRelu: (operators.PRelu, lambda n: (_floats(n.slopes),)),
        nodes_of.Binary: (operators.Binary, lambda n: (source[1], n.function)),
        nodes_of.Affine: (operators.Affine, lambda n: (_floats(n.scale), _floats(n.shift))),
        Concat: (operators.Concat, lambda n: (source[1],)),
        nodes_of.Slice: (operators.Slice, lambda n: (n.first,)),
        nodes_of.Select: (operators.Select, lambda n: (np.asarray(n.indices, np.uint32),)),
        nodes_of.Embedding: (operators.Embedding, embedding),
        nodes_of.LayerNorm: (
            operators.LayerNorm,
            lambda n: (_floats(n.scale), _floats(n.shift), max(float(SILENCE), float(np.float32(n.epsilon)))),
        ),
        nodes_of.StateRead: (operators.StateRead, lambda n: (_floats(n.initial),)),
        nodes_of.StateWrite: (operators.StateWrite, lambda n: (readers[n.state],)),
        nodes_of.FirstFrame: (operators.FirstFrame, lambda n: ()),
    }
    kind, fields = made[type(node)]
    backwards = reverse or isinstance(node, nodes_of.FirstFrame) or bool(getattr(node, "reverse", False))
    first = source[0] if source else NONE
    operator: AnyOperator = kind(  # type: ignore[assignment]
        node.name, first, index[node.output], *fields(node), loop=loop, reverse=backwards
    )
    return operator
