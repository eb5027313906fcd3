"""Functions of one tensor, element by element, and softmax."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

import numpy as np

from grulet_export.errors import Refusal
from grulet_export.graph import Activation, PRelu
from grulet_export.onnx_reading import axes as onnx_axes
from grulet_export.onnx_reading.file import EXPORT_AGAIN, finite
from grulet_export.onnx_reading.handlers.pieces import activation, affine, binary
from grulet_export.onnx_reading.program import Handler, Program
from grulet_export.onnx_reading.values import Operation, Signal, Value

LIMITS = np.finfo(np.float32)

#: The largest float32 below 1e-37: what a logarithm of a share that rounds to zero is taken of.
SMALLEST_SHARE = 1e-37


def _plain(function: str, alpha: float | None = None, beta: float | None = None) -> Handler:
    """Return the handler of a function with these defaults of ``alpha`` and ``beta``, if it has them."""

    def handle(program: Program, operation: Operation) -> Sequence[Value]:
        numbers = {
            name: operation.number(name, default)
            for name, default in (("alpha", alpha), ("beta", beta))
            if default is not None
        }
        return [activation(program, operation.name, program.frames(operation.given(0)), function, **numbers)]

    return handle


def _composed(compose: Callable[[Program, Operation, str, Signal], Signal]) -> Handler:
    """Return the handler of a function that is made of several."""
    return lambda program, operation: [compose(program, operation, operation.name, program.frames(operation.given(0)))]


def _selu(program: Program, operation: Operation, name: str, x: Signal) -> Signal:
    elu = activation(program, name, x, "elu", operation.number("alpha", 1.67326319217681884765625))
    return affine(program, name, elu, operation.number("gamma", 1.05070102214813232421875), 0)


def _celu(program: Program, operation: Operation, name: str, x: Signal) -> Signal:
    if operation.number("alpha", 1.0) != 1.0:
        raise Refusal("its alpha is not 1", "use Elu")
    return activation(program, name, x, "elu", 1.0)


def _hard_swish(program: Program, operation: Operation, name: str, x: Signal) -> Signal:
    return binary(program, name, "mul", x, activation(program, name, x, "hard_sigmoid", 1 / 6, 0.5))


def _swish(program: Program, operation: Operation, name: str, x: Signal) -> Signal:
    alpha = operation.number("alpha", 1.0)
    scaled = x if alpha == 1.0 else affine(program, name, x, alpha, 0)
    return binary(program, name, "mul", x, activation(program, name, scaled, "sigmoid"))


def _mish(program: Program, operation: Operation, name: str, x: Signal) -> Signal:
    softplus = activation(program, name, x, "softplus")
    return binary(program, name, "mul", x, activation(program, name, softplus, "tanh"))


def _gelu(program: Program, operation: Operation, name: str, x: Signal) -> Signal:
    if operation.attributes.get("approximate", "none") != "tanh":
        raise Refusal("it is the exact GELU, which needs the error function", 'use nn.GELU(approximate="tanh")')
    cube = binary(program, name, "mul", binary(program, name, "mul", x, x), x)
    inner = binary(program, name, "add", x, affine(program, name, cube, 0.044715, 0))
    tanh = activation(program, name, affine(program, name, inner, math.sqrt(2 / math.pi), 0), "tanh")
    return binary(program, name, "mul", x, affine(program, name, tanh, 0.5, 0.5))


def _clip(program: Program, operation: Operation, name: str, x: Signal) -> Signal:
    low, high = (
        _single(operation, index, what) if operation.given(index) is not None else operation.number(what, default)
        for index, what, default in ((1, "min", float(LIMITS.min)), (2, "max", float(LIMITS.max)))
    )
    return activation(program, name, x, "clip", low, high)


def _single(operation: Operation, index: int, what: str) -> float:
    numbers = operation.weights(index, what)
    if numbers.size != 1:
        raise Refusal(f"its {what} has {numbers.size} elements", EXPORT_AGAIN)
    return float(numbers.reshape(-1)[0])


def _prelu(program: Program, operation: Operation, name: str, x: Signal) -> Signal:
    slopes = operation.tensor(1)
    if isinstance(slopes, Signal):
        raise Refusal("its slopes are computed from frames", "use constant slopes")
    slopes = program.collapsed(slopes, x.axes)
    if onnx_axes.broadcast_axes([x.axes, slopes.axes]) != x.axes:
        raise Refusal(
            f"its slopes {onnx_axes.described(slopes.axes)} do not fit {onnx_axes.described(x.axes)}",
            "use one slope for all features or one for each",
        )
    numbers = np.broadcast_to(finite(slopes.numbers, "its slope"), onnx_axes.shape(x.axes)).reshape(-1)
    return program.signal(program.emit(PRelu, name, [program.vector(x, name)], slopes=numbers), x.axes, x)


def _softmax(program: Program, operation: Operation, name: str, x: Signal) -> Signal:
    rank = len(x.axes)
    # Before operator set 13 all axes from this one on are one, and the default was axis 1.
    merged = operation.opset < 13
    axis = onnx_axes.position(operation.attributes.get("axis", 1 if merged else -1), rank)
    behind = range(axis, rank) if merged else [axis]
    axes = [x.axes[place] for place in behind]
    if not all(isinstance(size, int) for size in axes):
        raise Refusal(
            f"it makes shares along {onnx_axes.described(tuple(axes))}", "use the axis of the features (axis -1)"
        )
    order = [place for place in range(rank) if place not in behind] + list(behind)
    moved = onnx_axes.transpose(x, order)
    size = math.prod(onnx_axes.shape(tuple(axes)))
    size = 0 if size == x.numbers.size else size
    value = program.emit(Activation, name, [program.vector(moved, name)], function="softmax", size=size)
    return onnx_axes.transpose(program.signal(value, moved.axes, x), [order.index(place) for place in range(rank)])


def _log_softmax(program: Program, operation: Operation, name: str, x: Signal) -> Signal:
    shares = _softmax(program, operation, name, x)
    return activation(program, name, activation(program, name, shares, "clip", SMALLEST_SHARE, 1.0), "log")


HANDLERS: dict[str, Handler] = {
    "Abs": _plain("abs"),
    "Celu": _composed(_celu),
    "Clip": _composed(_clip),
    "Elu": _plain("elu", alpha=1.0),
    "Exp": _plain("exp"),
    "Gelu": _composed(_gelu),
    "HardSigmoid": _plain("hard_sigmoid", alpha=0.2, beta=0.5),
    "HardSwish": _composed(_hard_swish),
    "LeakyRelu": _plain("leaky_relu", alpha=0.01),
    "Log": _plain("log"),
    "LogSoftmax": _composed(_log_softmax),
    "Mish": _composed(_mish),
    "Neg": _composed(lambda program, operation, name, x: affine(program, name, x, -1, 0)),
    "PRelu": _composed(_prelu),
    "Reciprocal": _plain("reciprocal"),
    "Relu": _plain("relu"),
    "Selu": _composed(_selu),
    "Sigmoid": _plain("sigmoid"),
    "Softmax": _composed(_softmax),
    "Softplus": _plain("softplus"),
    "Softsign": _plain("softsign"),
    "Sqrt": _plain("sqrt"),
    "Swish": _composed(_swish),
    "Tanh": _plain("tanh"),
    "ThresholdedRelu": _plain("thresholded_relu", alpha=1.0),
}
