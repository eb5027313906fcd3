"""Noise suppression with NSNet2: SI-SDR of speech over a kitchen's noise, as examples/noise_suppression measures it.

Nobody gives NSNet2's training data away.  Calibration and training take what the test does not have: other recordings
of speech, and the last 23 s of the kitchen; in training the float network is the teacher.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from benchmarks.accuracy.tasks.task import Frames, Measure, Score, Task
from benchmarks.common import AbsentError
from examples.noise_suppression.contestants import grulet_whole
from examples.noise_suppression.denoiser import features
from examples.noise_suppression.evaluate import RATIOS
from examples.noise_suppression.mixture import RECORDINGS, mix, noise, sentence, sentences
from examples.noise_suppression.network import fetch
from examples.noise_suppression.quality import enhance
from examples.noise_suppression.stft import SAMPLE_RATE, Samples, analyse

import grulet

if TYPE_CHECKING:
    from torch import Tensor, nn

NETWORK = "network"
#: The test's mixtures lie over the first 66 s of the noise.
NOISE_FROM = 67 * SAMPLE_RATE
#: Noise below speech, dB, and by how much a recording's loudness strays, dB (standard deviation).
DECIBELS = (-5.0, 20.0)
LOUDNESS = 5.0
#: Share of the noises that are the kitchen; the others have a power that falls with frequency.
KITCHEN_SHARE = 0.6

CALIBRATION_RECORDINGS = 20
TRAINING_RECORDINGS = 150
SEQUENCE_FRAMES = 100
BATCH = 8
STEPS = 300
LEARNING_RATE = 3e-5


class Denoising(Task):
    """Two GRUs of 400 units and four dense layers."""

    title = "noise suppression"
    about = (
        "NSNet2, two GRUs of 400 units: SI-SDR of 66 s of speech over kitchen noise at 0, 5 and 10 dB, mean of the "
        "three. Calibrated and trained on 35 other recordings of speech."
    )
    measure = Measure("SI-SDR", "dB", more_is_better=True, int8_limit=0.02, int4_limit=0.5, digits=3)
    networks = (NETWORK,)
    decides = NETWORK

    def __init__(self, speech_folder: Path | None) -> None:
        self.speech_folder = speech_folder

    def modules(self) -> dict[str, nn.Module]:
        """The ONNX file's network; it is downloaded if it is not there yet."""
        from benchmarks.accuracy.tasks.nsnet2 import load

        return {NETWORK: load(fetch())}

    def score(self, models: Mapping[str, grulet.Model]) -> Score:
        """Mean SI-SDR over the mixtures, and each."""
        speech, background = sentences(), noise()
        found = {}
        for ratio in RATIOS:
            results = enhance({NETWORK: grulet_whole(models[NETWORK])}, mix(speech, background, ratio))
            found[f"{ratio} dB"] = round(results[NETWORK].si_sdr, 4)
        return Score(float(np.mean(list(found.values()))), {"si_sdr": found})

    def calibration(self) -> dict[str, Sequence[Frames]]:
        """Features of noisy sentences."""
        material = Material(self._other_speech(), noise()[NOISE_FROM:], seed=1)
        return {NETWORK: [material.recording() for _ in range(CALIBRATION_RECORDINGS)]}

    def fine_tune(self, modules: Mapping[str, nn.Module], seed: int) -> None:
        """Teach the rounded network the float network's gains."""
        import torch
        from benchmarks.accuracy.training import fine_tune

        (module,) = modules.values()
        teacher = self.modules()[NETWORK]
        material = Material(self._other_speech(), noise()[NOISE_FROM:], seed)
        recordings = [material.recording() for _ in range(TRAINING_RECORDINGS)]
        random = np.random.default_rng(seed)

        def loss() -> Tensor:
            frames = torch.from_numpy(np.stack([excerpt(recordings, SEQUENCE_FRAMES, random) for _ in range(BATCH)]))
            with torch.no_grad():
                wanted = teacher(frames)
                power = 10.0**frames  # features are log10 of the power
            squares = (module(frames) - wanted).square()
            # What one hears of an error is its power in the signal; what is quiet now may be loud for another.
            error: Tensor = squares.mean() + (squares * power).sum() / power.sum()
            return error

        fine_tune(module, loss, STEPS, LEARNING_RATE, seed, self.title)

    def _other_speech(self) -> list[Samples]:
        """Recordings of speech that the test does not use."""
        if self.speech_folder is None:
            raise AbsentError(
                "noise suppression is calibrated with other speech: give --speech FOLDER with the .flac files of "
                "https://github.com/Picovoice/speech-to-intent-benchmark"
            )
        tested = {path.name for path in RECORDINGS.glob("*/*.flac")}
        found = sorted(path for path in self.speech_folder.glob("*.flac") if path.name not in tested)
        if not found:
            raise AbsentError(f"{self.speech_folder} has no .flac files beside those of the test")
        return [sentence(path) for path in found]


class Material:
    """Draws noisy recordings: speech of random loudness, kitchen or synthetic noise at a random distance."""

    def __init__(self, speech: Sequence[Samples], kitchen: Samples, seed: int) -> None:
        self._random = np.random.default_rng(seed)
        self._speech = speech
        self._noises = [kitchen, *(coloured(len(kitchen), exponent, self._random) for exponent in (0.0, 0.5, 1.0))]

    def recording(self) -> Frames:
        """Features (T, 161) of one piece of speech with half a second of noise alone around it."""
        random = self._random
        speech = self._speech[int(random.integers(len(self._speech)))]
        clean = np.pad(speech, SAMPLE_RATE // 2).astype(np.float32)
        kind = 0 if random.random() < KITCHEN_SHARE else int(random.integers(1, len(self._noises)))
        background = np.roll(self._noises[kind], random.integers(len(self._noises[kind])))
        background = np.resize(background, len(clean))
        noisy = mix([clean], background, random.uniform(*DECIBELS)).noisy
        return features(analyse(noisy * np.float32(10.0 ** (random.normal(0.0, LOUDNESS) / 20.0))))


def excerpt(recordings: Sequence[Frames], frames: int, random: np.random.Generator) -> Frames:
    """So many consecutive frames of random recordings one after another: (frames, 161)."""
    pieces = [recordings[int(random.integers(len(recordings)))]]
    first = int(random.integers(len(pieces[0])))
    while sum(map(len, pieces)) < first + frames:
        pieces.append(recordings[int(random.integers(len(recordings)))])
    return np.concatenate(pieces)[first : first + frames]


def coloured(length: int, exponent: float, random: np.random.Generator) -> Samples:
    """Noise (length,) of unit loudness whose amplitude falls with frequency to the power of ``exponent``."""
    frequencies = np.fft.rfftfreq(length, 1.0 / SAMPLE_RATE)
    spectrum = random.normal(size=len(frequencies)) + 1j * random.normal(size=len(frequencies))
    samples = np.fft.irfft(spectrum * np.maximum(frequencies, 50.0) ** -exponent, length)
    return np.asarray(samples / samples.std(), np.float32)
