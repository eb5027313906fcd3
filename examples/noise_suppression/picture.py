"""A recording before and after as one picture: both spectrograms, and what the network decided."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import matplotlib as mpl
import numpy as np
from examples.noise_suppression.denoiser import FLOOR, LEAST_GAIN, Denoised
from examples.noise_suppression.stft import BINS, HOP, SAMPLE_RATE, Samples, analyse
from numpy.typing import NDArray

mpl.use("Agg")
from matplotlib import pyplot as plt

NOISY, DENOISED = "#b2182b", "#1b7837"


def draw(path: Path, noisy: Samples, denoised: Denoised) -> None:
    """Write the picture to ``path``."""
    before, after = spectrogram(noisy), spectrogram(denoised.samples)
    figure, (top, middle, mask, level) = plt.subplots(
        4, 1, figsize=(12, 10.5), height_ratios=(1, 1, 1, 0.9), sharex=True, layout="constrained"
    )
    loudest = float(np.percentile(before, 99.9))
    for axes, title, colour, power in ((top, "before", NOISY, before), (middle, "after", DENOISED, after)):
        image = _heat(axes, power, "magma", loudest - 60.0, loudest)
        axes.set_title(title, loc="left", weight="bold", color=colour)
    figure.colorbar(image, ax=(top, middle), label="dB", pad=0.01)
    gains = 20.0 * np.log10(np.clip(denoised.gains, LEAST_GAIN, 1.0))
    image = _heat(mask, gains, "viridis", -40.0, 0.0)
    mask.set_title("what the network lets through", loc="left", weight="bold")
    figure.colorbar(image, ax=mask, label="gain, dB", pad=0.01)
    _levels(level, noisy, denoised.samples)
    top.figure.suptitle("NSNet2, frame by frame", weight="bold", fontsize=14, x=0.01, ha="left")
    figure.savefig(path, dpi=80)
    plt.close(figure)


def spectrogram(samples: Samples) -> NDArray[np.float64]:
    """Power in dB (frames, 161)."""
    power: NDArray[np.float64] = 10.0 * np.log10(np.square(np.abs(analyse(samples))) + FLOOR)
    return power


def _heat(axes: Any, values: NDArray[np.floating], colours: str, low: float, high: float) -> Any:
    # A frame is drawn where its middle is: it begins a hop before its newest samples.
    seconds = np.array([-0.5, len(values) - 0.5]) * HOP / SAMPLE_RATE
    axes.set(ylabel="kHz", yticks=range(0, 9, 2))
    top = (BINS - 0.5) / (BINS - 1) * SAMPLE_RATE / 2e3
    extent = (*seconds, top - BINS / (BINS - 1) * SAMPLE_RATE / 2e3, top)
    return axes.imshow(
        values.T,
        aspect="auto",
        origin="lower",
        cmap=colours,
        vmin=low,
        vmax=high,
        extent=extent,
        interpolation="nearest",
    )


def _levels(axes: Any, noisy: Samples, denoised: Samples) -> None:
    """Loudness over time, and in between how much was taken away."""
    before, after = (_level(samples) for samples in (noisy, denoised))
    seconds = np.arange(len(before)) * BLOCK
    axes.fill_between(seconds, before, after, color="#dddddd", linewidth=0)
    axes.plot(seconds, before, color=NOISY, label="before")
    axes.plot(seconds, after, color=DENOISED, label="after")
    top = float(before.max())
    axes.set(ylim=(top - 60.0, top + 14.0), xlim=(0, len(noisy) / SAMPLE_RATE), ylabel="loudness, dB", xlabel="seconds")
    axes.set_title("loudness: the grey is what was taken away", loc="left", weight="bold")
    axes.legend(loc="upper right", ncols=2, frameon=False)


#: One point of a loudness curve, s.
BLOCK = 0.05


def _level(samples: Samples) -> NDArray[np.float64]:
    size = round(BLOCK * SAMPLE_RATE)
    blocks = samples[: len(samples) // size * size].reshape(-1, size).astype(np.float64)
    level: NDArray[np.float64] = 10.0 * np.log10(np.square(blocks).mean(axis=1) + FLOOR)
    return level
