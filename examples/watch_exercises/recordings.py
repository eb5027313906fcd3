"""The recordings: one person doing one exercise about twenty times with a watch on the wrist, six channels at 50 Hz.

python -m examples.watch_exercises.recordings    # makes test_subjects.npz again; downloads the whole data set
"""

from __future__ import annotations

import io
from collections.abc import Collection
from dataclasses import dataclass
from pathlib import Path
from typing import TypeAlias

import numpy as np
from examples.pypi_file import PypiFile
from numpy.typing import NDArray

HERE = Path(__file__).parent
TEST_FILE = HERE / "test_subjects.npz"  # 1.1 MB, what `evaluate` and the demo need
WHOLE_FILE = HERE / "watch_dataset.npy"  # 18 MB, not in the repository: `fetch` puts it there
FILE = PypiFile(
    "seglearn==1.2.5",
    f"seglearn/data/{WHOLE_FILE.name}",
    "eb122f23cdf06ef6bd6c6c5312958ec5cf9d038e2e6d457b8081662c75a42537",
    "11 MB",
)

#: Samples per second of every recording, Hz.
SAMPLE_RATE = 50

#: Acceleration (g) and rate of turn (rad/s) along three axes of the watch.
CHANNELS = ("ax", "ay", "az", "wx", "wy", "wz")

#: What the data set's abbreviations mean, in the order of its classes.
EXERCISES = (
    "pendulum",
    "abduction",
    "forward elevation",
    "internal rotation",
    "external rotation",
    "trapezius extension",
    "upright row",
)

#: Ten people. Nobody who trains or chooses a network is tested on.
TRAINING_SUBJECTS = (1, 2, 3, 4, 5, 6, 7)
VALIDATION_SUBJECTS = (8,)
TEST_SUBJECTS = (9, 10)

Samples: TypeAlias = NDArray[np.float32]


@dataclass(frozen=True)
class Recording:
    """One exercise of one person with one arm."""

    subject: int
    exercise: int  # index into EXERCISES
    is_right_arm: bool
    samples: Samples  # (n, 6)


def load_test() -> list[Recording]:
    """The 28 recordings of the two people who are tested on, in the data set's order."""
    with np.load(TEST_FILE) as arrays:
        parts = np.split(arrays["samples"], np.cumsum(arrays["lengths"])[:-1])
        facts = zip(arrays["subject"], arrays["exercise"], arrays["is_right_arm"], parts, strict=True)
        return [Recording(int(who), int(what), bool(arm), samples) for who, what, arm, samples in facts]


def load(subjects: Collection[int]) -> list[Recording]:
    """All recordings of these people, out of the whole data set; it is downloaded if it is not there yet."""
    data = FILE.checked(FILE.fetch(WHOLE_FILE).read_bytes(), WHOLE_FILE)
    # The file holds pickled lists, and pickles can run code: only the very bytes that were looked at are opened.
    content = np.load(io.BytesIO(data), allow_pickle=True).item()
    facts = zip(content["subject"], content["y"], content["side"], content["X"], strict=True)
    return [
        Recording(int(who), int(what), bool(arm), samples.astype(np.float32))
        for who, what, arm, samples in facts
        if who in subjects
    ]


def save_test() -> None:
    """Write `TEST_FILE`."""
    found = load(TEST_SUBJECTS)
    np.savez_compressed(
        TEST_FILE,
        samples=np.concatenate([recording.samples for recording in found]),
        lengths=np.array([len(recording.samples) for recording in found]),
        subject=np.array([recording.subject for recording in found]),
        exercise=np.array([recording.exercise for recording in found]),
        is_right_arm=np.array([recording.is_right_arm for recording in found]),
    )


if __name__ == "__main__":
    save_test()
