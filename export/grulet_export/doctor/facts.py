"""What the checks want to know about a graph, worked out once: who reads what, constants, shapes, recurrent layers."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from typing import Any, TypeAlias

import onnx
from onnx import ModelProto, NodeProto, ValueInfoProto, helper

from grulet_export.doctor.folding import Constants, fold, stored

#: Names of ONNX's own domain of operators.
DOMAINS = ("", "ai.onnx")

#: One axis: its size, or its name, or None where neither is known.
Size: TypeAlias = int | str | None

#: Operators that hand numbers on without computing with them; what they hand on is their first input.
HAND_ON = ("Identity", "Transpose", "Slice", "Unsqueeze", "Squeeze", "Reshape", "Split", "Cast", "Expand", "Gather")

#: The gates of each recurrent operator, in the order of its rows; the last is the one that makes the new state.
GATES = {"GRU": ("z", "r", "h"), "LSTM": ("i", "o", "f", "c"), "RNN": ("h",)}


def opset_of(model: ModelProto) -> int:
    """Return the version of ONNX's own operators that a model is written in; 0 if it names none."""
    return next((entry.version for entry in model.opset_import if entry.domain in DOMAINS), 0)


def name_of(node: NodeProto) -> str:
    """Return a node's name, or its first output's if it has none."""
    return node.name or next(filter(None, node.output), "")


def operator_of(node: NodeProto) -> str:
    """Return the operator, with its domain if that is not ONNX's own."""
    return node.op_type if node.domain in DOMAINS else f"{node.domain}.{node.op_type}"


def attributes(node: NodeProto) -> dict[str, Any]:
    """Return the attributes as Python values; text as str."""
    given = {entry.name: helper.get_attribute_value(entry) for entry in node.attribute}
    texts = {name: value.decode("utf-8", "replace") for name, value in given.items() if isinstance(value, bytes)}
    return given | texts


def input_of(node: NodeProto, position: int) -> str:
    """Return the name of an input, "" if it is left out."""
    return node.input[position] if position < len(node.input) else ""


@dataclass(frozen=True)
class Layer:
    """A recurrent node: its states are pairs of the input it starts from ("" for zeros) and the output it ends in."""

    node: NodeProto
    layout: int
    direction: str
    states: tuple[tuple[str, str], ...]


class Facts:
    """A valid model, seen through its live nodes: those that the outputs depend on, in order.

    Graphs inside nodes (If, Loop, Scan) are not looked into; what they read counts as read.
    """

    def __init__(self, model: ModelProto) -> None:
        self.model = model
        graph = model.graph
        self.outputs = [entry.name for entry in graph.output]
        self.live, self.dead = _split(graph)
        self.read = set(self.outputs).union(*map(reads, self.live))
        self.stored: Constants = {name: array for name, array in stored(graph).items() if name in self.read}
        initializers = {tensor.name for tensor in graph.initializer}  # old files list them as inputs too
        self.inputs: dict[str, ValueInfoProto] = {
            entry.name: entry for entry in graph.input if entry.name not in initializers
        }
        self.maker = {output: node for node in self.live for output in node.output if output}
        self.from_torch = model.producer_name == "pytorch" or any(
            entry.key.startswith("pkg.torch.") for node in graph.node for entry in getattr(node, "metadata_props", ())
        )
        self.opset = opset_of(model)
        self.layers = [_layer(node) for node in self.live if operator_of(node) in GATES]

    @cached_property
    def constants(self) -> Constants:
        """Everything known before any frame arrives."""
        return fold(self.model, self.live, self.stored)

    @cached_property
    def shapes(self) -> dict[str, tuple[Size, ...]]:
        """The axes of tensors, as far as onnx can infer them."""
        try:
            graph = onnx.shape_inference.infer_shapes(self.model, data_prop=True).graph
        except Exception:  # contradictions in the graph: what the file itself says is still known
            graph = self.model.graph
        found: dict[str, tuple[Size, ...]] = {name: array.shape for name, array in self.stored.items()}
        for entry in (*graph.input, *graph.output, *graph.value_info):
            tensor = entry.type.tensor_type
            if tensor.HasField("shape"):
                found[entry.name] = tuple(
                    axis.dim_value if axis.dim_value > 0 else axis.dim_param or None for axis in tensor.shape.dim
                )
        return found

    @cached_property
    def returned(self) -> set[str]:
        """Tensors that become an output of the model as they are."""
        return {origin for name in self.outputs for origin in self.origins(name)}

    def reader(self, name: str) -> NodeProto | None:
        """Return the first live node that reads a tensor."""
        return next((node for node in self.live if name in reads(node)), None)

    def origins(self, name: str) -> set[str]:
        """Return all tensors that a tensor hands on, itself among them."""
        found: set[str] = set()
        waiting = [name]
        while waiting:
            here = waiting.pop()
            if here in found or not here:
                continue
            found.add(here)
            node = self.maker.get(here)
            if node is not None:
                waiting += _handed_on(node)
        return found

    def sources(self, name: str) -> set[str]:
        """Return the tensors where the numbers of a tensor come from: no operator merely handed them on."""
        return {
            origin for origin in self.origins(name) if origin not in self.maker or not _handed_on(self.maker[origin])
        }


def _handed_on(node: NodeProto) -> list[str]:
    """Return the inputs whose numbers are a node's output as they are."""
    operator = operator_of(node)
    return list(node.input) if operator == "Concat" else [node.input[0]] if operator in HAND_ON else []


def _split(graph: onnx.GraphProto) -> tuple[list[NodeProto], list[NodeProto]]:
    """Return the nodes that the outputs depend on, and the others."""
    needed = {output.name for output in graph.output}
    live: list[NodeProto] = []
    dead: list[NodeProto] = []
    for node in reversed(graph.node):
        if needed.intersection(filter(None, node.output)):
            needed.update(reads(node))
            live.append(node)
        else:
            dead.append(node)
    return live[::-1], dead[::-1]


def reads(node: NodeProto) -> set[str]:
    """Return the names a node reads, also inside its graphs."""
    names = {name for here in nested(node) for name in here.input if name}
    return names | {output.name for here in nested(node) for graph in graphs(here) for output in graph.output}


def nested(node: NodeProto) -> Iterator[NodeProto]:
    """Yield a node and all nodes of the graphs inside it."""
    waiting = [node]
    while waiting:
        here = waiting.pop()
        yield here
        for graph in graphs(here):
            waiting += graph.node


def graphs(node: NodeProto) -> list[onnx.GraphProto]:
    """Return the graphs inside a node: the branches of an If, the body of a Loop or Scan."""
    return [graph for entry in node.attribute for graph in (*entry.graphs, *([entry.g] if entry.HasField("g") else []))]


def _layer(node: NodeProto) -> Layer:
    given = attributes(node)
    pairs = ((5, 1), (6, 2)) if node.op_type == "LSTM" else ((5, 1),)
    return Layer(
        node,
        given.get("layout", 0),
        given.get("direction", "forward"),
        tuple((input_of(node, start), node.output[end] if end < len(node.output) else "") for start, end in pairs),
    )
