"""Endless training material: one arm doing one exercise after another, each time a little differently."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from examples.watch_exercises.frames import FRAME_WIDTH, SAMPLES_PER_FRAME
from examples.watch_exercises.recordings import SAMPLE_RATE, Recording, Samples
from numpy.typing import NDArray
from torch import Tensor

#: How long an exercise goes on in a stream, s.
SECONDS = (3.0, 12.0)
#: After a change nothing is asked for so long, s: nobody can know by then.
SILENT_SECONDS = 1.0
#: Pace of a stream, and of each exercise in it.
PACE = (0.85, 1.18)
EACH_PACE = (0.93, 1.07)
#: How far a watch is turned on its wrist, degrees about each axis (standard deviation), once a stream.
TURN_DEGREES = 15.0
#: How vigorous an exercise is, and what the sensor adds.
VIGOUR = (0.9, 1.1)
SENSOR_NOISE = 0.03


class StreamMaker:
    """Draws batches of streams from recordings; each stream is one person and one arm."""

    def __init__(self, recordings: Sequence[Recording], seed: int) -> None:
        self._random = np.random.default_rng(seed)
        arms: dict[tuple[int, bool], list[Recording]] = {}
        for recording in recordings:
            arms.setdefault((recording.subject, recording.is_right_arm), []).append(recording)
        self._arms = list(arms.values())

    def batch(self, streams: int, frames: int) -> tuple[Tensor, Tensor, Tensor]:
        """Frames ``(streams, frames, 24)``, their exercises and what each counts, 0 or 1, ``(streams, frames)``."""
        length = frames * SAMPLES_PER_FRAME
        samples = np.empty((streams, length, FRAME_WIDTH // SAMPLES_PER_FRAME), np.float32)
        exercises = np.empty((streams, length), np.int64)
        counts = np.ones((streams, length), np.float32)
        for row in range(streams):
            self._fill(samples[row], exercises[row], counts[row])
        last = slice(SAMPLES_PER_FRAME - 1, None, SAMPLES_PER_FRAME)  # a frame is known with its last sample
        return (
            torch.from_numpy(samples.reshape(streams, frames, FRAME_WIDTH)),
            torch.from_numpy(exercises[:, last]),
            torch.from_numpy(counts[:, last]),
        )

    def _fill(self, samples: Samples, exercises: NDArray[np.int64], counts: NDArray[np.float32]) -> None:
        """Write one stream."""
        random = self._random
        recordings = self._arms[random.integers(len(self._arms))]
        pace = random.uniform(*PACE)
        turn = _rotation(np.deg2rad(random.normal(0.0, TURN_DEGREES, 3)))
        position = 0
        while position < len(samples):
            recording = recordings[random.integers(len(recordings))]
            length = min(int(random.uniform(*SECONDS) * SAMPLE_RATE), len(samples) - position)
            part = slice(position, position + length)
            samples[part] = self._piece(recording.samples, length, pace * random.uniform(*EACH_PACE), turn)
            exercises[part] = recording.exercise
            counts[position : position + int(SILENT_SECONDS * SAMPLE_RATE)] = 0.0
            position += length
        samples += random.normal(0.0, SENSOR_NOISE, samples.shape).astype(np.float32)

    def _piece(self, source: Samples, length: int, pace: float, turn: Samples) -> Samples:
        """So many samples (length, 6) out of a recording, faster or slower, with the watch turned."""
        first = self._random.integers(max(1, len(source) - int(length * pace) - 1))
        positions = np.minimum(first + np.arange(length) * pace, len(source) - 1.001)
        whole = positions.astype(np.int64)
        share = (positions - whole).astype(np.float32)[:, None]
        piece = source[whole] * (1.0 - share) + source[whole + 1] * share
        acceleration, rate_of_turn = piece[:, :3] @ turn.T, piece[:, 3:] @ turn.T
        vigour = np.float32(self._random.uniform(*VIGOUR))
        moved: Samples = np.concatenate((acceleration, rate_of_turn * np.float32(pace)), axis=1) * vigour
        return moved


def _rotation(angles: NDArray[np.float64]) -> Samples:
    """The rotation matrix (3, 3) about an axis along ``angles`` (3,) by their length in radians (Rodrigues)."""
    angle = max(float(np.linalg.norm(angles)), 1e-12)
    x, y, z = angles / angle
    cross = np.array([[0.0, -z, y], [z, 0.0, -x], [-y, x, 0.0]])
    rotation = np.eye(3) + np.sin(angle) * cross + (1.0 - np.cos(angle)) * cross @ cross
    result: Samples = rotation.astype(np.float32)
    return result
