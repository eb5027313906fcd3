"""ONNX files to graphs: against onnxruntime, with float64 numpy in between, and what is refused."""

from __future__ import annotations

import hashlib
import random
import warnings
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime
import pytest
import torch
from graphs import assert_equal_graphs, evaluate
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper
from torch import nn

from grulet_export.errors import Refusal, UnsupportedGraph
from grulet_export.graph import Activation, Dense, Graph, Gru
from grulet_export.onnx_axes import ONE, Axis, features, reshape
from grulet_export.onnx_graph import read_onnx
from grulet_export.torch_onnx import build_onnx

WIDTH, UNITS = 3, 4
RANDOM = np.random.default_rng(7)
W, R, B = (
    RANDOM.standard_normal(shape, np.float32)
    for shape in ((1, 3 * UNITS, WIDTH), (1, 3 * UNITS, UNITS), (1, 6 * UNITS))
)
R2 = RANDOM.standard_normal((1, 3 * UNITS, UNITS), np.float32)
HEAD, HEAD_BIAS = RANDOM.standard_normal((UNITS, 2), np.float32), RANDOM.standard_normal(2, np.float32)
H0 = RANDOM.uniform(-0.9, 0.9, (1, 1, UNITS)).astype(np.float32)
CONSTANTS: dict[str, NDArray[Any]] = {
    "W": W,
    "R": R,
    "B": B,
    "R2": R2,
    "head": HEAD,
    "bias": HEAD_BIAS,
    "h0": H0,
    "zero": np.array([0]),
    "one": np.array([1]),
    "two": np.array([2]),
    "minus one": np.array([-1]),
    "zeros": np.zeros((1, 1, UNITS), np.float32),
}
TIME_FIRST = ("time", "batch", WIDTH)

Node = onnx.NodeProto
node = helper.make_node


def gru(inputs: Sequence[str] = ("x", "W", "R", "B"), outputs: Sequence[str] = ("Y",), **attributes: Any) -> Node:
    """Return the GRU of the tests; an attribute None is left out."""
    given = {"name": "gru", "hidden_size": UNITS, "linear_before_reset": 1, **attributes}
    return node("GRU", inputs, outputs, **{key: value for key, value in given.items() if value is not None})


def model(
    nodes: Sequence[Node],
    shape: Sequence[Any] | None = TIME_FIRST,
    *,
    outputs: Iterable[str] = ("y",),
    inputs: Mapping[str, Sequence[Any]] | None = None,
    constants: Mapping[str, NDArray[Any]] | None = None,
    opset: int = 17,
    **options: Any,
) -> onnx.ModelProto:
    """Return a model with the input x of this shape, further inputs, and the constants its nodes read."""
    known = {**CONSTANTS, **(constants or {})}
    read = {name for item in nodes for name in item.input}
    shapes = ({} if shape is None else {"x": shape}) | dict(inputs or {})
    graph = helper.make_graph(
        nodes,
        "test",
        [helper.make_tensor_value_info(name, TensorProto.FLOAT, list(dims)) for name, dims in shapes.items()],
        [helper.make_tensor_value_info(name, TensorProto.FLOAT, None) for name in outputs],
        [numpy_helper.from_array(array, name) for name, array in known.items() if name in read],
    )
    opsets = [helper.make_opsetid("", opset), helper.make_opsetid("com.microsoft", 1)]
    made = helper.make_model(graph, opset_imports=opsets, ir_version=8, **options)
    made = onnx.shape_inference.infer_shapes(made)
    for output in made.graph.output:
        output.type.tensor_type.shape.SetInParent()  # where nothing could be inferred, some shape must be said
    return made


def squeeze(source: str = "Y", target: str = "y") -> Node:
    """Return the node that drops the direction axis."""
    return node("Squeeze", [source, "one"], [target])


def run_onnx(given: onnx.ModelProto, feeds: Mapping[str, NDArray[Any]]) -> dict[str, NDArray[Any]]:
    """Run a model in onnxruntime."""
    session = onnxruntime.InferenceSession(given.SerializeToString(), providers=["CPUExecutionProvider"])
    return dict(zip([item.name for item in session.get_outputs()], session.run(None, dict(feeds)), strict=True))


def sized(dims: Sequence[Any], time: int) -> list[int]:
    """Return the shape of one sequence for an input with these dimensions."""
    return [{"time": time, "batch": 1}.get(size, size) for size in dims]


def assert_agrees(given: onnx.ModelProto, time: int = 7) -> Graph:
    """Read a model and compare what the graph computes with onnxruntime, for one sequence that starts from zeros."""
    graph = read_onnx(given)
    source = np.random.default_rng(0)
    feeds: dict[str, NDArray[Any]] = {}
    for entry in given.graph.input:
        shape = sized([size.dim_param or size.dim_value for size in entry.type.tensor_type.shape.dim], time)
        is_port = entry.name in [port.name for port in graph.inputs]
        feeds[entry.name] = source.standard_normal(shape, np.float32) if is_port else np.zeros(shape, np.float32)
    frames = {port.name: feeds[port.name].reshape(-1, port.width) for port in graph.inputs}
    expected = run_onnx(given, feeds)
    for name, answer in evaluate(graph, frames).items():
        np.testing.assert_allclose(answer, expected[name].reshape(answer.shape), atol=2e-6)
    return graph


def kinds(graph: Graph) -> list[str]:
    """Return the kinds of a graph's nodes."""
    return [item.function if isinstance(item, Activation) else type(item).__name__ for item in graph.nodes]


def layers(first: str = "", second: str = "") -> list[Node]:
    """Return two GRUs on top of each other, with these initial states."""
    return [
        gru(["x", "W", "R", "B", "", first], ["Y1", "Y_h1"], name="one"),
        squeeze("Y1", "y1"),
        gru(["y1", "R2", "R", "B", "", second], ["Y2", "Y_h2"], name="two"),
        squeeze("Y2", "y"),
    ]


STATE = {"h": (1, "batch", UNITS)}
TWO_STATES = {"h": (2, "batch", UNITS)}

#: Graphs as they are found in the world, with the kinds of nodes they mean.
ACCEPTED: dict[str, tuple[onnx.ModelProto, list[str]]] = {
    "plain": (model([gru(), squeeze()]), ["Gru"]),
    "no bias": (model([gru(["x", "W", "R"]), squeeze()]), ["Gru"]),
    "all options said": (
        model([gru(direction="forward", layout=0, activations=["sigmoid", "Tanh"]), squeeze()]),
        ["Gru"],
    ),
    "zeros given": (model([gru(["x", "W", "R", "B", "", "zeros"]), squeeze()]), ["Gru"]),
    "state given": (model([gru(["x", "W", "R", "B", "", "h0"]), squeeze()]), ["Gru"]),
    "state expanded": (
        model(
            [
                node("Shape", ["x"], ["s"]),
                node("Slice", ["s", "one", "two"], ["batch"]),
                node("Concat", ["one", "batch", "units"], ["hs"], axis=0),
                node("Expand", ["h0", "hs"], ["h"]),
                node("Identity", ["h"], ["i"]),
                gru(["x", "W", "R", "B", "", "i"]),
                squeeze(),
            ],
            constants={"units": np.array([UNITS])},
        ),
        ["Gru"],
    ),
    "state in and out": (
        model([gru(["x", "W", "R", "B", "", "h"], ["Y", "Y_h"]), squeeze()], inputs=STATE, outputs=["y", "Y_h"]),
        ["Gru"],
    ),
    "state of two axes": (
        model(
            [
                node("Unsqueeze", ["h", "zero"], ["h3"]),
                gru(["x", "W", "R", "B", "", "h3"], ["Y", "Y_h"]),
                node("Squeeze", ["Y_h", "zero"], ["h_n"]),
                squeeze(),
            ],
            inputs={"h": ("batch", UNITS)},
            outputs=["h_n", "y"],
        ),
        ["Gru"],
    ),
    "stacked states": (
        model(
            [
                node("Slice", ["h", "zero", "one", "zero"], ["h1"]),
                node("Slice", ["h", "minus one", "two", "zero"], ["h2"]),
                *layers("h1", "h2"),
                node("Concat", ["Y_h1", "Y_h2"], ["h_n"], axis=0),
            ],
            inputs=TWO_STATES,
            outputs=["y", "h_n"],
        ),
        ["Gru", "Gru"],
    ),
    "zeros of the batch's size (torch, first exporter)": (
        model(
            [
                node("Shape", ["x"], ["s"]),
                node("Gather", ["s", "batch axis"], ["batch"], axis=0),
                node("Unsqueeze", ["batch", "zero"], ["b"]),
                node("Concat", ["two", "b", "units"], ["hs"], axis=0),
                node("ConstantOfShape", ["hs"], ["h"], value=numpy_helper.from_array(np.zeros(1, np.float32))),
                node("Slice", ["h", "zero", "one", "zero"], ["h1"]),
                node("Slice", ["h", "one", "two", "zero"], ["h2"]),
                *layers("h1", "h2"),
            ],
            constants={"batch axis": np.array(1), "units": np.array([UNITS])},
        ),
        ["Gru", "Gru"],
    ),
    "batch first": (
        model(
            [
                node("Transpose", ["x"], ["t"], perm=[1, 0, 2]),
                gru(["t", "W", "R", "B"]),
                squeeze(target="s"),
                node("Transpose", ["s"], ["y"], perm=[1, 0, 2]),
            ],
            ("batch", "time", WIDTH),
        ),
        ["Gru"],
    ),
    "reshaped output (torch, second exporter)": (
        model(
            [
                gru(),
                node("Transpose", ["Y"], ["t"], perm=[0, 2, 1, 3]),
                node("Reshape", ["t", "shape"], ["y"], allowzero=0),
            ],
            constants={"shape": np.array([0, 0, -1])},
        ),
        ["Gru"],
    ),
    "one sequence without a batch": (
        model(
            [
                node("Unsqueeze", ["x", "one"], ["u"]),
                gru(["u", "W", "R", "B"]),
                node("Squeeze", ["Y", "axes"], ["s"]),
                node("Gemm", ["s", "head", "bias"], ["y"], alpha=0.5, beta=2.0),
            ],
            ("time", WIDTH),
            constants={"axes": np.array([1, 2])},
        ),
        ["Gru", "Dense"],
    ),
    "old operator sets": (
        model(
            [
                node("Unsqueeze", ["x"], ["u"], axes=[1]),
                gru(["u", "W", "R", "B"]),
                node("Squeeze", ["Y"], ["s"], axes=[1, 2]),
                node("Gemm", ["s", "headT"], ["g"], transB=1),
                node("Softmax", ["g"], ["p"]),
                node("Dropout", ["p"], ["y"], ratio=0.5),
            ],
            ("time", WIDTH),
            opset=11,
            constants={"headT": np.ascontiguousarray(HEAD.T)},
        ),
        ["Gru", "Dense", "softmax"],
    ),
    "one frame that uses its last state": (
        model(
            [
                gru(["x", "W", "R", "B", "", "h"], ["", "Y_h"]),
                node("Squeeze", ["Y_h", "zero"], ["s"]),
                node("MatMul", ["s", "head"], ["y"]),
            ],
            (1, "batch", WIDTH),
            inputs=STATE,
            outputs=["y", "Y_h"],
        ),
        ["Gru", "Dense"],
    ),
    "head of every kind": (
        model(
            [
                gru(),
                squeeze(target="s"),
                node("MatMul", ["s", "head"], ["m"], name="head"),
                node("Add", ["bias", "m"], ["a"], name="add"),
                node("LeakyRelu", ["a"], ["l"], alpha=0.3, name="leaky"),
                node("Identity", ["l"], ["i"]),
                node("Dropout", ["i"], ["d", "mask"]),
                node("Cast", ["d"], ["c"], to=TensorProto.FLOAT),
                node("Relu", ["c"], ["r"]),
                node("Tanh", ["r"], ["t"]),
                node("Sigmoid", ["t"], ["g"]),
                node("Softmax", ["g"], ["y"], axis=-1),
            ]
        ),
        ["Gru", "Dense", "leaky_relu", "relu", "tanh", "sigmoid", "softmax"],
    ),
    "bias beside the product itself": (
        model(
            [
                gru(),
                squeeze(target="s"),
                node("MatMul", ["s", "head"], ["m"], name="head"),
                node("Add", ["m", "bias"], ["y"], name="add"),
            ],
            outputs=["m", "y"],
        ),
        ["Gru", "Dense", "Dense"],
    ),
    "weights that are computed": (
        model(
            [
                node("Constant", [], ["wz"], value=numpy_helper.from_array(W[0, :UNITS])),
                node("Constant", [], ["wrest"], value=numpy_helper.from_array(W[0, UNITS:])),
                node("Concat", ["wz", "wrest"], ["wall"], axis=0),
                node("Unsqueeze", ["wall", "zero"], ["w3"]),
                node("Slice", ["R2", "zero", "one", "zero"], ["r"]),
                node("Cast", ["B64"], ["b"], to=TensorProto.FLOAT),
                gru(["x", "w3", "r", "b"]),
                squeeze(target="s"),
                node("Transpose", ["headT"], ["h"], perm=[1, 0]),
                node("MatMul", ["s", "h"], ["y"]),
            ],
            constants={"B64": B.astype(np.float64), "headT": np.ascontiguousarray(HEAD.T)},
        ),
        ["Gru", "Dense"],
    ),
    "dead nodes and unread inputs": (
        model(
            [
                gru(outputs=["Y", "Y_h"]),
                node("RNN", ["x", "Wrnn", "Rrnn"], ["", "c"], hidden_size=UNITS),
                node("Relu", ["c"], ["dead"]),
                squeeze(),
            ],
            inputs={"unread": (1, 2)},
            constants={"Wrnn": W[:, :UNITS], "Rrnn": R[:, :UNITS]},
        ),
        ["Gru"],
    ),
    "two inputs": (
        model(
            [
                gru(),
                squeeze(target="s"),
                node("MatMul", ["s", "head"], ["y"]),
                node("Relu", ["loud"], ["z"]),
            ],
            inputs={"loud": ("batch", "time", 5)},
            outputs=["y", "z"],
        ),
        ["Gru", "Dense", "relu"],
    ),
    "no GRU": (model([node("MatMul", ["x", "m"], ["y"])], constants={"m": HEAD[:WIDTH]}), ["Dense"]),
    "nothing but moving": (model([node("Transpose", ["x"], ["y"], perm=[1, 0, 2])]), []),
}


@pytest.mark.parametrize("name", ACCEPTED)
def test_accepted(name: str) -> None:
    """onnxruntime and the graph, in float64 numpy, give the same answers."""
    given, expected = ACCEPTED[name]
    onnx.checker.check_model(given)
    graph = assert_agrees(given, time=1 if "one frame" in name else 7)
    assert kinds(graph) == expected


def test_what_a_graph_holds() -> None:
    """Names, ports, order of the gates, biases apart, float32."""
    given, _ = ACCEPTED["head of every kind"]
    graph = read_onnx(given)
    assert [item.name for item in graph.nodes][:3] == ["gru", "head", "leaky"]
    # Nodes without a name have that of their output; values have those of their makers.
    assert [item.name for item in graph.nodes][3:] == ["r", "t", "g", "y"]
    assert [item.output for item in graph.nodes] == [item.name for item in graph.nodes]
    assert [(port.name, port.value, port.width) for port in graph.inputs] == [("x", "x", WIDTH)]
    assert [(port.name, port.value, port.width) for port in graph.outputs] == [("y", "y", 2)]
    layer, dense, leaky = graph.nodes[:3]
    assert isinstance(layer, Gru)
    np.testing.assert_array_equal(layer.input_weights.reshape(1, -1, WIDTH), W)
    np.testing.assert_array_equal(layer.recurrent_weights.reshape(1, -1, UNITS), R)
    np.testing.assert_array_equal(np.concatenate((layer.input_bias, layer.recurrent_bias)).reshape(1, -1), B)
    assert not layer.initial_state.any()
    assert isinstance(dense, Dense)
    np.testing.assert_array_equal(dense.weights, HEAD.T)
    np.testing.assert_array_equal(dense.bias, HEAD_BIAS)
    assert isinstance(leaky, Activation)
    assert leaky.alpha == np.float32(0.3)
    for item in graph.nodes:
        for value in vars(item).values():
            assert not isinstance(value, np.ndarray) or (value.dtype == np.float32 and value.flags.c_contiguous)


def test_initial_state_of_a_constant() -> None:
    """A constant initial state stays, also when it is given for a batch."""
    for h0 in (H0, np.repeat(H0, 3, axis=1)):
        given = model([gru(["x", "W", "R", "B", "", "h"]), squeeze()], constants={"h": h0})
        (layer,) = read_onnx(given).nodes
        assert isinstance(layer, Gru)
        np.testing.assert_array_equal(layer.initial_state, H0[0, 0])


def test_names_are_made_unique() -> None:
    """Nodes of one name, and a node with the name of an input."""
    chain = [node("Relu", [source], [target], name="same") for source, target in zip("xabc", "abcy", strict=True)]
    graph = read_onnx(model(chain))
    assert [item.name for item in graph.nodes] == ["same", "same_2", "same_3", "same_4"]
    graph = read_onnx(model([node("Relu", ["x"], ["y"], name="x")]))
    assert [item.name for item in graph.nodes] == ["x"]
    assert [item.output for item in graph.nodes] == ["x_2"]


# torch's own exporter, where it is right ------------------------------------------------------------------------------


class Net(nn.Module):
    """Two layers and a head, as torch users write them."""

    def __init__(self, bias: bool) -> None:
        super().__init__()
        self.gru = nn.GRU(WIDTH, UNITS, num_layers=2, batch_first=True, bias=bias)
        self.head = nn.Linear(UNITS, 2, bias=bias)

    def forward(self, x: torch.Tensor, h: torch.Tensor | None = None) -> tuple[torch.Tensor, torch.Tensor]:
        y, h = self.gru(x, h)
        return torch.sigmoid(self.head(y)), h


@pytest.mark.parametrize("fold", [True, False])
@pytest.mark.parametrize("bias", [True, False])
@pytest.mark.parametrize("state", [True, False])
def test_torch_exporter(fold: bool, bias: bool, state: bool, tmp_path: Path) -> None:
    """Files of torch's exporter, folded or not, mean what our own mean."""
    torch.manual_seed(0)
    module = Net(bias).eval()
    arguments = (torch.zeros(1, 7, WIDTH), *([torch.zeros(2, 1, UNITS)] if state else []))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # it warns of its own age
        torch.onnx.export(
            module,
            arguments,
            tmp_path / "net.onnx",
            dynamo=False,
            do_constant_folding=fold,
            input_names=["x", "h"][: len(arguments)],
            output_names=["y", "h_n"],
            dynamic_axes={"x": {0: "batch", 1: "time"}},
        )
    graph = assert_agrees(onnx.load(tmp_path / "net.onnx"))
    ours = read_onnx(build_onnx(module).sequence)
    assert kinds(graph) == kinds(ours) == ["Gru", "Gru", "Dense", "sigmoid"]
    for theirs, our in zip(graph.nodes, ours.nodes, strict=True):
        for name in ("input_weights", "recurrent_weights", "input_bias", "recurrent_bias", "weights", "bias"):
            np.testing.assert_array_equal(getattr(theirs, name, None), getattr(our, name, None))


# Hash, forms, metadata ------------------------------------------------------------------------------------------------


def test_every_way_to_give_a_model_gives_the_same_graph(tmp_path: Path) -> None:
    """The hash is that of the file's bytes, whichever way they come."""
    given = build_onnx(nn.GRU(2, 3), metadata={"a": 1}).sequence
    path = tmp_path / "net.onnx"
    onnx.save(given, path)
    data = path.read_bytes()
    digest = hashlib.sha256(data).hexdigest()
    for source in (given, data, bytearray(data), memoryview(data), path, str(path), onnx.load(path)):
        graph = read_onnx(source)
        assert graph.source_sha256 == digest
        assert_equal_graphs(graph, read_onnx(given))


def with_metadata(text: str) -> onnx.ModelProto:
    """Return a good model with these metadata."""
    given = model([gru(), squeeze()])
    helper.set_model_props(given, {"author": "not ours", "grulet": text})
    return given


def test_metadata() -> None:
    """Read as written."""
    assert read_onnx(with_metadata('{"a": [1, {"b": null}]}')).metadata == {"a": [1, {"b": None}]}
    assert read_onnx(model([gru(), squeeze()])).metadata == {}


@pytest.mark.parametrize(
    "text", ["", "{", "[1]", "3", '{"a": NaN}', '{"a": 1e999}', '{"a": "\\ud800"}', "[" * 100000, '{"a": -Infinity}']
)
def test_metadata_that_are_no_json_object(text: str) -> None:
    """What JSON cannot give back the same everywhere is refused."""
    with pytest.raises(UnsupportedGraph, match=r"^ONNX file: the metadata under 'grulet' are "):
        read_onnx(with_metadata(text))


# What is refused ------------------------------------------------------------------------------------------------------


def headed(*nodes: Node, **options: Any) -> onnx.ModelProto:
    """Return a model of a GRU and these nodes from its output "s", (time, batch, units), to "y"."""
    return model([gru(), squeeze(target="s"), *nodes], **options)


NOT_FINITE = W.copy()
NOT_FINITE[0, 0, 0] = np.inf
BOTH_WAYS = {"W": np.repeat(W, 2, 0), "R": np.repeat(R, 2, 0), "B": np.repeat(B, 2, 0)}

REFUSED: list[tuple[onnx.ModelProto, str]] = [
    (model([gru(linear_before_reset=0), squeeze()]), "^GRU 'gru': linear_before_reset is 0: the reset gate .*Keras"),
    (model([gru(linear_before_reset=None), squeeze()]), r"^GRU 'gru': linear_before_reset is 0.*reset_after=True\)$"),
    (
        model([gru(linear_before_reset=None), squeeze()], producer_name="pytorch"),
        "torch's exporter wrote it so, and its numbers wrong, up to onnxscript 0.7.0; export the torch",
    ),
    (model([gru(direction="reverse"), squeeze()]), "^GRU 'gru': its direction is reverse, .*train a forward GRU"),
    (model([gru(direction="bidirectional"), squeeze()], constants=BOTH_WAYS), "its direction is bidirectional"),
    (model([gru(clip=3.0), squeeze()]), "^GRU 'gru': it clips its gates"),
    (model([gru(activations=["Sigmoid", "Relu"]), squeeze()]), "^GRU 'gru': its activations are sigmoid, relu; use th"),
    (model([gru(layout=1), squeeze()]), r"^GRU 'gru': its layout is 1 \(batch first\); use layout 0"),
    (
        model(
            [gru(["x", "W", "R", "B", "lens"]), squeeze()], (7, 1, WIDTH), constants={"lens": np.array([7], np.int32)}
        ),
        "^GRU 'gru': it takes sequence_lens; leave it out",
    ),
    (model([gru(hidden_size=5), squeeze()]), "its hidden_size is not 4, the size of R"),
    (model([gru(["x", "R", "R"]), squeeze()]), r"the shape of its W is \(1, 12, 4\) where \(1, 12, 3\) is needed"),
    (model([gru(["x", "W", "R", "bias"]), squeeze()]), r"the shape of its B is \(2,\) where \(1, 24\)"),
    (
        model([gru(["x", "W", "scalar"]), squeeze()], constants={"scalar": np.float32(1) * np.ones(())}),
        "its R 'scalar'",
    ),
    (
        model([gru(["x", "W", "w", "B"]), squeeze()], inputs={"w": R.shape}),
        "its R is not a constant of the file; store",
    ),
    (
        model([gru(), squeeze()], constants={"R": R.astype(np.float64)}),
        "its R 'R' is float64; convert the model to flo",
    ),
    (model([gru(), squeeze()], constants={"W": NOT_FINITE}), "its W 'W' holds NaN or infinity"),
    (model([gru(), squeeze()], ("time", "batch", "width")), "^input 'x': the size of its last axis, .* is not fixed"),
    (model([gru(["x", "W", "R"]), squeeze()], ("batch", WIDTH)), "^GRU 'gru': its input has 2 axes"),
    (model([node("Relu", ["x"], ["y"])], (1, 2, 3, 4)), "^input 'x': it has 4 axes; a frame program reads"),
    (model([node("Relu", ["x"], ["y"])], ()), "^input 'x': it has 0 axes"),
    # The state.
    (
        model([gru(["x", "W", "R", "B", "", "h"]), squeeze()], inputs=STATE),
        r"^GRU 'gru': it starts from the input 'h\[0\]', but its final state \(Y_h\) is no output.*return Y_h, or drop",
    ),
    (model([gru(outputs=["", "y"])]), "^ONNX graph: it gives no answer per frame, only final states; return Y"),
    (
        model([gru(outputs=["", "Y_h"]), node("Relu", ["x"], ["y"])], outputs=["y", "Y_h"]),
        r"^GRU 'gru': its final state \(Y_h\) is an output, but no answer per frame depends on it",
    ),
    (
        model([gru(outputs=["", "Y_h"]), node("MatMul", ["Y_h", "head"], ["y"])]),
        r"^MatMul 'y': it uses the final state \(Y_h\), which a stream has only after its last frame; feed it Y",
    ),
    (
        model([node("Relu", ["h"], ["r"]), gru(["x", "W", "R", "B", "", "r"]), squeeze()], inputs=STATE),
        "^GRU 'gru': its initial_h is computed by the graph",
    ),
    (
        model([*layers("h", "h"), node("Concat", ["Y_h1", "Y_h2"], ["hn"], axis=0)], inputs=STATE, outputs=["y", "hn"]),
        r"^GRU 'two': another GRU starts from 'h\[0\]' too",
    ),
    (
        model([gru(["x", "W", "R", "B", "", "h"], ["Y", "n"]), squeeze()], inputs=TWO_STATES, outputs=["y", "n"]),
        "^GRU 'gru': its initial_h is not",
    ),
    (
        model(
            [gru(["x", "W", "R", "B", "", "h"]), squeeze()], constants={"h": np.array([[[0.0] * 4, [1.0] * 4]], "f4")}
        ),
        "its initial_h is not one state of .*, equal over the batch",
    ),
    (
        model(
            [gru(["x", "W", "R", "B", "", "h"], ["Y", "n"]), squeeze(), node("Relu", ["h"], ["z"])],
            inputs=STATE,
            outputs=["y", "n", "z"],
        ),
        "^Relu 'z': it reads an initial state as if it were frames",
    ),
    # Axes.
    (
        headed(node("Transpose", ["s"], ["y"], name="t", perm=[0, 2, 1])),
        "^Transpose 't': perm .* moves the feature axis",
    ),
    (headed(node("Transpose", ["s"], ["y"])), "moves the feature axis; keep the features of a frame on the last axis"),
    (
        model([gru(), node("Squeeze", ["Y", "two"], ["y"], name="wrong")]),
        r"^Squeeze 'wrong': axis 2 \(axis 1 of 'x'\) is not known to be of size 1; squeeze the direction axis",
    ),
    (model([gru(), node("Squeeze", ["Y"], ["y"])]), "it names no axes, so what it removes depends on the sizes at run"),
    (
        model([node("Squeeze", ["x", "minus one"], ["y"])], ("time", 1)),
        "^Squeeze 'y': axis 1 is the feature axis",
    ),
    (headed(node("Unsqueeze", ["s", "minus one"], ["y"])), "^Unsqueeze 'y': it adds an axis behind the features"),
    (
        headed(node("Reshape", ["s", "to"], ["y"]), constants={"to": np.array([-1, UNITS])}),
        r"^Reshape 'y': shape \[-1, 4\] merges, splits or moves axes",
    ),
    (
        model(
            [
                gru(["x", "W", "R", "B"], name="first"),
                squeeze(target="s"),
                node("Transpose", ["s"], ["t"], perm=[1, 0, 2]),
                gru(["t", "R2", "R", "B"], ["Z"], name="second"),
                squeeze("Z"),
            ]
        ),
        "^GRU 'second': it takes axis 1 of 'x' as time, which elsewhere is batch; transpose between",
    ),
    (headed(node("Softmax", ["s"], ["y"], axis=1)), "^Softmax 'y': its axis 1 is not the feature axis; use axis -1"),
    (model([node("Softmax", ["x"], ["y"])], opset=12), "^Softmax 'y': its axis 1 is not the feature axis"),
    (
        model([node("Expand", ["x", "to"], ["y"])], ("time", 1), constants={"to": np.array([3])}),
        "^Expand 'y': it repeats",
    ),
    (
        model(
            [
                node("Expand", ["h2", "to"], ["e"]),
                node("Slice", ["e", "zero", "one", "zero"], ["h"]),
                gru(["x", "W", "R", "B", "", "h"]),
                squeeze(),
            ],
            constants={"h2": np.concatenate([H0, -H0]), "to": np.array([1])},
        ),
        "^Slice 'h': it moves the axes of a constant that is repeated",
    ),
    # Operators.
    (headed(node("Gather", ["s", "minus one"], ["y"], axis=0)), "^Gather 'y': it takes some frames or some features"),
    (headed(node("Slice", ["s", "minus one", "two", "zero"], ["y"])), "^Slice 'y': it takes some frames"),
    (headed(node("Add", ["s", "s"], ["y"])), "^Add 'y': it adds two tensors that are both computed; skip connections"),
    (headed(node("Add", ["s", "h0"], ["y"])), "^Add 'y': it adds a constant to something else than a plain MatMul"),
    (headed(node("Mul", ["s", "h0"], ["y"])), "^Mul 'y': it is not an operator of a frame program; grulet runs GRU"),
    (headed(node("Concat", ["s", "s"], ["y"], axis=2)), "^Concat 'y': it joins tensors that are computed"),
    (headed(node("MatMul", ["R", "s"], ["y"])), "^MatMul 'y': it has its weights on the left, so it mixes frames"),
    (headed(node("MatMul", ["s", "R2"], ["y"])), "^MatMul 'y': its weights have 3 axes"),
    (headed(node("MatMul", ["s", "m"], ["y"]), constants={"m": HEAD.T.copy()}), "its weights take 2 features of 4"),
    (
        headed(
            node("MatMul", ["s", "head"], ["m"]),
            node("Add", ["m", "b"], ["y"]),
            constants={"b": np.ones((7, 1, 2), "f4")},
        ),
        r"^Add 'y': the shape of its bias is \(7, 1, 2\), not \(2,\); use one bias",
    ),
    (
        model([node("Gemm", ["x", "m"], ["y"], transA=1)], ("time", WIDTH), constants={"m": HEAD}),
        r"^Gemm 'y': it transposes its input \(transA\), so it mixes frames",
    ),
    (
        headed(node("Dropout", ["s", "", "train"], ["y"]), constants={"train": np.array(True)}),
        "^Dropout 'y': it is in training mode",
    ),
    (headed(node("Cast", ["s"], ["y"], to=TensorProto.FLOAT16)), "^Cast 'y': it converts frames from float32"),
    (model([node("LSTM", ["x", "W", "R"], ["Y"]), squeeze()]), "^LSTM 'Y': only GRU layers are supported"),
    (
        model([node("Gelu", ["x"], ["y"], domain="com.microsoft")]),
        "^Gelu 'y': it is of the operator domain 'com.micros",
    ),
    (model([node("Identity", ["h0"], ["y"])]), "^output 'y': it does not depend on any frame"),
    (model([node("Relu", ["h0"], ["y"])]), "^Relu 'y': its input is a constant, not one vector per frame"),
    (model([gru(), node("Squeeze", ["Y", "one"], ["y"])], opset=6), "^ONNX file: "),
]


@pytest.mark.parametrize(("given", "message"), REFUSED)
def test_refused(given: onnx.ModelProto, message: str) -> None:
    """One line that names the node, the operator, the reason and what would work."""
    with pytest.raises(UnsupportedGraph, match=f"(?s){message}") as caught:
        read_onnx(given)
    assert "\n" not in str(caught.value)


def test_refused_unless_float32() -> None:
    """Inputs of another type are refused."""
    given = model([node("Relu", ["x"], ["y"])])
    given.graph.input[0].type.tensor_type.elem_type = TensorProto.DOUBLE
    with pytest.raises(UnsupportedGraph, match=r"^input 'x': it is no float32 tensor"):
        read_onnx(given)


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"", "^ONNX file: the file is empty; give the path of a binary .onnx file$"),
        (b"hello, this is a text file\n", "^ONNX file: this is no ONNX file"),
        (b'{"irVersion": "8"}', "^ONNX file: this is no ONNX file"),
        (b"\x00" * 64, "^ONNX file: this is no ONNX file"),
        (b"PK\x03\x04" + bytes(60), "^ONNX file: this is no ONNX file"),
        (b"\x08\x08", "^ONNX file: this is no ONNX file"),
    ],
)
def test_refused_bytes(data: bytes, message: str, tmp_path: Path) -> None:
    """Other files, as bytes and by path."""
    (tmp_path / "net.onnx").write_bytes(data)
    for source in (data, tmp_path / "net.onnx"):
        with pytest.raises(UnsupportedGraph, match=message):
            read_onnx(source)


def test_missing_file(tmp_path: Path) -> None:
    """A path that cannot be read is the system's error, not ours."""
    with pytest.raises(FileNotFoundError):
        read_onnx(tmp_path / "no.onnx")


def broken(change: Callable[[onnx.ModelProto], Any]) -> onnx.ModelProto:
    """Return a good model, changed."""
    given = model([gru(), squeeze()])
    change(given)
    return given


@pytest.mark.parametrize(
    ("given", "message"),
    [
        (broken(lambda given: given.graph.ClearField("output")), "it has no outputs|not valid ONNX"),
        (broken(lambda given: given.graph.node.reverse()), "it is not valid ONNX .*topologically sorted"),
        (broken(lambda given: given.graph.initializer.pop()), "it is not valid ONNX"),
        (broken(lambda given: setattr(given, "ir_version", 999)), "it is not valid ONNX"),
        (broken(lambda given: setattr(given.opset_import[0], "version", 999)), "not valid ONNX|operator set 999"),
        (broken(lambda given: setattr(given.opset_import[0], "version", 5)), "operator set 5|not valid ONNX"),
        (
            broken(lambda given: given.graph.node[0].attribute.append(helper.make_attribute("warp", 1))),
            "not valid ONNX",
        ),
        (broken(lambda given: given.graph.initializer[0].dims.append(1 << 40)), "not valid ONNX|damaged"),
        (broken(lambda given: given.graph.initializer[0].ClearField("raw_data")), "not valid ONNX|damaged"),
        (
            broken(lambda given: given.functions.append(helper.make_function("", "GRU", ["x"], ["x"], [], []))),
            "not valid ONNX|another meaning",
        ),
    ],
)
def test_refused_files_that_are_broken(given: onnx.ModelProto, message: str) -> None:
    """Files that are ONNX, but wrong."""
    with pytest.raises(UnsupportedGraph, match=f"(?s){message}"):
        read_onnx(given)
    with pytest.raises(UnsupportedGraph, match=f"(?s){message}"):
        read_onnx(given.SerializeToString())


def test_refused_external_data_without_opening_it(tmp_path: Path) -> None:
    """Weights in another file, in initializers and hidden in a node."""
    given = model([gru(), squeeze()])
    onnx.save(given, tmp_path / "net.onnx", save_as_external_data=True, size_threshold=0, location="weights.bin")
    message = r"the weights '\w+' are in another file \(external data\); save the model in one file"
    with pytest.raises(UnsupportedGraph, match=message):
        read_onnx(tmp_path / "net.onnx")
    # A tensor inside a node, too.
    hidden = model(
        [
            node("Constant", [], ["c"], value=onnx.load(tmp_path / "net.onnx").graph.initializer[0]),
            node("Relu", ["x"], ["y"]),
        ]
    )
    tensor = hidden.graph.node[0].attribute[0].t
    tensor.ClearField("raw_data")
    tensor.data_location = TensorProto.EXTERNAL
    tensor.external_data.add(key="location", value="/etc/passwd")
    with pytest.raises(UnsupportedGraph, match=r"external data"):
        read_onnx(hidden)


def test_constants_cannot_be_made_to_explode() -> None:
    """A small file that asks for terabytes is refused before they are made."""
    doubled = [node("Concat", [f"c{level}"] * 4, [f"c{level + 1}"], axis=0) for level in range(20)]
    given = model([*doubled, node("MatMul", ["x", "c20"], ["y"])], constants={"c0": np.ones((1 << 10, 1), np.float32)})
    with pytest.raises(UnsupportedGraph, match=r"^Concat 'c9': it makes a constant of more than 512 MB"):
        read_onnx(given)


def test_long_chains_are_no_problem() -> None:
    """Nothing recurses over the nodes."""
    names = [f"v{level}" for level in range(20000)]
    chain = [node("Identity", [a], [b]) for a, b in zip(["x", *names], [*names, "y"], strict=True)]
    assert read_onnx(model(chain)).nodes == ()


@settings(max_examples=200, deadline=None)
@given(st.integers(0, 2**32))
def test_damaged_bytes_never_end_in_another_error(seed: int) -> None:
    """A damaged file is read or refused in one line, never a traceback."""
    source = random.Random(seed)
    data = bytearray(source.choice(list(ACCEPTED.values()))[0].SerializeToString())
    for _ in range(source.choice([1, 1, 2, 5])):
        place = source.randrange(len(data))
        match source.randrange(3):
            case 0:
                data[place] = source.randrange(256)
            case 1:
                del data[place : place + source.randrange(1, 9)]
            case 2:
                data[place:place] = source.randbytes(source.randrange(1, 5))
    line = ""
    try:
        read_onnx(bytes(data))
    except UnsupportedGraph as error:
        line = str(error)
    assert "\n" not in line


# Axes -----------------------------------------------------------------------------------------------------------------


@settings(max_examples=300, deadline=None)
@given(st.data())
def test_reshape_is_accepted_only_where_it_moves_nothing(data: st.DataObject) -> None:
    """Whatever `reshape` accepts, numpy must do in the same way for axes of every size."""
    sizes = data.draw(st.lists(st.sampled_from([1, 2, 3]), min_size=1, max_size=4))
    known = [size == 1 or data.draw(st.booleans()) for size in sizes]
    width = data.draw(st.sampled_from([1, 2, 3]))
    axes = [
        ONE if size == 1 else Axis(f"axis {place}", size if is_known else None)
        for place, (size, is_known) in enumerate(zip(sizes, known, strict=True))
    ]
    shape = data.draw(st.lists(st.sampled_from([-1, 0, 1, 2, 3]), min_size=1, max_size=5))
    try:
        result = reshape((*axes, features(width)), shape, allow_zero=False)
    except Refusal:
        return
    # At run time an axis of unknown size may have any size.
    actual = [size if is_known else data.draw(st.integers(2, 5)) for size, is_known in zip(sizes, known, strict=True)]
    by_label = {axis.label: size for axis, size in zip(axes, actual, strict=True) if axis is not ONE}
    meant = [1 if axis is ONE else by_label[axis.label] for axis in result[:-1]] + [width]
    full = [*actual, width]
    target = [full[place] if number == 0 else number for place, number in enumerate(shape)]
    array = np.arange(np.prod(full)).reshape(full)
    assert array.reshape(target).shape == tuple(meant)
    assert [axis for axis in result if axis is not ONE] == [
        axis for axis in (*axes, features(width)) if axis is not ONE
    ]
