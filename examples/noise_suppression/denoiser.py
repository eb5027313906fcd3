"""The denoiser: spectrum -> what the network hears -> how much of every frequency stays -> samples."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
from examples.noise_suppression.stft import Analysis, Samples, Spectrum, Synthesis, hops, joined
from numpy.typing import NDArray

Frame: TypeAlias = NDArray[np.float32]

#: One frame of features (161,) to one frame of gains (161,), both float32: the `step` of a stream.
Network: TypeAlias = Callable[[Frame], Frame]

#: Powers below this are silence to the network: -120 dB.
FLOOR = 1e-12

#: No frequency is suppressed by more than 80 dB.
LEAST_GAIN = 1e-4


def features(spectra: Spectrum) -> Frame:
    """What the network hears: log10 of the power, float32, of spectra (..., 161)."""
    power = np.square(spectra.real) + np.square(spectra.imag)
    frames: Frame = np.log10(np.maximum(power, FLOOR)).astype(np.float32)
    return frames


def masked(spectra: Spectrum, gains: Frame) -> Spectrum:
    """Spectra (..., 161) times the gains that the network gave for them, from -80 to 0 dB."""
    result: Spectrum = spectra * np.clip(gains, LEAST_GAIN, 1.0)
    return result


class Denoiser:
    """One voice: 160 samples in, 160 out, `stft.DELAY` later.  It remembers 40 ms of samples and a state."""

    def __init__(self, network: Network) -> None:
        self._network = network
        self._analysis = Analysis()
        self._synthesis = Synthesis()
        #: The gains (161,) of the last frame.
        self.gains: Frame = np.ones(0, np.float32)

    def step(self, hop: Samples) -> Samples:
        """The next 10 ms (160,), in [-1, 1] -> 10 ms (160,) without noise."""
        spectrum = self._analysis.step(hop)
        self.gains = self._network(features(spectrum))
        return self._synthesis.step(masked(spectrum, self.gains))


@dataclass(frozen=True)
class Denoised:
    """A recording after the denoiser."""

    samples: Samples  # (n,), as long as the noisy recording and in time with it
    gains: NDArray[np.float32]  # (frames, 161)
    nanoseconds: NDArray[np.int64]  # (frames,) from a hop's last sample to its answer: transforms and network


def denoise(network: Network, samples: Samples) -> Denoised:
    """A whole recording (n,), 10 ms at a time, as a device would."""
    denoiser = Denoiser(network)
    outputs, gains, times = [], [], []
    for hop in hops(samples):
        begin = time.perf_counter_ns()
        outputs.append(denoiser.step(hop))
        times.append(time.perf_counter_ns() - begin)
        gains.append(denoiser.gains)
    return Denoised(joined(outputs, len(samples)), np.stack(gains), np.array(times))
