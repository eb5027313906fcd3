"""Speech with noise: the recordings in this folder, mixed so that the speech without the noise is known.

python -m examples.noise_suppression.mixture    # makes noisy.wav again; needs soundfile
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from examples.noise_suppression import wav
from examples.noise_suppression.stft import SAMPLE_RATE, Samples

RECORDINGS = Path(__file__).with_name("recordings")
NOISY = RECORDINGS / "noisy.wav"

#: Root mean square that every sentence is brought to: 26 dB below a full-scale square wave.
LEVEL = 0.05


@dataclass(frozen=True)
class Mixture:
    """Sentences one after the other, without and with noise."""

    clean: Samples  # (n,)
    noisy: Samples  # (n,)
    sentences: list[slice]  # which samples are which sentence


def read_flac(path: Path) -> Samples:
    """Samples (n,) of a FLAC file, float32."""
    import soundfile

    samples: Samples = soundfile.read(path, dtype="float32")[0]
    return samples


def sentence(path: Path) -> Samples:
    """One recording of speech (n,), of the loudness `LEVEL`."""
    recording = read_flac(path)
    return recording * np.float32(LEVEL / loudness(recording))


def sentences() -> list[Samples]:
    """All recordings of speech in the folder, by the names of their files: coffee orders, then a novel; 66 s."""
    return [sentence(path) for path in sorted(RECORDINGS.glob("*/*.flac"))]


def noise() -> Samples:
    """90 s of a kitchen."""
    return read_flac(RECORDINGS / "kitchen.flac")


def loudness(samples: Samples) -> float:
    """Root mean square."""
    return float(np.sqrt(np.square(samples, dtype=np.float64).mean()))


def mix(speech: Sequence[Samples], background: Samples, decibel: float) -> Mixture:
    """The pieces of speech in turn over the beginning of the background, which is so many decibel below `LEVEL`."""
    clean = np.concatenate(speech)
    background = background[: len(clean)]
    gain = LEVEL * 10.0 ** (-decibel / 20.0) / loudness(background)
    ends = np.cumsum([len(piece) for piece in speech])
    parts = [slice(int(end) - len(piece), int(end)) for piece, end in zip(speech, ends, strict=True)]
    return Mixture(clean, clean + np.float32(gain) * background, parts)


def noisy_recording() -> Samples:
    """What `noisy.wav` holds: two sentences over noise at 5 dB, with 1 s of noise alone around each."""
    pause = np.zeros(SAMPLE_RATE, np.float32)
    order = sentence(RECORDINGS / "barista" / "165bced7-3ecc-41f3-acf8-e584141f0379.flac")
    novel = sentence(RECORDINGS / "librivox" / "sense_and_sensibility_01_austen_64kb-0880.flac")
    background = noise()[70 * SAMPLE_RATE :]  # seconds that `evaluate` does not use
    return mix([pause, order, pause, novel, pause], background, 5.0).noisy


if __name__ == "__main__":
    wav.write(NOISY, noisy_recording())
