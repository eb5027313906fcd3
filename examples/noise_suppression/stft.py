"""Samples to spectra and back, one hop at a time: the short-time Fourier transform that NSNet2 was trained with."""

from __future__ import annotations

from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

Samples: TypeAlias = NDArray[np.floating]
Spectrum: TypeAlias = NDArray[np.complex128]

#: Samples per second, Hz.
SAMPLE_RATE = 16000

#: Samples from one frame to the next, 10 ms.
HOP = 160

#: Samples under the window of one frame, 20 ms; also the size of the FFT.
FRAME = 2 * HOP

#: Width of a spectrum: frequencies 0, 50, ..., 8000 Hz.
BINS = FRAME // 2 + 1

#: What comes out at one moment went in this many samples before: an output sample is complete with the later of its two
#: frames.  With the wait for a whole hop, the algorithmic delay is one frame, 20 ms.
DELAY = FRAME - HOP

#: The analysis window of the training: the root of a Hann window, a symmetric one, two of which do not quite sum to 1.
WINDOW = np.sqrt(np.hanning(FRAME))

#: The synthesis window that makes it perfect: every sample lies under two windows, and their two products sum to 1.
#: (The network's authors used `WINDOW` again, which ripples by 0.5 %.)
DUAL_WINDOW = WINDOW / (np.square(WINDOW) + np.square(np.roll(WINDOW, HOP)))


class Analysis:
    """Hops to spectra.  Before the first sample there was silence."""

    def __init__(self) -> None:
        self._frame = np.zeros(FRAME)

    def step(self, hop: Samples) -> Spectrum:
        """The next samples (160,) -> the spectrum (161,) of the last 320."""
        self._frame[:HOP] = self._frame[HOP:]
        self._frame[HOP:] = hop
        spectrum: Spectrum = np.fft.rfft(self._frame * WINDOW)
        return spectrum


class Synthesis:
    """Spectra to hops, by overlap-add: unchanged spectra give the samples of `Analysis` again, `DELAY` later."""

    def __init__(self) -> None:
        self._sum = np.zeros(FRAME)

    def step(self, spectrum: Spectrum) -> Samples:
        """The next spectrum (161,) -> the samples (160,) that no later spectrum reaches."""
        self._sum += np.fft.irfft(spectrum) * DUAL_WINDOW
        hop = self._sum[:HOP].copy()
        self._sum[:HOP] = self._sum[HOP:]
        self._sum[HOP:] = 0.0
        return hop


def hops(samples: Samples) -> NDArray[np.floating]:
    """A whole recording (n,) as hops (t, 160), with zeros behind it that push its end out of a `Synthesis`."""
    count = -(-(len(samples) + DELAY) // HOP)
    padded = np.zeros(count * HOP, samples.dtype)
    padded[: len(samples)] = samples
    return padded.reshape(count, HOP)


def joined(outputs: list[Samples], length: int) -> Samples:
    """What `Synthesis` gave for the hops of ``length`` samples, without its delay: (length,)."""
    return np.concatenate(outputs)[DELAY : DELAY + length]


def analyse(samples: Samples) -> Spectrum:
    """All spectra (t, 161) of a whole recording (n,), by the same steps."""
    analysis = Analysis()
    return np.stack([analysis.step(hop) for hop in hops(samples)])


def synthesise(spectra: Spectrum, length: int) -> Samples:
    """The recording (length,) of the spectra (t, 161) that `analyse` gives, in time with it."""
    synthesis = Synthesis()
    return joined([synthesis.step(spectrum) for spectrum in spectra], length)
