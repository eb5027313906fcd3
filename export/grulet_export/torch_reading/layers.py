"""What torch's layers and functions mean: handlers of the calls that a forward makes, and why the rest is refused."""

from __future__ import annotations

import operator
from collections.abc import Callable
from typing import Any, TypeAlias

import numpy as np
import torch
from torch import nn
from torch.nn import functional

from grulet_export.errors import Refusal
from grulet_export.graph import Activation, Affine, Binary, Concat, Dense, Embedding, LayerNorm
from grulet_export.torch_reading.cells import recurrent
from grulet_export.torch_reading.signals import (
    EVERY_FRAME,
    RUNS,
    Builder,
    FinalState,
    Signal,
    Width,
    Zeros,
    array_of,
    frames_of,
    takes,
)

Handler: TypeAlias = Callable[..., Any]  # (builder, name of the call, [module,] arguments of the call)


def _linear(builder: Builder, name: str, module: nn.Linear, input: Any) -> Signal:
    return _dense(builder, name, input, module.weight, module.bias)


def _functional_linear(builder: Builder, name: str, input: Any, weight: Any, bias: Any = None) -> Signal:
    return _dense(builder, name, input, weight, bias)


def _dense(builder: Builder, name: str, input: Any, weight: Any, bias: Any) -> Signal:
    frames = frames_of(input)
    weights = array_of(weight, "weight")
    if weights.ndim != 2:
        raise Refusal(f"its weight has {weights.ndim} axes", "use a weight of (units, inputs)")
    units, inputs = weights.shape
    takes(frames, inputs)
    biases = np.zeros(units, np.float32) if bias is None else array_of(bias, "bias")
    if biases.shape != (units,):
        raise Refusal(f"its bias has the shape {biases.shape}", f"use a bias of ({units},)")
    return builder.add(Dense(name, (frames.value,), builder.fresh(), weights, biases), Width(units))


def _activation(
    builder: Builder, name: str, input: Any, function: str, alpha: float = 0.0, inplace: bool = False
) -> Signal:
    frames = frames_of(input)
    if inplace and builder.shared:
        raise Refusal("it works in place on a tensor that others read too", "use inplace=False")
    # The slope as ONNX keeps it.
    node = Activation(name, (frames.value,), builder.fresh(), function, float(np.float32(alpha)))
    return builder.add(node, frames.width)


def _softmax(builder: Builder, name: str, input: Any, dim: int | None = None, dtype: Any = None) -> Signal:
    if dim not in (-1, 2):
        raise Refusal(f"its dim is {dim}, not the features", "use dim=-1, the probabilities of one frame")
    if dtype not in (None, torch.float32):
        raise Refusal(f"it converts to {dtype}", "leave dtype out")
    return _activation(builder, name, input, "softmax")


def _functional_softmax(
    builder: Builder, name: str, input: Any, dim: int | None = None, _stacklevel: int = 3, dtype: Any = None
) -> Signal:
    return _softmax(builder, name, input, dim, dtype)


def _functional_leaky_relu(
    builder: Builder, name: str, input: Any, negative_slope: float = 0.01, inplace: bool = False
) -> Signal:
    return _activation(builder, name, input, "leaky_relu", negative_slope, inplace)


def _functional_dropout(
    builder: Builder, name: str, input: Any, p: float = 0.5, training: bool = True, inplace: bool = False
) -> Any:
    if training and p:
        raise Refusal("it drops values in evaluation too", "pass training=self.training, or use nn.Dropout")
    return input


def _embedding(builder: Builder, name: str, module: nn.Embedding, input: Any) -> Signal:
    frames = frames_of(input)
    if module.max_norm is not None:
        raise Refusal("it shortens its rows while it runs (max_norm)", "shorten them once, and set max_norm=None")
    if frames.value not in builder.inputs:
        raise Refusal("its tokens are computed from others", "give the tokens themselves to the module")
    takes(frames, 1)
    table = array_of(module.weight, "weight")
    builder.tokens[frames.value] = min(len(table), builder.tokens.get(frames.value, len(table)))
    return builder.add(Embedding(name, (frames.value,), builder.fresh(), table), Width(table.shape[1]))


def _layer_norm(builder: Builder, name: str, module: nn.LayerNorm, input: Any) -> Signal:
    frames = frames_of(input)
    if len(module.normalized_shape) != 1:
        raise Refusal(f"it takes {len(module.normalized_shape)} axes together", "normalize the features of one frame")
    (size,) = module.normalized_shape
    takes(frames, size)
    scale = np.ones(size, np.float32) if module.weight is None else array_of(module.weight, "weight")
    shift = np.zeros(size, np.float32) if module.bias is None else array_of(module.bias, "bias")
    epsilon = float(np.float32(module.eps))
    return builder.add(LayerNorm(name, (frames.value,), builder.fresh(), scale, shift, epsilon, size), frames.width)


def _cat(builder: Builder, name: str, tensors: Any, dim: int = 0) -> Signal:
    if dim not in (-1, 2):
        raise Refusal(f"its dim is {dim}, not the features", "use dim=-1: the features of one frame side by side")
    signals = [frames_of(tensor) for tensor in tensors]
    if len(signals) == 1:
        return signals[0]
    total = sum(signal.width.known for signal in signals)
    return builder.add(Concat(name, tuple(signal.value for signal in signals), builder.fresh()), Width(total))


def _binary(function: str) -> Handler:
    """Return the handler of sum, difference or product of two signals, or of a signal and a number."""

    def handler(builder: Builder, name: str, input: Any, other: Any) -> Signal:
        if isinstance(input, float | int) or isinstance(other, float | int):
            return _with_number(builder, name, function, input, other)
        left, right = frames_of(input), frames_of(other)
        takes(left, right.width.known) if left.width.size is None else takes(right, left.width.size)
        return builder.add(Binary(name, (left.value, right.value), builder.fresh(), function), left.width)

    return handler


def _with_number(builder: Builder, name: str, function: str, input: Any, other: Any) -> Signal:
    """Add ``input function other``, one of which is a number: ``x * scale + shift``."""
    frames = frames_of(other if isinstance(input, float | int) else input)
    number = float(input if isinstance(input, float | int) else other)
    scale, shift = {
        "mul": (number, 0.0),
        "add": (1.0, number),
        "sub": (-1.0, number) if isinstance(input, float | int) else (1.0, -number),
    }[function]
    width = frames.width.known
    vectors = np.full(width, scale, np.float32), np.full(width, shift, np.float32)
    return builder.add(Affine(name, (frames.value,), builder.fresh(), *vectors), frames.width)


def _elementwise(function: str) -> Handler:
    def handler(builder: Builder, name: str, input: Any, inplace: bool = False) -> Signal:
        return _activation(builder, name, input, function, inplace=inplace)

    return handler


def _module_elementwise(function: str) -> Handler:
    def handler(builder: Builder, name: str, module: nn.Module, input: Any) -> Signal:
        return _activation(builder, name, input, function, inplace=bool(getattr(module, "inplace", False)))

    return handler


def _module_leaky_relu(builder: Builder, name: str, module: nn.LeakyReLU, input: Any) -> Signal:
    return _activation(builder, name, input, "leaky_relu", module.negative_slope, module.inplace)


def _module_softmax(builder: Builder, name: str, module: nn.Softmax, input: Any) -> Signal:
    return _softmax(builder, name, input, module.dim)


def _module_pass_on(builder: Builder, name: str, module: nn.Module, input: Any) -> Any:
    return input


def _pass_on(builder: Builder, name: str, input: Any) -> Any:
    return input


def _item(builder: Builder, name: str, value: Any, index: Any) -> Any:
    if isinstance(value, tuple) and index in (0, 1, -1, -2):
        return value[index]
    if isinstance(value, FinalState):
        frames_of(value)
    raise Refusal("it takes some frames or some features out of the sequence", EVERY_FRAME)


def _zeros(builder: Builder, name: str, *args: Any, **kwargs: Any) -> Zeros:
    return Zeros()


def _to(builder: Builder, name: str, value: Any, *args: Any, **kwargs: Any) -> Zeros:
    if isinstance(value, Zeros):
        return value
    raise Refusal("it changes the type or the device of frames", "keep frames float32 where they are")


#: What the layers mean. A subclass means the same unless it has a forward of its own.
MODULES: dict[type[nn.Module], Handler] = {
    nn.Dropout: _module_pass_on,
    nn.Embedding: _embedding,
    nn.GRU: recurrent,
    nn.Identity: _module_pass_on,
    nn.LSTM: recurrent,
    nn.LayerNorm: _layer_norm,
    nn.LeakyReLU: _module_leaky_relu,
    nn.Linear: _linear,
    nn.RNN: recurrent,
    nn.ReLU: _module_elementwise("relu"),
    nn.Sigmoid: _module_elementwise("sigmoid"),
    nn.Softmax: _module_softmax,
    nn.Tanh: _module_elementwise("tanh"),
}

#: What functions, and methods of a tensor (by name), mean.
FUNCTIONS: dict[Any, Handler] = {
    operator.add: _binary("add"),
    operator.getitem: _item,
    operator.mul: _binary("mul"),
    operator.sub: _binary("sub"),
    functional.dropout: _functional_dropout,
    functional.leaky_relu: _functional_leaky_relu,
    functional.linear: _functional_linear,
    functional.relu: _elementwise("relu"),
    functional.sigmoid: _elementwise("sigmoid"),
    functional.softmax: _functional_softmax,
    functional.tanh: _elementwise("tanh"),
    torch.add: _binary("add"),
    torch.cat: _cat,
    torch.concat: _cat,
    torch.mul: _binary("mul"),
    torch.relu: _elementwise("relu"),
    torch.sigmoid: _elementwise("sigmoid"),
    torch.softmax: _softmax,
    torch.sub: _binary("sub"),
    torch.tanh: _elementwise("tanh"),
    torch.zeros: _zeros,
    torch.zeros_like: _zeros,
    "clone": _pass_on,
    "contiguous": _pass_on,
    "detach": _pass_on,
    "new_zeros": _zeros,
    "relu": _elementwise("relu"),
    "sigmoid": _elementwise("sigmoid"),
    "softmax": _softmax,
    "tanh": _elementwise("tanh"),
    "to": _to,
}

#: How many of its inputs a call needs to be looked at; all others need them all. Sizes and devices mean nothing here.
READS: dict[Any, int] = {torch.zeros: 0, torch.zeros_like: 0, "new_zeros": 0, "to": 1}

_CELL = ("it is one step of a loop", "use nn.GRU or nn.LSTM, or make a module of one step: forward(x, h) -> (y, h)")
_SEVERAL_FRAMES = ("it looks at several frames at once", RUNS)
_COMBINES = ("it combines signals in a way grulet does not follow", RUNS)
_MOVES = ("it moves or merges axes", "drop it: Linear and activations take (batch, time, features) as it is")
_SHAPE = ("it looks at the shape of the data", "let the forward make the same calls for all shapes")

#: Why common layers and functions are refused, by the name of their kind, and what would work.
REASONS: dict[str, tuple[str, str]] = {
    **dict.fromkeys(("GRUCell", "LSTMCell", "RNNCell"), _CELL),
    **dict.fromkeys(("Conv1d", "Conv2d", "MultiheadAttention", "mean", "sum", "cumsum"), _SEVERAL_FRAMES),
    **dict.fromkeys(("stack", "iadd", "isub", "imul", "div", "truediv"), _COMBINES),
    **dict.fromkeys(("transpose", "permute", "reshape", "view", "flatten", "squeeze", "unsqueeze"), _MOVES),
    **dict.fromkeys(("size", "getattr", "dim"), _SHAPE),
    "BatchNorm1d": ("it is not followed", "fold it into the Linear beside it"),
}


def handler_of(module: nn.Module) -> Handler | None:
    """Return what to do with a module, None if that is not known."""
    for kind in type(module).__mro__:
        if kind in MODULES and type(module).forward is kind.forward:
            return MODULES[kind]
    return None
