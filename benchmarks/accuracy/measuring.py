"""Qualities and bytes of all variants of a task; microseconds of their steps."""

from __future__ import annotations

import statistics
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from benchmarks.accuracy.files import Files
from benchmarks.accuracy.tasks.task import Task
from benchmarks.accuracy.variants import VARIANTS
from benchmarks.building import compiler_version, linked_program, run
from benchmarks.common import AbsentError, rounded

import grulet
from grulet.measuring import quiet_process
from grulet.progress import progress

ROUNDS = 301
PASSES = 5


def accuracy(task: Task, folder: Path) -> dict[str, Any]:
    """By variant the quality, its details and the bytes of the files; what cannot be made says why."""
    files = Files(task, folder)
    variants: dict[str, Any] = {}
    absent: dict[str, str] = {}
    begin = time.perf_counter()
    with progress(task.title, len(VARIANTS), "formats") as done:
        for number, name in enumerate(VARIANTS, 1):
            try:
                paths = files.paths(name)
            except AbsentError as reason:
                absent[name] = str(reason)
            else:
                score = task.score({network: grulet.load(path) for network, path in paths.items()})
                file_bytes = sum(path.stat().st_size for path in paths.values())
                variants[name] = {"quality": score.quality, "file_bytes": file_bytes, "details": score.details}
            done(number)
    return {"variants": variants, "absent": absent, "seconds": round(time.perf_counter() - begin, 1)}


def timing(tasks: Mapping[str, Task], measured: Mapping[str, Any], folder: Path) -> dict[str, Any]:
    """By task and variant microseconds of a step of the network that decides, by benchmarks/calls.c, best kernel.

    The median of some processes, each with all files in turn; one thread, pinned.
    """
    isa = grulet.isas()[0]
    cases = [(task, name) for task in tasks for name in measured[task]["variants"]]
    paths = [Files(tasks[task], folder).paths(name)[tasks[task].decides] for task, name in cases]
    program = linked_program("calls", folder)
    passes: list[list[float]] = []
    with progress("microseconds", PASSES, "processes") as done, quiet_process():
        for number in range(PASSES):
            lines = run([str(program), isa, isa, str(ROUNDS), *map(str, paths)]).splitlines()
            passes.append([float(line.split()[0]) / 1e3 for line in lines])
            done(number + 1)
    steps: dict[str, dict[str, float]] = {task: {} for task in tasks}
    for (task, name), times in zip(cases, zip(*passes, strict=True), strict=True):
        steps[task][name] = rounded(statistics.median(times))
    return {"compiler": compiler_version(), "isa": isa, "passes": PASSES, "steps": steps}
