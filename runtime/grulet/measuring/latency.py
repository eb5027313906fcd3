"""Latency, measured so that it can be believed: in turn, pinned, with percentiles and the floor in the same run."""

from __future__ import annotations

import gc
import os
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

#: Steps of one contestant before the next has its turn: long enough to warm its caches, short enough that a change of
#: the machine's speed meets all of them.
ROUND = 200


@dataclass(frozen=True)
class Latency:
    """Times of single calls in microseconds."""

    p50: float
    p99: float
    p999: float
    worst: float
    steps: int

    @classmethod
    def of(cls, nanoseconds: NDArray[np.int64]) -> Latency:
        """Percentiles of measured times."""
        p50, p99, p999 = np.percentile(nanoseconds, [50, 99, 99.9])
        return cls(p50 / 1e3, p99 / 1e3, p999 / 1e3, float(nanoseconds.max()) / 1e3, len(nanoseconds))

    @property
    def jitter(self) -> float:
        """From p50 to p99.9: what a buffer has to absorb in all but one frame of a thousand."""
        return self.p999 - self.p50

    def row(self) -> str:
        """For tables: p50, p99, p99.9, worst."""
        return " ".join(f"{value:>9.2f}" for value in (self.p50, self.p99, self.p999, self.worst))


#: The columns of `Latency.row`.
HEADINGS = " ".join(f"{name:>9}" for name in ("p50", "p99", "p99.9", "worst"))


@contextmanager
def quiet_process() -> Iterator[int | None]:
    """Pin this thread to one CPU and stop the garbage collector; gives the CPU's number where the system can pin."""
    cpus: set[int] | None = None
    if hasattr(os, "sched_setaffinity"):
        cpus = os.sched_getaffinity(0)
        os.sched_setaffinity(0, {max(cpus)})
    collecting = gc.isenabled()
    gc.disable()
    try:
        yield max(cpus) if cpus else None
    finally:
        if collecting:
            gc.enable()
        if cpus is not None:
            os.sched_setaffinity(0, cpus)


def measure(
    contestants: Mapping[str, Callable[[int], object]],
    steps: int,
    progress: Callable[[int], object] = lambda done: None,
    *,
    round_steps: int = ROUND,
    fewer: Mapping[str, int] | None = None,
    before: Mapping[str, Callable[[], object]] | None = None,
) -> dict[str, NDArray[np.int64]]:
    """Time ``steps`` calls of every contestant, in turn, a round at a time; nanoseconds of every call.

    A contestant is called with the number of the step.  The first round of each warms up and is not counted.
    ``fewer``: how often to call those that are too slow for ``steps`` calls, in whole rounds spread over the run.
    ``before``: what to call, not timed, before each round of a contestant.
    """
    clock = time.perf_counter_ns
    steps_of = {name: min(steps, (fewer or {}).get(name, steps)) for name in contestants}
    times = {name: np.empty(count, np.int64) for name, count in steps_of.items()}
    reached = dict.fromkeys(contestants, -round_steps)
    for start in range(-round_steps, steps, round_steps):
        stop = max(0, min(start + round_steps, steps))
        for name, call in contestants.items():
            due = steps_of[name] * stop // steps
            if stop < steps:
                due -= due % round_steps
            if before and name in before and due > reached[name]:
                before[name]()
            row = times[name]
            for step in range(reached[name], due):
                begin = clock()
                call(step)
                taken = clock() - begin
                if step >= 0:
                    row[step] = taken
            reached[name] = due
        progress(stop)
    return times
