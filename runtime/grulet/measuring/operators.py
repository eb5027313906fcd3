"""What each operator of a step costs."""

from __future__ import annotations

import time
from dataclasses import asdict, dataclass
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray

from grulet.measuring.histogram import latency_json
from grulet.measuring.latency import Latency
from grulet.model import Model
from grulet.parts import OperatorInfo


@dataclass(frozen=True)
class OperatorCost:
    """One operator of a step, the cost of the call from Python taken off."""

    info: OperatorInfo
    latency: Latency
    share: float  # of a tick
    reads: float | None  # times the cost of merely reading its weights; None where it has none, or too few to measure

    def as_json(self) -> dict[str, Any]:
        """The operator, and what it costs."""
        costs = {"microseconds": latency_json(self.latency), "share": self.share, "times_its_read": self.reads}
        return asdict(self.info) | costs


class OperatorParts:
    """A contestant of `grulet.measuring.measure`: the operators of a step in their order, each timed by itself.

    Before them goes a whole tick.  It gives them a frame to work on: on their own answers, again and again, numbers
    could grow without bound.  And it leaves the caches as a stream does, so that no operator finds its weights where
    only a loop over that one operator would have left them.
    """

    def __init__(self, model: Model, frame: NDArray[np.float32], steps: int) -> None:
        self._infos = model.ops
        stream = model.stream(block=1)
        stream.input[:] = frame
        self._tick = stream.tick
        count = len(self._infos)
        # The call for an operator behind the last costs what a call costs.
        self._calls = tuple((index, partial(stream.step_operator, index)) for index in (*range(count), count))
        self._taken = [0] * (count + 1)
        self._times = np.zeros((steps, count + 1), np.int64)

    def __call__(self, step: int) -> None:
        """Take one step; those below 0 warm up and are not counted."""
        clock, taken = time.perf_counter_ns, self._taken
        self._tick()
        for index, call in self._calls:
            begin = clock()
            call()
            taken[index] = clock() - begin
        if step >= 0:
            self._times[step] = taken

    def costs(self, tick: float, read: float) -> tuple[OperatorCost, ...]:
        """What was measured, beside the medians of a tick and of a read of all weights, in nanoseconds."""
        empty = float(np.median(self._times[:, -1]))
        read_of_byte = max(0.0, read - empty) / max(1, sum(info.weight_bytes for info in self._infos))
        costs = []
        for info, times in zip(self._infos, self._times.T[:-1], strict=True):
            latency = Latency.of(np.maximum(times - round(empty), 0))
            read_cost = read_of_byte * info.weight_bytes / 1e3
            reads = latency.p50 / read_cost if read_cost else None
            costs.append(OperatorCost(info, latency, 1e3 * latency.p50 / tick, reads))
        return tuple(costs)
