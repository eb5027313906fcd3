"""How well a network recognizes the exercises of people it has never met, each session as one stream.

    python -m examples.watch_exercises.evaluate                     # the .grulet file here; needs grulet alone
    python -m examples.watch_exercises.evaluate --model OTHER.grulet

It takes any function from frames (T, 24) to logits (T, 7): torch and a grulet stream are measured by the same code.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from examples.command import exit_status
from examples.watch_exercises.answers import MEMORY, shown
from examples.watch_exercises.frames import Frames, Session, sessions
from examples.watch_exercises.recordings import EXERCISES, HERE, load_test
from numpy.typing import NDArray

import grulet

PROGRAM = "watch_exercises.evaluate"
GRULET = HERE / "exercises.grulet"

#: Frames of a whole session (T, 24) to logits (T, 7), from a zero state.
Network = Callable[[Frames], NDArray[np.float32]]


@dataclass(frozen=True)
class Result:
    """Counts over all sessions."""

    answers: NDArray[np.int64]  # (7, 7): true exercise, shown exercise
    sets: int
    right_sets: int  # sets whose most frequent answer is right

    @property
    def accuracy(self) -> float:
        """Share of the answers that are right, 0 to 1."""
        return float(self.answers.trace() / self.answers.sum())

    def as_json(self) -> dict[str, Any]:
        """Counts and the accuracy."""
        return {
            "answers": int(self.answers.sum()),
            "right": int(self.answers.trace()),
            "accuracy": round(self.accuracy, 5),
            "sets": self.sets,
            "right_sets": self.right_sets,
            "confusion": self.answers.tolist(),
        }

    def __str__(self) -> str:
        lines = [
            f"{self.answers.trace():,} of {self.answers.sum():,} answers right ({100 * self.accuracy:.2f} %), "
            f"{self.right_sets} of {self.sets} sets",
            "",
            f"{'':<22}{'shown':>7}",
            *(
                f"{name:<22}" + "".join(f"{count or '.':>7}" for count in row)
                for name, row in zip(EXERCISES, self.answers, strict=True)
            ),
        ]
        return "\n".join(lines)


def evaluate(network: Network, people: Sequence[Session]) -> Result:
    """Every session from a zero state.  An answer counts when all that it looks back on is one exercise."""
    answers = np.zeros((len(EXERCISES), len(EXERCISES)), np.int64)
    sets = right_sets = 0
    for session in people:
        said = shown(network(session.frames))
        for exercise, part in zip(session.exercises, session.parts, strict=True):
            counts = np.bincount(said[part.start + MEMORY - 1 : part.stop], minlength=len(EXERCISES))
            answers[exercise] += counts
            sets += 1
            right_sets += int(counts.argmax() == exercise)
    return Result(answers, sets, right_sets)


def torch_network(module: Any) -> Network:
    """A torch module as a function from frames to logits."""
    import torch

    def network(frames: Frames) -> NDArray[np.float32]:
        with torch.no_grad():
            logits: NDArray[np.float32] = module(torch.from_numpy(frames)[None])[0].numpy()
        return logits

    return network


def grulet_network(model: grulet.Model) -> Network:
    """A .grulet file in the C kernel."""
    return lambda frames: model.stream().run(frames)


def main() -> int:
    """Command line; returns the exit status."""
    parser = argparse.ArgumentParser(
        prog=PROGRAM, description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--model", type=Path, default=GRULET, metavar="FILE.grulet", help="(default: the one here)")
    parser.add_argument("--json", action="store_true", help="print the result as JSON")
    options = parser.parse_args()

    def run() -> None:
        result = evaluate(grulet_network(grulet.load(options.model)), sessions(load_test()))
        print(json.dumps(result.as_json(), indent=2) if options.json else result)

    return exit_status(PROGRAM, run)


if __name__ == "__main__":
    sys.exit(main())
