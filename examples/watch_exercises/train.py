"""Train the network, in about two minutes on one CPU core; `compare` uses the same function for other cells and sizes.

    python -m examples.watch_exercises.train       # writes exercises.pt and exercises.grulet; downloads the recordings

Seven people train, one chooses the checkpoint, and the two in the repository are counted once, at the end.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Sequence
from copy import deepcopy
from dataclasses import dataclass

import torch
from examples.command import exit_status
from examples.watch_exercises.evaluate import GRULET, evaluate, torch_network
from examples.watch_exercises.frames import sessions
from examples.watch_exercises.model import CHECKPOINT, Cell, WatchExercises
from examples.watch_exercises.recordings import (
    TRAINING_SUBJECTS,
    VALIDATION_SUBJECTS,
    Recording,
    load,
    load_test,
)
from examples.watch_exercises.streams import StreamMaker
from torch import Tensor, nn

from grulet.progress import progress

PROGRAM = "watch_exercises.train"

#: A batch is this many streams of 48 s.
STREAMS = 48
STREAM_FRAMES = 600
#: Gradients flow this many frames back, 12 s; the state is carried on.
CHUNK_FRAMES = 150
BATCHES = 100
BATCHES_PER_VALIDATION = 5

PEAK_LEARNING_RATE = 6e-3
WEIGHT_DECAY = 0.02
LARGEST_GRADIENT = 1.0
DROPOUT = 0.2
LABEL_SMOOTHING = 0.05
#: The checkpoint is a running average of the weights: smoother than any one of them.
AVERAGE_DECAY = 0.98


@dataclass(frozen=True)
class Trained:
    """A network, ready for inference, and what it took."""

    model: WatchExercises
    validation_accuracy: float
    seconds: float


def answer_loss(logits: Tensor, exercises: Tensor, counts: Tensor, smoothing: float = LABEL_SMOOTHING) -> Tensor:
    """Cross entropy over the frames that count; ``logits`` (batch, time, 7), the others (batch, time)."""
    losses = nn.functional.cross_entropy(
        logits.flatten(0, 1), exercises.flatten(), reduction="none", label_smoothing=smoothing
    )
    return (losses * counts.flatten()).sum() / counts.sum()


def detached(state: Tensor | tuple[Tensor, ...]) -> Tensor | tuple[Tensor, ...]:
    """A state that gradients do not flow through: one tensor of a GRU, two of an LSTM."""
    return state.detach() if isinstance(state, Tensor) else tuple(part.detach() for part in state)


def train(
    training: Sequence[Recording], validation: Sequence[Recording], cell: Cell, units: int, seed: int, batches: int
) -> Trained:
    """Train on these recordings; of the averaged weights those that do best on the validation recordings come back."""
    torch.manual_seed(seed)
    begin = time.perf_counter()
    people = sessions(validation)
    maker = StreamMaker(training, seed)
    model = WatchExercises(cell, units, DROPOUT)
    average = deepcopy(model).eval()
    best, best_accuracy = deepcopy(average), -1.0
    optimizer = torch.optim.AdamW(model.parameters(), weight_decay=WEIGHT_DECAY)
    steps = batches * (STREAM_FRAMES // CHUNK_FRAMES)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, PEAK_LEARNING_RATE, total_steps=steps, pct_start=0.2)

    def learn(frames: Tensor, exercises: Tensor, counts: Tensor) -> None:
        state = None
        for part in (slice(at, at + CHUNK_FRAMES) for at in range(0, STREAM_FRAMES, CHUNK_FRAMES)):
            states, state = model.recurrent(frames[:, part], state)
            state = detached(state)
            loss = answer_loss(model.output(model.dropout(states)), exercises[:, part], counts[:, part])
            optimizer.zero_grad()
            loss.backward()  # type: ignore[no-untyped-call]
            nn.utils.clip_grad_norm_(model.parameters(), LARGEST_GRADIENT)
            optimizer.step()
            schedule.step()
            with torch.no_grad():
                for kept, fresh in zip(average.parameters(), model.parameters(), strict=True):
                    kept.lerp_(fresh, 1.0 - AVERAGE_DECAY)

    with progress(f"{cell} {units}, seed {seed}", batches, "batches") as done:
        for batch in range(1, batches + 1):
            learn(*maker.batch(STREAMS, STREAM_FRAMES))
            done(batch)
            if batch % BATCHES_PER_VALIDATION and batch < batches:
                continue
            accuracy = evaluate(torch_network(average), people).accuracy
            if accuracy >= best_accuracy:  # of equals the one that has seen more
                best, best_accuracy = deepcopy(average), accuracy
    return Trained(best, best_accuracy, time.perf_counter() - begin)


def main() -> int:
    """Command line; returns the exit status."""
    parser = argparse.ArgumentParser(
        prog=PROGRAM, description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--units", type=int, default=64, help="(default: %(default)s)")
    parser.add_argument("--seed", type=int, default=1, help="(default: %(default)s)")
    parser.add_argument("--batches", type=int, default=BATCHES, help="(default: %(default)s)")
    options = parser.parse_args()
    return exit_status(PROGRAM, lambda: run(options))


def run(options: argparse.Namespace) -> None:
    """Train, write the checkpoint and the file, count the test sessions."""
    from grulet_export import export

    torch.set_num_threads(1)
    trained = train(
        load(TRAINING_SUBJECTS), load(VALIDATION_SUBJECTS), "GRU", options.units, options.seed, options.batches
    )
    torch.save(trained.model.state_dict(), CHECKPOINT)
    print(export(trained.model, GRULET), end="\n\n")
    print(f"trained in {trained.seconds:.0f} s; validation {100 * trained.validation_accuracy:.2f} %; test:")
    print(evaluate(torch_network(trained.model), sessions(load_test())))


if __name__ == "__main__":
    sys.exit(main())
