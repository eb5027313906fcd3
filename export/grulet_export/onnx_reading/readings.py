"""The ways to read a file's axes: which of them are time, which are the streams of a batch, which hold features.

A file does not say. So every plausible way is tried, the usual ones first, until the operators agree with one.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import chain, islice, permutations, product

from grulet_export.onnx_reading.axes import BATCH, TIME, Axes
from grulet_export.onnx_reading.sizes import FRAMES, STREAMS, Length

#: How many ways are tried at most.
MOST_READINGS = 64

#: Letters of a form: batch, time, features.
_ROLES = {"b": BATCH, "t": TIME}
_ORDER = ("bt", "tb", "t", "b", "")
_OPEN = {TIME: FRAMES, BATCH: STREAMS}


@dataclass(frozen=True)
class Input:
    """An input of a file as far as its axes matter; ``dims``: a size, or a name if it is left open."""

    name: str
    dims: tuple[int | str, ...]
    tokens: bool = False  # integers: one for each frame is usual
    state: bool = False  # carried from frame to frame: has no time


@dataclass(frozen=True)
class Reading:
    """One way to read the axes of all inputs.

    ``extents`` are the sizes of time and batch, where there are any; those ``frozen`` are open in the inputs, but fixed
    inside the file.
    """

    axes: Mapping[str, Axes]
    extents: Mapping[str, Length]
    frozen: tuple[str, ...] = ()


def readings(inputs: Sequence[Input]) -> Iterator[Reading]:
    """Yield the ways to read these inputs, the likeliest first."""
    options = [list(_options(item)) for item in inputs]
    # Inputs of one kind are mostly read in one way.
    together = (
        tuple(own[min(place, len(own) - 1)] for own in options) for place in range(max(map(len, options), default=0))
    )
    if not all(options):
        return
    seen: set[tuple[Axes, ...]] = set()
    ways = chain(together if inputs else [()], product(*options))
    for way in islice(ways, 4096):
        reading = _reading(inputs, way)
        if reading is not None and way not in seen:
            seen.add(way)
            yield reading
        if len(seen) == MOST_READINGS:
            return


def _options(item: Input) -> list[Axes]:
    """Return the ways to read the axes of one input, the likeliest first."""
    likelihood: dict[Axes, tuple[int, ...]] = {}
    for form in _forms(len(item.dims), item.state):
        pairs = list(zip(form, item.dims, strict=True))
        if any(letter == "f" and isinstance(size, str) for letter, size in pairs):
            continue  # a frame has a fixed number of features
        axes = tuple(1 if size == 1 else (_ROLES[letter],) if letter in _ROLES else int(size) for letter, size in pairs)
        rank = (
            _unusual(form, item.tokens),
            (TIME,) not in axes,
            form.count("f") if item.tokens else 0,
            _ORDER.index(form.replace("f", "")),
        )
        likelihood[axes] = min(rank, likelihood.get(axes, rank))
    return sorted(likelihood, key=lambda axes: likelihood[axes])


def _forms(rank: int, state: bool) -> set[str]:
    """Return the forms of so many axes, such as "btf"; a state has no time."""
    letters = ("b" if state else "bt") + "f" * rank
    return {"".join(form) for form in permutations(letters, rank)}


def _unusual(form: str, tokens: bool) -> int:
    """Return 0 for features behind time and batch, 1 for channels in front of time, 2 for all others."""
    features = form.lstrip("bt")
    if set(features) <= {"f"} and (features or tokens):
        return 0
    return 1 if form.endswith("t") and "f" in form else 2


def _reading(inputs: Sequence[Input], way: Sequence[Axes]) -> Reading | None:
    """Return a reading, None if a name or a role would be of two sizes."""
    extents: dict[str, Length] = {}
    roles_of_names: dict[str, str] = {}
    for item, axes in zip(inputs, way, strict=True):
        for axis, size in zip(axes, item.dims, strict=True):
            if isinstance(axis, int):
                continue
            (role,) = axis
            if isinstance(size, str):
                if size and roles_of_names.setdefault(size, role) != role:
                    return None
                extents.setdefault(role, _OPEN[role])
            elif extents.get(role, _OPEN[role]) not in (_OPEN[role], size):
                return None
            else:
                extents[role] = size
    return Reading(dict(zip([item.name for item in inputs], way, strict=True)), extents)
