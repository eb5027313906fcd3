"""ONNX files to graphs: states, names, hash and metadata, options, hostile files."""

from __future__ import annotations

import hashlib
import random
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
import torch
from equal_graphs import assert_equal_graphs
from hypothesis import given, settings
from hypothesis import strategies as st
from onnx import TensorProto, helper, numpy_helper
from onnx_models import CONSTANTS, UNITS, WIDTH, B, Node, R, W, assert_agrees, floats, gru, kinds, model, node, squeeze
from torch import nn

from grulet_export.errors import Refusal, UnsupportedGraph
from grulet_export.graph import Activation, Dense, Gru
from grulet_export.onnx_reading.axes import BATCH, TIME, Axis, Tensor, reshape, shape
from grulet_export.onnx_reading.layout import StateInput
from grulet_export.onnx_reading.read import read_onnx
from grulet_export.onnx_reading.readings import Input, readings
from grulet_export.onnx_reading.sizes import FRAMES, STREAMS
from grulet_export.torch_reading.to_onnx import build_onnx

HEAD, HEAD_BIAS, H0 = CONSTANTS["head"], CONSTANTS["bias"], CONSTANTS["h0"]


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
        ["Gru", "Dense", "Affine"],
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
    imported = assert_agrees(given)
    assert kinds(imported.graph) == expected


def test_what_a_graph_holds() -> None:
    """Names, ports, order of the gates, biases apart, float32."""
    given, _ = ACCEPTED["head of every kind"]
    graph = read_onnx(given).graph
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
        (layer,) = read_onnx(given).graph.nodes
        assert isinstance(layer, Gru)
        np.testing.assert_array_equal(layer.initial_state, H0[0, 0])


def test_names_are_made_unique() -> None:
    """Nodes of one name, and a node with the name of an input."""
    chain = [node("Relu", [source], [target], name="same") for source, target in zip("xabc", "abcy", strict=True)]
    graph = read_onnx(model(chain)).graph
    assert [item.name for item in graph.nodes] == ["same", "same_2", "same_3", "same_4"]
    graph = read_onnx(model([node("Relu", ["x"], ["y"], name="x")])).graph
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
    graph = assert_agrees(onnx.load(tmp_path / "net.onnx")).graph
    ours = read_onnx(build_onnx(module).sequence).graph
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
        graph = read_onnx(source).graph
        assert graph.source_sha256 == digest
        assert_equal_graphs(graph, read_onnx(given).graph)


def with_metadata(text: str) -> onnx.ModelProto:
    """Return a good model with these metadata."""
    given = model([gru(), squeeze()])
    helper.set_model_props(given, {"author": "not ours", "grulet": text})
    return given


def test_metadata() -> None:
    """Read as written."""
    assert read_onnx(with_metadata('{"a": [1, {"b": null}]}')).graph.metadata == {"a": [1, {"b": None}]}
    assert read_onnx(model([gru(), squeeze()])).graph.metadata == {}


@pytest.mark.parametrize(
    "text", ["", "{", "[1]", "3", '{"a": NaN}', '{"a": 1e999}', '{"a": "\\ud800"}', "[" * 100000, '{"a": -Infinity}']
)
def test_metadata_that_are_no_json_object(text: str) -> None:
    """What JSON cannot give back the same everywhere is refused."""
    with pytest.raises(UnsupportedGraph, match=r"^ONNX file: the metadata under 'grulet' are "):
        read_onnx(with_metadata(text))


# Files that are wrong -------------------------------------------------------------------------------------------------


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
    with pytest.raises(UnsupportedGraph, match=r"^Concat 'c9': it makes a tensor of more than 134,217,728 elements"):
        read_onnx(given)


def test_long_chains_are_no_problem() -> None:
    """Nothing recurses over the nodes."""
    names = [f"v{level}" for level in range(20000)]
    chain = [node("Identity", [a], [b]) for a, b in zip(["x", *names], [*names, "y"], strict=True)]
    assert read_onnx(model(chain)).graph.nodes == ()


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


def with_functions(bodies: dict[str, list[Node]]) -> onnx.ModelProto:
    """Return a model that calls the first of these local functions, each from "a" to "b"."""
    given = model([node("Relu", ["x"], ["y"])])
    given.graph.node[0].CopyFrom(node(next(iter(bodies)), ["x"], ["y"], domain="local"))
    opsets = [helper.make_opsetid("", 17), helper.make_opsetid("local", 1)]
    given.functions.extend(
        helper.make_function("local", name, ["a"], ["b"], body, opsets) for name, body in bodies.items()
    )
    given.opset_import.append(helper.make_opsetid("local", 1))
    return given


def call(name: str, source: str, target: str) -> Node:
    """Return the call of a local function."""
    return node(name, [source], [target], domain="local")


def test_functions_that_never_end() -> None:
    """Functions that call themselves, or each other twice over many levels, are refused before they are inlined."""
    circle = {"even": [call("odd", "a", "b")], "odd": [call("even", "a", "b")]}
    with pytest.raises(UnsupportedGraph, match=r"calls itself|Cycle detected"):
        read_onnx(with_functions(circle))
    doubling = {f"f{level}": [call(f"f{level + 1}", "a", "m"), call(f"f{level + 1}", "m", "b")] for level in range(40)}
    with pytest.raises(UnsupportedGraph, match="its functions, written out, are more than 1,000,000 nodes"):
        read_onnx(with_functions(doubling | {"f40": [node("Relu", ["a"], ["b"])]}))


@pytest.mark.parametrize("operator", ["Expand", "Tile", "ConstantOfShape", "Add", "MatMul", "Range", "Gather", "Pad"])
def test_no_operator_makes_constants_explode(operator: str) -> None:
    """Whatever grows is measured before it is made."""
    column, row = np.ones((1 << 16, 1), np.float32), np.ones((1, 1 << 16), np.float32)
    large = 1 << 40
    nodes = {
        "Expand": node("Expand", ["one float", "shape"], ["c"]),
        "Tile": node("Tile", ["row", "times"], ["c"]),
        "ConstantOfShape": node("ConstantOfShape", ["shape"], ["c"]),
        "Add": node("Add", ["row", "column"], ["c"]),
        "MatMul": node("MatMul", ["column", "row"], ["c"]),
        "Range": node("Range", ["start", "limit", "step"], ["c"]),
        "Gather": node("Gather", ["row", "many"], ["c"], axis=0),
        "Pad": node("Pad", ["row", "pads"], ["c"]),
    }
    constants = {
        "one float": np.ones(1, np.float32),
        "row": row,
        "column": column,
        "shape": [large],
        "times": [large, 1],
        "start": 0,
        "limit": large,
        "step": 1,
        "many": np.zeros(1 << 16, np.int64),
        "pads": [0, 0, large, 0],
    }
    with pytest.raises(UnsupportedGraph, match=r"it makes a tensor of more than 134,217,728 elements"):
        read_onnx(model([nodes[operator], node("MatMul", ["x", "c"], ["y"])], constants=constants))


# Constants and states from outside ------------------------------------------------------------------------------------


def test_constants_are_bound() -> None:
    """Weights that are inputs of the file."""
    given = model([gru(), squeeze()], inputs={"W": W.shape, "R": ("gates", "units", UNITS)})
    given.graph.input[2].type.tensor_type.shape.dim[0].dim_value = 1
    imported = assert_agrees(given, constants={"W": W, "R": R})
    (layer,) = imported.graph.nodes
    assert isinstance(layer, Gru)
    np.testing.assert_array_equal(layer.recurrent_weights.reshape(R.shape), R)
    assert set(imported.layout.constants) == {"W", "R"}


@pytest.mark.parametrize(
    ("name", "array", "message"),
    [
        ("V", W, "it has no input 'V' to bind a constant to; name one of W, x"),
        ("W", W[:, :3], r"the constant for 'W' is float32 \(1, 3, 3\); give float32 \(1, 12, 3\)"),
        ("W", W.astype(np.float64), r"the constant for 'W' is float64 \(1, 12, 3\); give float32 \(1, 12, 3\)"),
    ],
)
def test_constants_that_do_not_fit(name: str, array: Any, message: str) -> None:
    """Name, shape and type are those of the input."""
    with pytest.raises(UnsupportedGraph, match=f"^ONNX file: {message}$"):
        read_onnx(model([gru(), squeeze()], inputs={"W": W.shape}), constants={name: array})


def step(**options: Any) -> onnx.ModelProto:
    """Return one frame of a leaky sum, its state from outside."""
    nodes = [
        node("Mul", ["before", "decay"], ["d"]),
        node("Add", ["d", "x"], ["after"]),
        node("MatMul", ["after", "m"], ["y"]),
    ]
    constants = {"decay": np.float32(0.5), "m": floats(WIDTH, 2)}
    given = {"inputs": {"before": (1, WIDTH)}, "outputs": ["y", "after"], "constants": constants, **options}
    return model(nodes, (1, WIDTH), **given)


def test_states_from_outside() -> None:
    """An input and an output that are one state, found by no operator, so they are named."""
    imported = assert_agrees(step(), states={"before": "after"})
    assert kinds(imported.graph) == ["StateRead", "Affine", "Binary", "Dense", "StateWrite"]
    assert imported.layout.states == {"before": StateInput((1, WIDTH), "after")}
    assert [port.name for port in imported.graph.outputs] == ["y"]


def test_a_cache_of_frames() -> None:
    """A convolution of one frame, the frames before in and out."""
    nodes = [
        node("Concat", ["cache", "x"], ["c"], axis=2),
        node("Conv", ["c", "kernel"], ["y"]),
        node("Slice", ["c", "one", "three", "two"], ["kept"]),
    ]
    constants = {"kernel": floats(4, WIDTH, 3), "three": [3]}
    given = model(nodes, (1, WIDTH, 1), inputs={"cache": (1, WIDTH, 2)}, outputs=["y", "kept"], constants=constants)
    assert_agrees(given, states={"cache": "kept"})


def test_a_cell_between_states_from_outside() -> None:
    """A GRU of one frame that starts from what another operator makes of the state."""
    nodes = [
        node("Tanh", ["h"], ["t"]),
        gru(["x", "W", "R", "B", "", "t"], ["Y", "Y_h"]),
        node("Mul", ["Y_h", "half"], ["h_out"]),
        squeeze(),
    ]
    inputs = {"h": (1, 1, UNITS)}
    constants = {"half": np.float32(0.5)}
    given = model(nodes, (1, 1, WIDTH), inputs=inputs, outputs=["y", "h_out"], constants=constants)
    imported = assert_agrees(given, states={"h": "h_out"})
    assert imported.layout.states == {"h": StateInput((1, 1, UNITS), "h_out")}


def test_states_that_need_not_be_named() -> None:
    """Those of a cell are found; naming them changes nothing."""
    nodes = [gru(["x", "W", "R", "B", "", "h"], ["Y", "Y_h"]), squeeze()]
    given = model(nodes, inputs=STATE, outputs=["y", "Y_h"])
    named, found = read_onnx(given, states={"h": "Y_h"}), read_onnx(given)
    assert_equal_graphs(named.graph, found.graph)
    assert named.layout.states == found.layout.states == {"h": StateInput((1, 1, UNITS), "Y_h")}


@pytest.mark.parametrize(
    ("given", "states", "message"),
    [
        (step(), {"behind": "after"}, "ONNX file: it has no input 'behind' to be a state; name one of before, x"),
        (step(), {"before": "z"}, "ONNX file: it has no output 'z' to be a state; name one of after, y"),
        (step(), {"before": "y"}, r"output 'y': its shape \(1, 2\) is not that of the state 'before'; pair states of"),
        (
            step(),
            {"before": "after", "x": "after"},
            "ONNX file: two states are given the same output; give each",
        ),
        (
            model(
                [node("Add", ["x", "before"], ["y"]), node("Relu", ["y"], ["after"])],
                inputs={"before": ("batch", WIDTH)},
                outputs=["y", "after"],
            ),
            {"before": "after"},
            "input 'before': it is a state, but the file takes whole sequences, not frame by frame; export the",
        ),
    ],
)
def test_states_that_do_not_fit(given: onnx.ModelProto, states: dict[str, str], message: str) -> None:
    """Names, shapes, pairs and sequences."""
    with pytest.raises(UnsupportedGraph, match=f"^{message}"):
        read_onnx(given, states=states)


@pytest.mark.parametrize(
    ("given", "note"),
    [
        (
            model([gru(["x", "W", "R", "B", "", "h"]), squeeze()], inputs=STATE),
            "The input 'h' is the state of a stream, which starts from zeros.",
        ),
        (
            model([gru(outputs=["Y", "n"]), squeeze()], outputs=["y", "n"]),
            "The output 'n' is left out: a stream keeps its state itself.",
        ),
        (
            model([gru(["x", "W", "R", "B", "lens"]), squeeze()], inputs={"lens": ("batch",)}, integers=["lens"]),
            "gru: sequence_lens is left out; a stream ends when it ends.",
        ),
        (
            model([gru(linear_before_reset=0), squeeze()], producer_name="pytorch"),
            "gru: linear_before_reset is 0, as in no GRU of torch, whose exporter wrote it so, and its numbers wrong, "
            "up to onnxscript 0.7.0; compare with the torch module.",
        ),
        (
            model([gru(["x", "W", "R"]), squeeze()], (1, 1, WIDTH)),
            "The file handles one frame, but does not give the state behind it: a stream carries it on.",
        ),
        (
            model([*layers("h", "h")], inputs=STATE),
            "Several states start from the input 'h'; a stream starts them all from zeros.",
        ),
        (
            model(
                [node("Flatten", ["x"], ["f"]), node("MatMul", ["f", "m"], ["y"])],
                (1, 5, WIDTH),
                constants={"m": floats(15, 2)},
            ),
            "The input 'x' (1, 5, 3) is one frame of 15 elements.",
        ),
        (
            model(
                [gru(), squeeze(target="s"), node("Gather", ["s", "nought"], ["y"], axis=1)], constants={"nought": 0}
            ),
            "The file answers for the first stream of its batch; so does each stream.",
        ),
    ],
)
def test_notes(given: onnx.ModelProto, note: str) -> None:
    """What the conversion decides by itself, it says."""
    if any(entry.name == "lens" for entry in given.graph.input):
        given.graph.input[1].type.tensor_type.elem_type = TensorProto.INT32
    imported = assert_agrees(given)
    assert note in imported.notes


def test_final_states_are_answers_without_others() -> None:
    """A model that returns nothing but states answers with the hidden ones."""
    given = model([gru(outputs=["", "y"])])
    imported = assert_agrees(given)
    assert imported.layout.last == {"y"}
    assert kinds(imported.graph) == ["Gru"]


# Axes -----------------------------------------------------------------------------------------------------------------


@settings(max_examples=300, deadline=None, derandomize=True, database=None)
@given(st.data())
def test_reshape_moves_nothing(data: st.DataObject) -> None:
    """Whatever `reshape` accepts, numpy does in the same way for any number of frames and streams."""
    axes: list[Axis] = data.draw(st.lists(st.sampled_from([1, 2, 3, 4]), min_size=1, max_size=3))
    for role in data.draw(st.permutations([TIME, BATCH])):
        if data.draw(st.booleans()):
            axes.insert(data.draw(st.integers(0, len(axes))), (role,))
    is_open = data.draw(st.booleans())
    sizes = {TIME: data.draw(st.integers(2, 5)), BATCH: data.draw(st.integers(2, 5))}
    extents = {TIME: FRAMES, BATCH: STREAMS} if is_open else sizes
    target: list[Any] = data.draw(
        st.lists(st.sampled_from([-1, 0, 1, 2, 3, 4, 6, extents[TIME], extents[BATCH]]), min_size=1, max_size=5)
    )
    numbers = np.arange(int(np.prod(shape(tuple(axes))))).reshape(shape(tuple(axes)))
    try:
        result = reshape(Tensor(numbers, tuple(axes)), target, False, extents)
    except Refusal:
        return

    known = [{FRAMES: sizes[TIME], STREAMS: sizes[BATCH]}.get(size, size) for size in target]
    before = spread(Tensor(numbers, tuple(axes)), sizes)
    known = [before.shape[place] if size == 0 else size for place, size in enumerate(known)]
    np.testing.assert_array_equal(before.reshape(known), spread(result, sizes))


def spread(tensor: Tensor, sizes: dict[str, int]) -> Any:
    """Return a tensor with all its frames and streams, every element another number."""
    parts = [
        ("", axis) if isinstance(axis, int) else (role, sizes[role]) for axis in tensor.axes for role in roles(axis)
    ]
    total = tensor.numbers.reshape([1 if role else size for role, size in parts])
    for place, (role, size) in enumerate(parts):
        if role:
            along = np.arange(size).reshape([size if other == place else 1 for other in range(len(parts))])
            total = total + along * {TIME: 1000, BATCH: 1000000}[role]
    return total.reshape([int(np.prod([sizes.get(role, axis) for role in roles(axis)])) for axis in tensor.axes])


def roles(axis: Axis) -> tuple[str, ...]:
    """Return the roles of an axis; that of features is empty."""
    return ("",) if isinstance(axis, int) else axis


def test_readings() -> None:
    """The usual forms first; sizes that are open or 1 leave less to try; names are of one role."""
    first = next(iter(readings([Input("x", ("b", "t", 5))])))
    assert first.axes == {"x": ((BATCH,), (TIME,), 5)}
    assert first.extents == {BATCH: STREAMS, TIME: FRAMES}
    found = [reading.axes["x"] for reading in readings([Input("x", (1, "t", 5))])]
    assert found[:2] == [(1, (TIME,), 5), (1, (BATCH,), 5)]
    assert next(iter(readings([Input("x", (1, 5))]))).axes["x"] == (1, 5)
    assert next(iter(readings([Input("x", (1, 5), tokens=True)]))).axes["x"] == (1, (TIME,))
    assert next(iter(readings([Input("x", (4, 100, 5))]))).extents == {BATCH: 4, TIME: 100}
    pairs = list(readings([Input("x", ("b", "t", 5)), Input("e", ("b", 3))]))
    assert {(reading.axes["x"][0], reading.axes["e"][0]) for reading in pairs} == {
        ((BATCH,), (BATCH,)),
        ((TIME,), (TIME,)),
    }
    assert list(readings([Input("x", ("a", "b", "c"))])) == []
    assert len(list(readings([Input(name, (5, 6, 7)) for name in "abcdef"]))) <= 64
