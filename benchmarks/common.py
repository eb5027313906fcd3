"""What every benchmark shares: its command line, the JSON file it leaves, and how calls become numbers.

A benchmark is a module with a ``measure(options, folder)`` that gives its results; `command_line` does the rest.  All
are run from the repository's folder: ``python -m benchmarks`` runs them one after another, ``python -m
benchmarks.NAME`` one.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import tempfile
import time
from collections.abc import Callable, Mapping
from dataclasses import asdict
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from grulet.measuring import Latency, machine

ROOT = Path(__file__).resolve().parents[1]
RESULTS = ROOT / "benchmarks" / "results"

#: Inputs = units of the layers that are measured.
SIZES = (32, 64, 128, 256, 512, 1024)
#: For pictures of distributions: shares of the calls that are at least as fast.
QUANTILES = (0.01, 0.05, 0.1, 0.25, 0.5, 0.75, 0.9, 0.95, 0.98, 0.99, 0.995, 0.998, 0.999, 0.9995, 0.9998, 0.9999, 1.0)

Document = dict[str, Any]
Measure = Callable[[argparse.Namespace, Path], Any]


class AbsentError(Exception):
    """Something that a benchmark needs is not on this machine: it is left out, and says so."""


def numbers(text: str) -> tuple[int, ...]:
    """Positive integers separated by commas."""
    try:
        values = tuple(int(part) for part in text.split(","))
    except ValueError:
        values = (0,)
    if min(values) < 1:
        raise argparse.ArgumentTypeError(f"numbers of 1 or more, separated by commas, were expected, not {text!r}")
    return values


def positive(text: str) -> int:
    """One positive integer."""
    (value, *more) = numbers(text)
    if more:
        raise argparse.ArgumentTypeError(f"one number was expected, not {text!r}")
    return value


def new_parser(description: str | None) -> argparse.ArgumentParser:
    """The arguments that all benchmarks have."""
    parser = argparse.ArgumentParser(description=description, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="only try that everything works: few calls, rough figures")
    parser.add_argument("--output", type=Path, metavar="FILE.json", help="write everything as JSON")
    parser.add_argument("--folder", type=Path, help="keep models and programs here for the next run; default: nowhere")
    return parser


def command_line(
    module: str,
    description: str | None,
    measure: Measure,
    add_arguments: Callable[[argparse.ArgumentParser], object] = lambda parser: None,
    arguments: list[str] | None = None,
) -> Document:
    """Parse, measure, print the section that the report will have, write the JSON."""
    parser = new_parser(description)
    add_arguments(parser)
    options = parser.parse_args(arguments)
    begin = time.perf_counter()
    document: Document = {
        "benchmark": Path(module).stem,
        "quick": options.quick,
        "date": datetime.now(timezone.utc).strftime("%Y-%m-%d %H:%M UTC"),
        "settings": {
            name: list(value) if isinstance(value, tuple) else value
            for name, value in vars(options).items()
            if isinstance(value, int | str | tuple) and name != "quick"
        },
        "machine": facts(),
    }
    with tempfile.TemporaryDirectory() as temporary:
        folder = options.folder or Path(temporary)
        folder.mkdir(parents=True, exist_ok=True)
        try:
            document["results"] = measure(options, folder)
        except AbsentError as reason:
            document["absent"] = str(reason)
    document["seconds"] = round(time.perf_counter() - begin, 1)
    if options.output:
        write_json(options.output, document)
    from benchmarks.report.sections import SECTIONS  # it knows the benchmarks' results, they do not know it

    print(SECTIONS[document["benchmark"]]({document["benchmark"]: document}))
    sys.stdout.flush()
    return document


def facts() -> dict[str, Any]:
    """`grulet.measuring.machine` and what else decides a figure."""
    load = os.getloadavg()[0] if hasattr(os, "getloadavg") else None
    return machine() | {"cpus": os.cpu_count(), "load_before": load}


def write_json(path: Path, value: Any) -> None:
    """Readable, and with a line for what fits a line, so that a difference can be read."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(compact(value) + "\n", encoding="utf-8")


def compact(value: Any, indent: str = "") -> str:
    """JSON with numbers and short lists in one line."""
    line = json.dumps(value, ensure_ascii=False)
    if len(indent) + len(line) <= 118 or not isinstance(value, dict) or not value:
        return line
    deeper = indent + " "
    items = [f"{deeper}{json.dumps(key, ensure_ascii=False)}: {compact(item, deeper)}" for key, item in value.items()]
    return "{\n" + ",\n".join(items) + f"\n{indent}}}"


def rounded(value: float) -> float:
    """Four digits: more is noise."""
    return float(f"{value:.4g}")


def latencies(times: Mapping[str, NDArray[np.int64]]) -> dict[str, dict[str, Any]]:
    """Percentiles of `grulet.measuring.measure`'s nanoseconds, in microseconds, with the shape of the distribution."""
    found: dict[str, dict[str, Any]] = {}
    for name, nanoseconds in times.items():
        latency = {key: rounded(value) for key, value in asdict(Latency.of(nanoseconds)).items()}
        quantiles = [rounded(value / 1e3) for value in np.quantile(nanoseconds, QUANTILES)]
        found[name] = latency | {"steps": len(nanoseconds), "quantiles": quantiles}
    return found


def affordable(calls: Mapping[str, Callable[[int], object]], steps: int, seconds: float, least: int) -> dict[str, int]:
    """For `grulet.measuring.measure`'s ``fewer``: how often to call those that ``steps`` calls would take too long.

    None gets fewer than ``least``.
    """
    fewer = {}
    for name, call in calls.items():
        tries = []
        for step in range(11):
            begin = time.perf_counter()
            call(step)
            tries.append(time.perf_counter() - begin)
        count = int(seconds / float(np.median(tries)))
        if count < steps:
            fewer[name] = min(steps, max(least, count))
    return fewer


def frames_of(size: int, shape: tuple[int, ...] = ()) -> list[NDArray[np.float32]]:
    """Hundreds of different random frames (*shape, size) to take in turn."""
    count = 1000 if shape == () else 100
    return list(np.random.default_rng(0).standard_normal((count, *shape, size), np.float32))


def each_step(function: Callable[[], object]) -> Callable[[int], object]:
    """A contestant for `grulet.measuring.measure` that takes nothing: its data lies where it looks for them."""
    return lambda step: function()


def in_turn(
    function: Callable[[NDArray[np.float32]], object], frames: list[NDArray[np.float32]]
) -> Callable[[int], object]:
    """A contestant for `grulet.measuring.measure` that gives ``function`` one frame after another."""
    count = len(frames)
    return lambda step: function(frames[step % count])
