"""From the float graph to the program of the file: fuse, number the values, place them in the arena, round weights."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

import numpy as np

from grulet import format as grulet_format
from grulet.format import Operator, Program, Value
from grulet_export.graph import Activation, Dense, Graph, Gru, Node, Port
from grulet_export.quantize import quantize_matrix

_VALUE_ALIGN = 16  # float32 elements: 64 bytes


def lower(graph: Graph, *, weights: str, activations: str, peaks: Mapping[str, float], exporter: str) -> Program:
    """Make the program.  ``peaks``: operator name -> static range of its input; absent: each frame's own."""
    functions, nodes = _fuse(graph)
    index = {port.value: i for i, port in enumerate(graph.inputs)}
    for node in nodes:
        index[node.output] = len(index)
    values, arena_floats = _plan(graph, nodes)
    operators = tuple(
        _operator(
            node,
            index[node.input],
            index[node.output],
            weights,
            activations if weights == "int8" else "f32",
            functions.get(node.name),
            peaks.get(node.name, 0.0) if weights == "int8" else 0.0,
        )
        for node in nodes
    )
    return Program(
        tuple(grulet_format.Port(port.name, index[port.value]) for port in graph.inputs),
        tuple(grulet_format.Port(port.name, index[port.value]) for port in graph.outputs),
        tuple(values),
        operators,
        arena_floats,
        grulet_format.Text(exporter, graph.source_sha256, graph.metadata),
    )


def _fuse(graph: Graph) -> tuple[dict[str, Activation], list[Node]]:
    """Join an activation to the dense layer in front of it where nothing else reads that layer's output."""
    readers: dict[str, list[Node | Port]] = {}
    for node in graph.nodes:
        readers.setdefault(node.input, []).append(node)
    for port in graph.outputs:
        readers.setdefault(port.value, []).append(port)
    functions: dict[str, Activation] = {}
    nodes: list[Node] = []
    fused: set[str] = set()
    for node in graph.nodes:
        if node.name in fused:
            continue
        only = readers.get(node.output, [])
        if isinstance(node, Dense) and len(only) == 1 and isinstance(only[0], Activation):
            functions[node.name] = only[0]
            fused.add(only[0].name)
            node = replace(node, output=only[0].output)
        nodes.append(node)
    return functions, nodes


def _width(node: Node, widths: Mapping[str, int]) -> int:
    if isinstance(node, Gru):
        return len(node.initial_state)
    return len(node.bias) if isinstance(node, Dense) else widths[node.input]


def _plan(graph: Graph, nodes: list[Node]) -> tuple[list[Value], int]:
    """Place every value in the arena: the lowest place where it overlaps nothing that is still needed."""
    widths = {port.value: port.width for port in graph.inputs}
    last_read = {node.input: i for i, node in enumerate(nodes)}
    last_read.update({port.value: len(nodes) for port in graph.outputs})
    places: dict[str, Value] = {}
    end = 0
    for port in graph.inputs:
        places[port.value] = Value(end, port.width)
        end += port.width
    for i, node in enumerate(nodes):
        widths[node.output] = width = _width(node, widths)
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


def _operator(
    node: Node, source: int, target: int, weights: str, activations: str, fused: Activation | None, peak: float
) -> grulet_format.AnyOperator:
    common = Operator(node.name, source, target)
    if isinstance(node, Activation):
        return grulet_format.Activation(*_fields(common), node.function, node.alpha)
    if isinstance(node, Dense):
        matrix = quantize_matrix(node.weights[None], weights)
        function, alpha = (fused.function, fused.alpha) if fused else ("none", 0.0)
        bias = np.ascontiguousarray(node.bias[None], np.float32)
        return grulet_format.Dense(*_fields(common), weights, activations, matrix, bias, function, alpha, peak)
    (bz, br, bxn), (hz, hr, bhn) = node.input_bias, node.recurrent_bias
    return grulet_format.Gru(
        *_fields(common),
        weights,
        activations,
        quantize_matrix(node.input_weights, weights),
        quantize_matrix(
            node.recurrent_weights, weights, recurrent_activations=None if weights == "f32" else activations
        ),
        np.stack([bz + hz, br + hr, bxn, bhn]).astype(np.float32),
        np.ascontiguousarray(node.initial_state, np.float32),
        peak,
    )


def _fields(operator: Operator) -> tuple[str, int, int]:
    return operator.name, operator.input, operator.output
