"""Operators that put tensors one behind the other: features, or zeros in front of the first frame."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from grulet_export.errors import Refusal
from grulet_export.onnx_reading import axes as onnx_axes
from grulet_export.onnx_reading.axes import TIME
from grulet_export.onnx_reading.file import EXPORT_AGAIN
from grulet_export.onnx_reading.handlers.pieces import moved
from grulet_export.onnx_reading.handlers.repeating import repeat
from grulet_export.onnx_reading.program import Handler, Program
from grulet_export.onnx_reading.values import Fill, Operation, Signal, Value, check_elements


def _concat(program: Program, operation: Operation) -> Sequence[Value]:
    tensors = [operation.tensor(index) for index in range(len(operation.inputs))]
    rank = len(tensors[0].axes)
    if any(len(tensor.axes) != rank for tensor in tensors):
        raise Refusal("its inputs have different numbers of axes", EXPORT_AGAIN)
    place = onnx_axes.position(operation.attributes.get("axis", 0), rank)
    return [moved(join(program, tensors, place, operation.name), operation)]


def join(program: Program, tensors: Sequence[Fill | Signal], place: int, name: str) -> Fill | Signal:
    """Return tensors one behind the other along an axis."""
    signals = [tensor for tensor in tensors if isinstance(tensor, Signal)]
    if any(isinstance(signal.axes[place], tuple) for signal in signals):
        return _pad_frames(tensors, place)
    axes = _axes_across(signals or tensors, place)
    tensors = [tensor if isinstance(tensor, Signal) else _fitted(program, tensor, axes, place) for tensor in tensors]
    check_elements(sum(tensor.numbers.size for tensor in tensors))
    if not signals:
        total = sum(tensor.numbers.shape[place] for tensor in tensors)
        numbers = np.concatenate([tensor.numbers for tensor in tensors], place)
        return Fill(numbers, (*axes[:place], total, *axes[place + 1 :]))
    tensors = [tensor for tensor in tensors if tensor.numbers.size]
    first = signals[0] if len(signals) == len(tensors) else program.frames(signals[0])
    parts = [tensor if isinstance(tensor, Signal) else _as_signal(program, tensor, first, name) for tensor in tensors]
    return join_signals(program, parts, place, name)


def join_signals(program: Program, parts: Sequence[Signal], place: int, name: str) -> Signal:
    """Return features one behind the other; they may be states, as long as all of them are."""
    axes = _axes_across(parts, place)
    states = {part.state for part in parts}
    if (len(states) > 1 and states != {"h", "c"}) or len({part.tokens for part in parts}) > 1:
        for part in parts:
            program.frames(part)
        states = {""}
    values = tuple(dict.fromkeys(value for part in parts for value in part.values))
    numbers = np.concatenate([program.renumbered(part, values) for part in parts], place)
    axes = (*axes[:place], numbers.shape[place], *axes[place + 1 :])
    inherited = program.joined(axes, *parts)
    return Signal(numbers, axes, values, moved_by=name, state=min(states), tokens=parts[0].tokens, **inherited)


def _axes_across(tensors: Sequence[Fill | Signal], place: int) -> onnx_axes.Axes:
    """Return the axes of tensors that are joined along one, which is 1 here; all others must be equal."""
    across = [(*tensor.axes[:place], 1, *tensor.axes[place + 1 :]) for tensor in tensors]
    axes = onnx_axes.broadcast_axes(across)
    if any(other != axes for other in across):
        raise Refusal(
            f"it joins {' and '.join(onnx_axes.described(tensor.axes) for tensor in tensors)}",
            "join along one axis; all others must be equal",
        )
    return axes


def _as_signal(program: Program, constant: Fill, beside: Signal, name: str) -> Signal:
    """Return constants as features that are the same in every frame."""
    value = program.constant_vector(constant.numbers, beside, name)
    return Signal(np.arange(constant.numbers.size).reshape(constant.numbers.shape), constant.axes, (value,))


def _fitted(program: Program, tensor: Fill, axes: onnx_axes.Axes, place: int) -> Fill:
    """Return constants with the axes of the tensors they are joined with."""
    if not isinstance(tensor.axes[place], int):
        raise Refusal(f"it joins along {onnx_axes.named(tensor.axes[place])}", "join features")
    tensor = program.collapsed(tensor, (*axes[:place], tensor.axes[place], *axes[place + 1 :]))
    wanted = (*axes[:place], tensor.axes[place], *axes[place + 1 :])
    if onnx_axes.broadcast_axes([tensor.axes, wanted]) != wanted:
        raise Refusal(
            f"it joins {onnx_axes.described(tensor.axes)} to {onnx_axes.described(wanted)}", "make all other axes equal"
        )
    return onnx_axes.broadcast(tensor, wanted)


def _pad_frames(tensors: Sequence[Fill | Signal], place: int) -> Signal:
    """Return the one sequence among the tensors with zero frames around it, for a convolution behind it."""
    refusal = Refusal(
        "it joins sequences one behind the other", "only zeros in front, the padding of a causal convolution, can stay"
    )
    sequence: Signal | None = None
    lead = tail = 0
    for tensor in tensors:
        count = tensor.axes[place]
        if isinstance(tensor, Signal) and sequence is None and count == (TIME,):
            sequence = tensor
        elif isinstance(tensor, Fill) and isinstance(count, int) and not tensor.numbers.any():
            lead, tail = (lead + count, tail) if sequence is None else (lead, tail + count)
        else:
            raise refusal
    if sequence is None:
        raise refusal
    return replace(sequence, lead=sequence.lead + lead, tail=sequence.tail + tail)


def _pad(program: Program, operation: Operation) -> Sequence[Value]:
    tensor = operation.tensor()
    rank = len(tensor.axes)
    pads = operation.integers(1, "pads") or []
    which = onnx_axes.positions(operation.integers(3, "axes") or range(rank), rank)
    if len(pads) != 2 * len(which):
        raise Refusal(f"it has {len(pads)} pads for {len(which)} axes", EXPORT_AGAIN)
    mode = operation.attributes.get("mode", "constant")
    if mode != "constant" and any(pads):
        raise Refusal(f"its mode is {mode}", "pad with zeros (mode constant)")
    number = operation.constant(2, "value") if operation.given(2) is not None else operation.attributes.get("value", 0)
    padding = np.asarray(number, np.float32).reshape(())
    for place, before, behind in zip(which, pads[: len(which)], pads[len(which) :], strict=True):
        if min(before, behind) < 0:
            raise Refusal(f"it cuts frames or features (pads {before}, {behind})", "cut with Slice")
        if isinstance(tensor.axes[place], tuple) and before + behind and padding:
            raise Refusal(f"it puts frames of {padding} around the sequence", "pad with zeros")
        around = [
            repeat(program, Fill(padding, ()), _one_axis(rank, place, count)) for count in (before, behind) if count
        ]
        if around:
            parts = [*around[: bool(before)], tensor, *around[bool(before) :]]
            tensor = join(program, parts, place, operation.name)
    return [moved(tensor, operation)]


def _one_axis(rank: int, place: int, count: int) -> list[int]:
    """Return the shape of a tensor that has one axis of more than one element."""
    return [count if axis == place else 1 for axis in range(rank)]


HANDLERS: dict[str, Handler] = {
    "Concat": _concat,
    "Pad": _pad,
}
