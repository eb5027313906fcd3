"""One GRU layer, one frame, from Python: our formats and every rival in turn, beside merely reading the weights.

    python -m benchmarks.latency [--sizes 32,64,...] [--steps 20000] [--output FILE.json] [--quick]

For us a ``tick`` (the frame lies in the stream's own buffer), and a ``step``, which takes a numpy frame and gives a
new array as all rivals do (benchmarks/rivals: each at the best settings known).  Random frames, state carried from
step to step, one thread, pinned, garbage collector off, in rounds of 200 calls.  What would need more than
--slow-seconds for all steps, our ticks apart, takes fewer, in whole rounds spread over the run; the JSON says how many.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable
from pathlib import Path
from typing import Any

from benchmarks.common import (
    QUANTILES,
    SIZES,
    affordable,
    command_line,
    each_step,
    frames_of,
    in_turn,
    latencies,
    numbers,
    positive,
)
from benchmarks.models import RIVALLED_FORMATS, layer_of, models_of
from benchmarks.rivals import rivals

import grulet
from grulet.measuring import ROUND, measure, quiet_process
from grulet.progress import progress

NOTHING = "a call of nothing"


def measure_all(options: argparse.Namespace, folder: Path) -> dict[str, Any]:
    """Size after size."""
    steps = 3 if options.quick else options.steps
    # Threads that a rival starts inherit the pinning: everything is made inside.
    with quiet_process():
        sizes = {str(size): measure_size(size, steps, options.slow_seconds, folder) for size in options.sizes}
    return {"steps": steps, "quantiles": list(QUANTILES), "sizes": sizes}


def measure_size(size: int, steps: int, slow_seconds: float, folder: Path) -> dict[str, Any]:
    """All contestants of one size."""
    ours, facts = our_calls(size, folder)
    found, absent = rivals(layer_of(size), folder)
    frames = frames_of(size)
    theirs = {rival.title: in_turn(rival.step, frames) for rival in found}
    for rival in found:
        facts[rival.title] = {
            "kind": "rival",
            "weights": rival.weights,
            "package": f"{rival.package} {rival.version()}",
            "settings": rival.settings,
        }
    limited = theirs | {name: call for name, call in ours.items() if facts[name].get("call") != "tick"}
    fewer = affordable(limited, steps, slow_seconds, min(steps, 5 * ROUND))
    with progress(f"{size} units", steps, "steps") as done:
        times = measure(ours | theirs, steps, done, fewer=fewer)
    contestants = {name: facts[name] | latency for name, latency in latencies(times).items()}
    return {"contestants": contestants, "absent": absent}


def our_calls(size: int, folder: Path) -> tuple[dict[str, Callable[[int], object]], dict[str, dict[str, Any]]]:
    """Our contestants, and what they are."""
    frames = frames_of(size)
    calls: dict[str, Callable[[int], object]] = {NOTHING: lambda step: None}
    facts: dict[str, dict[str, Any]] = {NOTHING: {"kind": "nothing"}}
    for form, model in models_of(size, folder, RIVALLED_FORMATS).items():
        floor = f"read {form.weights}"
        calls.setdefault(floor, each_step(model.read_weights))
        facts[floor] = {"kind": "floor", "weights": form.weights, "bytes": model.weight_bytes}
        ticking = model.stream(block=1)
        ticking.input[:] = frames[0]
        calls[f"grulet {form.title}, tick"] = each_step(ticking.tick)
        calls[f"grulet {form.title}, step"] = in_turn(model.stream(block=1).step, frames)
        for call in ("tick", "step"):
            facts[f"grulet {form.title}, {call}"] = {
                "kind": "grulet",
                "format": form.title,
                "weights": form.weights,
                "call": call,
                "isa": grulet.isa(),
            }
    return calls, facts


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Arguments of this benchmark."""
    parser.add_argument("--sizes", type=numbers, default=SIZES, help="inputs = units, separated by commas")
    parser.add_argument("--steps", type=positive, default=20_000, help="steps of each contestant at each size")
    parser.add_argument(
        "--slow-seconds", type=positive, default=6, help="the most for one contestant at one size, our tick apart"
    )


if __name__ == "__main__":
    command_line(__file__, __doc__, measure_all, add_arguments)
