"""Normalization of a frame by its own mean and deviation, or by constants."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from onnx import NodeProto

from grulet_export.errors import Refusal
from grulet_export.graph import Array, LayerNorm
from grulet_export.onnx_reading import axes as onnx_axes
from grulet_export.onnx_reading.file import EXPORT_AGAIN
from grulet_export.onnx_reading.handlers.pieces import affine
from grulet_export.onnx_reading.program import Handler, Program
from grulet_export.onnx_reading.values import Operation, Signal, Value


def _batch_normalization(program: Program, operation: Operation) -> Sequence[Value]:
    if operation.attributes.get("training_mode", 0) or len([name for name in operation.node.output if name]) > 1:
        raise Refusal("it is in training mode", "export the model in evaluation mode (model.eval())")
    x = program.frames(operation.given(0))
    channels = x.axes[1] if len(x.axes) > 1 else 1
    if not isinstance(channels, int):
        raise Refusal(
            f"it normalizes along {onnx_axes.named(channels)}, its axis 1", "normalize the features of a frame"
        )
    scale, shift, mean, variance = (
        operation.weights(index, what).astype(np.float64)
        for index, what in enumerate(("scale", "B", "mean", "variance"), start=1)
    )
    if any(numbers.shape != (channels,) for numbers in (scale, shift, mean, variance)) or (variance < 0).any():
        raise Refusal(f"its statistics are not ({channels},)", EXPORT_AGAIN)
    factor = scale / np.sqrt(variance + operation.number("epsilon", 1e-5))
    behind = (len(x.axes) - 2) * (1,)
    shape = onnx_axes.shape(x.axes)
    factors, shifts = (
        np.broadcast_to(numbers.reshape(-1, *behind), shape).reshape(-1) for numbers in (factor, shift - mean * factor)
    )
    return [affine(program, operation.name, x, factors, shifts)]


def _layer_normalization(program: Program, operation: Operation) -> Sequence[Value]:
    if len([name for name in operation.node.output if name]) > 1:
        raise Refusal("its mean or deviation is read", "read only its first output")
    x = program.frames(operation.given(0))
    axis = onnx_axes.position(operation.attributes.get("axis", -1), len(x.axes))
    shape = onnx_axes.shape(x.axes[axis:])
    scale = _over(shape, operation.weights(1, "scale"))
    shift = _over(shape, operation.weights(2, "bias")) if operation.given(2) is not None else np.zeros(scale.size)
    return [layer_norm(program, operation.name, x, axis, scale, shift, operation.number("epsilon", 1e-5))]


def _over(shape: tuple[int, ...], numbers: Array) -> Array:
    """Return constants with one number for every feature that is normalized."""
    if numbers.ndim > len(shape) or any(
        n not in (1, size) for n, size in zip(numbers.shape[::-1], shape[::-1], strict=False)
    ):
        raise Refusal(f"the shape of its scale or bias is {numbers.shape}, not {shape}", EXPORT_AGAIN)
    return np.broadcast_to(numbers, shape).reshape(-1)


def layer_norm(
    program: Program, name: str, x: Signal, axis: int, scale: NDArray[Any], shift: NDArray[Any], epsilon: float
) -> Signal:
    """Return the axes from this one on with mean 0 and deviation 1."""
    for place in range(axis, len(x.axes)):
        if not isinstance(x.axes[place], int):
            raise Refusal(f"it normalizes over {onnx_axes.named(x.axes[place])}", "normalize the features of a frame")
    size = math.prod(onnx_axes.shape(x.axes[axis:]))
    value = program.emit(
        LayerNorm, name, [program.vector(x, name)], scale=scale, shift=shift, epsilon=epsilon, size=size
    )
    return program.signal(value, x.axes, x)


# What older exporters write instead of LayerNormalization ------------------------------------------------------------


def layer_norm_by_hand(program: Program, operation: Operation) -> Signal | None:
    """Return the layer norm that a division ends: ``(x - mean) / sqrt(mean((x - mean) ** 2) + epsilon)``."""
    found = _parts(program, operation.node)
    if found is None:
        return None
    source, epsilon, means = found
    x = program.tensors.get(source)
    if not isinstance(x, Signal):
        return None
    which = {tuple(_axes(program, mean, len(x.axes))) for mean in means}
    places = which.pop()
    if which or not places or not all(isinstance(x.axes[place], int) for place in places):
        return None
    order = [place for place in range(len(x.axes)) if place not in places] + list(places)
    moved = onnx_axes.transpose(program.frames(x), order)
    size = math.prod(onnx_axes.shape(tuple(x.axes[place] for place in places)))
    axis = len(order) - len(places)
    result = layer_norm(program, operation.name, moved, axis, np.ones(size), np.zeros(size), epsilon)
    return onnx_axes.transpose(result, [order.index(place) for place in range(len(order))])


def _parts(program: Program, division: NodeProto) -> tuple[str, float, list[NodeProto]] | None:
    """Return the name of x, epsilon and the two ReduceMean nodes."""

    def maker(name: str, kind: str) -> NodeProto | None:
        node = program.makers.get(name)
        return node if node is not None and node.op_type == kind else None

    centred, root = maker(division.input[0], "Sub"), maker(division.input[1], "Sqrt")
    mean = maker(centred.input[1], "ReduceMean") if centred else None
    total = maker(root.input[0], "Add") if root else None
    if centred is None or mean is None or total is None or mean.input[0] != centred.input[0]:
        return None
    numbers = {name: _number(program, name) for name in total.input}
    constants = [name for name, number in numbers.items() if number is not None]
    variances = [maker(name, "ReduceMean") for name in total.input if name not in constants]
    if len(constants) != 1 or len(variances) != 1 or variances[0] is None:
        return None
    square = maker(variances[0].input[0], "Pow") or maker(variances[0].input[0], "Mul")
    if square is None or not _is_square(program, square, division.input[0]):
        return None
    epsilon = numbers[constants[0]]
    return None if epsilon is None else (centred.input[0], epsilon, [mean, variances[0]])


def _is_square(program: Program, node: NodeProto, of: str) -> bool:
    """Return whether a node squares the centred frame, which exporters may compute twice."""

    def same(name: str) -> bool:
        node, other = program.makers.get(name), program.makers.get(of)
        return name == of or (
            node is not None and other is not None and node.op_type == "Sub" and list(node.input) == list(other.input)
        )

    if node.op_type == "Pow":
        return same(node.input[0]) and _number(program, node.input[1]) == 2.0
    return same(node.input[0]) and same(node.input[1])


def _number(program: Program, name: str) -> float | None:
    value = program.tensors.get(name)
    return float(value.reshape(-1)[0]) if isinstance(value, np.ndarray) and value.size == 1 else None


def _axes(program: Program, mean: NodeProto, rank: int) -> list[int]:
    attributes = [list(entry.ints) for entry in mean.attribute if entry.name == "axes"]
    value = program.tensors.get(mean.input[1]) if len(mean.input) > 1 else None
    axes = attributes[0] if attributes else value.tolist() if isinstance(value, np.ndarray) else range(rank)
    return sorted(onnx_axes.positions(axes, rank))


HANDLERS: dict[str, Handler] = {
    "BatchNormalization": _batch_normalization,
    "LayerNormalization": _layer_normalization,
}
