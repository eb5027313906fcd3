"""A GRU beside an LSTM on the same task: accuracy, weights, bytes and the time of a step, over sizes and people.

    python -m examples.watch_exercises.compare             # trains what cells.json lacks; 20 minutes on one core
    python -m examples.watch_exercises.compare --timing    # only the times, again; some seconds

Both cells are trained by the same function with the same settings.  Two people are too few to tell two cells apart, so
all ten are tested here: five times two of them are left out, and a network is trained on seven of the others.
"""

from __future__ import annotations

import argparse
import itertools
import json
import sys
import tempfile
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from examples.command import exit_status
from examples.watch_exercises.evaluate import evaluate, grulet_network
from examples.watch_exercises.frames import sessions
from examples.watch_exercises.recordings import HERE, load, load_test
from examples.watch_exercises.tables import cells_table

import grulet
from grulet.errors import GruletError
from grulet.files import check_writable, write_whole
from grulet.measuring import Latency, machine, measure, quiet_process
from grulet.progress import progress

PROGRAM = "watch_exercises.compare"
CELLS_FILE = HERE / "cells.json"
UNITS = (16, 32, 64)
#: Two people each, who are tested; the next one chooses the checkpoint, the other seven train.
FOLDS = (1, 2, 3, 4, 5)
PEOPLE = 10
TIMED_STEPS = 20_000


def fold_of(number: int) -> tuple[tuple[int, ...], tuple[int, ...], tuple[int, ...]]:
    """The people of a fold: who trains, who chooses, who is tested."""
    tested = (2 * number - 1, 2 * number)
    chooses = (tested[1] % PEOPLE + 1,)
    return tuple(who for who in range(1, PEOPLE + 1) if who not in tested + chooses), chooses, tested


def train_missing(document: dict[str, Any], folds: Sequence[int], batches: int) -> None:
    """Train every cell, size and fold that the document lacks, and write it after each: it can be stopped and resumed.

    By cell and size: weights with biases, and by fold right answers and all answers of the file a device would run.
    """
    import torch
    from examples.watch_exercises.model import CELLS
    from examples.watch_exercises.train import train

    torch.set_num_threads(1)
    for fold, units, cell in itertools.product(folds, UNITS, CELLS):
        facts = document["accuracy"].setdefault(f"{cell} {units}", {"folds": {}})
        if str(fold) in facts["folds"]:
            continue
        training, chooses, tested = (load(people) for people in fold_of(fold))
        trained = train(training, chooses, cell, units, seed=fold, batches=batches)
        result = evaluate(grulet_network(exported(trained.model)), sessions(tested))
        facts["weights"] = trained.model.parameter_count
        facts["folds"][str(fold)] = {
            "right": int(result.answers.trace()),
            "answers": int(result.answers.sum()),
            "training_seconds": round(trained.seconds),
        }
        save(document)


def save(document: Mapping[str, Any]) -> None:
    """Write `CELLS_FILE`."""
    write_whole(CELLS_FILE, (json.dumps(document, indent=2) + "\n").encode())


def exported(module: Any) -> grulet.Model:
    """A torch module with int8 weights and int16 activations."""
    from grulet_export import export

    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "cell.grulet"
        export(module, path, frames=50)  # a short proof: what comes is compared over whole sessions
        return grulet.load(path)


def timing(steps: int) -> dict[str, dict[str, float]]:
    """By cell and size: microseconds of a step from Python, in turn, and bytes of the file; weights do not matter."""
    from examples.watch_exercises.model import CELLS, WatchExercises

    frames = sessions(load_test())[0].frames
    models = {f"{cell} {units}": exported(WatchExercises(cell, units)) for units in UNITS for cell in CELLS}

    def ticking(model: grulet.Model) -> Callable[[int], object]:
        stream = model.stream()

        def tick(step: int) -> None:
            stream.input[:] = frames[step % len(frames)]
            stream.tick()

        return tick

    with quiet_process(), progress("latency", steps, "steps") as done:
        times = measure({name: ticking(model) for name, model in models.items()}, steps, done)
    return {
        name: {"file_bytes": model.file_bytes, "step_microseconds": round(Latency.of(times[name]).p50, 3)}
        for name, model in models.items()
    }


def run(options: argparse.Namespace) -> None:
    """Train, measure, write, print."""
    check_writable(CELLS_FILE)
    document: dict[str, Any] = json.loads(CELLS_FILE.read_text()) if CELLS_FILE.exists() else {"accuracy": {}}
    if not options.timing:
        train_missing(document, options.folds, options.batches)
    elif not document["accuracy"]:
        raise GruletError(f"{CELLS_FILE.name} has no accuracies yet: run this without --timing first")
    document |= {"timing": timing(TIMED_STEPS), "machine": machine()}
    save(document)
    print(cells_table(document))


def main() -> int:
    """Command line; returns the exit status."""
    parser = argparse.ArgumentParser(
        prog=PROGRAM, description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--timing", action="store_true", help="measure times only, and keep the accuracies")
    parser.add_argument("--batches", type=int, default=60, help="of each training (default: %(default)s)")
    parser.add_argument("--folds", type=int, nargs="+", choices=FOLDS, default=FOLDS, help="(default: all)")
    options = parser.parse_args()
    return exit_status(PROGRAM, lambda: run(options))


if __name__ == "__main__":
    sys.exit(main())
