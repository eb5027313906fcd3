"""Spoken digits: clips right of the official test set, as examples/spoken_digits measures it."""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any

from benchmarks.accuracy.tasks.task import Frames, Measure, Score, Task
from benchmarks.common import ROOT, AbsentError
from numpy.typing import NDArray

import grulet

if TYPE_CHECKING:
    import numpy as np
    from torch import Tensor, nn

EXAMPLE = ROOT / "examples" / "spoken_digits"
KITCHEN = ROOT / "examples" / "noise_suppression" / "recordings" / "kitchen.flac"

NETWORK = "network"
CALIBRATION_STREAMS = 12
STREAM_FRAMES = 600
STEPS = 150
BATCH = 16
SEQUENCE_FRAMES = 300
LEARNING_RATE = 6e-4


def example(name: str) -> Any:
    """A module of the example, which is a folder of scripts and no package."""
    if str(EXAMPLE) not in sys.path:
        sys.path.insert(0, str(EXAMPLE))
    return import_module(name)


class Digits(Task):
    """Two GRUs of 64 units and a linear layer."""

    title = "spoken digits"
    about = (
        "two GRUs of 64 units: share of right answers over the 250 official test recordings of the Free Spoken Digit "
        "Dataset. Calibrated and trained on noisy streams of its training recordings."
    )
    measure = Measure("clips right", "%", more_is_better=True, int8_limit=0.4, int4_limit=0.5)
    networks = (NETWORK,)
    decides = NETWORK

    def __init__(self, recordings_folder: Path | None) -> None:
        self.recordings_folder = recordings_folder

    def modules(self) -> dict[str, nn.Module]:
        """The checkpoint of the example."""
        return {NETWORK: example("model").load()}

    def score(self, models: Mapping[str, grulet.Model]) -> Score:
        """Clips right, in percent."""
        front = example("model").AUDIO
        tested = [clip for clip in self._clips() if clip.is_test]

        def network(frames: Frames) -> NDArray[np.float32]:
            logits: NDArray[np.float32] = models[NETWORK].stream().run(frames)
            return logits

        result = example("evaluate").clip_accuracy(network, front, tested)
        return Score(
            100.0 * result["right"] / result["clips"],
            {key: result[key] for key in ("clips", "right", "wrong")},
        )

    def calibration(self) -> dict[str, Sequence[Frames]]:
        """Noisy streams of training recordings."""
        frames, _, _ = self._maker(seed=1).batch(CALIBRATION_STREAMS, STREAM_FRAMES)
        return {NETWORK: list(frames.numpy())}

    def fine_tune(self, modules: Mapping[str, nn.Module], seed: int) -> None:
        """Go on with the example's own training, from the float network's weights."""
        from benchmarks.accuracy.training import fine_tune

        (module,) = modules.values()
        maker = self._maker(seed)
        train = example("train")

        def loss() -> Tensor:
            frames, targets, weights = maker.batch(BATCH, SEQUENCE_FRAMES)
            return train.weighted_loss(module(frames), targets, weights, train.LABEL_SMOOTHING)  # type: ignore[no-any-return]

        fine_tune(module, loss, STEPS, LEARNING_RATE, seed, self.title)

    def _clips(self) -> list[Any]:
        if self.recordings_folder is None:
            raise AbsentError(
                "spoken digits are tested on the Free Spoken Digit Dataset: give --digits FOLDER with the recordings "
                "of https://github.com/Jakobovski/free-spoken-digit-dataset"
            )
        return example("clips").load_clips(self.recordings_folder)  # type: ignore[no-any-return]

    def _maker(self, seed: int) -> Any:
        """Streams of the training recordings over the part of the noise that the example trains on."""
        train, streams = example("train"), example("streams")
        noise = train.read_noise(KITCHEN)
        clips = [clip for clip in self._clips() if not clip.is_test and clip.index not in train.VALIDATION_INDICES]
        border = int(len(noise) * train.NOISE_SHARE)
        return streams.StreamMaker(clips, noise[:border], example("model").AUDIO, streams.Recipe(), seed)
