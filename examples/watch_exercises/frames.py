"""Samples to frames, and a person's recordings to one stream."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
from examples.watch_exercises.recordings import CHANNELS, SAMPLE_RATE, Recording, Samples
from numpy.typing import NDArray

#: Samples in a frame: the network takes four at once, unchanged, and steps 12.5 times a second.
SAMPLES_PER_FRAME = 4
FRAME_WIDTH = SAMPLES_PER_FRAME * len(CHANNELS)
FRAMES_PER_SECOND = SAMPLE_RATE / SAMPLES_PER_FRAME

Frames: TypeAlias = NDArray[np.float32]


def frames_of(samples: Samples) -> Frames:
    """Frames (n // 4, 24) of samples (n, 6); what does not fill a frame at the end is left out."""
    count = len(samples) // SAMPLES_PER_FRAME
    return samples[: count * SAMPLES_PER_FRAME].reshape(count, FRAME_WIDTH)


@dataclass(frozen=True)
class Session:
    """All exercises of one person, one after the other without a pause, as one stream."""

    subject: int
    frames: Frames  # (T, 24)
    exercises: list[int]  # in their order
    parts: list[slice]  # the frames of each

    @property
    def truth(self) -> NDArray[np.intp]:
        """What the person does at every frame (T,)."""
        pairs = zip(self.exercises, self.parts, strict=True)
        return np.concatenate([np.full(part.stop - part.start, exercise, np.intp) for exercise, part in pairs])

    @classmethod
    def of(cls, recordings: Sequence[Recording], seed: int = 0) -> Session:
        """The recordings of one person in a random order."""
        (subject,) = {recording.subject for recording in recordings}
        order = [recordings[i] for i in np.random.default_rng(seed).permutation(len(recordings))]
        pieces = [frames_of(recording.samples) for recording in order]
        ends = [int(end) for end in np.cumsum([len(piece) for piece in pieces])]
        parts = [slice(end - len(piece), end) for piece, end in zip(pieces, ends, strict=True)]
        return cls(subject, np.concatenate(pieces), [recording.exercise for recording in order], parts)


def sessions(recordings: Sequence[Recording]) -> list[Session]:
    """One session of each person."""
    people = sorted({recording.subject for recording in recordings})
    return [Session.of([recording for recording in recordings if recording.subject == who]) for who in people]
