"""An ONNX file as onnxruntime can run it for a comparison: the same numbers, less in the way.

Constants are bound, lengths of sequences and unread inputs dropped, and recurrent layers of layout 1 (batch first),
which onnxruntime refuses, are put between Transposes.
"""

from __future__ import annotations

from collections.abc import Iterable

from onnx import ModelProto, NodeProto, helper

from grulet_export.onnx_reading import file as onnx_file
from grulet_export.onnx_reading.layout import Layout
from grulet_export.onnx_reading.live import CELLS, SEQUENCE_LENS, inputs_read, live_nodes


def prepared(source: onnx_file.Source, layout: Layout, outputs: Iterable[str]) -> ModelProto:
    """Return a file that `read_onnx` has accepted with these outputs only, and the inputs they need."""
    loaded, _ = onnx_file.load(source)
    model = ModelProto()
    model.CopyFrom(onnx_file.bound(onnx_file.inlined(loaded), layout.constants))
    graph = model.graph
    _keep(graph.output, set(outputs))
    nodes = [rewritten for node in live_nodes(graph) for rewritten in _time_first(_without_lengths(node))]
    del graph.node[:]
    graph.node.extend(nodes)
    read = {name for node in nodes for name in inputs_read(node)} | set(outputs)
    _keep(graph.input, read)
    del graph.value_info[:]  # of tensors that may be gone
    return model


def _keep(entries: Iterable, names: set[str]) -> None:  # type: ignore[type-arg]  # a protobuf list, which has no class
    kept = [entry for entry in entries if entry.name in names]
    del entries[:]  # type: ignore[attr-defined]
    entries.extend(kept)  # type: ignore[attr-defined]


def _without_lengths(node: NodeProto) -> NodeProto:
    if node.op_type in CELLS and len(node.input) > SEQUENCE_LENS:
        node.input[SEQUENCE_LENS] = ""
    return node


def _time_first(node: NodeProto) -> list[NodeProto]:
    """Return a cell of layout 1 as one of layout 0 between Transposes, any other node as it is."""
    if node.op_type not in CELLS or not any(entry.name == "layout" and entry.i for entry in node.attribute):
        return [node]
    kept = [entry for entry in node.attribute if entry.name != "layout"]
    del node.attribute[:]
    node.attribute.extend(kept)
    before, behind = [], []
    for place in (0, 5, 6):  # X, initial_h, initial_c
        if place < len(node.input) and node.input[place]:
            inner = f"{node.input[place]} for {node.output[0] or node.output[1]}, {place}"
            before.append(helper.make_node("Transpose", [node.input[place]], [inner], perm=[1, 0, 2]))
            node.input[place] = inner
    for place, outer in enumerate(node.output):
        if outer:
            inner = f"{outer}, time first"
            perm = [2, 0, 1, 3] if place == 0 else [1, 0, 2]
            behind.append(helper.make_node("Transpose", [inner], [outer], perm=perm))
            node.output[place] = inner
    return [*before, node, *behind]
