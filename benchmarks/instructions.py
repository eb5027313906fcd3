"""Instructions of a step, a step of many streams and a run, counted by valgrind: they repeat where times do not.

    python -m benchmarks.instructions [--update] [--output FILE.json] [--quick]

The library as CMake builds it, benchmarks/instructions.c around it, under ``valgrind --tool=callgrind``.  A case runs
N times and 2 N times; the difference is the work without the set-up.  Every kernel that valgrind can run is counted
(it knows no AVX-512).

benchmarks/instructions.json is the budget: exit status 1 names every case that needs more than its count and 3 %, or
that has none.  A budget belongs to a compiler and a machine: with another version of the compiler the counts are
compared and what exceeds is printed as a warning, and the exit status is 0.  ``--update`` writes what was counted as
the new budget: do it where a change is worth its instructions, and say why in the commit.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import re
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchmarks.budget import BUDGET, SLACK_PERCENT, same_compiler, verdicts
from benchmarks.building import compiler_version, linked_program, tool
from benchmarks.common import ROOT, AbsentError, Document, command_line, write_json
from benchmarks.models import ALL_FORMATS, F32, INT8, INT8_INT16, file_of

from grulet.progress import progress

DIGITS = ROOT / "examples" / "spoken_digits" / "digits.grulet"

#: Of the LSTM and the RNN: both sizes and all kinds of sums.  What else a step does it shares with the GRU's.
OTHER_CELLS = ((64, INT8), (256, INT8_INT16), (256, F32))


@dataclass(frozen=True)
class Case:
    """Work to count."""

    title: str
    model: Path
    work: str  # step, many, run
    width: int
    turns: int


def cases(folder: Path, *, quick: bool) -> list[Case]:
    """GRU layers of two sizes in every format, a whole network, many streams, a run; and the gates of other cells."""
    found = [Case("digits network, step", DIGITS, "step", 1, 8)]
    for form in ALL_FORMATS:
        for size in (8,) if quick else (64, 256):
            found.append(Case(f"{size} units {form.title}, step", file_of(size, form, folder), "step", 1, 8))
        if not quick:
            path = file_of(256, form, folder)
            found.append(Case(f"256 units {form.title}, step of 16 streams", path, "many", 16, 1))
            found.append(Case(f"256 units {form.title}, run of 32 frames", path, "run", 32, 1))
    for cell in ("lstm", "rnn"):
        for size, form in ((8, INT8),) if quick else OTHER_CELLS:
            path = file_of(size, form, folder, cell)
            found.append(Case(f"{cell.upper()}, {size} units {form.title}, step", path, "step", 1, 8))
    return found


def measure(options: argparse.Namespace, folder: Path) -> dict[str, Any]:
    """Count all cases for all kernels, beside the budget."""
    valgrind = tool("valgrind")
    program = linked_program("instructions", folder)
    isas = [isa for isa in known_isas() if runs(valgrind, program, isa)]
    if not isas:
        raise AbsentError("valgrind runs no kernel of this library")
    work = [(isa, case) for isa in isas for case in cases(folder, quick=options.quick)]
    budget = json.loads(BUDGET.read_text(encoding="utf-8")) if BUDGET.exists() else {}
    counts = {}
    # As many at a time as there are CPUs: counts do not know what else runs.
    with progress("instructions", len(work), "cases") as done, ThreadPoolExecutor(os.cpu_count()) as pool:
        counted = pool.map(lambda one: of_a_turn(valgrind, program, *one), work)
        for number, ((isa, case), instructions) in enumerate(zip(work, counted, strict=True), 1):
            counts[f"{isa}: {case.title}"] = instructions
            done(number)
    return {"compiler": made_with(), "budget": budget, "counts": counts}


def known_isas() -> tuple[str, ...]:
    """Kernels of this machine; valgrind may know fewer."""
    import grulet

    return grulet.isas()


def made_with() -> str:
    """What a budget belongs to."""
    return f"{compiler_version()}, {platform.machine()}"


def command(valgrind: str, program: Path, isa: str, case: Case, turns: int) -> list[str]:
    """One counted run."""
    tool_options = ["--tool=callgrind", "--callgrind-out-file=/dev/null"]
    words = [isa, str(case.model), case.work, str(case.width), str(turns)]
    return [valgrind, *tool_options, str(program), *words]


def runs(valgrind: str, program: Path, isa: str) -> bool:
    """Whether the kernel is there under valgrind."""
    probe = Case("", DIGITS, "step", 1, 1)
    done = subprocess.run(command(valgrind, program, isa, probe, 0), capture_output=True, check=False)
    return done.returncode == 0


def of_a_turn(valgrind: str, program: Path, isa: str, case: Case) -> int:
    """Instructions of a case, without the set-up."""
    once, twice = (count(valgrind, program, isa, case, turns) for turns in (case.turns, 2 * case.turns))
    return round((twice - once) / case.turns)


def count(valgrind: str, program: Path, isa: str, case: Case, turns: int) -> int:
    """Instructions of the whole program."""
    done = subprocess.run(
        command(valgrind, program, isa, case, turns), capture_output=True, text=True, errors="replace", check=False
    )
    collected = re.search(r"Collected\s*:\s*(\d+)", done.stderr)
    if done.returncode != 0 or collected is None:
        raise RuntimeError(f"{case.title}, {isa}: valgrind exit status {done.returncode}\n{done.stderr}")
    return int(collected[1])


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Arguments of this benchmark."""
    parser.add_argument("--update", action="store_true", help="write the counts as the new budget")


def judge(document: Document, *, update: bool) -> int:
    """Exit status; says on stderr what exceeds."""
    if "absent" in document:
        print(f"instructions: {document['absent']}", file=sys.stderr)
        return 2
    results = document["results"]
    if document["quick"]:
        return 0  # other cases than the budget's
    if update:
        write_json(BUDGET, {"compiler": results["compiler"], "instructions": results["counts"]})
        print(f"new budget: {BUDGET.relative_to(ROOT)}")
        return 0
    beyond = [verdict for verdict in verdicts(results) if verdict.exceeds]
    for verdict in beyond:
        more = "no budget" if verdict.percent is None else f"{verdict.percent:+.1f} % of {verdict.budget:,}"
        print(f"instructions: {verdict.case}: {verdict.count:,}: {more}", file=sys.stderr)
    for case in results["budget"].get("instructions", {}).keys() - results["counts"].keys():
        print(f"WARNING: {case}: in the budget, but not counted here", file=sys.stderr)
    if not same_compiler(results):
        counted = results["budget"].get("compiler", "nothing")
        print(
            f"WARNING: the budget was counted with {counted}; this is {results['compiler']}: nothing is enforced",
            file=sys.stderr,
        )
        return 0
    if beyond:
        print(
            f"instructions: beyond the budget and {SLACK_PERCENT:g} %: make it cheaper, or --update and say why",
            file=sys.stderr,
        )
    return 1 if beyond else 0


def main() -> None:
    """Command line: the exit status is the verdict."""
    document = command_line(__file__, __doc__, measure, add_arguments)
    sys.exit(judge(document, update=document["settings"]["update"]))


if __name__ == "__main__":
    main()
