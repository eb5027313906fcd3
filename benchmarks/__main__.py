"""Run all benchmarks, one process after another, and rewrite docs/benchmarks.md from their results.

    python -m benchmarks [--quick] [--only latency,calls] [--results FOLDER] [--docs FILE.md]

What `make bench` runs, from the repository's folder: about a quarter of an hour on two CPUs, which should have
nothing else to do.  --quick tries in a few minutes that everything works, and leaves the repository's results and
page alone unless told. A benchmark that fails is named at the end, and the exit status is 1; its older results are
removed.  `python -m benchmarks.accuracy` is run by itself: it needs recordings that are not in the repository.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from benchmarks.common import ROOT
from benchmarks.report.page import MAIN, Page, write, write_all
from benchmarks.report.sections import SECTIONS

#: With --quick: the smallest that shows that everything works.
QUICK_ARGUMENTS = {
    "latency": ["--sizes", "8,16"],
    "calls": ["--sizes", "8,16"],
    "cells": ["--sizes", "8,16"],
    "limits": ["--sizes", "8,16"],
    "floors": ["--sizes", "16,32", "--streams", "2"],
    "isa": ["--sizes", "8,16"],
    "streams": ["--size", "8", "--streams", "2,3"],
    "sequence": ["--sizes", "8,16", "--frames", "20"],
    "coldstart": ["--size", "8"],
}


def names(text: str) -> tuple[str, ...]:
    """Names of benchmarks, separated by commas."""
    found = tuple(name.strip() for name in text.split(","))
    for name in found:
        if name not in SECTIONS:
            raise argparse.ArgumentTypeError(f"no benchmark {name!r}; there are: {', '.join(SECTIONS)}")
    return found


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="only try that everything works")
    parser.add_argument("--only", type=names, default=tuple(SECTIONS), help="these, separated by commas")
    parser.add_argument("--results", type=Path, help=f"folder for JSON; default: {MAIN.results.relative_to(ROOT)}")
    parser.add_argument("--docs", type=Path, help=f"the page; default: {MAIN.docs.relative_to(ROOT)}")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        quick = folder / "docs"
        default = Page(quick / "page.md", folder / "results", quick / "pictures") if options.quick else MAIN
        results, docs = (options.results or default.results).resolve(), (options.docs or default.docs).resolve()
        failed = [name for name in options.only if not run(name, results, folder / "work", quick=options.quick)]
        if (docs, results) == (MAIN.docs, MAIN.results):
            write_all()
        else:
            write(Page(docs, results, docs.parent / "pictures"))
    print(f"\nwritten: {results}, {docs}")
    if failed:
        sys.exit(f"failed: {', '.join(failed)}")


def run(name: str, results: Path, folder: Path, *, quick: bool) -> bool:
    """One benchmark in a process of its own; whether it did well."""
    output = results / f"{name}.json"
    output.unlink(missing_ok=True)
    more = ["--quick", *QUICK_ARGUMENTS.get(name, [])] if quick else []
    begin = time.perf_counter()
    print(f"\n=== {name}", flush=True)
    command = [sys.executable, "-m", f"benchmarks.{name}", "--output", str(output), "--folder", str(folder), *more]
    status = subprocess.run(command, cwd=ROOT, check=False).returncode
    print(f"=== {name}: {time.perf_counter() - begin:.0f} s, exit status {status}", flush=True)
    return status == 0


if __name__ == "__main__":
    main()
