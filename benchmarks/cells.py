"""A GRU beside an LSTM of the same size: what each takes for a step, and what its weights take.

    python -m benchmarks.cells [--sizes 64,128,...] [--passes 7] [--output FILE.json] [--quick]

The C call alone, by the best kernel, as in benchmarks/calls.py.  Of each size every pass is a process of its own, which
measures the two layers one right after the other; the median of the passes counts, and their smallest and largest ratio
stand beside it.  One thread, pinned.
"""

from __future__ import annotations

import argparse
import statistics
from pathlib import Path
from typing import Any

from benchmarks.building import compiler_version, linked_program, run
from benchmarks.calls import ROUNDS
from benchmarks.common import command_line, numbers, positive, rounded
from benchmarks.models import F32, INT8, Format, file_of

import grulet
from grulet.measuring import quiet_process
from grulet.progress import progress

SIZES = (64, 128, 256, 512)
FORMATS = (INT8, F32)
CELLS = ("gru", "lstm")


def measure(options: argparse.Namespace, folder: Path) -> dict[str, Any]:
    """All passes; format -> size -> what each cell takes, and the GRU's over the LSTM's."""
    program = linked_program("calls", folder)
    cases = [(form, size) for form in FORMATS for size in options.sizes]
    paths = {(form, size): [file_of(size, form, folder, cell) for cell in CELLS] for form, size in cases}
    kernel = grulet.isas()[0]
    passes, rounds = (2, 3) if options.quick else (options.passes, ROUNDS)
    steps: dict[tuple[Format, int], list[list[float]]] = {case: [] for case in cases}  # microseconds of a pass
    with progress("GRU beside LSTM", passes, "passes") as done, quiet_process():
        for turn in range(passes):
            for case in cases:
                lines = run([str(program), kernel, kernel, str(rounds), *map(str, paths[case])]).splitlines()
                steps[case].append([float(line.split()[0]) / 1e3 for line in lines])
            done(turn + 1)
    found: dict[str, dict[str, Any]] = {form.title: {} for form in FORMATS}
    for form, size in cases:
        found[form.title][str(size)] = summary(steps[form, size], paths[form, size])
    return {"compiler": compiler_version(), "kernel": kernel, "passes": passes, "formats": found}


def summary(passes: list[list[float]], paths: list[Path]) -> dict[str, Any]:
    """Of every pass's steps and of the files, each in the order of `CELLS`."""
    found: dict[str, Any] = {
        cell: {"step_us": rounded(statistics.median(steps)), "weight_bytes": grulet.load(path).weight_bytes}
        for cell, steps, path in zip(CELLS, zip(*passes, strict=True), paths, strict=True)
    }
    ratios = [gru / lstm for gru, lstm in passes]
    found["step_ratio"] = rounded(statistics.median(ratios))
    found["step_ratios"] = [rounded(min(ratios)), rounded(max(ratios))]
    found["bytes_ratio"] = rounded(found["gru"]["weight_bytes"] / found["lstm"]["weight_bytes"])
    return found


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Arguments of this benchmark."""
    parser.add_argument("--sizes", type=numbers, default=SIZES, help="inputs = units, separated by commas")
    parser.add_argument("--passes", type=positive, default=7, help="processes")


if __name__ == "__main__":
    command_line(__file__, __doc__, measure, add_arguments)
