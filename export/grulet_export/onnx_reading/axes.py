"""Tensors whose frames and streams lie along axes of open size, and what moves their numbers about.

An axis is either a number of features (1: nothing lies along it) or one or two of the roles time and batch, never
both kinds. So a tensor is a small array, with one element along the axes of time and batch, and the list of its axes;
every operator that only moves things is a few lines of numpy on that array. What the numbers are (constants, or places
in the vector of a frame) makes no difference.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, TypeAlias, TypeVar

import numpy as np
from numpy.typing import NDArray

from grulet_export.errors import Refusal
from grulet_export.onnx_reading.file import EXPORT_AGAIN
from grulet_export.onnx_reading.sizes import Length, divided, product

TIME, BATCH = "time", "batch"

Axis: TypeAlias = int | tuple[str, ...]
Axes: TypeAlias = tuple[Axis, ...]

#: How many frames and streams a tensor has, by role.
Extents: TypeAlias = Mapping[str, Length]


class Misread(Refusal):
    """Axes have other roles than an operator wants: another reading of the file may fit better."""


class Frozen(Refusal):
    """The file leaves the size of time or batch open, but fixes it inside: it runs with this size only."""

    def __init__(self, role: str, size: int, refusal: Refusal):
        super().__init__(refusal.reason, refusal.remedy)
        self.role = role
        self.size = size


KEEP_APART = "keep the features of a frame on axes of their own"
OPEN_SIZES = "keep frames apart, and the sizes of time and batch open in the export (dynamic axes)"


@dataclass(frozen=True, eq=False)
class Tensor:
    """``numbers``: one axis for each of ``axes``, with one element where time or batch lie."""

    numbers: NDArray[Any]
    axes: Axes


AnyTensor = TypeVar("AnyTensor", bound=Tensor)


def shape(axes: Axes) -> tuple[int, ...]:
    """Return the shape of the numbers."""
    return tuple(axis if isinstance(axis, int) else 1 for axis in axes)


def has(axes: Axes, role: str) -> bool:
    """Return whether time, or batch, lies along one of the axes."""
    return any(isinstance(axis, tuple) and role in axis for axis in axes)


def length(axis: Axis, extents: Extents) -> Length:
    """Return the size of an axis in the file."""
    return axis if isinstance(axis, int) else product([extents[role] for role in axis])


def described(axes: Axes) -> str:
    """Return axes as a user reads them."""
    return f"({', '.join(map(named, axes))})"


def named(axis: Axis) -> str:
    """Return an axis as a user reads it."""
    return str(axis) if isinstance(axis, int) else " and ".join(axis)


def position(axis: int, rank: int) -> int:
    """Return an axis counted from the front; negative ones count from the back, as in ONNX."""
    if not -rank <= axis < rank:
        raise Refusal(f"axis {axis} is none of a tensor with {rank} axes", EXPORT_AGAIN)
    return axis % rank


def positions(which: Sequence[int], rank: int) -> list[int]:
    """Return several axes counted from the front; none may be named twice."""
    found = [position(axis, rank) for axis in which]
    if len(set(found)) != len(found):
        raise Refusal(f"axes {list(which)} name an axis twice", EXPORT_AGAIN)
    return found


def transpose(tensor: AnyTensor, permutation: Sequence[int] | None) -> AnyTensor:
    """Move the axes; None reverses them."""
    rank = len(tensor.axes)
    order = positions(range(rank)[::-1] if permutation is None else permutation, rank)
    if len(order) != rank:
        raise Refusal(f"perm {order} does not name all {rank} axes", EXPORT_AGAIN)
    return replace(tensor, numbers=tensor.numbers.transpose(order), axes=tuple(tensor.axes[old] for old in order))


def squeeze(tensor: AnyTensor, which: Sequence[int] | None) -> AnyTensor:
    """Drop axes of size 1; None drops all of them, which must not depend on the sizes at run time."""
    axes = tensor.axes
    if which is None:
        if not all(isinstance(axis, int) for axis in axes):
            raise Refusal(
                "it names no axes, so what it removes depends on the sizes at run time", "name the axes to squeeze"
            )
        which = [place for place, axis in enumerate(axes) if axis == 1]
    dropped = positions(which, len(axes))
    for place in dropped:
        if axes[place] != 1:
            raise Refusal(
                f"axis {place} of {described(axes)} is not known to be of size 1",
                "squeeze axes of size 1, such as the direction axis of a GRU",
            )
    kept = tuple(axis for place, axis in enumerate(axes) if place not in dropped)
    return replace(tensor, numbers=tensor.numbers.squeeze(tuple(dropped)), axes=kept)


def unsqueeze(tensor: AnyTensor, which: Sequence[int]) -> AnyTensor:
    """Insert axes of size 1 at these positions of the result."""
    places = sorted(positions(which, len(tensor.axes) + len(which)))
    axes = list(tensor.axes)
    for place in places:
        axes.insert(place, 1)
    return replace(tensor, numbers=np.expand_dims(tensor.numbers, tuple(places)), axes=tuple(axes))


def reshape(tensor: AnyTensor, target: Sequence[Length], allow_zero: bool, extents: Extents) -> AnyTensor:
    """Regroup the axes: features may be merged and split, time and batch be merged with each other and parted again."""
    sizes = [length(axis, extents) for axis in tensor.axes]
    wanted = _resolved(target, sizes, allow_zero)
    parts = deque[tuple[tuple[str, ...], Any]]()  # a Size has a role, features are an int
    for axis in tensor.axes:
        if isinstance(axis, int):
            parts.append(((), axis))
        else:
            parts += [((role,), extents[role]) for role in axis]
    refusal = Refusal(
        f"it reshapes {described(tensor.axes)} to {_text(wanted)}",
        OPEN_SIZES,
    )
    axes: list[Axis] = []
    for size in wanted:
        roles: tuple[str, ...] = ()
        features = 1
        got: Length = 1
        missing: Length | None = size
        while missing != 1:
            if not parts or missing is None:
                raise refusal
            part, count = parts.popleft()
            if not part and isinstance(count, int) and isinstance(missing, int) and missing and count % missing == 0:
                parts.appendleft(((), count // missing))  # more features than this axis takes
                count = missing
            if not part:
                features *= count
            roles += part
            got = got * count
            missing = divided(size, got) if got != 0 else None
        if roles and features > 1:
            raise Refusal(f"its reshape to {_text(wanted)} mixes {' and '.join(roles)} with features", KEEP_APART)
        axes.append(roles or features)
    if any(part or count != 1 for part, count in parts):
        raise refusal
    return replace(tensor, numbers=tensor.numbers.reshape(shape(tuple(axes))), axes=tuple(axes))


def _resolved(target: Sequence[Length], sizes: Sequence[Length], allow_zero: bool) -> list[Length]:
    """Return the target without 0 (the old size) and -1 (what is left)."""
    wanted = list(target)
    for place, size in enumerate(wanted):
        if size == 0 and not allow_zero and place < len(sizes):
            wanted[place] = sizes[place]
    left_open = [place for place, size in enumerate(wanted) if size == -1]
    if len(left_open) == 1:
        known = product([size for size in wanted if size != -1])
        left = divided(product(list(sizes)), known) if known != 0 else None
        if left is None:
            raise Refusal(
                f"it reshapes a tensor of {product(list(sizes))} elements to {_text(target)}",
                OPEN_SIZES,
            )
        wanted[left_open[0]] = left
    if any(isinstance(size, int) and size < 1 for size in wanted):
        raise Refusal(f"its shape {_text(target)} is none", EXPORT_AGAIN)
    return wanted


def _text(sizes: Sequence[Length]) -> str:
    return f"({', '.join(map(str, sizes))})"


def broadcast_axes(several: Sequence[Axes]) -> Axes:
    """Return the axes of what an elementwise operator makes of these tensors."""
    rank = max(map(len, several))
    columns = zip(*[(1,) * (rank - len(axes)) + axes for axes in several], strict=True)
    joined: list[Axis] = []
    for column in columns:
        kinds = list(dict.fromkeys(axis for axis in column if axis != 1))
        if len(kinds) > 1:
            raise Misread(
                f"the axes {' and '.join(map(described, several))} do not go together",
                "transpose or unsqueeze, so that equal axes meet",
            )
        joined.append(kinds[0] if kinds else 1)
    return tuple(joined)


def broadcast(tensor: AnyTensor, axes: Axes) -> AnyTensor:
    """Repeat a tensor along the axes of another; they go together (`broadcast_axes`)."""
    return replace(tensor, numbers=np.broadcast_to(tensor.numbers, shape(axes)), axes=axes)


def axis_of(size: Length, extents: Extents) -> Axis:
    """Return the axis that has a size computed by the file."""
    if isinstance(size, int):
        return size
    for roles in ((TIME,), (BATCH,), (BATCH, TIME)):
        if size == product([extents[role] for role in roles if role in extents]):
            return roles
    raise Refusal(f"it makes an axis of the size {size}", "use the numbers of frames and streams as they are")
