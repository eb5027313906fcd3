"""Steps in real time: a frame each period, the caches used by something else in between, as an app will see it."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

#: Frames before the first that is counted: code and memory are then where they will stay.
WARM_UP = 8

#: Of the time to the next frame, this part is left to sleep: something else that runs up to the last moment would be
#: what makes the frame late.
SLEEP_PART = 4

_LINE = 64  # bytes
_SLICE = 4096  # lines: tens of microseconds, so that it ends near the time it was given

Clock = Callable[[], int]


class OtherWork:
    """Something else that wants the caches: it changes every line of a buffer, a slice at a time."""

    def __init__(self, size: int, clock: Clock = time.perf_counter_ns) -> None:
        lines = np.zeros(size // _LINE * (_LINE // 8), np.uint64)[:: _LINE // 8]
        self._slices = [lines[start : start + _SLICE] for start in range(0, len(lines), _SLICE)]
        self._next = 0
        self._clock = clock

    def __call__(self, until: int) -> int:
        """Go once through the buffer, or as far as time allows; returns bytes touched."""
        touched = 0
        for _ in self._slices:
            if self._clock() >= until:
                break
            part = self._slices[self._next]
            part += np.uint64(1)
            touched += len(part) * _LINE
            self._next = (self._next + 1) % len(self._slices)
        return touched


@dataclass(frozen=True)
class PacedTimes:
    """Nanoseconds of one contestant's frames."""

    late: NDArray[np.int64]  # from the time a frame was due to the time its computing began
    compute: NDArray[np.int64]
    period: int

    @property
    def answer(self) -> NDArray[np.int64]:
        """From the time a frame was due to its answer."""
        return self.late + self.compute

    @property
    def misses(self) -> int:
        """Frames answered after the next was due."""
        return int(np.count_nonzero(self.answer > self.period))


def in_turn(every: Sequence[str], seldom: str, steps: int, part: int = 7) -> list[str]:
    """Whose frame is which: one of each of ``every`` ``steps`` times, and ``seldom`` before each ``part`` of those."""
    turns: list[str] = []
    for step in range(steps):
        turns += [seldom, *every] if step % part == 0 else every
    return turns


def run_paced(
    contestants: Mapping[str, Callable[[int], object]],
    turns: Sequence[str],
    period: int,
    other_work: Callable[[int], int],
    progress: Callable[[int], object] = lambda done: None,
    clock: Clock = time.perf_counter_ns,
    sleep: Callable[[float], object] = time.sleep,
) -> tuple[dict[str, PacedTimes], NDArray[np.int64]]:
    """One call each ``period`` nanoseconds, of the contestants in ``turns``: their times, and bytes touched between.

    Frames are due at fixed times, whatever the ones before took: who is late stays late until he has caught up, as an
    app is whose frames come from a microphone.  ``other_work`` is called behind every frame with the time at which to
    stop.
    """
    late, compute, touched = np.zeros((3, len(turns)), np.int64)
    due = clock() + period
    for frame in range(-WARM_UP, len(turns)):
        call = contestants[turns[frame % len(turns)]]
        used = other_work(due - period // SLEEP_PART)
        while (begin := clock()) < due:
            sleep((due - begin) / 1e9)
        call(frame)
        taken = clock() - begin
        if frame >= 0:
            late[frame], compute[frame], touched[frame] = begin - due, taken, used
        due += period
        progress(max(0, frame + 1))
    names = np.array(turns)
    return {
        name: PacedTimes(late[names == name], compute[names == name], period) for name in dict.fromkeys(turns)
    }, touched
