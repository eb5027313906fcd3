"""What an ONNX file says apart from any reading of its axes."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from typing import Any

from numpy.typing import NDArray
from onnx import GraphProto, ModelProto, TensorProto, ValueInfoProto

from grulet_export.errors import Refusal
from grulet_export.onnx_reading import file as onnx_file
from grulet_export.onnx_reading.live import CELLS, SEQUENCE_LENS, inputs_read, live_nodes, only_starts, reaching
from grulet_export.onnx_reading.patterns import simplify
from grulet_export.onnx_reading.readings import Input

INTEGERS = (TensorProto.INT64, TensorProto.INT32)


class Contents:
    """The nodes that matter, what they read, and which inputs are frames, states and lengths of sequences."""

    def __init__(self, model: ModelProto, opset: int, states: Mapping[str, str]) -> None:
        graph = GraphProto()
        graph.CopyFrom(model.graph)
        simplify(graph)
        self.opset = opset
        self.producer = model.producer_name
        self.nodes = live_nodes(graph)
        self.outputs = [output.name for output in graph.output]
        self.initializers = {tensor.name: tensor for tensor in graph.initializer}
        self.constants: dict[str, NDArray[Any]] = {}  # initializers that were read, kept from reading to reading
        self.readers = Counter(name for node in self.nodes for name in inputs_read(node)) + Counter(self.outputs)
        self.makers = {name: node for node in self.nodes for name in node.output}
        starts = reaching(self.nodes, {kind: (5, 6) for kind in CELLS})
        lengths = reaching(list(graph.node), {kind: (SEQUENCE_LENS,) for kind in CELLS})
        self.cell_states: dict[str, tuple[int | str, ...]] = {}
        self.frames: list[Input] = []
        self.sequence_lens: list[str] = []
        self.unread: list[str] = []
        # What is nothing but the start of cells is known to be a state without being told.
        self.states = {name: output for name, output in states.items() if not only_starts(self.nodes, name)}
        for entry in graph.input:
            name = entry.name
            if name in self.initializers:  # old files list them as inputs too
                continue
            if name not in self.readers:
                (self.sequence_lens if name in lengths else self.unread).append(name)
                continue
            try:
                dims = _dims(entry)
                kind = _element_type(entry)
            except Refusal as refusal:
                raise refusal.at(name, "input") from refusal
            if name in starts and name not in self.states:
                self.cell_states[name] = dims
            else:
                self.frames.append(Input(name, dims, tokens=kind in INTEGERS, state=name in self.states))

    def constant(self, name: str) -> NDArray[Any]:
        """Return the numbers of an initializer."""
        if name not in self.constants:
            self.constants[name] = onnx_file.array(self.initializers[name])
        return self.constants[name]


def _dims(entry: ValueInfoProto) -> tuple[int | str, ...]:
    tensor = entry.type.tensor_type
    if not entry.type.HasField("tensor_type") or not tensor.HasField("shape"):
        raise Refusal("it has no shape", "export it with a shape, sizes of time and batch may stay open")
    dims = tuple(dim.dim_value if dim.dim_value > 0 else str(dim.dim_param) for dim in tensor.shape.dim)
    if not 1 <= len(dims) <= 5:
        raise Refusal(f"it has {len(dims)} axes", "a frame program reads (batch, time, features) or the like")
    if len([size for size in dims if isinstance(size, str)]) > 2:
        raise Refusal(
            "more than two of its axes have no fixed size", "fix all sizes but those of time and batch when exporting"
        )
    return dims


def _element_type(entry: ValueInfoProto) -> int:
    kind = entry.type.tensor_type.elem_type
    if kind != TensorProto.FLOAT and kind not in INTEGERS:
        name = TensorProto.DataType.Name(kind).lower() if kind in TensorProto.DataType.values() else str(kind)
        raise Refusal(f"it is {name}, not float32", "convert the model to float32 inputs, or int64 for tokens")
    return int(kind)
