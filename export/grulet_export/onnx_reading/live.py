"""Which nodes and inputs of an ONNX graph matter."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from onnx import GraphProto, NodeProto

CELLS = ("GRU", "LSTM", "RNN")

#: The input of a cell that says how long each sequence of a batch is. A stream ends when it ends.
SEQUENCE_LENS = 4

#: Operators behind which a tensor is still the same state, moved or cut.
MOVING = frozenset(
    (
        *("Cast", "Concat", "Dropout", "Expand", "Flatten", "Gather", "Identity", "Reshape", "Slice", "Split"),
        *("Squeeze", "Transpose", "Unsqueeze"),
    )
)


def inputs_read(node: NodeProto) -> list[str]:
    """Return the names of the tensors that say what a node means, also those that only its branches read."""
    own = [name for place, name in enumerate(node.input) if not (node.op_type in CELLS and place == SEQUENCE_LENS)]
    graphs = [entry.g for entry in node.attribute if entry.HasField("g")]
    for graph in graphs:  # grows while it is walked: branches inside branches
        own += [output.name for output in graph.output]
        for inner in graph.node:
            own += inner.input
            graphs += [entry.g for entry in inner.attribute if entry.HasField("g")]
    return [name for name in own if name]


def live_nodes(graph: GraphProto) -> list[NodeProto]:
    """Return the nodes that the outputs depend on, in order."""
    needed = {output.name for output in graph.output}
    found: list[NodeProto] = []
    for node in reversed(graph.node):
        if needed.intersection(filter(None, node.output)):
            needed.update(inputs_read(node))
            found.append(node)
    return found[::-1]


def reaching(nodes: Sequence[NodeProto], places: Mapping[str, Sequence[int]]) -> set[str]:
    """Return the tensors that, moved or cut, reach these inputs of these operators."""
    found: set[str] = set()
    for node in reversed(nodes):
        if node.op_type in MOVING and found.intersection(node.output):
            found.update(node.input if node.op_type == "Concat" else node.input[:1])
        found.update(name for place, name in enumerate(node.input) if place in places.get(node.op_type, ()) and name)
    return found


def only_starts(nodes: Sequence[NodeProto], name: str) -> bool:
    """Return whether a tensor, moved or cut, is nothing but what cells start from."""
    names = {name}
    for node in nodes:
        read = names.intersection(inputs_read(node))
        if read and node.op_type in MOVING:
            names.update(node.output)
        elif read and not (node.op_type in CELLS and read <= set(node.input[5:7])):
            return False
    return True
