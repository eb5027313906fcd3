"""Operators that take a part of a tensor: of features any, of frames the last."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from grulet_export.errors import Refusal
from grulet_export.graph import FirstFrame
from grulet_export.onnx_reading import axes as onnx_axes
from grulet_export.onnx_reading.axes import TIME
from grulet_export.onnx_reading.file import EXPORT_AGAIN
from grulet_export.onnx_reading.handlers.embedding import look_up
from grulet_export.onnx_reading.handlers.pieces import moved
from grulet_export.onnx_reading.program import Handler, Program
from grulet_export.onnx_reading.sizes import Length, Size, product, settled
from grulet_export.onnx_reading.values import Fill, Operation, Signal, Value, check_elements


def _slice(program: Program, operation: Operation) -> Sequence[Value]:
    tensor = operation.tensor()
    starts, ends = operation.lengths(1, "starts") or [], operation.lengths(2, "ends") or []
    axes = operation.integers(3, "axes") or list(range(len(starts)))
    steps = operation.integers(4, "steps") or [1] * len(starts)
    if not len(starts) == len(ends) == len(axes) == len(steps) or 0 in steps:
        raise Refusal("its starts, ends, axes and steps do not go together", EXPORT_AGAIN)
    for place, start, end, step in zip(onnx_axes.positions(axes, len(tensor.axes)), starts, ends, steps, strict=True):
        tensor = _cut(program, tensor, place, start, end, step, operation.name)
    return [moved(tensor, operation)]


def _cut(
    program: Program, tensor: Fill | Signal, place: int, start: Length, end: Length, step: int, name: str
) -> Fill | Signal:
    axis = tensor.axes[place]
    if isinstance(axis, tuple):
        return _cut_frames(program, tensor, place, start, end, step, name)
    # A size that is left open is larger than any axis of features.
    first, behind = (axis if isinstance(bound, Size) else bound for bound in (start, end))
    numbers = tensor.numbers[(slice(None),) * place + (slice(first, behind, step),)]
    if numbers.shape[place] == 0:
        raise Refusal(f"it leaves nothing of an axis of {axis}", EXPORT_AGAIN)
    axes = (*tensor.axes[:place], numbers.shape[place], *tensor.axes[place + 1 :])
    return replace(tensor, numbers=numbers, axes=axes)


def _cut_frames(
    program: Program, tensor: Fill | Signal, place: int, start: Length, end: Length, step: int, name: str
) -> Fill | Signal:
    """Cut an axis of time or batch, of which little can be cut in a stream."""
    axis = tensor.axes[place]
    size = onnx_axes.length(axis, program.extents_of(tensor))
    roles = onnx_axes.named(axis)
    if step < 0 and axis == (TIME,):
        raise Refusal(
            "it turns the frames round", "use a layer of direction reverse: a stream has its frames in one order"
        )
    if step != 1:
        raise Refusal(f"it takes {roles} in steps of {step}", "let every frame have an answer, and pick from them")
    first = _bound(start, size)
    # Exporters write the end of an axis as the largest integer.
    behind = size if isinstance(end, int) and end >= 1 << 30 else _bound(end, size)
    if isinstance(size, int) and isinstance(behind, int):
        behind = min(size, behind)
    if first == 0 and behind == size:
        return tensor
    count = behind - first
    if isinstance(tensor, Fill):
        return _axis_of_fill(program, tensor, place, count)
    left_out = size - behind
    if axis == (TIME,) and first == 0 and isinstance(left_out, int) and 0 < left_out <= tensor.tail:
        return replace(tensor, tail=tensor.tail - left_out)
    if count == 1:
        return _one_of(program, tensor, place, first, name)
    raise Refusal(
        f"it cuts {roles}, from {first} to {behind}",
        "let every frame have an answer, and pick from the answers of the stream",
    )


def _bound(bound: Length, size: Length) -> Length:
    return bound + size if isinstance(bound, int) and bound < 0 else bound


def _axis_of_fill(program: Program, tensor: Fill, place: int, count: Length) -> Fill:
    """Return a constant with another number of repetitions along time or batch."""
    axes = (*tensor.axes[:place], onnx_axes.axis_of(count, program.extents), *tensor.axes[place + 1 :])
    if min(onnx_axes.shape(axes), default=1) < 1:
        raise Refusal("it leaves nothing of an axis", EXPORT_AGAIN)
    check_elements(product(list(onnx_axes.shape(axes))))
    return onnx_axes.broadcast(tensor, axes)


def _one_of(program: Program, tensor: Signal, place: int, index: Length, name: str) -> Signal:
    """Return one frame, which must be the last, or one stream, which must be the first; the axis becomes 1."""
    axis = tensor.axes[place]
    rest = replace(tensor, axes=(*tensor.axes[:place], 1, *tensor.axes[place + 1 :]))
    size = onnx_axes.length(axis, program.extents_of(tensor))
    if axis == (TIME,) and _bound(index, size) == size - 1 and not tensor.tail and not tensor.lead:
        return replace(rest, last=True)
    if axis == (TIME,) and index == 0 and any(getattr(node, "reverse", False) for node in program.nodes.values()):
        # Where a layer runs backwards, the first frame is its last, and the model runs on whole sequences anyway.
        value = program.emit(FirstFrame, f"{name}.first", [program.vector(replace(tensor, tail=0), name)])
        return program.signal(value, rest.axes)
    if axis == (TIME,):
        raise Refusal(
            f"it takes frame {index} of the sequence",
            "take all frames, or the last one (index -1), which a stream has at every frame",
        )
    if index == 0:
        program.note(f"The file answers for the first stream of its {onnx_axes.named(axis)}; so does each stream.")
        return rest
    raise Refusal(f"it takes stream {index} of a batch", "let every stream have its own answer")


def _gather(program: Program, operation: Operation) -> Sequence[Value]:
    data, indices = operation.tensor(0), operation.tensor(1)
    place = onnx_axes.position(operation.attributes.get("axis", 0), len(data.axes))
    if isinstance(indices, Signal):
        return [look_up(program, data, indices, place, operation.name)]
    axis = data.axes[place]
    chosen = indices.numbers
    if isinstance(axis, tuple):
        if chosen.size != 1:
            raise Refusal(f"it takes {chosen.size} of {onnx_axes.named(axis)}", "take all frames, or the last")
        index = settled(chosen).reshape(-1).tolist()[0]
        if isinstance(data, Fill):
            data = _axis_of_fill(program, data, place, 1)
        else:
            data = _one_of(program, data, place, index, operation.name)
        axes = (*data.axes[:place], *chosen.shape, *data.axes[place + 1 :])
        return [moved(replace(data, numbers=data.numbers.reshape(onnx_axes.shape(axes)), axes=axes), operation)]
    try:
        chosen = chosen.astype(np.int64)
        if ((chosen < -axis) | (chosen >= axis)).any():
            raise ValueError
    except (TypeError, ValueError):
        raise Refusal(f"it picks {chosen.reshape(-1).tolist()[:8]} from {axis} numbers", EXPORT_AGAIN) from None
    check_elements(chosen.size * (data.numbers.size // axis))
    axes = (*data.axes[:place], *chosen.shape, *data.axes[place + 1 :])
    return [moved(replace(data, numbers=np.asarray(data.numbers.take(chosen, place)), axes=axes), operation)]


def _split(program: Program, operation: Operation) -> Sequence[Value]:
    tensor = operation.tensor()
    place = onnx_axes.position(operation.attributes.get("axis", 0), len(tensor.axes))
    axis = tensor.axes[place]
    count = len(operation.node.output)
    if not isinstance(axis, int):
        raise Refusal(f"it splits {onnx_axes.named(axis)}", "split features: a stream gives one frame at a time")
    sizes = operation.integers(1, "split")
    if sizes is None:
        part = -(-axis // count)
        sizes = [max(0, min(part, axis - part * index)) for index in range(count)]
    if len(sizes) != count or min(sizes) < 1 or sum(sizes) != axis:
        raise Refusal(f"it splits {axis} features into {sizes}", EXPORT_AGAIN)
    ends = np.cumsum(sizes).tolist()
    return [
        moved(_cut(program, tensor, place, end - size, end, 1, operation.name), operation)
        for end, size in zip(ends, sizes, strict=True)
    ]


HANDLERS: dict[str, Handler] = {
    "Gather": _gather,
    "Slice": _slice,
    "Split": _split,
}
