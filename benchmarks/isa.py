"""Every kernel of this CPU, from Python: a ``tick`` of one GRU layer by size and format, in turn.

    python -m benchmarks.isa [--sizes 32,64,...] [--steps 4000] [--output FILE.json] [--quick]

A user's choice of kernel is ``grulet.use_isa`` or GRULET_ISA in the environment; the best is chosen by itself.  One
thread, pinned, in rounds; what would need more than two seconds takes fewer steps.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

from benchmarks.common import SIZES, affordable, command_line, each_step, frames_of, latencies, numbers, positive
from benchmarks.models import ALL_FORMATS, models_of

import grulet
from grulet.measuring import ROUND, measure, quiet_process
from grulet.progress import progress

SLOW_SECONDS = 2


def measure_all(options: argparse.Namespace, folder: Path) -> dict[str, Any]:
    """Size after size; the best kernel is in use again afterwards."""
    steps = 3 if options.quick else options.steps
    best = grulet.isa()
    try:
        with quiet_process():
            sizes = {str(size): measure_size(size, steps, folder) for size in options.sizes}
    finally:
        grulet.use_isa(best)
    return {"steps": steps, "isas": list(grulet.isas()), "sizes": sizes}


def measure_size(size: int, steps: int, folder: Path) -> dict[str, dict[str, Any]]:
    """Kernel -> format -> latency."""
    calls: dict[str, Callable[[int], object]] = {}
    before: dict[str, Callable[[], object]] = {}
    fewer: dict[str, int] = {}
    for form, model in models_of(size, folder, ALL_FORMATS).items():
        for isa in grulet.isas():
            stream = model.stream(block=1)
            stream.input[:] = frames_of(size)[0]
            name = f"{isa}/{form.title}"
            calls[name] = each_step(stream.tick)
            before[name] = partial(grulet.use_isa, isa)
            grulet.use_isa(isa)
            fewer |= affordable({name: calls[name]}, steps, SLOW_SECONDS, min(steps, 2 * ROUND))
    with progress(f"{size} units", steps, "steps") as done:
        times = measure(calls, steps, done, fewer=fewer, before=before)
    found: dict[str, dict[str, Any]] = {}
    for name, latency in latencies(times).items():
        isa, _, form_title = name.partition("/")
        del latency["quantiles"]
        found.setdefault(isa, {})[form_title] = latency
    return found


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Arguments of this benchmark."""
    parser.add_argument("--sizes", type=numbers, default=SIZES, help="inputs = units, separated by commas")
    parser.add_argument("--steps", type=positive, default=4000, help="steps of each kernel, size and format")


if __name__ == "__main__":
    command_line(__file__, __doc__, measure_all, add_arguments)
