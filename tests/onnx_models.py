"""Small ONNX models for tests, and what onnxruntime and the imported graph make of them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np
import onnx
from float_graph import evaluate
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper

from grulet.frames import random_frames
from grulet_export.graph import Activation, Graph
from grulet_export.onnx_reading.layout import Imported
from grulet_export.onnx_reading.read import read_onnx
from grulet_export.onnx_running.runner import OnnxRunner

Node = onnx.NodeProto
Shape = Sequence[int | str]
node = helper.make_node

WIDTH, UNITS = 3, 4
RANDOM = np.random.default_rng(7)


def floats(*shape: int) -> NDArray[np.float32]:
    """Return random numbers, the same in every run."""
    return RANDOM.standard_normal(shape, np.float32)


W, R, B = floats(1, 3 * UNITS, WIDTH), floats(1, 3 * UNITS, UNITS), floats(1, 6 * UNITS)

#: What the nodes of a test may read by name.
CONSTANTS: dict[str, NDArray[Any]] = {
    "W": W,
    "R": R,
    "B": B,
    "R2": floats(1, 3 * UNITS, UNITS),
    "head": floats(UNITS, 2),
    "bias": floats(2),
    "h0": RANDOM.uniform(-0.9, 0.9, (1, 1, UNITS)).astype(np.float32),
    "zero": np.array([0]),
    "one": np.array([1]),
    "two": np.array([2]),
    "minus one": np.array([-1]),
    "zeros": np.zeros((1, 1, UNITS), np.float32),
}

BATCH_FIRST, TIME_FIRST, CHANNELS_FIRST = ("batch", "time", WIDTH), ("time", "batch", WIDTH), ("batch", WIDTH, "time")


def gru(inputs: Sequence[str] = ("x", "W", "R", "B"), outputs: Sequence[str] = ("Y",), **attributes: Any) -> Node:
    """Return the GRU of the tests; an attribute None is left out."""
    given = {"name": "gru", "hidden_size": UNITS, "linear_before_reset": 1, **attributes}
    return node("GRU", inputs, outputs, **{key: value for key, value in given.items() if value is not None})


def squeeze(source: str = "Y", target: str = "y") -> Node:
    """Return the node that drops the direction axis."""
    return node("Squeeze", [source, "one"], [target])


def model(
    nodes: Sequence[Node],
    shape: Shape | None = TIME_FIRST,
    *,
    outputs: Iterable[str] = ("y",),
    inputs: Mapping[str, Shape] | None = None,
    integers: Iterable[str] = (),
    constants: Mapping[str, Any] | None = None,
    opset: int = 17,
    **options: Any,
) -> onnx.ModelProto:
    """Return a model with the input x of this shape, further inputs, and the constants its nodes read."""
    known = {**CONSTANTS, **{name: np.asarray(array) for name, array in (constants or {}).items()}}
    branches = [inner for item in nodes for entry in item.attribute for inner in entry.g.node]
    read = {name for item in [*nodes, *branches] for name in item.input}
    shapes = ({} if shape is None else {"x": shape}) | dict(inputs or {})
    graph = helper.make_graph(
        nodes,
        "test",
        [
            helper.make_tensor_value_info(
                name, TensorProto.INT64 if name in set(integers) else TensorProto.FLOAT, list(dims)
            )
            for name, dims in shapes.items()
        ],
        [helper.make_tensor_value_info(name, TensorProto.FLOAT, None) for name in outputs],
        [numpy_helper.from_array(array, name) for name, array in known.items() if name in read and name not in shapes],
    )
    opsets = [helper.make_opsetid("", opset), helper.make_opsetid("com.microsoft", 1)]
    # The oldest format of files that knows the operator set: what older tools read.
    made = helper.make_model(graph, opset_imports=opsets, ir_version=8 if opset <= 18 else 10, **options)
    made = onnx.shape_inference.infer_shapes(made)
    for output in made.graph.output:
        output.type.tensor_type.shape.SetInParent()  # where nothing could be inferred, some shape must be said
    return made


def answers(given: onnx.ModelProto, frames: int = 9, **options: Any) -> tuple[Imported, NDArray[Any], NDArray[Any]]:
    """Read a model; return it, onnxruntime's answers to random frames and the graph's, in float64, (T, out) both."""
    imported = read_onnx(given, **options)
    count = imported.layout.sizes.get("time", frames) if imported.layout.sequence else frames
    runner = OnnxRunner(given, imported)
    ports = imported.graph.inputs
    rows = runner.held(random_frames([(port.width, port.tokens) for port in ports], count))
    ends = np.cumsum([port.width for port in ports])[:-1]
    named = dict(zip([port.name for port in ports], np.split(rows, ends, axis=1), strict=True))
    return imported, runner.run(rows), np.concatenate(list(evaluate(imported.graph, named).values()), axis=1)


def assert_agrees(given: onnx.ModelProto, frames: int = 9, atol: float = 2e-6, **options: Any) -> Imported:
    """Read a model and compare what the graph computes with onnxruntime, where that has an answer."""
    imported, expected, ours = answers(given, frames, **options)
    answered = ~np.isnan(expected)
    assert answered.any(axis=0).all(), "onnxruntime answers to no frame"
    np.testing.assert_allclose(ours[answered], expected[answered], atol=atol, rtol=1e-5)
    return imported


def kinds(graph: Graph) -> list[str]:
    """Return the kinds of a graph's nodes."""
    return [item.function if isinstance(item, Activation) else type(item).__name__ for item in graph.nodes]
