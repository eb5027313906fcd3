"""A distribution of times, small enough for a report: counts in bins that are equal on a logarithmic axis."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from grulet.measuring.latency import Latency

#: Bins from a time to twice that time: each is 2.2 % wide.
BINS_PER_DOUBLING = 32


@dataclass(frozen=True)
class Histogram:
    """``counts[i]`` calls took from ``2 ** ((first + i) / 32)`` to ``2 ** ((first + i + 1) / 32)`` nanoseconds."""

    first: int
    counts: tuple[int, ...]

    @classmethod
    def of(cls, nanoseconds: NDArray[np.int64]) -> Histogram:
        """Of measured times; less than a nanosecond counts as one."""
        bins = np.floor(BINS_PER_DOUBLING * np.log2(np.maximum(nanoseconds, 1))).astype(np.int64)
        first = int(bins.min())
        return cls(first, tuple(np.bincount(bins - first).tolist()))

    @classmethod
    def of_json(cls, data: dict[str, Any]) -> Histogram:
        """As a report has it."""
        return cls(data["first"], tuple(data["counts"]))

    @property
    def edges(self) -> NDArray[np.float64]:
        """Microseconds at which the bins begin and end, one more than there are counts."""
        places = np.arange(self.first, self.first + len(self.counts) + 1)
        return np.asarray(2.0 ** (places / BINS_PER_DOUBLING) / 1e3)


def latency_json(latency: Latency) -> dict[str, Any]:
    """A *latency* of docs/bench.md."""
    return asdict(latency) | {"jitter": latency.jitter}


def latency_of_json(data: dict[str, Any]) -> Latency:
    """What `latency_json` made."""
    return Latency(*(data[key] for key in ("p50", "p99", "p999", "worst", "steps")))


def distribution_json(nanoseconds: NDArray[np.int64]) -> dict[str, Any]:
    """A *distribution* of docs/bench.md: a latency and its histogram."""
    histogram = asdict(Histogram.of(nanoseconds)) | {"bins_per_doubling": BINS_PER_DOUBLING}
    return latency_json(Latency.of(nanoseconds)) | {"histogram": histogram}
