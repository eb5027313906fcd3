"""ONNX to `grulet_export.graph.Graph`: what the file means frame by frame, or why it means nothing we can run.

The nodes the outputs depend on are walked once, in order, each through its handler in `grulet_export.onnx_operators`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from onnx import GraphProto, ModelProto, NodeProto, TensorProto, ValueInfoProto

from grulet_export import metadata, onnx_axes, onnx_file
from grulet_export.canonical import canonical, live
from grulet_export.errors import Refusal, UnsupportedGraph
from grulet_export.graph import Graph, Port
from grulet_export.onnx_axes import ONE, Axes, Axis, features
from grulet_export.onnx_file import EXPORT_AGAIN
from grulet_export.onnx_operators import PASS_ON, Operation, Program, Signal, State, Value, reads, run


def read_onnx(source: onnx_file.Source) -> Graph:
    """Return the float graph of an ONNX model: a `ModelProto`, the bytes of a file, or its path.

    The whole-sequence and the one-frame form of a model give equal graphs, apart from the hash of their bytes.
    Initial states that are inputs of the file start from zeros. Raises `UnsupportedGraph` for all that grulet cannot
    run, also for bytes that are no ONNX file; `OSError` if the file cannot be read.
    """
    try:
        model, sha256 = onnx_file.load(source)
        opset = onnx_file.check(model)
        texts = [entry.value for entry in model.metadata_props if entry.key == metadata.KEY]
        notes = metadata.from_json(texts[0]) if texts else {}
    except Refusal as refusal:
        raise refusal.at("", "ONNX file") from refusal
    return replace(_read_graph(model, opset), source_sha256=sha256, metadata=notes)


def _read_graph(model: ModelProto, opset: int) -> Graph:
    """Return the graph, in canonical form, without hash and metadata."""
    program = Program(model.producer_name)
    nodes = _live(model.graph)
    values: dict[str, Value] = {}
    inputs = _inputs(model.graph, nodes, values)
    initializers = {tensor.name: tensor for tensor in model.graph.initializer}

    def look_up(name: str) -> Value | None:
        if not name:
            return None  # an optional input that is left out
        if name not in values and name in initializers:
            values[name] = onnx_file.array(initializers[name])
        if name not in values:
            raise Refusal(f"it reads '{name}', which nothing in the file gives", EXPORT_AGAIN)
        return values[name]

    for node in nodes:
        name = node.name or next(filter(None, node.output))
        try:
            input_names = tuple(node.input[: reads(node)])
            operation = Operation(
                name=name,
                opset=opset,
                input_names=input_names,
                inputs=tuple(map(look_up, input_names)),
                attributes={entry.name: onnx_file.attribute(entry) for entry in node.attribute},
            )
            results = run(program, node, operation)
        except Refusal as refusal:
            raise refusal.at(name, node.op_type) from refusal
        values.update(zip(node.output, results, strict=False))

    outputs: list[Port] = []
    final_states: list[str] = []
    for output in model.graph.output:
        try:
            match look_up(output.name):
                case Signal(value, axes):
                    outputs.append(Port(output.name, value, onnx_axes.width(axes)))
                case State(parts, final=True):
                    final_states += parts
                case _:
                    raise Refusal("it does not depend on any frame", "return one vector per frame")
        except Refusal as refusal:
            raise refusal.at(output.name, "output") from refusal
    graph = Graph(tuple(inputs), tuple(outputs), tuple(program.nodes.values()), source_sha256="")
    _check_states(program, graph, final_states)
    return canonical(graph)


def _live(graph: GraphProto) -> list[NodeProto]:
    """Return the nodes that the outputs depend on, in order."""
    needed = {output.name for output in graph.output}
    found: list[NodeProto] = []
    for node in reversed(graph.node):
        if needed.intersection(filter(None, node.output)):
            needed.update(node.input[: reads(node)])
            found.append(node)
    return found[::-1]


def _inputs(graph: GraphProto, nodes: Sequence[NodeProto], values: dict[str, Value]) -> list[Port]:
    """Fill in the values of the graph's inputs, frames or initial states, and return the ports of the frames."""
    constants = {tensor.name for tensor in graph.initializer}  # old files list them as inputs too
    read = {name for node in nodes for name in node.input[: reads(node)]} | {output.name for output in graph.output}
    initial_states = _initial_states(nodes)
    ports: list[Port] = []
    for entry in graph.input:
        name = entry.name
        if name in constants or name not in read:
            continue
        try:
            axes = _input_axes(entry)
        except Refusal as refusal:
            raise refusal.at(name, "input") from refusal
        if name in initial_states:
            layers = (axes[0].size or 1) if len(axes) == 3 else 1
            values[name] = State(tuple(f"{name}[{layer}]" for layer in range(layers)), False, axes)
        else:
            values[name] = Signal(f"input {name}", axes)
            ports.append(Port(name, f"input {name}", onnx_axes.width(axes)))
    return ports


def _initial_states(nodes: Sequence[NodeProto]) -> set[str]:
    """Return the tensors from which a GRU starts, also those before operators that pass them on."""
    made_from = {output: node.input[0] for node in nodes if node.op_type in PASS_ON for output in node.output}
    found: set[str] = set()
    for node in nodes:
        name = node.input[5] if node.op_type == "GRU" and len(node.input) > 5 else ""
        while name and name not in found:
            found.add(name)
            name = made_from.get(name, "")
    return found


def _input_axes(entry: ValueInfoProto) -> Axes:
    tensor = entry.type.tensor_type
    if not entry.type.HasField("tensor_type") or tensor.elem_type != TensorProto.FLOAT:
        raise Refusal("it is no float32 tensor", "convert the model to float32 inputs")
    if not tensor.HasField("shape") or not 1 <= len(tensor.shape.dim) <= 3:
        raise Refusal(
            f"it has {len(tensor.shape.dim)} axes" if tensor.HasField("shape") else "it has no shape",
            "a frame program reads (batch, time, features), (time, batch, features) or fewer axes",
        )
    *leading, width = (dimension.dim_value for dimension in tensor.shape.dim)  # 0 where the size is not fixed
    if width <= 0:
        raise Refusal("the size of its last axis, the features of a frame, is not fixed", "fix it when exporting")
    return (
        *(
            ONE if size == 1 else Axis(f"axis {position} of '{entry.name}'", size if size > 0 else None)
            for position, size in enumerate(leading)
        ),
        features(width),
    )


def _check_states(program: Program, graph: Graph, final_states: Sequence[str]) -> None:
    """Refuse graphs in which the state is not simply the stream's own, carried from frame to frame."""
    if not graph.outputs:
        raise UnsupportedGraph(
            "",
            "ONNX graph",
            "it gives no answer per frame, only final states" if final_states else "it has no outputs",
            "return Y of the last GRU, or what is computed from it: one vector per frame",
        )
    alive = {node.output for node in live(graph)}
    for value in final_states:
        if value not in alive:
            raise UnsupportedGraph(
                program.nodes[value].name,
                "GRU",
                "its final state (Y_h) is an output, but no answer per frame depends on it",
                "return its Y, or what is computed from it, too",
            )
    for value, part in program.initial_states.items():
        if value not in final_states:
            raise UnsupportedGraph(
                program.nodes[value].name,
                "GRU",
                f"it starts from the input '{part}', but its final state (Y_h) is no output, so that input is not the "
                "state of a stream",
                "return Y_h, or drop the input: a stream keeps its state itself and starts from zeros",
            )
