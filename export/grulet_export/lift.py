"""From the program of the file to a float graph with its weights as float32: the inverse of `grulet_export.lower`."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from grulet import operators
from grulet.format import LEVELS
from grulet.operators import NONE, Matrix, Operator, Program
from grulet.weights import QUANTIZED
from grulet_export import graph as nodes_of
from grulet_export.graph import Array, Graph, Node, Port

#: Node name, inputs, output.
_Place = tuple[str, tuple[str, ...], str]


def lift(program: Program) -> Graph:
    """Return the graph that computes what the program computes, but for the rounding of activations."""
    nodes = [node for op in program.operators for node in _LIFTED[type(op)](program, op, _place(op))]
    return Graph(
        tuple(Port(port.name, _value(port.value), program.width(port.value), port.tokens) for port in program.inputs),
        tuple(Port(port.name, _value(port.value), program.width(port.value)) for port in program.outputs),
        tuple(nodes),
        program.text.source_sha256,
        program.text.metadata,
    )


def _value(index: int) -> str:
    return f"value {index}"


def _place(op: Operator) -> _Place:
    """Return what every node begins with."""
    indices = (op.input, getattr(op, "second_input", NONE))
    return op.name, tuple(_value(index) for index in indices if index != NONE), _value(op.output)


def _floats(matrix: Matrix, level: float = 1.0) -> Array:
    """(..., inputs) float32; ``level``: what a recurrent matrix's scale holds of the state's format."""
    values = np.asarray(matrix.values if matrix.scale is None else matrix.integers, np.float32)
    return values if matrix.scale is None else values * (matrix.scale / np.float32(level))[..., None]


def _recurrent(op: operators.Cell) -> Array:
    return _floats(op.recurrent_matrix, 1.0 / LEVELS[op.activations] if op.weights in QUANTIZED else 1.0)


def _gru(program: Program, op: operators.Gru, place: _Place) -> list[Node]:
    nothing = np.zeros(op.bias.shape[1], np.float32)
    z, r, n_input, n_recurrent = op.bias
    biases = np.stack([z, r, n_input]), np.stack([nothing, nothing, n_recurrent])
    return [nodes_of.Gru(*place, _floats(op.input_matrix), _recurrent(op), *biases, op.initial_state, op.reverse)]


def _cell(kind: type[nodes_of.Lstm | nodes_of.Rnn]) -> _Lifter:
    def lifted(program: Program, op: operators.Cell, place: _Place) -> list[Node]:
        return [kind(*place, _floats(op.input_matrix), _recurrent(op), op.bias, op.initial_state, op.reverse)]

    return lifted


def _dense(program: Program, op: operators.Dense, place: _Place) -> list[Node]:
    name, inputs, output = place
    weights, bias = _floats(op.matrix)[0], op.bias[0]
    if op.function == "none":
        return [nodes_of.Dense(name, inputs, output, weights, bias)]
    sums = f"{output} before {op.function}"
    return [
        nodes_of.Dense(name, inputs, sums, weights, bias),
        nodes_of.Activation(f"{name}.{op.function}", (sums,), output, op.function, op.alpha),
    ]


_Lifter = Callable[[Program, Any, _Place], list[Node]]


def _simple(make: Callable[[Program, Any, _Place], Node]) -> _Lifter:
    """An operator that is one node."""
    return lambda program, op, place: [make(program, op, place)]


#: What each operator of the file is in the graph.
_LIFTED: Mapping[type[Operator], _Lifter] = {
    operators.Gru: _gru,
    operators.Lstm: _cell(nodes_of.Lstm),
    operators.Rnn: _cell(nodes_of.Rnn),
    operators.Dense: _dense,
    operators.Depthwise: _simple(lambda program, op, place: nodes_of.Depthwise(*place, op.taps, op.bias)),
    operators.History: _simple(lambda program, op, place: nodes_of.History(*place, op.taps, op.dilation)),
    operators.Activation: _simple(
        lambda program, op, place: nodes_of.Activation(*place, op.function, op.alpha, op.beta, op.size)
    ),
    operators.PRelu: _simple(lambda program, op, place: nodes_of.PRelu(*place, op.slopes)),
    operators.Binary: _simple(lambda program, op, place: nodes_of.Binary(*place, op.function)),
    operators.Affine: _simple(lambda program, op, place: nodes_of.Affine(*place, op.scale, op.shift)),
    operators.Concat: _simple(lambda program, op, place: nodes_of.Concat(*place)),
    operators.Slice: _simple(lambda program, op, place: nodes_of.Slice(*place, op.first, program.width(op.output))),
    operators.Select: _simple(lambda program, op, place: nodes_of.Select(*place, tuple(map(int, op.indices)))),
    operators.Embedding: _simple(lambda program, op, place: nodes_of.Embedding(*place, _floats(op.table))),
    operators.LayerNorm: _simple(
        lambda program, op, place: nodes_of.LayerNorm(*place, op.scale, op.shift, op.epsilon, len(op.scale))
    ),
    operators.StateRead: _simple(
        lambda program, op, place: nodes_of.StateRead(*place, op.name, op.initial_state, op.reverse)
    ),
    operators.StateWrite: _simple(
        lambda program, op, place: nodes_of.StateWrite(*place, program.operators[op.reader].name)
    ),
    operators.FirstFrame: _simple(lambda program, op, place: nodes_of.FirstFrame(*place)),
}
