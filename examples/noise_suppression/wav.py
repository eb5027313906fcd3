"""Recordings as 16-bit wav files."""

from __future__ import annotations

import io
import wave
from pathlib import Path

import numpy as np
from examples.noise_suppression.stft import SAMPLE_RATE, Samples

from grulet.audio import read_wav
from grulet.errors import FormatError, GruletError
from grulet.files import write_whole


def read(path: Path) -> Samples:
    """Samples (n,) in [-1, 1); several channels are averaged, and another sample rate is refused."""
    try:
        samples, sample_rate = read_wav(path)
    except OSError as error:
        raise GruletError(f"{path}: {error.strerror}") from error
    if sample_rate != SAMPLE_RATE:
        raise FormatError(
            f"{path}: has {sample_rate} samples per second; the network was trained on {SAMPLE_RATE}: "
            f"ffmpeg -i {path} -ar {SAMPLE_RATE} OUT.wav"
        )
    return samples


def write(path: Path, samples: Samples) -> None:
    """Write samples (n,), cut off at [-1, 1), as a whole or not at all."""
    integers = np.clip(np.round(samples * 2.0**15), -(2.0**15), 2.0**15 - 1).astype("<i2")
    data = io.BytesIO()
    with wave.open(data, "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(SAMPLE_RATE)
        file.writeframes(integers.tobytes())
    write_whole(path, data.getvalue())
