"""Quality, bytes and microseconds of every format on real tasks; rewrites docs/accuracy.md and its picture.

    python -m benchmarks.accuracy --digits FOLDER --speech FOLDER    # files, qualities; some minutes
    python -m benchmarks.accuracy --timing                           # only the times of the steps, on an idle machine
    python -m benchmarks.accuracy --train [--only "watch exercises"] # quantization-aware training, seeded
    python -m benchmarks.accuracy --page                             # only the page, from the JSON

--digits: the recordings of https://github.com/Jakobovski/free-spoken-digit-dataset; --speech: the .flac files of
https://github.com/Picovoice/speech-to-intent-benchmark.  Whatever else is needed is in the repository or comes from
PyPI.  A task whose data are missing is left out, and says so; its older results stay.
"""

from __future__ import annotations

import argparse
import json
import shutil
import sys
from collections.abc import Mapping
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

from benchmarks.accuracy.files import slug, train
from benchmarks.accuracy.measuring import accuracy, timing
from benchmarks.accuracy.page import DOCS, write
from benchmarks.accuracy.tasks.denoising import Denoising
from benchmarks.accuracy.tasks.digits import Digits
from benchmarks.accuracy.tasks.exercises import Exercises
from benchmarks.accuracy.tasks.pronunciation import Pronunciation
from benchmarks.accuracy.tasks.task import Task
from benchmarks.common import RESULTS, ROOT, AbsentError, facts, write_json

from grulet.errors import GruletError

RESULT = RESULTS / "accuracy.json"
FILES = ROOT / "build" / "accuracy"


TASKS = (Digits, Denoising, Exercises, Pronunciation)


def tasks_of(options: argparse.Namespace) -> dict[str, Task]:
    """The tasks that are asked for."""
    every: list[Task] = [Digits(options.digits), Denoising(options.speech), Exercises(), Pronunciation()]
    chosen = {task.title: task for task in every if options.only in (None, task.title)}
    if not chosen:
        raise GruletError(f"no task {options.only!r}; there are: {', '.join(task.title for task in every)}")
    return chosen


def in_order(tasks: Mapping[str, Any]) -> dict[str, Any]:
    """Results in the order of `TASKS`, in whatever order they were measured."""
    return {kind.title: tasks[kind.title] for kind in TASKS if kind.title in tasks}


def described(task: Task) -> dict[str, Any]:
    """What the page says of a task."""
    measure = task.measure
    return {
        "about": task.about,
        "measure": measure.name,
        "unit": measure.unit,
        "more_is_better": measure.more_is_better,
        "digits": measure.digits,
        "int8_limit": measure.int8_limit,
        "int4_limit": measure.int4_limit,
    }


def stamped(results: Mapping[str, Any]) -> dict[str, Any]:
    """Results with the day and the machine."""
    return {"date": datetime.now(timezone.utc).strftime("%Y-%m-%d %H:%M UTC"), "machine": facts(), **results}


def read(path: Path) -> dict[str, Any]:
    """The results so far."""
    if not path.exists():
        return {"benchmark": "accuracy", "tasks": {}}
    document: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    return document


def measure(options: argparse.Namespace) -> None:
    """Train, or measure and write the JSON and the page."""
    tasks = tasks_of(options)
    document = read(options.output)
    if options.anew:
        for title in tasks:
            shutil.rmtree(options.folder / slug(title), ignore_errors=True)
    if options.train:
        for task in tasks.values():
            train(task)
        return
    if options.timing:
        known = {title: task for title, task in tasks.items() if title in document["tasks"]}
        document["timing"] = stamped(timing(known, document["tasks"], options.folder))
    elif not options.page:
        for title, task in tasks.items():
            try:
                document["tasks"][title] = stamped(described(task) | accuracy(task, options.folder))
            except AbsentError as reason:
                print(f"{title} is left out: {reason}", file=sys.stderr)
    document["tasks"] = in_order(document["tasks"])
    write_json(options.output, document)
    write(document, options.docs)
    print(f"written: {options.output}, {options.docs}")


def main() -> int:
    """Command line; returns the exit status."""
    parser = argparse.ArgumentParser(
        prog="benchmarks.accuracy", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    what = parser.add_mutually_exclusive_group()
    what.add_argument("--timing", action="store_true", help="measure times only, and keep the qualities")
    what.add_argument("--train", action="store_true", help="train the int4 files of the repository anew, and stop")
    what.add_argument("--page", action="store_true", help="measure nothing, write the page from the JSON")
    parser.add_argument("--only", metavar="TASK", help='one task, as "spoken digits"')
    parser.add_argument("--digits", type=Path, metavar="FOLDER", help="recordings of the Free Spoken Digit Dataset")
    parser.add_argument("--speech", type=Path, metavar="FOLDER", help="recordings of speech, 16 kHz, .flac")
    parser.add_argument("--folder", type=Path, default=FILES, help="where converted files lie, and are kept")
    parser.add_argument("--anew", action="store_true", help="convert anew what lies there: the exporter has changed")
    parser.add_argument("--output", type=Path, default=RESULT, metavar="FILE.json")
    parser.add_argument("--docs", type=Path, default=DOCS, metavar="FILE.md", help="the page")
    options = parser.parse_args()
    try:
        measure(options)
    except (AbsentError, GruletError) as error:
        print(f"benchmarks.accuracy: {error}", file=sys.stderr)
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main())
