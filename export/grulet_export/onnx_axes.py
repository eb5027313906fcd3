"""What each axis of an ONNX tensor means, and the operators that only move axes.

A tensor on the frame path is known by its axes: the last holds the features of a frame, and the ones before it say
which frame (time, batch, direction). Operators may move the leading axes as they like; none may touch the last, and
none may merge or split two axes, because a runtime that goes frame by frame could then no longer tell frames apart.
An axis that is known to be of size 1 carries no information, so all such axes are the same axis, `ONE`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TypeAlias

from grulet_export.errors import Refusal


@dataclass(frozen=True)
class Axis:
    """One axis: a label that says where it came from, and its size where the file gives one."""

    label: str
    size: int | None


#: Any axis of the fixed size 1 that is not the features.
ONE = Axis("size 1", 1)

Axes: TypeAlias = tuple[Axis, ...]  # the last one is the features, never ONE

FEATURES_LAST = "keep the features of a frame on the last axis and move only batch, time and axes of size 1"


def features(width: int) -> Axis:
    """Return the last axis of a tensor with ``width`` numbers per frame."""
    return Axis("features", width)


def width(axes: Axes) -> int:
    """Return the number of features, which is always known."""
    size = axes[-1].size
    assert size is not None
    return size


def transpose(axes: Axes, permutation: Sequence[int] | None) -> Axes:
    """Return the axes in a new order; the default reverses them, as in ONNX."""
    order = list(range(len(axes)))[::-1] if permutation is None else list(permutation)
    if sorted(order) != list(range(len(axes))):
        raise Refusal(f"perm {order} is no permutation of {len(axes)} axes", "repair the file")
    if order[-1] != len(axes) - 1:
        raise Refusal(f"perm {order} moves the feature axis", FEATURES_LAST)
    return tuple(axes[index] for index in order)


def squeeze(axes: Axes, which: Sequence[int] | None) -> Axes:
    """Return the axes without the ones named, each of which must be known to be of size 1."""
    if which is None:
        # Without names ONNX removes whatever happens to be of size 1 at run time.
        if axes[-1].size == 1 or any(axis.size is None for axis in axes):
            raise Refusal("it names no axes, so what it removes depends on the sizes at run time", "name the axes")
        return tuple(axis for axis in axes if axis is not ONE)
    removed = _positions(which, len(axes))
    for position in removed:
        if position == len(axes) - 1:
            raise Refusal(f"axis {position} is the feature axis", FEATURES_LAST)
        if axes[position] is not ONE:
            raise Refusal(
                f"axis {position} ({axes[position].label}) is not known to be of size 1",
                "squeeze the direction axis of a GRU's output (axis 1), or give the input a fixed size there",
            )
    return tuple(axis for position, axis in enumerate(axes) if position not in removed)


def unsqueeze(axes: Axes, which: Sequence[int]) -> Axes:
    """Return the axes with axes of size 1 at the positions named (positions in the result)."""
    rank = len(axes) + len(which)
    added = _positions(which, rank)
    if rank - 1 in added:
        raise Refusal("it adds an axis behind the features", FEATURES_LAST)
    rest = iter(axes)
    return tuple(ONE if position in added else next(rest) for position in range(rank))


def reshape(axes: Axes, shape: Sequence[int], allow_zero: bool) -> Axes:
    """Return the axes of a Reshape that does no more than add and remove axes of size 1.

    ``shape`` is ONNX's: 0 copies the size of the axis at the same position, -1 stands for what is left.
    """
    refused = Refusal(
        f"shape {list(shape)} merges, splits or moves axes",
        "reshape may only add or remove axes of size 1: GRU, MatMul and activations need no other shape",
    )
    bad_number = any(number < -1 or (number == 0 and allow_zero) for number in shape)
    if not shape or bad_number or list(shape).count(-1) > 1:
        raise refused
    # What each number of the shape stands for: an axis (copied), a size, or -1.
    items: list[Axis | int] = []
    for position, number in enumerate(shape):
        if number == 0 and position >= len(axes):
            raise refused
        items.append(axes[position] if number == 0 else number)
    *leading, last = items
    if last not in (-1, axes[-1].size, axes[-1]):
        raise refused
    # Axes of size 1 come and go; the others must be the same ones in the same order.
    source = [axis for axis in axes[:-1] if axis is not ONE]
    target = [item for item in leading if item not in (1, ONE)]
    if len(target) == len(source) + 1:
        # Only a -1 can be left over; all other axes being matched, it stands for the size 1.
        leading = [1 if item == -1 else item for item in leading]
        target = [item for item in target if item != -1]
    if len(target) != len(source):
        raise refused
    if any(item not in (-1, axis, axis.size) for item, axis in zip(target, source, strict=True)):
        raise refused
    kept = iter(source)
    return (*(ONE if item in (1, ONE) else next(kept) for item in leading), axes[-1])


def _positions(which: Sequence[int], rank: int) -> set[int]:
    """Return positions counted from the front; negative ones count from the back, as in ONNX."""
    positions = {position + rank if position < 0 else position for position in which}
    if len(positions) != len(which) or not positions <= set(range(rank)):
        raise Refusal(f"axes {list(which)} do not name axes of a tensor with {rank} axes", "repair the file")
    return positions
