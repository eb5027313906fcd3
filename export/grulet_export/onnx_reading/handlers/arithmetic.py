"""Operators of two tensors or more, element by element: between frames, with constants, and on sizes."""

from __future__ import annotations

import operator
from collections.abc import Callable, Sequence
from functools import reduce
from typing import Any

import numpy as np
from numpy.typing import NDArray

from grulet_export.errors import Refusal
from grulet_export.graph import Activation, Affine, Array, Binary, Dense, LayerNorm, Node
from grulet_export.onnx_reading import axes as onnx_axes
from grulet_export.onnx_reading.file import finite
from grulet_export.onnx_reading.handlers.normalization import layer_norm_by_hand
from grulet_export.onnx_reading.handlers.pieces import activation, affine, binary
from grulet_export.onnx_reading.program import Handler, Program
from grulet_export.onnx_reading.sizes import settled
from grulet_export.onnx_reading.values import Fill, Operation, Signal, Value, as_tensor, name_of

Numbers = NDArray[Any]


def _divided(a: Numbers, b: Numbers) -> Numbers:
    """ONNX divides integers without a rest."""
    whole = a.dtype.kind in "iuO" and b.dtype.kind in "iuO"
    return np.asarray(a // b if whole else a / b)


#: What operators do with numbers and sizes known now.
NOW: dict[str, Callable[[Numbers, Numbers], Numbers]] = {
    "Add": operator.add,
    "Sub": operator.sub,
    "Mul": operator.mul,
    "Div": _divided,
    "Min": np.minimum,
    "Max": np.maximum,
    "And": np.logical_and,
    "Or": np.logical_or,
    "Equal": lambda a, b: np.asarray(a == b, dtype=bool),
    "Less": lambda a, b: np.asarray(a < b, dtype=bool),
    "LessOrEqual": lambda a, b: np.asarray(a <= b, dtype=bool),
    "Greater": lambda a, b: np.asarray(a > b, dtype=bool),
    "GreaterOrEqual": lambda a, b: np.asarray(a >= b, dtype=bool),
}


def _two(program: Program, operation: Operation, kind: str, left: Fill | Signal, right: Fill | Signal) -> Fill | Signal:
    """Return what an operator of `NOW` makes of two tensors."""
    if isinstance(left, Fill) and isinstance(right, Fill):
        axes = onnx_axes.broadcast_axes([left.axes, right.axes])
        return Fill(settled(np.asarray(NOW[kind](left.numbers, right.numbers))), axes)
    if isinstance(left, Signal) and isinstance(right, Signal):
        return binary(program, operation.name, kind.lower(), left, right)
    if isinstance(left, Signal):
        return CONSTANT_BEHIND[kind](program, operation, *_beside(program, left, right))
    return CONSTANT_IN_FRONT[kind](program, operation, *_beside(program, right, left))


# One constant --------------------------------------------------------------------------------------------------------


def _beside(program: Program, signal: Fill | Signal, constant: Fill | Signal) -> tuple[Signal, Array]:
    """Return a signal and a constant, both with all features of the result."""
    assert isinstance(signal, Signal)
    assert isinstance(constant, Fill)
    signal = program.frames(signal)
    constant = program.collapsed(constant, signal.axes)
    axes = onnx_axes.broadcast_axes([signal.axes, constant.axes])
    program.joined(axes, signal)
    numbers = finite(constant.numbers, "its constant")
    return onnx_axes.broadcast(signal, axes), np.broadcast_to(numbers, onnx_axes.shape(axes)).reshape(-1)


def _add(program: Program, operation: Operation, signal: Signal, numbers: Array) -> Signal:
    """Add a constant: to the node in front, where that has room for it and no other reader."""
    node = _maker(program, operation, signal)
    if isinstance(node, Dense) and not node.bias.any() and not node.exact:
        value = program.emit(Dense, node.name, node.inputs, weights=node.weights, bias=numbers)
        return program.signal(value, signal.axes, signal)
    if isinstance(node, Affine) and not node.shift.any():
        value = program.emit(Affine, operation.name, node.inputs, scale=node.scale, shift=numbers)
        return program.signal(value, signal.axes, signal)
    if isinstance(node, LayerNorm) and not node.shift.any() and node.size == numbers.size:
        return _layer_norm(program, operation, signal, node, node.scale, numbers)
    return affine(program, operation.name, signal, 1, numbers)


def _multiply(program: Program, operation: Operation, signal: Signal, numbers: Array) -> Signal:
    """Multiply with a constant: the scale of a layer norm in front that has none."""
    node = _maker(program, operation, signal)
    if isinstance(node, LayerNorm) and (node.scale == 1).all() and not node.shift.any() and node.size == numbers.size:
        return _layer_norm(program, operation, signal, node, numbers, node.shift)
    return affine(program, operation.name, signal, numbers, 0)


def _layer_norm(
    program: Program, operation: Operation, signal: Signal, node: LayerNorm, scale: Array, shift: Array
) -> Signal:
    settings = {"scale": scale, "shift": shift, "epsilon": node.epsilon, "size": node.size}
    return program.signal(program.emit(LayerNorm, operation.name, node.inputs, **settings), signal.axes, signal)


def _maker(program: Program, operation: Operation, signal: Signal) -> Node | None:
    """Return the node that makes a signal, if only this operation reads it and nothing was moved in between."""
    for name, value in zip(operation.node.input, operation.inputs, strict=True):
        if isinstance(value, Signal) and name in program.makers and program.readers[name] == 1:
            node = program.nodes.get(program.vector(signal, operation.name))
            return node if node is not None and node.name == name_of(program.makers[name]) else None
    return None


def _divide(program: Program, operation: Operation, signal: Signal, numbers: Array) -> Signal:
    if (numbers == 0).any():
        raise Refusal("it divides by zero", "look into the training: such a model gives no answer")
    return affine(program, operation.name, signal, 1 / numbers.astype(np.float64), 0)


def _divide_constant(program: Program, operation: Operation, signal: Signal, numbers: Array) -> Signal:
    inverse = activation(program, operation.name, signal, "reciprocal")
    return inverse if (numbers == 1).all() else affine(program, operation.name, inverse, numbers, 0)


def _limit(program: Program, operation: Operation, signal: Signal, numbers: Array) -> Signal:
    """Take the larger or smaller of a signal and a constant."""
    function = operation.node.op_type.lower()
    name = operation.name
    value = program.vector(signal, name)
    if (numbers == numbers[0]).all():
        limits = np.finfo(np.float32)
        low, high = (numbers[0], limits.max) if function == "max" else (limits.min, numbers[0])
        value = program.emit(Activation, name, [value], function="clip", alpha=float(low), beta=float(high))
    else:
        constant = program.constant_vector(numbers, signal, name)
        value = program.emit(Binary, name, [value, constant], function=function)
    return program.signal(value, signal.axes, signal)


Constant = Callable[[Program, Operation, Signal, Array], Signal]

CONSTANT_BEHIND: dict[str, Constant] = {
    "Add": _add,
    "Sub": lambda program, operation, signal, numbers: _add(program, operation, signal, -numbers),
    "Mul": _multiply,
    "Div": _divide,
    "Min": _limit,
    "Max": _limit,
}
CONSTANT_IN_FRONT: dict[str, Constant] = {
    "Add": _add,
    "Sub": lambda program, operation, signal, numbers: affine(program, operation.name, signal, -1, numbers),
    "Mul": _multiply,
    "Div": _divide_constant,
    "Min": _limit,
    "Max": _limit,
}


# Handlers ------------------------------------------------------------------------------------------------------------


def _elementwise(program: Program, operation: Operation, kind: str = "") -> Sequence[Value]:
    """Join any number of tensors, two at a time, by an operator of `NOW`."""
    tensors = [operation.tensor(index) for index in range(len(operation.inputs))]
    return [reduce(lambda left, right: _two(program, operation, kind or operation.node.op_type, left, right), tensors)]


def _div(program: Program, operation: Operation) -> Sequence[Value]:
    return [layer_norm_by_hand(program, operation) or _elementwise(program, operation)[0]]


def _sum(program: Program, operation: Operation) -> Sequence[Value]:
    return _elementwise(program, operation, "Add")


def _mean(program: Program, operation: Operation) -> Sequence[Value]:
    (total,) = _elementwise(program, operation, "Add")
    share = 1 / len(operation.inputs)
    if isinstance(total, Signal):
        return [affine(program, operation.name, total, share, 0)]
    total = as_tensor(total)
    return [Fill(total.numbers * np.float32(share), total.axes)]


def _only_now(program: Program, operation: Operation) -> Sequence[Value]:
    """Compare or join conditions, which only sizes and constants can be."""
    tensors = [operation.tensor(index) for index in range(len(operation.inputs))]
    if any(isinstance(tensor, Signal) for tensor in tensors):
        raise Refusal("it compares frames, so what follows would branch on them", "use Relu, Clip, Min or Max")
    return _elementwise(program, operation)


def _not(program: Program, operation: Operation) -> Sequence[Value]:
    tensor = operation.tensor()
    if isinstance(tensor, Signal):
        raise Refusal("it reads frames as conditions", "use Relu, Clip, Min or Max")
    return [Fill(np.logical_not(tensor.numbers), tensor.axes)]


def _where(program: Program, operation: Operation) -> Sequence[Value]:
    tensors = [operation.tensor(index) for index in range(3)]
    if any(isinstance(tensor, Signal) for tensor in tensors):
        raise Refusal("it chooses between numbers of a frame by a condition", "use Relu, Clip, Min or Max")
    axes = onnx_axes.broadcast_axes([tensor.axes for tensor in tensors])
    condition, yes, no = (tensor.numbers for tensor in tensors)
    return [Fill(settled(np.where(condition.astype(bool), yes, no)), axes)]


def _pow(program: Program, operation: Operation) -> Sequence[Value]:
    base, exponent = operation.tensor(0), operation.tensor(1)
    if isinstance(base, Fill) and isinstance(exponent, Fill):
        return [Fill(base.numbers**exponent.numbers, onnx_axes.broadcast_axes([base.axes, exponent.axes]))]
    if not isinstance(base, Signal) or not isinstance(exponent, Fill) or exponent.numbers.size != 1:
        raise Refusal("its exponent is not one constant", "use an exponent of 2, 3, 4, 0.5, 1, -0.5, -1 or -2")
    power = float(exponent.numbers.reshape(-1)[0])
    name = operation.name
    signal = program.frames(base)
    if abs(power) == 0.5:
        result = activation(program, name, signal, "sqrt")
    elif abs(power) in (1, 2, 3, 4):
        result = signal
        for _ in range(int(abs(power)) - 1):
            result = binary(program, name, "mul", result, signal)
    else:
        raise Refusal(f"its exponent is {power:g}", "use an exponent of 2, 3, 4, 0.5, 1, -0.5, -1 or -2")
    return [activation(program, name, result, "reciprocal") if power < 0 else result]


HANDLERS: dict[str, Handler] = {
    **dict.fromkeys(("Add", "Max", "Min", "Mul", "Sub"), _elementwise),
    **dict.fromkeys(("And", "Equal", "Greater", "GreaterOrEqual", "Less", "LessOrEqual", "Or"), _only_now),
    "Div": _div,
    "Mean": _mean,
    "Not": _not,
    "Pow": _pow,
    "Sum": _sum,
    "Where": _where,
}
