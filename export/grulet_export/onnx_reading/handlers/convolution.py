"""Causal convolutions over time: the frames before are kept in a `History`, and a `Dense` or `Depthwise` reads it."""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import numpy as np

from grulet_export.errors import Refusal
from grulet_export.graph import Array, Depthwise, History
from grulet_export.onnx_reading import axes as onnx_axes
from grulet_export.onnx_reading.axes import TIME, Misread
from grulet_export.onnx_reading.file import EXPORT_AGAIN
from grulet_export.onnx_reading.handlers.joining import join_signals
from grulet_export.onnx_reading.handlers.pieces import affine
from grulet_export.onnx_reading.handlers.products import MOST_PARTS, dense
from grulet_export.onnx_reading.program import Handler, Program
from grulet_export.onnx_reading.values import Operation, Signal, Value


@dataclass(frozen=True)
class _Window:
    """What a convolution does along one axis."""

    taps: int
    dilation: int
    stride: int
    before: int  # zeros it puts in front
    behind: int

    @property
    def reach(self) -> int:
        """How many places lie between the first and the last that it looks at."""
        return (self.taps - 1) * self.dilation


def _conv(program: Program, operation: Operation) -> Sequence[Value]:
    x = operation.tensor(0)
    if not isinstance(x, Signal):
        raise Refusal("its input is a constant", "fold it when exporting")
    lead, tail = x.lead, x.tail
    x = replace(program.frames(x), lead=0, tail=0)
    weights = operation.weights(1, "weights")
    rank = len(x.axes)
    groups = int(operation.attributes.get("group", 1))
    channels = x.axes[1] if rank > 2 else 0
    if (
        rank != weights.ndim
        or rank < 3
        or channels != weights.shape[1] * groups
        or groups < 1
        or len(weights) % groups
        or 0 in weights.shape
    ):
        raise Misread(
            f"its input is {onnx_axes.described(x.axes)} and the shape of its weights {weights.shape}",
            "give it (batch, channels, time)",
        )
    bias = operation.weights(2, "bias") if operation.given(2) is not None else np.zeros(len(weights), np.float32)
    if bias.shape != (len(weights),):
        raise Refusal(f"the shape of its bias is {bias.shape}, not ({len(weights)},)", EXPORT_AGAIN)
    windows = _windows(operation, weights.shape[2:])
    over_time = None
    for place, window in enumerate(windows, start=2):
        if x.axes[place] == (TIME,):
            over_time = place
            tail = _tail(window, lead, tail)
        elif isinstance(x.axes[place], tuple):
            raise Misread(f"it convolves over {onnx_axes.named(x.axes[place])}", "give it (batch, channels, time)")
    if over_time is None and lead:
        raise Refusal("it does not convolve over the axis that was padded", "pad the axis of time")

    def at_once(part: Signal) -> Signal:
        return _convolved(program, operation.name, part, weights, bias, groups, over_time, windows)

    return [replace(_at_every_place(program, operation.name, x, windows, at_once), tail=tail)]


def _at_every_place(
    program: Program, name: str, x: Signal, windows: Sequence[_Window], at_once: Callable[[Signal], Signal]
) -> Signal:
    """Return a convolution that covers axes of features as a whole, or handles each of their places by itself."""
    for place, window in enumerate(windows, start=2):
        size = x.axes[place]
        if isinstance(size, int) and (window.taps > 1 or size == 1 or window.before or window.behind):
            x = _whole_axis(x, place, window)
    alone = [
        place
        for place, window in enumerate(windows, start=2)
        if isinstance(x.axes[place], int) and x.axes[place] != window.taps
    ]
    counts = [len(range(0, x.numbers.shape[place], windows[place - 2].stride)) for place in alone]
    if math.prod(counts) > MOST_PARTS:
        raise Refusal(f"it handles {math.prod(counts)} places of a frame, each by itself", f"use at most {MOST_PARTS}")
    answers = []
    for ats in itertools.product(*map(range, counts)):
        part = x
        for place, at in zip(alone, ats, strict=True):
            part = _one_place(part, place, at * windows[place - 2].stride)
        answers.append(at_once(part))
    for place, count in zip(alone[::-1], counts[::-1], strict=True):
        # Rows of parts, along the last axis first.
        rows = [answers[start : start + count] for start in range(0, len(answers), count)]
        answers = [join_signals(program, row, place, name) for row in rows]
    return answers[0]


def _one_place(x: Signal, place: int, at: int) -> Signal:
    """Return one element of an axis of features."""
    numbers = x.numbers[(slice(None),) * place + (slice(at, at + 1),)]
    return replace(x, numbers=numbers, axes=(*x.axes[:place], 1, *x.axes[place + 1 :]))


def _windows(operation: Operation, kernel: tuple[int, ...]) -> list[_Window]:
    count = len(kernel)
    given = operation.attributes
    dilations, strides = given.get("dilations", [1] * count), given.get("strides", [1] * count)
    pads = given.get("pads", [0] * 2 * count)
    whole = len(dilations) == len(strides) == count and len(pads) == 2 * count
    if not whole or min(*dilations, *strides) < 1 or min(pads) < 0:
        raise Refusal("its pads, strides and dilations do not fit its weights", EXPORT_AGAIN)
    if list(given.get("kernel_shape", kernel)) != list(kernel):
        raise Refusal(f"its kernel_shape is not {list(kernel)}, that of its weights", EXPORT_AGAIN)
    automatic = given.get("auto_pad", "NOTSET")
    windows = []
    for axis in range(count):
        window = _Window(kernel[axis], dilations[axis], strides[axis], pads[axis], pads[count + axis])
        if automatic.startswith("SAME"):
            small = window.reach // 2
            sides = (small, window.reach - small)
            before, behind = sides if automatic == "SAME_UPPER" else sides[::-1]
            window = replace(window, before=before, behind=behind)
        windows.append(window)
    return windows


def _tail(window: _Window, lead: int, tail: int) -> int:
    """Return how many frames are made behind the last; refuse what is not causal."""
    before = lead + window.before
    if window.stride != 1:
        raise Refusal(
            f"its stride over time is {window.stride}, so most frames have no answer", "use stride 1 over time"
        )
    ahead = window.reach - before
    if ahead > 0:
        raise Refusal(
            f"it looks {ahead} frame{'s' if ahead > 1 else ''} ahead: it spans {window.reach + 1} frames, and {before} "
            "zeros stand in front",
            f"pad (k - 1) * dilation = {window.reach} zeros on the left",
        )
    if ahead < 0:
        raise Refusal(
            f"it puts {before} zeros in front of the sequence, more than the {window.reach} it looks back",
            f"pad (k - 1) * dilation = {window.reach} zeros on the left",
        )
    return tail + window.behind


def _whole_axis(x: Signal, place: int, window: _Window) -> Signal:
    """Return what a convolution takes of an axis of features, which it must cover at once."""
    size = int(x.axes[place])  # type: ignore[arg-type]
    if window.reach + 1 != size or window.before or window.behind:
        raise Refusal(
            f"it convolves over an axis of {size} features" + (" besides time" if onnx_axes.has(x.axes, TIME) else ""),
            "convolve over time alone, (batch, channels, time), or cover the whole axis with the kernel",
        )
    numbers = x.numbers[(slice(None),) * place + (slice(None, None, window.dilation),)]
    return replace(x, numbers=numbers, axes=(*x.axes[:place], window.taps, *x.axes[place + 1 :]))


def _convolved(
    program: Program,
    name: str,
    x: Signal,
    weights: Array,
    bias: Array,
    groups: int,
    over_time: int | None,
    windows: Sequence[_Window],
) -> Signal:
    """Return the convolution, causal over one axis and over the whole of all others."""
    window = windows[over_time - 2] if over_time is not None else _Window(1, 1, 1, 0, 0)
    axes = (x.axes[0], len(weights), *((TIME,) if place == over_time else 1 for place in range(2, len(x.axes))))
    weights = weights[..., None] if over_time is None else np.moveaxis(weights, over_time, -1)
    # (units, channels of a group, features of the other axes, taps) -> (taps, units, inputs of a group)
    units, inputs = len(weights), math.prod(weights.shape[1:-1])
    by_tap = weights.reshape(units, inputs, window.taps).transpose(2, 0, 1)
    flat = replace(x, numbers=x.numbers.reshape(-1), axes=(x.numbers.size,))
    if inputs == 1 and groups > 1:
        return _depthwise(program, name, flat, by_tap[:, :, 0], bias, window, axes, x)
    values: tuple[str, ...] = ()
    for group in range(groups):
        part = slice(group * inputs, (group + 1) * inputs)
        rows = slice(group * units // groups, (group + 1) * units // groups)
        channels = replace(flat, numbers=flat.numbers[part], axes=(inputs,))
        matrix = by_tap[:, rows].transpose(1, 0, 2).reshape(rows.stop - rows.start, -1)
        values += dense(program, name, _history(program, name, channels, window), matrix, bias[rows]).values
    numbers = np.arange(units).reshape(onnx_axes.shape(axes))
    return Signal(numbers, axes, values, **program.joined(axes, x))


def _depthwise(
    program: Program,
    name: str,
    x: Signal,
    by_tap: Array,
    bias: Array,
    window: _Window,
    axes: onnx_axes.Axes,
    like: Signal,
) -> Signal:
    """Convolve every channel by itself; ``by_tap`` is (taps, channels). One that has several answers is repeated."""
    channels = by_tap.shape[1]
    repeated = replace(x, numbers=x.numbers.repeat(channels // x.numbers.size), axes=(channels,))
    if window.taps == 1:
        value = affine(program, name, repeated, by_tap[0], bias).values[0]
    else:
        history = program.vector(_history(program, name, repeated, window), name)
        value = program.emit(Depthwise, name, [history], weights=by_tap, bias=bias)
    return program.signal(value, axes, like)


def _history(program: Program, name: str, x: Signal, window: _Window) -> Signal:
    """Return the frames that a window looks at, the oldest first."""
    if window.taps == 1:
        return x
    value = program.emit(
        History, f"{name}.history", [program.vector(x, name)], taps=window.taps, dilation=window.dilation
    )
    return program.signal(value, (program.widths[value],))


HANDLERS: dict[str, Handler] = {"Conv": _conv}
