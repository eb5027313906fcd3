"""Smart-watch exercises: answers right for two people nobody trained on, as examples/watch_exercises measures it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from benchmarks.accuracy.tasks.task import Frames, Measure, Score, Task
from examples.watch_exercises import model
from examples.watch_exercises.evaluate import evaluate, grulet_network
from examples.watch_exercises.frames import sessions
from examples.watch_exercises.recordings import TRAINING_SUBJECTS, load, load_test

import grulet

if TYPE_CHECKING:
    from torch import Tensor, nn

NETWORK = "network"
STEPS = 120
BATCH = 24
SEQUENCE_FRAMES = 150
LEARNING_RATE = 6e-4


class Exercises(Task):
    """One GRU of 64 units."""

    title = "watch exercises"
    about = (
        "one GRU of 64 units: share of right answers over the sessions of two people that training never saw. "
        "Calibrated and trained on the seven people of the training."
    )
    measure = Measure("right answers", "%", more_is_better=True, int8_limit=0.1, int4_limit=0.5)
    networks = (NETWORK,)
    decides = NETWORK

    def modules(self) -> dict[str, nn.Module]:
        """The checkpoint of the example."""
        return {NETWORK: model.load()}

    def score(self, models: Mapping[str, grulet.Model]) -> Score:
        """Right answers, in percent."""
        result = evaluate(grulet_network(models[NETWORK]), sessions(load_test()))
        details = result.as_json()
        details.pop("confusion")
        return Score(100.0 * result.accuracy, details)

    def calibration(self) -> dict[str, Sequence[Frames]]:
        """The sessions of those who trained; the data set is downloaded if it is not there yet."""
        return {NETWORK: [session.frames for session in sessions(load(TRAINING_SUBJECTS))]}

    def fine_tune(self, modules: Mapping[str, nn.Module], seed: int) -> None:
        """Go on with the example's own training, from the float network's weights."""
        from benchmarks.accuracy.training import fine_tune
        from examples.watch_exercises.streams import StreamMaker
        from examples.watch_exercises.train import answer_loss

        (module,) = modules.values()
        maker = StreamMaker(load(TRAINING_SUBJECTS), seed)

        def loss() -> Tensor:
            frames, exercises, counts = maker.batch(BATCH, SEQUENCE_FRAMES)
            return answer_loss(module(frames), exercises, counts)

        fine_tune(module, loss, STEPS, LEARNING_RATE, seed, self.title)
