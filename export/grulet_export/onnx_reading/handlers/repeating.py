"""Operators that repeat numbers along an axis: of features, or along time and batch."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from grulet_export.errors import Refusal
from grulet_export.onnx_reading import axes as onnx_axes
from grulet_export.onnx_reading.axes import Axis
from grulet_export.onnx_reading.file import EXPORT_AGAIN
from grulet_export.onnx_reading.program import Handler, Program
from grulet_export.onnx_reading.sizes import Length, product
from grulet_export.onnx_reading.values import Fill, Operation, Signal, Value, check_elements


def _constant_of_shape(program: Program, operation: Operation) -> Sequence[Value]:
    number = np.asarray(operation.attributes.get("value", np.zeros(1, np.float32)))
    if number.size != 1:
        raise Refusal("its value is not one number", EXPORT_AGAIN)
    target = operation.lengths(0, "shape") or []
    return [repeat(program, Fill(number.reshape(()), ()), target)]


def _expand(program: Program, operation: Operation) -> Sequence[Value]:
    return [repeat(program, operation.tensor(), operation.lengths(1, "shape") or [])]


def _tile(program: Program, operation: Operation) -> Sequence[Value]:
    tensor = operation.tensor()
    repeats = operation.lengths(1, "repeats") or []
    if len(repeats) != len(tensor.axes):
        raise Refusal(f"it repeats {len(repeats)} axes of a tensor with {len(tensor.axes)}", EXPORT_AGAIN)
    for place, (axis, count) in enumerate(zip(tensor.axes, repeats, strict=True)):
        if count == 1:
            continue
        if axis == 1:
            shape = [1] * len(tensor.axes)
            tensor = repeat(program, tensor, [*shape[:place], count, *shape[place + 1 :]])
        elif isinstance(axis, int) and isinstance(count, int) and count > 1:
            check_elements(product([*onnx_axes.shape(tensor.axes), count]))
            axes = (*tensor.axes[:place], axis * count, *tensor.axes[place + 1 :])
            tensor = replace(tensor, numbers=np.concatenate([tensor.numbers] * count, place), axes=axes)
        else:
            raise Refusal(f"it repeats the axis {onnx_axes.named(axis)}", "repeat features, not frames")
    return [tensor]


def repeat(program: Program, tensor: Fill | Signal, target: Sequence[Length]) -> Fill | Signal:
    """Return a tensor broadcast to a shape, as by Expand: 1 leaves an axis as it is."""
    extents = program.extents_of(tensor)
    rank = max(len(target), len(tensor.axes))
    tensor = onnx_axes.unsqueeze(tensor, range(rank - len(tensor.axes)))
    wanted: list[Axis] = []
    for axis, size in zip(tensor.axes, [1] * (rank - len(target)) + [*target], strict=True):
        if size == 1 or size == onnx_axes.length(axis, extents):
            wanted.append(axis)
        elif axis != 1 or (isinstance(size, int) and size < 1):
            raise Refusal(
                f"it repeats {onnx_axes.described(tensor.axes)} to ({', '.join(map(str, target))})", EXPORT_AGAIN
            )
        else:
            roles = [role for role, count in extents.items() if count == size and not onnx_axes.has(tensor.axes, role)]
            # A file of fixed sizes may mean its frames or its streams.
            wanted.append((roles[0],) if roles and isinstance(tensor, Signal) else onnx_axes.axis_of(size, extents))
    check_elements(product(list(onnx_axes.shape(tuple(wanted)))))
    if isinstance(tensor, Signal):
        program.joined(tuple(wanted), replace(tensor, lead=0, axes=()))  # the last frame cannot be repeated over time
    return onnx_axes.broadcast(tensor, tuple(wanted))


HANDLERS: dict[str, Handler] = {
    "ConstantOfShape": _constant_of_shape,
    "Expand": _expand,
    "Tile": _tile,
}
