"""The recordings: one spoken digit per wav file, named ``{digit}_{speaker}_{index}.wav``."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from grulet.audio import read_wav

Samples: TypeAlias = NDArray[np.float32]

#: Samples per second of every recording, Hz.
SAMPLE_RATE = 8000

#: Recordings with an index below this are the official test set of the Free Spoken Digit Dataset.
TEST_INDICES = 5


@dataclass(frozen=True)
class Clip:
    """One recording of one digit."""

    name: str
    digit: int
    speaker: str
    index: int
    samples: Samples  # (n,), in [-1, 1]

    @property
    def is_test(self) -> bool:
        """Whether the official split keeps this recording for testing."""
        return self.index < TEST_INDICES


def load_clips(folder: str | Path) -> list[Clip]:
    """All recordings in a folder, in the order of their names. Other wav files there are left alone."""
    clips = []
    for path in sorted(Path(folder).glob("[0-9]_*_*.wav")):
        digit, speaker, index = path.stem.split("_")
        samples, sample_rate = read_wav(path)
        if sample_rate != SAMPLE_RATE:
            raise ValueError(f"{path}: has {sample_rate} samples per second, not {SAMPLE_RATE}")
        clips.append(Clip(path.stem, int(digit), speaker, int(index), samples))
    if not clips:
        raise FileNotFoundError(f"{folder}: no recordings named like 7_speaker_0.wav")
    return clips


def active_region(samples: Samples, decibel_below_loudest: float = 40.0) -> tuple[int, int]:
    """First and last sample (exclusive) of the word, by energy in blocks of 10 ms.

    Some recordings have silence around the word, so the ends of the file are not the ends of the word. High
    frequencies are raised first, or a closing "s" would count as silence. A recording with a noise floor above the
    threshold is taken to be all word.
    """
    block = SAMPLE_RATE // 100
    blocks = -(-len(samples) // block)
    padded = np.zeros(blocks * block)
    padded[: len(samples)] = samples
    padded[1 : len(samples)] -= 0.95 * samples[:-1]
    energy = np.square(padded.reshape(blocks, block)).mean(axis=1)
    loud = np.flatnonzero(energy > energy.max() * 10.0 ** (-decibel_below_loudest / 10.0))
    if not loud.size:
        return 0, len(samples)
    return int(loud[0]) * block, min(len(samples), (int(loud[-1]) + 1) * block)


def loudness(samples: Samples) -> float:
    """Root mean square of the word in a recording, the silence around it not counted."""
    start, end = active_region(samples)
    return float(np.sqrt(np.square(samples[start:end], dtype=np.float64).mean()))
