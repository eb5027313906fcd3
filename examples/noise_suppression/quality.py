"""How well speech comes out of the noise, and how far one network's answers are from another's."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from examples.noise_suppression.contestants import Whole
from examples.noise_suppression.denoiser import features, masked
from examples.noise_suppression.mixture import Mixture
from examples.noise_suppression.stft import Samples, analyse, synthesise
from numpy.typing import NDArray


def si_sdr(estimate: Samples, reference: Samples) -> float:
    """Scale-invariant signal-to-distortion ratio of two signals (n,), dB (Le Roux et al., arXiv 1811.02508).

    How far the reference, at the loudness that fits best, stands above everything else in the estimate.
    """
    estimate, reference = (signal - signal.mean(dtype=np.float64) for signal in (estimate, reference))
    target = reference * (estimate @ reference / (reference @ reference))
    distortion = estimate - target
    return float(10.0 * np.log10(target @ target / (distortion @ distortion)))


@dataclass(frozen=True)
class Enhanced:
    """What one network made of a mixture."""

    gains: NDArray[np.float32]  # (T, 161)
    si_sdr: float  # of the whole, dB
    by_sentence: NDArray[np.float64]  # of every sentence, dB


@dataclass(frozen=True)
class Comparison:
    """One network beside the one that it is compared with."""

    si_sdr: float  # dB
    change: float  # of it, dB
    largest_change_of_a_sentence: float  # dB, either way
    largest_gain_difference: float  # over all frames and frequencies, gains being from 0 to 1

    @classmethod
    def of(cls, one: Enhanced, other: Enhanced) -> Comparison:
        """``one`` beside ``other``."""
        return cls(
            si_sdr=one.si_sdr,
            change=one.si_sdr - other.si_sdr,
            largest_change_of_a_sentence=float(np.abs(one.by_sentence - other.by_sentence).max()),
            largest_gain_difference=float(np.abs(one.gains - other.gains).max()),
        )


def enhance(networks: Mapping[str, Whole], mixture: Mixture) -> dict[str, Enhanced]:
    """The mixture through all networks; spectra and features are made once."""
    spectra = analyse(mixture.noisy)
    frames = features(spectra)
    results = {}
    for name, network in networks.items():
        gains = network(frames)
        samples = synthesise(masked(spectra, gains), len(mixture.noisy))
        by_sentence = [si_sdr(samples[part], mixture.clean[part]) for part in mixture.sentences]
        results[name] = Enhanced(gains, si_sdr(samples, mixture.clean), np.array(by_sentence))
    return results
