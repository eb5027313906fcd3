"""A whole graph as one ONNX model."""

from __future__ import annotations

from onnx import ModelProto, helper

from grulet_export import metadata
from grulet_export.errors import UnsupportedGraph
from grulet_export.graph import (
    Dense,
    Depthwise,
    Embedding,
    FirstFrame,
    Graph,
    History,
    Node,
    Port,
    StateRead,
    width_of,
)
from grulet_export.onnx_writing import states, vectors
from grulet_export.onnx_writing.parts import STEP, Form, State, Writer, described, has_width

#: What the files are written for: every onnxruntime since 1.12, and so every one that `grulet[export]` allows.
OPSET = 17
IR_VERSION = 8

_WRITERS = {**vectors.WRITERS, **states.WRITERS}


def write_onnx(graph: Graph, form: Form, notes: str) -> tuple[ModelProto, tuple[State, ...]]:
    """Return one form of a graph, and its states; their names are the same in every form that has them.

    Inputs of the model are those of the graph and then the states, outputs likewise.  States are inputs without a
    default: who runs the model feeds what they start from.  Tokens are int64, and one token a frame has no axis of its
    own.  ``notes`` is the JSON text of the metadata.  Raises `UnsupportedGraph` for a node that the form has no room
    for.
    """
    _refuse(graph, form)
    writer = _begin(graph, form)
    convolved = {} if form is STEP else _convolutions(graph)
    for node in graph.nodes:
        if node in convolved.values():
            continue  # its reader writes it
        target = writer.values[node.output] = writer.tensor_names.unique(f"{node.name}.frames")
        history = convolved.get(node.name)
        if history is not None and isinstance(node, Dense | Depthwise):
            states.write_convolution(writer, history, node, writer.floats_of(history.inputs[0]), target)
            continue
        read = writer.tokens_of if isinstance(node, Embedding) else writer.floats_of
        _WRITERS[type(node)](writer, node, [read(value) for value in node.inputs], target)
    for port in graph.outputs:
        writer.edge(form.leave, f"{port.name}.leave", writer.floats_of(port.value), port.name)

    inputs = [described(port.name, port.tokens, *form.frames, *_width(port)) for port in graph.inputs]
    outputs = [described(port.name, 0, *form.frames, port.width) for port in graph.outputs]
    inputs += [described(state.input, 0, 1, form.batch, state.width) for state in writer.states]
    outputs += [described(state.output, 0, 1, form.batch, state.width) for state in writer.states]
    model = helper.make_model(
        helper.make_graph(writer.nodes, form.name, inputs, outputs, writer.initializers),
        producer_name="grulet",
        opset_imports=[helper.make_opsetid("", OPSET)],
        ir_version=IR_VERSION,
    )
    helper.set_model_props(model, {metadata.KEY: notes})
    return model, tuple(writer.states)


def _refuse(graph: Graph, form: Form) -> None:
    """Refuse what a form has no room for."""
    for node in graph.nodes:
        backwards = isinstance(node, FirstFrame) or getattr(node, "reverse", False)
        if form is STEP and backwards:
            raise UnsupportedGraph(
                node.name,
                type(node).__name__,
                "it goes from the last frame to the first, so no model can take it frame by frame",
                "use the model for whole sequences",
            )
        if form is not STEP and isinstance(node, StateRead):
            raise UnsupportedGraph(
                node.name,
                "loop",
                "it is spelled out step by step, and ONNX has no operator for that over a whole sequence",
                "use the step form",
            )


def _begin(graph: Graph, form: Form) -> Writer:
    """Return a writer that has taken the names of the graph and has its inputs and its loops' states."""
    widths = {port.value: port.width for port in graph.inputs}
    for node in graph.nodes:
        widths[node.output] = width_of(node, widths)
    writer = Writer(form, widths)
    for port in (*graph.inputs, *graph.outputs):
        writer.tensor_names.unique(port.name)
    for node in graph.nodes:
        writer.node_names.unique(node.name)
    for port in graph.inputs:
        where = writer.tokens if port.tokens else writer.values
        where[port.value] = writer.tensor_names.unique(f"{port.name}.frames")
        writer.edge(form.enter, f"{port.name}.enter", port.name, where[port.value], rank=2 + len(_width(port)))
    for node in graph.nodes:
        if isinstance(node, StateRead):
            writer.loops[node.state] = writer.state(node.name, "state", node.initial)
    return writer


def _width(port: Port) -> tuple[int, ...]:
    """Return the last axis of a port's tensor, if it has one for its elements."""
    return (port.width,) if has_width(port) else ()


def _convolutions(graph: Graph) -> dict[str, History]:
    """Return the histories that only one product reads, by the name of the product."""
    readers: dict[str, list[Node | Port]] = {}
    for node in graph.nodes:
        for value in node.inputs:
            readers.setdefault(value, []).append(node)
    for port in graph.outputs:
        readers.setdefault(port.value, []).append(port)
    found: dict[str, History] = {}
    for node in graph.nodes:
        match node, readers.get(node.output, []):
            case History(), [Dense() | Depthwise() as product]:
                found[product.name] = node
    return found
