"""`grulet_export.graph.Graph` to ONNX, right by construction.

Each operator of the graph becomes the one ONNX operator whose meaning is fixed: GRU with ``linear_before_reset=1``,
gates in the order z r h, layout 0, and its state in and out in the open. The same graph gives the same bytes.
`grulet_export.onnx_graph` reads both forms back into an equal graph.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray
from onnx import ModelProto, NodeProto, TensorProto, ValueInfoProto, helper, numpy_helper

from grulet_export import metadata
from grulet_export.canonical import Names
from grulet_export.graph import Activation, Dense, Graph, Gru

#: What the files are written for: every onnxruntime since 1.12, and so every one that `grulet[export]` allows.
OPSET = 17
IR_VERSION = 8

OPERATORS = {"relu": "Relu", "leaky_relu": "LeakyRelu", "sigmoid": "Sigmoid", "tanh": "Tanh", "softmax": "Softmax"}


@dataclass(frozen=True)
class State:
    """The state of one GRU layer in a model: the names of an input and an output of shape (1, batch, units)."""

    input: str
    output: str
    units: int


#: An operator between the model's axes and those inside: its name, and its attributes or, as "axes", its last input.
Edge: TypeAlias = tuple[str, Mapping[str, Any]]


@dataclass(frozen=True)
class Form:
    """How a model's frames look outside; inside they are always (time, batch, width), as the GRU operator wants."""

    name: str
    frames: tuple[str | int, ...]  # leading axes of inputs and outputs
    batch: str | int
    enter: Edge
    leave: Edge


_SWAP: Edge = ("Transpose", {"perm": [1, 0, 2]})
BATCH_FIRST = Form("sequence", ("batch", "time"), "batch", enter=_SWAP, leave=_SWAP)
TIME_FIRST = Form("sequence", ("time", "batch"), "batch", enter=("Identity", {}), leave=("Identity", {}))
STEP = Form("step", (1,), 1, enter=("Unsqueeze", {"axes": [0]}), leave=("Squeeze", {"axes": [0]}))


@dataclass
class _Writer:
    """The parts of one ONNX graph so far."""

    nodes: list[NodeProto] = field(default_factory=list)
    initializers: list[TensorProto] = field(default_factory=list)
    tensor_names: Names = field(default_factory=Names)
    node_names: Names = field(default_factory=Names)

    def node(self, operator: str, name: str, inputs: list[str], outputs: list[str], **attributes: Any) -> None:
        """Add a node; "axes" becomes its last input, as operator sets from 13 on have it."""
        axes = attributes.pop("axes", None)
        if axes is not None:
            inputs = [*inputs, self.constant(f"{name}.axes", np.asarray(axes, np.int64))]
        self.nodes.append(helper.make_node(operator, inputs, outputs, name=name, **attributes))

    def edge(self, edge: Edge, name: str, source: str, target: str) -> None:
        """Add a node between outside and inside."""
        operator, attributes = edge
        self.node(operator, self.node_names.unique(name), [source], [target], **attributes)

    def constant(self, name: str, array: NDArray[Any]) -> str:
        """Add an initializer and return its name."""
        name = self.tensor_names.unique(name)
        self.initializers.append(numpy_helper.from_array(np.ascontiguousarray(array), name))
        return name


def write_onnx(graph: Graph, form: Form, notes: str) -> tuple[ModelProto, tuple[State, ...]]:
    """Return one form of a graph, and the state of every Gru in it, in order; their names are the same in every form.

    Inputs of the model are those of the graph and then the states, outputs likewise. States are inputs without a
    default: who runs the model feeds what a Gru starts from. ``notes`` is the JSON text of the metadata.
    """
    writer = _Writer()
    for port in (*graph.inputs, *graph.outputs):
        writer.tensor_names.unique(port.name)
    for node in graph.nodes:
        writer.node_names.unique(node.name)

    states: list[State] = []
    where: dict[str, str] = {}  # the tensor that holds each value, (time, batch, width)
    for port in graph.inputs:
        where[port.value] = writer.tensor_names.unique(f"{port.name}.frames")
        writer.edge(form.enter, f"{port.name}.enter", port.name, where[port.value])
    for node in graph.nodes:
        source = where[node.input]
        target = where[node.output] = writer.tensor_names.unique(f"{node.name}.frames")
        match node:
            case Gru():
                states.append(_write_gru(writer, node, source, target))
            case Dense():
                _write_dense(writer, node, source, target)
            case Activation():
                _write_activation(writer, node, source, target)
    for port in graph.outputs:
        writer.edge(form.leave, f"{port.name}.leave", where[port.value], port.name)

    inputs = [_tensor(port.name, *form.frames, port.width) for port in graph.inputs]
    outputs = [_tensor(port.name, *form.frames, port.width) for port in graph.outputs]
    for state in states:
        inputs.append(_tensor(state.input, 1, form.batch, state.units))
        outputs.append(_tensor(state.output, 1, form.batch, state.units))
    model = helper.make_model(
        helper.make_graph(writer.nodes, form.name, inputs, outputs, writer.initializers),
        producer_name="grulet",
        opset_imports=[helper.make_opsetid("", OPSET)],
        ir_version=IR_VERSION,
    )
    helper.set_model_props(model, {metadata.KEY: notes})
    return model, tuple(states)


def _write_gru(writer: _Writer, node: Gru, source: str, target: str) -> State:
    """Add the GRU and drop the direction axis of Y, (time, direction, batch, units)."""
    units = len(node.initial_state)
    bias = np.concatenate((node.input_bias, node.recurrent_bias)).reshape(1, 6 * units)
    state = State(
        writer.tensor_names.unique(f"{node.name}.initial_state"),
        writer.tensor_names.unique(f"{node.name}.final_state"),
        units,
    )
    inputs = [
        source,
        writer.constant(f"{node.name}.W", node.input_weights.reshape(1, 3 * units, -1)),
        writer.constant(f"{node.name}.R", node.recurrent_weights.reshape(1, 3 * units, units)),
        writer.constant(f"{node.name}.B", bias) if bias.any() else "",
        "",  # sequence_lens
        state.input,
    ]
    every_frame = writer.tensor_names.unique(f"{node.name}.Y")
    writer.node("GRU", node.name, inputs, [every_frame, state.output], hidden_size=units, linear_before_reset=1)
    writer.node("Squeeze", writer.node_names.unique(f"{node.name}.squeeze"), [every_frame], [target], axes=[1])
    return state


def _write_dense(writer: _Writer, node: Dense, source: str, target: str) -> None:
    weights = writer.constant(f"{node.name}.weight", node.weights.T)
    if not node.bias.any():
        writer.node("MatMul", node.name, [source, weights], [target])
        return
    product = writer.tensor_names.unique(f"{node.name}.product")
    writer.node("MatMul", node.name, [source, weights], [product])
    bias = writer.constant(f"{node.name}.bias", node.bias)
    writer.node("Add", writer.node_names.unique(f"{node.name}.add"), [product, bias], [target])


def _tensor(name: str, *dims: str | int) -> ValueInfoProto:
    return helper.make_tensor_value_info(name, TensorProto.FLOAT, list(dims))


def _write_activation(writer: _Writer, node: Activation, source: str, target: str) -> None:
    attributes: dict[str, dict[str, Any]] = {"leaky_relu": {"alpha": node.alpha}, "softmax": {"axis": -1}}
    writer.node(OPERATORS[node.function], node.name, [source], [target], **attributes.get(node.function, {}))
