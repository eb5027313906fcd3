"""Endless training material: continuous streams of digits, made from the training recordings and real noise.

A stream says one digit after another with gaps of random length. Each word has its own speed, loudness and colour;
each stream its own microphone (spectral tilt), vocal tract (a warped frequency axis) and background noise. Every
frame has a target: the digit from the middle of a word until shortly after its end, "nothing" otherwise. A word
cannot be known from its first half, so nothing is asked there, or hardly anything.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from clips import SAMPLE_RATE, Clip, Samples, active_region
from decode import DIGITS as NOTHING
from scipy.signal import resample_poly  # type: ignore[import-untyped]
from torch import Tensor

from grulet.audio import LogMel, mel_filters

#: How finely a recording is known between its samples, so that linear interpolation changes its speed cleanly.
_OVERSAMPLING = 3


@dataclass(frozen=True)
class Recipe:
    """The ranges everything random is drawn from."""

    gap_seconds: tuple[float, float] = (0.12, 0.9)
    #: Playing speed, which moves pitch, formants and duration together.
    speed: tuple[float, float] = (0.87, 1.15)
    #: Stretch of the frequency axis of the mel filters: a longer or shorter vocal tract (Jaitly and Hinton 2013).
    warp: tuple[float, float] = (0.86, 1.16)
    #: Loudness (root mean square) of a stream, decibel of full scale, and how far its words stray from it.
    level_decibel: tuple[float, float] = (-52.0, -14.0)
    word_level_decibel: float = 3.0
    #: Signal to noise ratio, and how many streams have no noise added.
    noise_decibel: tuple[float, float] = (2.0, 45.0)
    quiet_share: float = 0.25
    #: How many streams have no words at all, only noise.
    wordless_share: float = 0.06
    #: The colour of a word (one-zero filter) and of a stream (smooth random gain over frequency, decibel).
    word_tilt: float = 0.15
    tilt_decibel: float = 3.0
    #: The digit is asked for from this part of the word until so long after its end.
    ask_from: float = 0.5
    hold_seconds: float = 0.18
    #: Around the beginning and the end of that span no answer is wrong, or hardly.
    first_half_weight: float = 0.05
    release_seconds: float = 0.06
    #: Share of streams in which some neighbouring bands are blanked, and how many at most.
    mask_share: float = 0.3
    mask_bands: int = 5


class StreamMaker:
    """Draws batches of streams from recordings and noise; every recording is used once before any is used again."""

    def __init__(self, clips: list[Clip], noise: Samples, audio: LogMel, recipe: Recipe, seed: int) -> None:
        self.audio = audio
        self.recipe = recipe
        self._random = np.random.default_rng(seed)
        self._digits = [clip.digit for clip in clips]
        self._regions = [active_region(clip.samples) for clip in clips]
        self._loudness = [
            float(np.sqrt(np.square(clip.samples[start:end], dtype=np.float64).mean()))
            for clip, (start, end) in zip(clips, self._regions, strict=True)
        ]
        self._oversampled = [resample_poly(clip.samples, _OVERSAMPLING, 1).astype(np.float32) for clip in clips]
        self._deck: list[int] = []
        self._noises = [noise / noise.std(), *_coloured_noises(len(noise), self._random)]
        self._hann = torch.from_numpy(audio.hann.astype(np.float32))
        self._warps = np.linspace(*recipe.warp, 9)
        self._filters = torch.from_numpy(np.stack([_warped_filters(audio, w) for w in self._warps]))

    def batch(self, streams: int, frames: int) -> tuple[Tensor, Tensor, Tensor]:
        """Features ``(streams, frames, bands)``, target classes and their weights ``(streams, frames)``."""
        length = (frames - 1) * self.audio.hop + self.audio.window
        samples = np.empty((streams, length), np.float32)
        targets = np.full((streams, frames), NOTHING, np.int64)
        weights = np.ones((streams, frames), np.float32)
        for row in range(streams):
            self._fill(samples[row], targets[row], weights[row])
        return self.features(samples), torch.from_numpy(targets), torch.from_numpy(weights)

    def _fill(self, samples: Samples, targets: np.ndarray, weights: np.ndarray) -> None:
        """Write one stream: words, then noise, then clipping, as a sound card would."""
        recipe, random = self.recipe, self._random
        samples[:] = 0.0
        level = 10.0 ** (random.uniform(*recipe.level_decibel) / 20.0)
        position = 0
        wordless = random.random() < recipe.wordless_share
        while not wordless:
            position += int(random.uniform(*recipe.gap_seconds) * SAMPLE_RATE)
            clip = self._draw()
            word, start, end = self._word(clip, level)
            if position + len(word) > len(samples):
                break
            samples[position : position + len(word)] += word
            self._aim(targets, weights, position + start, position + end, self._digits[clip])
            position += end  # what follows the word in its recording may lie under the next gap
        if random.random() >= recipe.quiet_share:
            # Most of the noise is the real recording.
            noise = self._noises[0 if random.random() < 0.6 else random.integers(1, len(self._noises))]
            offset = random.integers(len(noise) - len(samples))
            ratio = 10.0 ** (-random.uniform(*recipe.noise_decibel) / 20.0)
            samples += np.float32(level * ratio) * noise[offset : offset + len(samples)]
        elif random.random() < 0.5:
            samples += random.normal(0.0, 10.0 ** random.uniform(-5.0, -4.0), len(samples)).astype(np.float32)
        np.clip(samples, -1.0, 1.0, out=samples)

    def _draw(self) -> int:
        if not self._deck:
            self._deck = self._random.permutation(len(self._digits)).tolist()
        return self._deck.pop()

    def _word(self, clip: int, level: float) -> tuple[Samples, int, int]:
        """One recording at a random speed, loudness and colour, and where its word starts and ends in it."""
        recipe, random = self.recipe, self._random
        speed = random.uniform(*recipe.speed)
        source = self._oversampled[clip]
        count = int((len(source) - 1) / (speed * _OVERSAMPLING))
        positions = np.arange(count) * (speed * _OVERSAMPLING)
        whole = positions.astype(np.int64)
        part = (positions - whole).astype(np.float32)
        word = source[whole] * (1.0 - part) + source[whole + 1] * part
        word[1:] -= np.float32(random.uniform(-recipe.word_tilt, recipe.word_tilt)) * word[:-1]
        gain = level / self._loudness[clip] * 10.0 ** (random.normal(0.0, recipe.word_level_decibel) / 20.0)
        start, end = (int(edge / speed) for edge in self._regions[clip])
        return word * np.float32(gain), start, min(end, count)

    def _aim(self, targets: np.ndarray, weights: np.ndarray, start: int, end: int, digit: int) -> None:
        """Set the targets of one word. A frame is placed at its last sample: what it can know ends there."""
        recipe = self.recipe

        def frame(sample: float) -> int:
            return max(0, int((sample - self.audio.window) / self.audio.hop) + 1)

        first = frame(start)
        asked = frame(start + recipe.ask_from * (end - start))
        held = frame(end + recipe.hold_seconds * SAMPLE_RATE)
        released = frame(end + (recipe.hold_seconds + recipe.release_seconds) * SAMPLE_RATE)
        # The word before may still be held when this one begins; its digit stays the target until this one's.
        fresh = targets[first:asked] == NOTHING
        weights[first:asked] = np.where(fresh, recipe.first_half_weight, 0.0)
        targets[asked:held] = digit
        weights[asked:held] = 1.0
        targets[held:] = NOTHING
        weights[held:released] = 0.0
        weights[released:] = 1.0

    def features(self, samples: Samples) -> Tensor:
        """Log-mel frames as `LogMel` makes them, of many streams at once, each through its own microphone."""
        recipe, random = self.recipe, self._random
        streams = len(samples)
        windows = torch.from_numpy(samples).unfold(1, self.audio.window, self.audio.hop) * self._hann
        spectrum = torch.fft.rfft(windows, n=self.audio.fft)
        power = spectrum.real.square() + spectrum.imag.square()
        power *= torch.from_numpy(_random_tilt(streams, power.shape[2], recipe.tilt_decibel, random))
        filters = self._filters[random.integers(len(self._warps), size=streams)]
        energy = torch.bmm(power, filters.transpose(1, 2))
        features = (torch.log(energy + self.audio.floor) + self.audio.shift) * self.audio.scale
        for row in np.flatnonzero(random.random(streams) < recipe.mask_share):
            width = random.integers(1, recipe.mask_bands + 1)
            lowest = random.integers(self.audio.bands - width + 1)
            features[row, :, lowest : lowest + width] = features[row, :, lowest : lowest + width].mean()
        return features


def _warped_filters(audio: LogMel, warp: float) -> np.ndarray:
    """The mel filters with their corners moved by a factor, the upper edge kept below half the sample rate."""
    high = min(audio.high_hz * warp, audio.sample_rate / 2)
    filters = mel_filters(audio.sample_rate, audio.fft, audio.bands, audio.low_hz * warp, high)
    return filters.astype(np.float32)


def _coloured_noises(length: int, random: np.random.Generator) -> list[Samples]:
    """Noise whose power falls with frequency as 1, 1/f and 1/f^2, of unit loudness."""
    frequencies = np.fft.rfftfreq(length, 1.0 / SAMPLE_RATE)
    noises = []
    for exponent in (0.0, 0.5, 1.0):
        spectrum = random.normal(size=len(frequencies)) + 1j * random.normal(size=len(frequencies))
        spectrum *= np.maximum(frequencies, 50.0) ** -exponent
        noise = np.fft.irfft(spectrum, length)
        noises.append((noise / noise.std()).astype(np.float32))
    return noises


def _random_tilt(streams: int, bins: int, decibel: float, random: np.random.Generator) -> np.ndarray:
    """Smooth random gains of power ``(streams, 1, bins)``: straight lines between five random knots."""
    knots = random.normal(0.0, decibel, (streams, 5))
    grid = np.linspace(0.0, 4.0, bins)
    left = np.minimum(grid.astype(np.int64), 3)
    part = grid - left
    curve = knots[:, left] * (1.0 - part) + knots[:, left + 1] * part
    gains: np.ndarray = (10.0 ** (curve / 10.0)).astype(np.float32)
    return gains[:, np.newaxis]
