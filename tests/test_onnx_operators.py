"""Operators around the cells, by family, in the forms that operator sets from 7 on have: against onnxruntime."""

from __future__ import annotations

from typing import Any

import numpy as np
import onnx
import pytest
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper
from onnx_models import (
    BATCH_FIRST,
    CHANNELS_FIRST,
    TIME_FIRST,
    UNITS,
    WIDTH,
    Node,
    assert_agrees,
    floats,
    gru,
    kinds,
    model,
    node,
    squeeze,
)

from grulet_export.errors import UnsupportedGraph
from grulet_export.graph import Affine, Dense, LayerNorm, Select
from grulet_export.onnx_reading.read import read_onnx

OPSETS = (7, 11, 13, 17, 21)
END = np.iinfo(np.int64).max


def scalar(number: float) -> NDArray[np.float32]:
    """Return a float32 constant without axes."""
    return np.asarray(number, np.float32)


def on_frames(*nodes: Node, **options: Any) -> onnx.ModelProto:
    """Return a model of these nodes from the frames "x", (batch, time, features), to "y"."""
    return model(list(nodes), BATCH_FIRST, **options)


def agree(given: onnx.ModelProto, *expected: str, **options: Any) -> None:
    """Compare with onnxruntime, and the kinds of nodes with those expected, if any are."""
    imported = assert_agrees(given, **options)
    assert not expected or kinds(imported.graph) == list(expected)


# Functions ------------------------------------------------------------------------------------------------------------

#: Attributes, and the operator set that has the operator.
FUNCTIONS: dict[str, tuple[dict[str, Any], int]] = {
    "Abs": ({}, 7),
    "Celu": ({}, 12),
    "Elu": ({"alpha": 0.7}, 7),
    "Exp": ({}, 7),
    "HardSigmoid": ({"alpha": 0.3, "beta": 0.4}, 7),
    "HardSwish": ({}, 14),
    "LeakyRelu": ({"alpha": 0.2}, 7),
    "LogSoftmax": ({"axis": 2}, 7),
    "Mish": ({}, 18),
    "Neg": ({}, 7),
    "Relu": ({}, 7),
    "Selu": ({"alpha": 1.5, "gamma": 1.1}, 7),
    "Sigmoid": ({}, 7),
    "Softmax": ({"axis": 2}, 7),
    "Softplus": ({}, 7),
    "Softsign": ({}, 7),
    "Tanh": ({}, 7),
    "ThresholdedRelu": ({"alpha": 0.3}, 10),
}


@pytest.mark.parametrize("opset", OPSETS)
@pytest.mark.parametrize("operator", FUNCTIONS)
def test_functions(operator: str, opset: int) -> None:
    """With their numbers, and with their defaults where they have some."""
    attributes, first = FUNCTIONS[operator]
    opset = max(opset, first)
    agree(on_frames(node(operator, ["x"], ["y"], **attributes), opset=opset))
    if "axis" not in attributes:
        agree(on_frames(node(operator, ["x"], ["y"]), opset=opset))


@pytest.mark.parametrize("operator", ["Log", "Sqrt", "Reciprocal"])
def test_functions_of_positive_numbers(operator: str) -> None:
    """They are only there for them."""
    given = on_frames(
        node("Abs", ["x"], ["a"]),
        node("Add", ["a", "c"], ["b"]),
        node(operator, ["b"], ["y"]),
        constants={"c": scalar(1)},
    )
    agree(given, "abs", "Affine", operator.lower())


def test_softplus_of_the_newer_exporter() -> None:
    """It chooses x itself where that is large, which is the same."""
    nodes = [
        node("Softplus", ["x"], ["s"]),
        node("Cast", ["limit"], ["l"], to=TensorProto.FLOAT),
        node("Greater", ["x", "l"], ["g"]),
        node("Where", ["g", "x", "s"], ["y"]),
    ]
    agree(on_frames(*nodes, constants={"limit": 20}), "softplus")
    with pytest.raises(UnsupportedGraph, match="it compares frames"):
        read_onnx(on_frames(*nodes, constants={"limit": 2}))


def test_gelu() -> None:
    """The one with tanh."""
    agree(on_frames(node("Gelu", ["x"], ["y"], approximate="tanh"), opset=20))


@pytest.mark.parametrize(
    "given",
    [
        on_frames(node("Clip", ["x"], ["y"], min=-0.5, max=0.25), opset=7),
        on_frames(node("Clip", ["x"], ["y"], max=0.25), opset=10),
        on_frames(
            node("Clip", ["x", "low", "high"], ["y"]), constants={"low": scalar(-0.5), "high": scalar(0.25)}, opset=11
        ),
        on_frames(node("Clip", ["x", "", "high"], ["y"]), constants={"high": scalar(0.25)}, opset=13),
        on_frames(node("Clip", ["x", "low"], ["y"]), constants={"low": scalar(-0.5)}),
    ],
)
def test_clip(given: onnx.ModelProto) -> None:
    """Limits as attributes, as inputs, both or one."""
    agree(given, "clip")


@pytest.mark.parametrize("opset", [7, 9, 16])
@pytest.mark.parametrize("slope", [(1,), (WIDTH,), (1, 1, WIDTH)])
def test_prelu(opset: int, slope: tuple[int, ...]) -> None:
    """One slope for all features, or one for each."""
    agree(on_frames(node("PRelu", ["x", "slope"], ["y"]), constants={"slope": floats(*slope)}, opset=opset), "PRelu")


def test_prelu_of_channels() -> None:
    """Slopes along the channels of a convolution."""
    given = model([node("PRelu", ["x", "slope"], ["y"])], CHANNELS_FIRST, constants={"slope": floats(WIDTH, 1)})
    agree(given, "PRelu")


@pytest.mark.parametrize("opset", [11, 13])
def test_softmax_over_parts(opset: int) -> None:
    """Shares within parts of a frame, and within all of it."""
    split = node("Reshape", ["x", "to"], ["p"])
    to = {"to": [0, 0, 2, 3]}
    agree(model([split, node("Softmax", ["p"], ["y"], axis=3)], ("b", "t", 6), constants=to, opset=opset), "softmax")
    if opset == 13:
        agree(model([split, node("Softmax", ["p"], ["y"], axis=2)], ("b", "t", 6), constants=to, opset=opset))
    else:  # both axes from 2 on
        agree(
            model([split, node("Softmax", ["p"], ["y"], axis=2)], ("b", "t", 6), constants=to, opset=opset), "softmax"
        )


# Arithmetic -----------------------------------------------------------------------------------------------------------

VECTOR = np.array([0.5, -2.0, 3.0], np.float32)


@pytest.mark.parametrize("opset", OPSETS)
@pytest.mark.parametrize("constant", [scalar(-1.5), VECTOR, VECTOR.reshape(1, 1, -1)])
@pytest.mark.parametrize("operator", ["Add", "Sub", "Mul", "Div"])
def test_arithmetic_with_constants(operator: str, constant: NDArray[np.float32], opset: int) -> None:
    """On either side, one number for all features or one for each."""
    agree(on_frames(node(operator, ["x", "c"], ["y"]), constants={"c": constant}, opset=opset), "Affine")
    divides = operator == "Div"
    nodes = [node("Softplus", ["x"], ["p"]), node(operator, ["c", "p"], ["y"])]
    expected = ["softplus", *(["reciprocal"] if divides else []), "Affine"]
    agree(on_frames(*nodes, constants={"c": constant}, opset=opset), *expected)


@pytest.mark.parametrize("operator", ["Min", "Max"])
def test_limits(operator: str) -> None:
    """One limit is a clip; one for each feature, two signals and three inputs are compared one by one."""
    agree(on_frames(node(operator, ["x", "c"], ["y"]), constants={"c": scalar(0.25)}), "clip")
    agree(on_frames(node(operator, ["c", "x"], ["y"]), constants={"c": VECTOR}))
    agree(on_frames(node("Neg", ["x"], ["n"]), node(operator, ["x", "n", "c"], ["y"]), constants={"c": scalar(0.25)}))


@pytest.mark.parametrize("operator", ["Add", "Sub", "Mul", "Div"])
def test_arithmetic_of_frames(operator: str) -> None:
    """Two tensors computed from frames: skip connections, gates."""
    nodes = [node("Exp", ["x"], ["e"]), node(operator, ["x", "e"], ["y"])]
    agree(on_frames(*nodes), "exp", "Binary")


@pytest.mark.parametrize("operator", ["Sum", "Mean"])
def test_sums_of_many(operator: str) -> None:
    """Any number of inputs, constants among them."""
    agree(on_frames(node("Exp", ["x"], ["e"]), node(operator, ["x", "c", "e"], ["y"]), constants={"c": VECTOR}))
    agree(on_frames(node(operator, ["x"], ["y"])))


def test_features_are_repeated() -> None:
    """Broadcasting along axes of features: an outer product of two parts of a frame."""
    nodes = [
        node("Unsqueeze", ["x", "minus one"], ["column"]),
        node("Unsqueeze", ["x", "two"], ["row"]),
        node("Mul", ["column", "row"], ["y"]),
    ]
    agree(on_frames(*nodes), "Select", "Select", "Binary")
    agree(on_frames(nodes[0], node("Mul", ["column", "c"], ["y"]), constants={"c": floats(1, 4)}), "Select", "Affine")


@pytest.mark.parametrize("exponent", [-2, -1, -0.5, 0.5, 1, 2, 3, 4])
def test_powers(exponent: float) -> None:
    """Those that multiplication, root and reciprocal make."""
    nodes = [node("Abs", ["x"], ["a"]), node("Add", ["a", "c"], ["b"]), node("Pow", ["b", "e"], ["y"])]
    agree(on_frames(*nodes, constants={"c": scalar(0.5), "e": scalar(exponent)}), atol=1e-5)


def test_constants_go_into_the_node_in_front() -> None:
    """A bias into a product, a shift into a scale; but not where something else reads it, or it was moved."""
    product = node("MatMul", ["x", "m"], ["p"], name="product")
    add = node("Add", ["c", "p"], ["y"])
    constants = {"m": floats(WIDTH, 2), "c": floats(2), "d": floats(2)}
    (dense,) = read_onnx(on_frames(product, add, constants=constants)).graph.nodes
    assert isinstance(dense, Dense)
    assert dense.name == "product"
    np.testing.assert_array_equal(dense.bias, constants["c"])
    agree(on_frames(product, add, outputs=["y", "p"], constants=constants), "Dense", "Affine")
    agree(
        on_frames(product, node("Mul", ["p", "d"], ["s"]), node("Add", ["s", "c"], ["y"]), constants=constants),
        "Dense",
        "Affine",
    )
    again = [node("Add", ["p", "d"], ["s"]), node("Add", ["s", "c"], ["y"])]
    agree(on_frames(product, *again, constants=constants), "Dense", "Affine")


# Products and sums ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("opset", OPSETS)
def test_mat_mul(opset: int) -> None:
    """Weights on the right, or on the left of features that lie in front of the frames."""
    agree(on_frames(node("MatMul", ["x", "m"], ["y"]), constants={"m": floats(WIDTH, 2)}, opset=opset), "Dense")
    given = model([node("MatMul", ["m", "x"], ["y"])], CHANNELS_FIRST, constants={"m": floats(2, WIDTH)}, opset=opset)
    agree(given, "Dense")


def test_mat_mul_of_parts() -> None:
    """One matrix for every part of a frame."""
    nodes = [node("Reshape", ["x", "to"], ["p"]), node("MatMul", ["p", "m"], ["q"]), node("Add", ["q", "c"], ["y"])]
    given = model(nodes, ("b", "t", 6), constants={"to": [0, 0, 2, 3], "m": floats(3, 5), "c": floats(5)})
    agree(given, "Slice", "Dense", "Slice", "Dense", "Concat", "Affine")


@pytest.mark.parametrize("opset", OPSETS)
@pytest.mark.parametrize(
    ("shapes", "attributes"),
    [
        ({"m": (WIDTH, 2), "c": (2,)}, {}),
        ({"m": (2, WIDTH), "c": (1, 2)}, {"transB": 1, "alpha": 0.5, "beta": 2.0}),
        ({"m": (WIDTH, 2), "c": ()}, {"beta": -1.0}),
    ],
)
def test_gemm(opset: int, shapes: dict[str, tuple[int, ...]], attributes: dict[str, Any]) -> None:
    """With every attribute; without a bias from operator set 11 on."""
    constants = {name: floats(*shape) for name, shape in shapes.items()}
    layer = node("Gemm", ["x", "m", "c"], ["y"], **attributes)
    agree(model([layer], ("time", WIDTH), constants=constants, opset=opset), "Dense")
    if opset >= 11:
        layer = node("Gemm", ["x", "m"], ["y"], **attributes)
        agree(model([layer], ("time", WIDTH), constants=constants, opset=opset), "Dense")


def test_gemm_of_features_in_front() -> None:
    """transA with features in front of time."""
    layer = node("Gemm", ["x", "m"], ["y"], transA=1)
    agree(model([layer], (WIDTH, "time"), constants={"m": floats(WIDTH, 2)}), "Dense")


@pytest.mark.parametrize("opset", [11, 13, 18])
@pytest.mark.parametrize("operator", ["ReduceMean", "ReduceSum", "ReduceL1", "ReduceL2", "ReduceSumSquare"])
@pytest.mark.parametrize("keep", [0, 1])
def test_sums_over_features(operator: str, opset: int, keep: int) -> None:
    """Axes as attribute or as input; over one axis of features or over two."""
    as_input = opset >= 18 or (operator == "ReduceSum" and opset >= 13)
    for axes in ([-1], [2, 3], [2]):
        given = {"axes": axes}
        layer = node(
            operator, ["p", *(["axes"] if as_input else [])], ["y"], keepdims=keep, **({} if as_input else given)
        )
        nodes = [node("Reshape", ["x", "to"], ["p"]), layer]
        agree(model(nodes, ("b", "t", 6), constants={"to": [0, 0, 2, 3], **given}, opset=opset))


def test_sums_are_exact() -> None:
    """They are no trained weights, so they are not quantized."""
    (dense,) = read_onnx(on_frames(node("ReduceMean", ["x"], ["y"], axes=[-1]))).graph.nodes
    assert isinstance(dense, Dense)
    assert dense.exact


# Normalization --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("opset", [7, 9, 14, 15])
@pytest.mark.parametrize("shape", [CHANNELS_FIRST, ("time", WIDTH), ("b", WIDTH, "t", 2)])
def test_batch_normalization(opset: int, shape: tuple[int | str, ...]) -> None:
    """Folded into one scale and one shift."""
    positive = np.array([0.5, 1.0, 2.0], np.float32)
    layer = node("BatchNormalization", ["x", "s", "b", "m", "v"], ["y"], epsilon=1e-3)
    constants = {"s": floats(WIDTH), "b": floats(WIDTH), "m": floats(WIDTH), "v": positive}
    agree(model([layer], shape, constants=constants, opset=opset), "Affine")


@pytest.mark.parametrize("bias", [True, False])
def test_layer_normalization(bias: bool) -> None:
    """Over the features, and over the last two axes of them."""
    constants = {"s": floats(WIDTH), "b": floats(WIDTH), "to": [0, 0, 2, 3], "s2": floats(2, 3), "b2": floats(2, 3)}
    layer = node("LayerNormalization", ["x", "s", *(["b"] if bias else [])], ["y"], epsilon=1e-2)
    agree(on_frames(layer, constants=constants), "LayerNorm")
    inputs = ["p", "s2", *(["b2"] if bias else [])]
    nodes = [node("Reshape", ["x", "to"], ["p"]), node("LayerNormalization", inputs, ["y"], axis=-2)]
    agree(model(nodes, ("b", "t", 6), constants=constants), "LayerNorm")
    nodes[1] = node("LayerNormalization", ["p", "s"], ["y"])
    agree(model(nodes, ("b", "t", 6), constants=constants), "LayerNorm")


def by_hand(axis: int, square: str, twice: bool) -> list[Node]:
    """Return a layer norm as older exporters write it: in single steps, some of them done twice."""
    centred = [node("ReduceMean", ["x"], ["m"], axes=[axis]), node("Sub", ["x", "m"], ["d"], name="d")]
    other = "e" if twice else "d"
    if twice:
        centred.append(node("Sub", ["x", "m"], ["e"], name="e"))
    squared = {"Pow": node("Pow", [other, "exponent"], ["q"]), "Mul": node("Mul", [other, other], ["q"])}[square]
    return [
        *centred,
        squared,
        node("ReduceMean", ["q"], ["v"], axes=[axis]),
        node("Add", ["v", "epsilon"], ["w"]),
        node("Sqrt", ["w"], ["r"]),
        node("Div", ["d", "r"], ["n"], name="norm"),
    ]


@pytest.mark.parametrize("square", ["Pow", "Mul"])
@pytest.mark.parametrize("twice", [True, False])
def test_layer_norm_by_hand(square: str, twice: bool) -> None:
    """Recognized, with scale and shift."""
    constants = {"exponent": scalar(2), "epsilon": scalar(1e-3), "s": floats(WIDTH), "b": floats(WIDTH)}
    scaled = [node("Mul", ["n", "s"], ["k"]), node("Add", ["k", "b"], ["y"])]
    given = on_frames(*by_hand(-1, square, twice), *scaled, constants=constants, opset=11)
    agree(given, "LayerNorm")
    (norm,) = read_onnx(given).graph.nodes
    assert isinstance(norm, LayerNorm)
    np.testing.assert_array_equal(norm.scale, constants["s"])
    np.testing.assert_array_equal(norm.shift, constants["b"])
    assert norm.epsilon == np.float32(1e-3)


def test_layer_norm_by_hand_over_channels() -> None:
    """As in front of a convolution."""
    constants = {"exponent": scalar(2), "epsilon": scalar(1e-3), "s": floats(WIDTH, 1)}
    given = model(
        [*by_hand(1, "Pow", False), node("Mul", ["n", "s"], ["y"])], CHANNELS_FIRST, constants=constants, opset=11
    )
    agree(given, "LayerNorm")


def test_what_only_looks_like_a_layer_norm() -> None:
    """Another exponent, another axis in the second mean: computed as it stands."""
    cube = by_hand(-1, "Pow", False)
    constants = {"exponent": scalar(4), "epsilon": scalar(1e-3)}
    agree(on_frames(*cube, node("Identity", ["n"], ["y"]), constants=constants, opset=11), atol=1e-5)
    constants["exponent"] = scalar(2)
    not_centred = [*by_hand(-1, "Pow", False)[:-1], node("Div", ["x", "r"], ["y"])]
    imported = assert_agrees(on_frames(*not_centred, constants=constants, opset=11))
    assert "LayerNorm" not in kinds(imported.graph)


# Moving ---------------------------------------------------------------------------------------------------------------

PARTS = ("b", "t", 6)


@pytest.mark.parametrize("opset", [7, 10, 11, 13, 17, 21])
def test_squeeze_and_unsqueeze(opset: int) -> None:
    """Axes as attribute before operator set 13, then as input."""
    if opset < 13:
        nodes = [node("Unsqueeze", ["x"], ["u"], axes=[1, 3]), node("Squeeze", ["u"], ["y"], axes=[3])]
    else:
        nodes = [node("Unsqueeze", ["x", "axes"], ["u"]), node("Squeeze", ["u", "three"], ["y"])]
    agree(on_frames(*nodes, constants={"axes": [1, 3], "three": [3]}, opset=opset))


@pytest.mark.parametrize(
    ("shapes", "expected"),
    [
        ([[0, 0, 2, 3]], []),
        ([[0, 0, -1, 3], [0, 0, -1]], []),
        ([[-1, 6], [-1, 2, 3]], []),
        ([[-1, 2, 3], [-1, 6]], []),
    ],
)
def test_reshape(shapes: list[list[int]], expected: list[str]) -> None:
    """Features are split and merged, time and batch are merged; nothing runs for that."""
    names = ["x", *(f"r{place}" for place in range(len(shapes) - 1)), "y"]
    nodes = [node("Reshape", [names[i], f"to{i}"], [names[i + 1]]) for i in range(len(shapes))]
    agree(model(nodes, PARTS, constants={f"to{i}": shape for i, shape in enumerate(shapes)}), *expected)


def test_time_and_batch_merged_and_parted() -> None:
    """The way of linear layers: (batch * time, features) and back, by sizes computed in the file."""
    nodes = [
        node("Shape", ["x"], ["s"]),
        node("Gather", ["s", "nought"], ["b"]),
        node("Gather", ["s", "i"], ["t"]),
        node("Mul", ["b", "t"], ["bt"]),
        node("Unsqueeze", ["bt", "zero"], ["bt1"]),
        node("Concat", ["bt1", "minus one"], ["flat"], axis=0),
        node("Reshape", ["x", "flat"], ["f"]),
        node("Gemm", ["f", "m"], ["g"]),
        node("Unsqueeze", ["b", "zero"], ["b1"]),
        node("Unsqueeze", ["t", "zero"], ["t1"]),
        node("Concat", ["b1", "t1", "two"], ["back"], axis=0),
        node("Reshape", ["g", "back"], ["y"]),
    ]
    agree(on_frames(*nodes, constants={"nought": 0, "i": 1, "m": floats(WIDTH, 2)}), "Dense")


def test_transpose() -> None:
    """Axes of time and batch cost nothing, features in another order one permutation, there and back nothing."""
    agree(on_frames(node("Transpose", ["x"], ["y"])))
    split = node("Reshape", ["x", "to"], ["p"])
    turn, back = node("Transpose", ["p"], ["q"], perm=[0, 1, 3, 2]), node("Transpose", ["q"], ["y"], perm=[0, 1, 3, 2])
    constants = {"to": [0, 0, 2, 3]}
    agree(model([split, turn, back], PARTS, constants=constants))
    given = model([split, turn, node("Relu", ["q"], ["y"])], PARTS, constants=constants)
    agree(given, "Select", "relu")
    select = read_onnx(given).graph.nodes[0]
    assert isinstance(select, Select)
    assert select.indices == (0, 3, 1, 4, 2, 5)


def test_flatten() -> None:
    """Behind the axes of time and batch."""
    merge = node("Reshape", ["x", "to"], ["p"])
    agree(model([merge, node("Flatten", ["p"], ["y"], axis=1)], PARTS, constants={"to": [-1, 2, 3]}))


@pytest.mark.parametrize("opset", [9, 10, 13])
def test_slice(opset: int) -> None:
    """Attributes before operator set 10; of features, with steps, from the back."""
    if opset < 10:
        agree(model([node("Slice", ["x"], ["y"], axes=[2], starts=[1], ends=[END])], PARTS, opset=opset), "Slice")
        return
    for start, end, step, kind in (
        (1, 3, 1, "Slice"),
        (0, END, 2, "Select"),
        (-1, -END, -1, "Select"),
        (-3, -1, 1, "Slice"),
    ):
        constants = {"start": [start], "end": [end], "axis": [2], "step": [step]}
        agree(
            model(
                [node("Slice", ["x", "start", "end", "axis", "step"], ["y"])], PARTS, constants=constants, opset=opset
            ),
            kind,
        )


def test_gather() -> None:
    """Features by number: one, several, from the back, twice."""
    for indices, expected in ((2, "Slice"), ([1, 2], "Slice"), ([-1, 0, 0], "Select")):
        agree(on_frames(node("Gather", ["x", "i"], ["y"], axis=2), constants={"i": indices}), expected)


@pytest.mark.parametrize("opset", [11, 13, 18])
def test_split(opset: int) -> None:
    """Sizes as attribute, as input, or equal parts."""
    both = node("Concat", ["b", "a"], ["y"], axis=2)
    if opset < 13:
        first = node("Split", ["x"], ["a", "b"], axis=2, split=[2, 4])
    else:
        first = node("Split", ["x", "sizes"], ["a", "b"], axis=2)
    agree(model([first, both], PARTS, constants={"sizes": [2, 4]}, opset=opset), "Select")
    equal = node("Split", ["x"], ["a", "b", "c", "d"], axis=-1, **({"num_outputs": 4} if opset >= 18 else {}))
    gate = [node("Sigmoid", ["b"], ["s"]), node("Mul", ["a", "s"], ["y"])]
    shape = ("b", "t", 7) if opset >= 18 else ("b", "t", 8)  # the last part may be smaller
    agree(model([equal, *gate], shape, opset=opset), "Slice", "sigmoid", "Slice", "Binary")


def test_concat() -> None:
    """Of features; what was split and is joined again was never apart; constants become features."""
    nodes = [node("Exp", ["x"], ["e"]), node("Concat", ["x", "e", "x"], ["y"], axis=2)]
    agree(on_frames(*nodes), "exp", "Concat")
    nodes = [node("Split", ["x"], ["a", "b"], axis=2), node("Concat", ["a", "b"], ["y"], axis=2)]
    agree(model(nodes, PARTS))
    nothing = node("Concat", ["x", "none"], ["y"], axis=2)
    agree(model([nothing], (1, 9, WIDTH), constants={"none": np.zeros((1, 9, 0), np.float32)}))
    joined = node("Concat", ["x", "c"], ["y"], axis=2)
    agree(model([joined], (1, 9, WIDTH), constants={"c": np.broadcast_to(floats(2), (1, 9, 2))}))


def test_repeating() -> None:
    """Tile and Expand of features."""
    agree(on_frames(node("Tile", ["x", "times"], ["y"]), constants={"times": [1, 1, 3]}), "Select")
    nodes = [node("Unsqueeze", ["x", "two"], ["u"]), node("Expand", ["u", "to"], ["y"])]
    agree(on_frames(*nodes, constants={"to": [1, 1, 3, 1]}), "Select")


@pytest.mark.parametrize("opset", [7, 11, 18])
def test_pad_of_features(opset: int) -> None:
    """Zeros beside the features."""
    if opset < 11:
        agree(on_frames(node("Pad", ["x"], ["y"], pads=[0, 0, 1, 0, 0, 2]), opset=opset))
    elif opset < 18:
        agree(on_frames(node("Pad", ["x", "pads"], ["y"]), constants={"pads": [0, 0, 1, 0, 0, 2]}, opset=opset))
    else:
        constants = {"pads": [1, 2], "axes": [2], "value": scalar(0.5)}
        agree(on_frames(node("Pad", ["x", "pads", "value", "axes"], ["y"]), constants=constants, opset=opset))


@pytest.mark.parametrize("opset", [7, 10, 12, 13])
def test_what_does_nothing(opset: int) -> None:
    """Identity, Cast to float32, Dropout as at inference."""
    nodes = [
        node("Identity", ["x"], ["a"]),
        node("Dropout", ["a"], ["b"]),
        node("Cast", ["b"], ["c"], to=TensorProto.FLOAT),
        node("Relu", ["c"], ["y"]),
    ]
    agree(on_frames(*nodes, opset=opset), "relu")
    if opset >= 12:
        nodes[1] = node("Dropout", ["a", "ratio", "mode"], ["b"])
        agree(on_frames(*nodes, constants={"ratio": scalar(0.5), "mode": False}, opset=opset), "relu")


def test_a_branch_that_is_decided() -> None:
    """torch writes an If around a squeeze; the size that it asks for is known."""
    graphs = {
        name: helper.make_graph(
            [node(operator, ["x"], [name])], name, [], [helper.make_tensor_value_info(name, TensorProto.FLOAT, None)]
        )
        for name, operator in (("yes", "Tanh"), ("no", "Relu"))
    }
    nodes = [
        node("Shape", ["x"], ["s"]),
        node("Gather", ["s", "i"], ["n"]),
        node("Equal", ["n", "unit"], ["is one"]),
        node("If", ["is one"], ["y"], then_branch=graphs["yes"], else_branch=graphs["no"]),
    ]
    agree(on_frames(*nodes, constants={"i": 1, "unit": 1}), "relu")
    agree(model(nodes, ("b", 1, WIDTH), constants={"i": 1, "unit": 1}), "tanh")


def test_functions_of_the_file() -> None:
    """Local functions are written out."""
    given = on_frames(node("Relu", ["x"], ["y"]))
    given.graph.node[0].CopyFrom(node("Twice", ["x"], ["y"], domain="local"))
    body = [node("Add", ["a", "a"], ["s"]), node("Relu", ["s"], ["b"])]
    given.functions.append(helper.make_function("local", "Twice", ["a"], ["b"], body, [helper.make_opsetid("", 17)]))
    given.opset_import.append(helper.make_opsetid("local", 1))
    agree(given, "Binary", "relu")


# Embeddings -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("shape", [("batch", "time"), ("time",), (1, 20)])
def test_embedding(shape: tuple[int | str, ...]) -> None:
    """One token for each frame, or several; the rows of the table are the tokens there are."""
    given = model([node("Gather", ["table", "x"], ["y"])], shape, integers=["x"], constants={"table": floats(7, 4)})
    agree(given, "Embedding")
    (port,) = read_onnx(given).graph.inputs
    assert (port.tokens, port.width) == (7, 1)


def test_several_tokens_in_a_frame() -> None:
    """Their rows lie one behind the other."""
    nodes = [node("Gather", ["table", "x"], ["e"]), node("Reshape", ["e", "to"], ["y"])]
    given = model(nodes, ("b", "t", 2), integers=["x"], constants={"table": floats(7, 4), "to": [0, 0, 8]})
    agree(given, "Embedding")
    (port,) = read_onnx(given).graph.inputs
    assert (port.tokens, port.width) == (7, 2)


def test_tied_embedding() -> None:
    """A head of the same weights, tokens given as int32, two tables of different sizes."""
    nodes = [
        node("Cast", ["x"], ["i"], to=TensorProto.INT64),
        node("Gather", ["table", "i"], ["e"]),
        node("Gather", ["small", "i"], ["f"]),
        node("Transpose", ["table"], ["turned"]),
        node("MatMul", ["e", "turned"], ["h"]),
        node("Concat", ["h", "f"], ["y"], axis=2),
    ]
    constants = {"table": floats(7, 4), "small": floats(5, 2)}
    given = model(nodes, ("batch", "time"), integers=["x"], constants=constants)
    given.graph.input[0].type.tensor_type.elem_type = TensorProto.INT32
    agree(given, "Embedding", "Embedding", "Dense", "Concat")
    assert read_onnx(given).graph.inputs[0].tokens == 5


# Convolutions ---------------------------------------------------------------------------------------------------------

KERNEL = floats(4, WIDTH, 3)


def convolution(
    *around: Node, kernel: NDArray[np.float32] = KERNEL, given: Any = CHANNELS_FIRST, **attributes: Any
) -> Any:
    """Return a model of a convolution from "x", or what the nodes around it make of it, to "c" or "y"."""
    opset = attributes.pop("opset", 17)
    constants = attributes.pop("constants", {})
    bias = attributes.pop("bias", None)
    source = "p" if any("p" in item.output for item in around) else "x"
    target = "c" if any("c" in item.input for item in around) else "y"
    layer = node("Conv", [source, "kernel", *([] if bias is None else ["shift"])], [target], **attributes)
    before = [item for item in around if "c" not in item.input]
    known = {"kernel": kernel, "shift": bias if bias is not None else 0, **constants}
    return model([*before, layer, *(item for item in around if "c" in item.input)], given, constants=known, opset=opset)


@pytest.mark.parametrize("opset", OPSETS)
def test_causal_convolution(opset: int) -> None:
    """Zeros in front by an attribute."""
    agree(convolution(pads=[2, 0], bias=floats(4), opset=opset), "History", "Dense")
    agree(convolution(pads=[6, 0], dilations=[3], opset=opset), "History", "Dense")
    agree(convolution(auto_pad="SAME_LOWER", kernel=floats(4, WIDTH, 2), opset=opset), "History", "Dense")


@pytest.mark.parametrize("opset", [7, 11, 18])
def test_convolution_padded_before(opset: int) -> None:
    """Zeros in front by a node."""
    if opset < 11:
        agree(convolution(node("Pad", ["x"], ["p"], pads=[0, 0, 2, 0, 0, 0]), opset=opset), "History", "Dense")
    elif opset < 18:
        pads = {"pads": [0, 0, 2, 0, 0, 0]}
        agree(convolution(node("Pad", ["x", "pads"], ["p"]), constants=pads, opset=opset), "History", "Dense")
    else:
        constants = {"pads": [2, 0], "axes": [2]}
        pad = node("Pad", ["x", "pads", "", "axes"], ["p"])
        agree(convolution(pad, constants=constants, opset=opset), "History", "Dense")


def test_convolution_with_zeros_joined() -> None:
    """Zeros in front as torch.cat writes them, of the size of the batch."""
    nodes = [
        node("Shape", ["x"], ["s"], start=0, end=1),
        node("Concat", ["s", "rest"], ["zs"], axis=0),
        node("ConstantOfShape", ["zs"], ["z"]),
        node("Concat", ["z", "x"], ["p"], axis=2),
    ]
    agree(convolution(*nodes, constants={"rest": [WIDTH, 2]}), "History", "Dense")


def test_convolution_cut_behind() -> None:
    """torch's idiom: padded on both sides, the end cut off, by a number or by the size of the input."""
    cut = node("Slice", ["c", "zero", "end", "two"], ["y"])
    agree(convolution(cut, pads=[2, 2], constants={"end": [-2]}), "History", "Dense")
    nodes = [node("Shape", ["x"], ["end"], start=2, end=3), cut]
    agree(convolution(*nodes, pads=[2, 2]), "History", "Dense")
    nodes = [node("Relu", ["c"], ["r"]), node("Slice", ["r", "zero", "end", "two"], ["y"])]
    given = convolution(nodes[0], pads=[2, 2], constants={"end": [-2]})
    given.graph.node.append(nodes[1])
    given.graph.initializer.append(numpy_helper.from_array(np.array([-2]), "end"))
    given.graph.initializer.append(numpy_helper.from_array(np.array([0]), "zero"))
    given.graph.initializer.append(numpy_helper.from_array(np.array([2]), "two"))
    agree(given, "History", "Dense", "relu")


@pytest.mark.parametrize(
    ("kernel", "groups", "expected"),
    [
        (floats(6, 1, 3), 6, ["History", "Depthwise"]),
        (floats(12, 1, 3), 6, ["Select", "History", "Depthwise"]),
        (floats(4, 3, 3), 2, ["Slice", "History", "Dense", "Slice", "History", "Dense", "Concat"]),
        (floats(6, 1, 1), 6, ["Affine"]),
        (floats(4, 3, 1), 2, ["Slice", "Dense", "Slice", "Dense", "Concat"]),
        (floats(5, 6, 1), 1, ["Dense"]),
    ],
)
def test_groups(kernel: NDArray[np.float32], groups: int, expected: list[str]) -> None:
    """Every channel by itself, channels in groups, all together; kernels of one tap need no history."""
    given = ("b", 6, "t")
    pads = [kernel.shape[2] - 1, 0]
    agree(convolution(kernel=kernel, given=given, group=groups, pads=pads, bias=floats(len(kernel))), *expected)


def test_convolution_of_two_axes() -> None:
    """The other axis is of size 1, or covered by the kernel as a whole."""
    one = convolution(kernel=floats(4, WIDTH, 1, 3), given=("b", WIDTH, 1, "t"), pads=[0, 2, 0, 0])
    agree(one, "History", "Dense")
    turned = convolution(kernel=floats(4, WIDTH, 3, 1), given=("b", WIDTH, "t", 1), pads=[2, 0, 0, 0])
    agree(turned, "History", "Dense")
    whole = convolution(kernel=floats(4, WIDTH, 3, 5), given=("b", WIDTH, "t", 5), pads=[2, 0, 0, 0])
    agree(whole, "History", "Dense")


def test_convolution_of_every_band() -> None:
    """Over time, for every place of the other axis by itself, in steps too; the same weights for all."""
    layer = {"kernel": floats(2, WIDTH, 3, 1), "given": ("b", WIDTH, "t", 4), "pads": [2, 0, 0, 0]}
    agree(convolution(**layer, bias=floats(2)), *["Select", "History", "Dense"] * 4, "Concat", "Select")
    agree(convolution(**layer, strides=[1, 2]), *["Select", "History", "Dense"] * 2, "Concat", "Select")
    three = convolution(kernel=floats(2, 1, 2, 1, 1), given=("b", 1, "t", 2, 3), pads=[1, 0, 0, 0, 0, 0])
    agree(three)


def test_convolution_within_a_frame() -> None:
    """Frames and streams in the place of the batch; the kernel covers the features."""
    nodes = [node("Reshape", ["x", "to"], ["p"])]
    agree(convolution(*nodes, kernel=floats(4, 1, 3), given=("b", "t", 3), constants={"to": [-1, 1, 3]}), "Dense")


def test_convolutions_in_a_row() -> None:
    """Each with its own history."""
    nodes = [
        node("Conv", ["x", "k1"], ["a"], pads=[2, 0]),
        node("Relu", ["a"], ["r"]),
        node("Conv", ["r", "k2"], ["b"], pads=[4, 0], dilations=[2]),
        node("Conv", ["x", "k3"], ["skip"]),
        node("Add", ["b", "skip"], ["y"]),
    ]
    constants = {"k1": floats(5, WIDTH, 3), "k2": floats(2, 5, 3), "k3": floats(2, WIDTH, 1)}
    expected = ["History", "Dense", "relu", "History", "Dense", "Dense", "Binary"]
    agree(model(nodes, CHANNELS_FIRST, constants=constants), *expected, atol=1e-5)


# The last step --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "nodes",
    [
        [gru(outputs=["", "h"]), node("Squeeze", ["h", "zero"], ["l"])],
        [gru(), squeeze(target="s"), node("Gather", ["s", "last"], ["l"], axis=0)],
        [
            gru(),
            squeeze(target="s"),
            node("Slice", ["s", "minus one", "end", "zero"], ["c"]),
            node("Squeeze", ["c", "zero"], ["l"]),
        ],
        [
            gru(),
            squeeze(target="s"),
            node("Shape", ["s"], ["sizes"]),
            node("Gather", ["sizes", "nought"], ["count"]),
            node("Sub", ["count", "unit"], ["place"]),
            node("Gather", ["s", "place"], ["l"], axis=0),
        ],
    ],
)
def test_last_step(nodes: list[Node]) -> None:
    """A head on the last state has an answer at every frame, the last being the file's own."""
    head = node("MatMul", ["l", "head"], ["y"])
    constants = {"last": -1, "end": [END], "nought": 0, "unit": 1}
    imported = assert_agrees(model([*nodes, head], constants=constants))
    assert kinds(imported.graph) == ["Gru", "Dense"]
    assert imported.layout.last == {"y"}


def test_input_without_time() -> None:
    """One vector for a whole sequence is an input that is read in every frame."""
    nodes = [
        node("Unsqueeze", ["speaker", "one"], ["u"]),
        node("Shape", ["x"], ["s"]),
        node("Slice", ["s", "one", "two"], ["t"]),
        node("Concat", ["one", "t", "one"], ["to"], axis=0),
        node("Expand", ["u", "to"], ["e"]),
        node("Concat", ["x", "e"], ["c"], axis=2),
        node("Mul", ["c", "gain"], ["y"]),
    ]
    given = model(nodes, BATCH_FIRST, inputs={"speaker": ("batch", 2), "gain": (1,)})
    imported = assert_agrees(given)
    assert [port.width for port in imported.graph.inputs] == [WIDTH, 2, 1]
    assert imported.layout.inputs["speaker"] == (("batch",), 2)


# Axes -----------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("shape", [TIME_FIRST, (9, "batch", WIDTH), ("time", 4, WIDTH), (9, 1, WIDTH), (9, 4, WIDTH)])
def test_fixed_sizes(shape: tuple[int | str, ...]) -> None:
    """Time and batch, open or fixed by the exporter."""
    assert_agrees(model([gru(), squeeze()], shape))


def test_a_size_fixed_inside() -> None:
    """An exporter left time open and then wrote the number of its example into a shape."""
    nodes = [gru(), node("Transpose", ["Y"], ["t"], perm=[0, 2, 1, 3]), node("Reshape", ["t", "to"], ["y"])]
    imported = assert_agrees(model(nodes, constants={"to": [7, -1, UNITS]}))
    assert imported.layout.sizes == {"time": 7}
    assert imported.notes == ("The file itself runs only with 7 along time, fixed by its exporter.",)


def test_scale_of_a_frozen_constant() -> None:
    """A constant repeated for every frame of a fixed number is one for all."""
    constants = {"c": np.broadcast_to(VECTOR, (9, 1, WIDTH))}
    given = model([node("Mul", ["x", "c"], ["y"])], (9, 1, WIDTH), constants=constants)
    agree(given, "Affine")
    (scale,) = read_onnx(given).graph.nodes
    assert isinstance(scale, Affine)
    np.testing.assert_array_equal(scale.scale, VECTOR)
