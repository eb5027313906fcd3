"""Operators that only move numbers: they run nothing, whether on constants, shapes, states or frames."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from onnx import TensorProto, helper

from grulet_export.errors import Refusal
from grulet_export.onnx_reading import axes as onnx_axes
from grulet_export.onnx_reading.axes import Frozen
from grulet_export.onnx_reading.handlers.pieces import moved
from grulet_export.onnx_reading.program import Handler, Program
from grulet_export.onnx_reading.sizes import Length, Size, as_numbers, product
from grulet_export.onnx_reading.values import Fill, Operation, Signal, Value


def _pass_on(program: Program, operation: Operation) -> Sequence[Value]:
    return [operation.tensor()]


def _dropout(program: Program, operation: Operation) -> Sequence[Value]:
    training = operation.given(2)
    if training is not None and operation.constant(2, "training mode").any():
        raise Refusal("it is in training mode, so its answers are random", "export the model in evaluation mode")
    return [operation.tensor()]


def _cast(program: Program, operation: Operation) -> Sequence[Value]:
    tensor = operation.tensor()
    to = operation.attributes.get("to", TensorProto.FLOAT)  # CastLike has no such attribute
    if isinstance(tensor, Signal):
        if tensor.tokens and to not in (TensorProto.INT64, TensorProto.INT32):
            program.frames(tensor)
        if not tensor.tokens and to != TensorProto.FLOAT:
            raise Refusal("it converts frames from float32 to another type", "keep frames float32")
        return [tensor]
    if tensor.numbers.dtype == object:
        return [tensor]
    return [replace(tensor, numbers=tensor.numbers.astype(helper.tensor_dtype_to_np_dtype(to)))]


def _transpose(program: Program, operation: Operation) -> Sequence[Value]:
    return [moved(onnx_axes.transpose(operation.tensor(), operation.attributes.get("perm")), operation)]


def _squeeze(program: Program, operation: Operation) -> Sequence[Value]:
    return [onnx_axes.squeeze(operation.tensor(), operation.integers(1, "axes"))]


def _unsqueeze(program: Program, operation: Operation) -> Sequence[Value]:
    return [onnx_axes.unsqueeze(operation.tensor(), operation.integers(1, "axes") or [])]


def _reshape(program: Program, operation: Operation) -> Sequence[Value]:
    tensor = operation.tensor()
    allow_zero = bool(operation.attributes.get("allowzero", 0))
    target = operation.lengths(1, "shape") or []
    extents = program.extents_of(tensor)
    try:
        return [onnx_axes.reshape(tensor, target, allow_zero, extents)]
    except Refusal as refusal:
        frozen = _frozen(tensor, target, allow_zero, extents)
        raise (Frozen(*frozen, refusal) if frozen else refusal) from refusal


def _frozen(
    tensor: Fill | Signal, target: Sequence[Length], allow_zero: bool, extents: onnx_axes.Extents
) -> tuple[str, int] | None:
    """Return the role of an open size, and the number that the exporter wrote for it into a shape."""
    for role, size in ((role, size) for role in extents for size in target):
        if isinstance(extents[role], Size) and isinstance(size, int) and size > 1:
            try:
                onnx_axes.reshape(tensor, target, allow_zero, {**extents, role: size})
            except Refusal:
                continue
            return role, size
    return None


def _flatten(program: Program, operation: Operation) -> Sequence[Value]:
    tensor = operation.tensor()
    extents = program.extents_of(tensor)
    axis = operation.attributes.get("axis", 1)
    if axis != len(tensor.axes):
        axis = onnx_axes.position(axis, len(tensor.axes))
    sizes = [onnx_axes.length(item, extents) for item in tensor.axes]
    target = [product(sizes[:axis]), product(sizes[axis:])]
    return [onnx_axes.reshape(tensor, target, True, extents)]


def _shape(program: Program, operation: Operation) -> Sequence[Value]:
    tensor = operation.tensor()
    extents = program.extents_of(tensor)
    sizes = [onnx_axes.length(axis, extents) for axis in tensor.axes]
    start, end = operation.attributes.get("start", 0), operation.attributes.get("end", len(sizes))
    return [as_numbers(sizes[start:end])]


def _size(program: Program, operation: Operation) -> Sequence[Value]:
    tensor = operation.tensor()
    extents = program.extents_of(tensor)
    return [as_numbers([product([onnx_axes.length(axis, extents) for axis in tensor.axes])]).reshape(())]


HANDLERS: dict[str, Handler] = {
    "Cast": _cast,
    "CastLike": _cast,
    "Dropout": _dropout,
    "Flatten": _flatten,
    "Identity": _pass_on,
    "Reshape": _reshape,
    "Shape": _shape,
    "Size": _size,
    "Squeeze": _squeeze,
    "Transpose": _transpose,
    "Unsqueeze": _unsqueeze,
}
