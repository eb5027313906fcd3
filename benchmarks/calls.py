"""The C call alone, without Python: a step of one GRU layer over merely reading its weights.

    python -m benchmarks.calls [--sizes 32,64,...] [--passes 7] [--output FILE.json] [--quick]

benchmarks/calls.c measures, linked with the library as CMake builds it: for every kernel, format and size a burst of
steps and a burst of reads in turn; the best kernel reads.  Every pass is a process of its own, so that its pages lie
elsewhere; the median of the passes counts, their smallest and largest ratio stand beside it.  One thread, pinned.
"""

from __future__ import annotations

import argparse
import statistics
from pathlib import Path
from typing import Any

from benchmarks.building import compiler_version, linked_program, run
from benchmarks.common import SIZES, command_line, numbers, positive, rounded
from benchmarks.models import ALL_FORMATS, Format, file_of

import grulet
from grulet.measuring import quiet_process
from grulet.progress import progress

ROUNDS = 301


def measure(options: argparse.Namespace, folder: Path) -> dict[str, Any]:
    """All passes."""
    program = linked_program("calls", folder)
    cases = [(form, size) for form in ALL_FORMATS for size in options.sizes]
    paths = [str(file_of(size, form, folder)) for form, size in cases]
    isas = grulet.isas()
    rows: dict[tuple[str, Format, int], list[list[float]]] = {(isa, *case): [] for isa in isas for case in cases}
    passes, rounds = (2, 3) if options.quick else (options.passes, ROUNDS)
    with progress("C calls", passes * len(isas), "runs") as done, quiet_process():
        for turn in range(passes):
            for number, isa in enumerate(isas):
                lines = run([str(program), isa, isas[0], str(rounds), *paths]).splitlines()
                for case, line in zip(cases, lines, strict=True):
                    rows[(isa, *case)].append([float(word) for word in line.split()])
                done(turn * len(isas) + number + 1)
    kernels: dict[str, dict[str, dict[str, Any]]] = {}
    for (isa, form, size), values in rows.items():
        kernels.setdefault(isa, {}).setdefault(form.title, {})[str(size)] = summary(values)
    return {"compiler": compiler_version(), "passes": passes, "kernels": kernels}


def summary(passes: list[list[float]]) -> dict[str, Any]:
    """Of (nanoseconds of a step, of reading, ratio) of every pass."""
    steps, reads, ratios = zip(*passes, strict=True)
    return {
        "step_us": rounded(statistics.median(steps) / 1e3),
        "read_us": rounded(statistics.median(reads) / 1e3),
        "ratio": rounded(statistics.median(ratios)),
        "ratios": [rounded(min(ratios)), rounded(max(ratios))],
    }


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Arguments of this benchmark."""
    parser.add_argument("--sizes", type=numbers, default=SIZES, help="inputs = units, separated by commas")
    parser.add_argument("--passes", type=positive, default=7, help="processes for each kernel")


if __name__ == "__main__":
    command_line(__file__, __doc__, measure, add_arguments)
