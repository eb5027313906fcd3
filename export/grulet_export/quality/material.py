"""The frames of a report: those given, repeated until the run is long enough, or random ones."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from grulet.frames import random_frames
from grulet.operators import Program
from grulet_export.graph import Array

FRAMES = 20_000  # long enough for an error that builds up to show
SEQUENCE_FRAMES = 1000  # of a model that takes whole sequences, whose state is carried no further


@dataclass(frozen=True)
class Material:
    """``total`` frames: ``frames`` (P, in), from the start again after the last one; ``source`` says what they are."""

    frames: Array
    total: int
    source: str

    @classmethod
    def of(cls, program: Program, given: Array | None = None, total: int = FRAMES, seed: int = 0) -> Material:
        """Given frames (P, in), all of them at least once, or random ones.

        Up to a quarter of the total, given frames are repeated so that every quarter of the run holds the same ones:
        then the quarters can be compared.
        """
        if given is None:
            count = min(total, SEQUENCE_FRAMES) if program.needs_sequence else total
            ports = [(program.width(port.value), port.tokens) for port in program.inputs]
            return cls(random_frames(ports, count, seed), count, f"{count:,} random frames")
        count = len(given)
        if program.needs_sequence:
            return cls(given, count, f"the {count:,} given frames, as one sequence")
        if count >= total:
            return cls(given, count, f"the {count:,} given frames")
        if 4 * count <= total:
            times = 4 * -(-total // (4 * count))
            source = f"{times * count:,} frames (the {count:,} given ones {times} times, without a reset)"
            return cls(given, times * count, source)
        return cls(given, total, f"{total:,} frames (the {count:,} given ones, and from the first again)")

    @property
    def distinct(self) -> int:
        """How many of the frames are not repetitions."""
        return min(len(self.frames), self.total)

    def part(self, start: int, stop: int) -> Array:
        """Frames ``start`` to ``stop`` of the run."""
        stop = min(stop, self.total)
        if stop <= len(self.frames):
            return self.frames[start:stop]
        return self.frames[np.arange(start, stop) % len(self.frames)]

    def first(self, count: int) -> Array:
        """Return the first frames, at most those that are no repetitions."""
        return self.frames[: min(count, self.distinct)]
