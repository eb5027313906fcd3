"""ONNX models that grulet does not run, by what is wrong with them, each with the whole message."""

from __future__ import annotations

from typing import Any

import numpy as np
import onnx
from onnx import TensorProto
from onnx_models import BATCH_FIRST, CHANNELS_FIRST, UNITS, WIDTH, R, W, floats, gru, model, node, squeeze

STATE = {"h": (1, "batch", UNITS)}
NOT_FINITE = np.where(np.arange(W.size).reshape(W.shape) == 5, np.inf, W).astype(np.float32)
LSTM = {name: floats(*shape) for name, shape in {"Wl": (1, 4 * UNITS, WIDTH), "Rl": (1, 4 * UNITS, UNITS)}.items()}


def headed(*nodes: onnx.NodeProto, **options: Any) -> onnx.ModelProto:
    """Return a model of a GRU and these nodes from its output "s", (time, batch, units), to "y"."""
    return model([gru(), squeeze(target="s"), *nodes], **options)


def on_frames(*nodes: onnx.NodeProto, **options: Any) -> onnx.ModelProto:
    """Return a model of these nodes from the frames "x", (batch, time, features), to "y"."""
    return model(list(nodes), BATCH_FIRST, **options)


def convolution(
    shape: tuple[int, ...] = (2, WIDTH, 3), given: tuple[Any, ...] = CHANNELS_FIRST, **attributes: Any
) -> Any:
    """Return a model of one convolution from "x", (batch, features, time), to "y"."""
    return model(
        [node("Conv", ["x", "kernel"], ["y"], name="conv", **attributes)], given, constants={"kernel": floats(*shape)}
    )


REFUSED: dict[str, onnx.ModelProto] = {
    # Cells.
    "activation unknown": model([gru(activations=["Sigmoid", "Sinus"]), squeeze()]),
    "activations too few": model([gru(activations=["Sigmoid"]), squeeze()]),
    "activation without its number": model([gru(activations=["Sigmoid", "ThresholdedRelu"]), squeeze()]),
    "clip": model([gru(clip=0.0), squeeze()]),
    "direction": model([gru(direction="sideways"), squeeze()]),
    "hidden_size": model([gru(hidden_size=5), squeeze()]),
    "shape of W": model([gru(["x", "R", "R"]), squeeze()]),
    "shape of B": model([gru(["x", "W", "R", "bias"]), squeeze()]),
    "weights from outside": model([gru(["x", "W", "w", "B"]), squeeze()], inputs={"w": R.shape}),
    "weights of double precision": model([gru(), squeeze()], constants={"R": R.astype(np.float64)}),
    "weights not finite": model([gru(), squeeze()], constants={"W": NOT_FINITE}),
    "frames of two axes": model([gru(["x", "W", "R"]), squeeze()], ("batch", WIDTH)),
    "frames and streams interchanged": model(
        [
            gru(name="first"),
            squeeze(target="s"),
            node("Transpose", ["s"], ["t"], perm=[1, 0, 2]),
            gru(["t", "R2", "R", "B"], ["Z"], name="second"),
            squeeze("Z"),
        ]
    ),
    "one frame beside sequences": model(
        [
            gru(),
            squeeze(target="s"),
            gru(["z", "W", "R", "B"], ["Z"], name="other"),
            squeeze("Z", "z1"),
            node("Add", ["s", "z1"], ["y"]),
        ],
        inputs={"z": (1, "batch", WIDTH)},
    ),
    # States.
    "encoder and decoder": model(
        [
            gru(name="encoder", outputs=["", "Y_h"]),
            gru(["x", "W", "R", "B", "", "Y_h"], name="decoder"),
            squeeze(),
        ]
    ),
    "state of several streams": model(
        [gru(["x", "W", "R", "B", "", "h"]), squeeze()],
        constants={"h": np.array([[[0.0] * UNITS, [1.0] * UNITS]], np.float32)},
    ),
    "state of the wrong shape": model(
        [gru(["x", "W", "R", "B", "", "h"], ["Y", "n"]), squeeze()],
        inputs={"h": (2, "batch", UNITS)},
        outputs=["y", "n"],
    ),
    "state read as frames": model(
        [gru(["x", "W", "R", "B", "", "h"], ["Y", "n"]), squeeze(), node("Relu", ["h"], ["z"])],
        inputs=STATE,
        outputs=["y", "n", "z"],
    ),
    "cell state read": model(
        [
            node("LSTM", ["x", "Wl", "Rl"], ["Y", "", "Y_c"], hidden_size=UNITS, name="lstm"),
            squeeze(target="s"),
            node("Add", ["s", "Y_c"], ["y"]),
        ],
        constants=LSTM,
    ),
    "only a cell state": model(
        [node("LSTM", ["x", "Wl", "Rl"], ["", "", "y"], hidden_size=UNITS, name="lstm")], constants=LSTM
    ),
    "two states of one input in a step": model(
        [
            gru(["x", "W", "R", "B", "", "h"], ["Y", "h1"], name="one"),
            squeeze(target="s"),
            gru(["s", "R2", "R", "B", "", "h"], ["Z", "h2"], name="two"),
            squeeze("Z"),
        ],
        (1, 1, WIDTH),
        inputs={"h": (1, 1, UNITS)},
        outputs=["y", "h1", "h2"],
    ),
    "last frame and all frames": model(
        [gru(outputs=["Y", "Y_h"]), squeeze(target="s"), node("Add", ["s", "Y_h"], ["y"])]
    ),
    # Time.
    "a frame of its own": headed(node("Gather", ["s", "two"], ["y"], axis=0)),
    "some frames": headed(node("Slice", ["s", "one", "minus one", "zero"], ["y"])),
    "every second frame": headed(
        node("Slice", ["s", "zero", "end", "zero", "two"], ["y"]), constants={"end": [1 << 40]}
    ),
    "frames turned round": headed(
        node("Slice", ["s", "minus one", "end", "zero", "minus one"], ["y"]), constants={"end": [-(1 << 40)]}
    ),
    "mean over time": headed(node("ReduceMean", ["s"], ["y"], axes=[0], keepdims=0)),
    "pooled over time": model([node("GlobalAveragePool", ["x"], ["y"])], CHANNELS_FIRST),
    "normalized over time": model(
        [node("InstanceNormalization", ["x", "scale", "shift"], ["y"])],
        CHANNELS_FIRST,
        constants={"scale": floats(WIDTH), "shift": floats(WIDTH)},
    ),
    "attention": on_frames(
        node("Transpose", ["x"], ["t"], perm=[0, 2, 1]), node("MatMul", ["x", "t"], ["y"], name="scores")
    ),
    "frames joined": headed(node("Concat", ["s", "s"], ["y"], axis=0)),
    "frames split": headed(node("Split", ["s"], ["y"], axis=0, num_outputs=1), opset=18),
    "frames and features merged": headed(node("Flatten", ["s"], ["y"], axis=1)),
    "two frames as one": headed(node("Reshape", ["s", "to"], ["y"]), constants={"to": [-1, 2 * UNITS]}),
    "positions": on_frames(
        node("Shape", ["x"], ["s"], start=1, end=2),
        node("Squeeze", ["s"], ["n"]),
        node("Range", ["nought", "n", "step"], ["y"], name="positions"),
        constants={"nought": 0, "step": 1},
    ),
    "a number for each frame": headed(
        node("Add", ["s", "b"], ["y"]), constants={"b": floats(7, 1, UNITS)}, shape=(7, 1, WIDTH)
    ),
    "sequences of two lengths": model(
        [node("Conv", ["x", "kernel"], ["c"], pads=[2, 2]), node("Add", ["c", "x"], ["y"])],
        CHANNELS_FIRST,
        constants={"kernel": floats(WIDTH, WIDTH, 3)},
    ),
    "frames more than the input": convolution(pads=[2, 2]),
    # Convolutions.
    "look-ahead": convolution(pads=[1, 1]),
    "look-ahead of a dilated kernel": convolution(pads=[4, 4], dilations=[3]),
    "no padding": convolution(),
    "too much padding": convolution(pads=[3, 0]),
    "stride": convolution(pads=[2, 0], strides=[2]),
    "frequency and time": convolution((2, 1, 3, 3), ("batch", 1, "time", 8), pads=[2, 1, 0, 1]),
    "transposed convolution": model(
        [node("ConvTranspose", ["x", "kernel"], ["y"])], CHANNELS_FIRST, constants={"kernel": floats(WIDTH, 2, 3)}
    ),
    "padding nowhere near a convolution": on_frames(
        node("Pad", ["x", "pads"], ["p"]), node("Relu", ["p"], ["y"]), constants={"pads": [0, 2, 0, 0, 0, 0]}
    ),
    # Products and arithmetic.
    "weights on the left": headed(node("MatMul", ["R3", "s"], ["y"]), constants={"R3": floats(7, 7)}),
    "weights for every frame": headed(node("MatMul", ["s", "R2"], ["y"]), constants={"R2": floats(7, UNITS, UNITS)}),
    "wrong number of features": headed(node("MatMul", ["s", "m"], ["y"]), constants={"m": floats(2, UNITS)}),
    "division by zero": headed(node("Div", ["s", "nought"], ["y"]), constants={"nought": np.zeros(UNITS, np.float32)}),
    "strange exponent": headed(node("Pow", ["s", "e"], ["y"]), constants={"e": np.float32(1.5)}),
    "exact GELU": headed(node("Gelu", ["s"], ["y"]), opset=20),
    "batch norm in training": model(
        [node("BatchNormalization", ["x", "a", "a", "a", "a"], ["y", "m", "v"], training_mode=1)],
        CHANNELS_FIRST,
        constants={"a": np.ones(WIDTH, np.float32)},
    ),
    "dropout in training": headed(node("Dropout", ["s", "", "train"], ["y"]), constants={"train": True}),
    "softmax over time": headed(node("Softmax", ["s"], ["y"], axis=0)),
    "squeeze of unknown axes": model([gru(), node("Squeeze", ["Y"], ["y"])]),
    "half precision": headed(node("Cast", ["s"], ["y"], to=TensorProto.FLOAT16)),
    "comparison": headed(node("Less", ["s", "s"], ["l"]), node("Cast", ["l"], ["y"], to=TensorProto.FLOAT)),
    # Tokens and quantized numbers.
    "arithmetic with tokens": model(
        [node("Cast", ["x"], ["f"], to=TensorProto.FLOAT), node("Relu", ["f"], ["y"])],
        ("batch", "time"),
        integers=["x"],
    ),
    "one-hot tokens": model(
        [node("OneHot", ["x", "depth", "values"], ["y"])],
        ("batch", "time"),
        integers=["x"],
        constants={"depth": 5, "values": np.array([0, 1], np.float32)},
    ),
    "quantized frames": headed(
        node("DynamicQuantizeLinear", ["s"], ["q", "scale", "zero point"]),
        node("DequantizeLinear", ["q", "scale", "zero point"], ["y"]),
    ),
    "quantized LSTM": model(
        [
            node(
                "DynamicQuantizeLSTM",
                ["x", "Wl", "Rl", "", "", "", "", "", "a", "a", "a", "a"],
                ["y"],
                domain="com.microsoft",
            )
        ],
        constants={**LSTM, "a": np.ones(1, np.float32)},
    ),
    "another domain": model([node("Gelu", ["x"], ["y"], domain="com.microsoft")]),
    # Inputs and outputs.
    "features of open size": model([node("Relu", ["x"], ["y"])], ("batch", "time", "features")),
    "six axes": model([node("Relu", ["x"], ["y"])], (1, 1, 1, 1, 1, 2)),
    "a constant output": model([node("Identity", ["h0"], ["y"])]),
    "an operator unknown": headed(node("Sin", ["s"], ["y"])),
}
