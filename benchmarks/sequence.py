"""A whole recording in one call, from Python: one GRU layer, microseconds for each frame, in turn with the rivals.

    python -m benchmarks.sequence [--sizes 128,256,512] [--frames 1000] [--runs 30] [--output FILE.json] [--quick]

For us ``stream.run`` with several block sizes: how many frames go through a layer before the next.  One thread,
pinned, one call of each contestant after another.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from benchmarks.common import affordable, command_line, in_turn, latencies, numbers, positive
from benchmarks.models import layer_of, models_of
from benchmarks.rivals import sequence_rivals

from grulet.measuring import measure, quiet_process
from grulet.progress import progress

#: Frames that `Stream.run` takes at once; 32 is what `Model.stream` takes unless told.
BLOCKS = (1, 8, 32, 128)


def measure_all(options: argparse.Namespace, folder: Path) -> dict[str, Any]:
    """Size after size."""
    runs = 2 if options.quick else options.runs
    with quiet_process():
        sizes = {
            str(size): measure_size(size, options.frames, runs, options.slow_seconds, folder) for size in options.sizes
        }
    return {"frames": options.frames, "runs": runs, "sizes": sizes}


def measure_size(size: int, frames: int, runs: int, slow_seconds: float, folder: Path) -> dict[str, Any]:
    """All contestants of one size; microseconds of a whole run."""
    recording = np.random.default_rng(0).standard_normal((frames, size), np.float32)
    calls: dict[str, Callable[[int], object]] = {}
    facts: dict[str, dict[str, Any]] = {}
    for form, model in models_of(size, folder).items():
        for block in BLOCKS:
            name = f"grulet {form.title}, block {block}"
            calls[name] = in_turn(model.stream(block=block).run, [recording])
            facts[name] = {"kind": "grulet", "format": form.title, "weights": form.weights, "block": block}
    found, absent = sequence_rivals(layer_of(size), folder)
    for rival in found:
        calls[rival.title] = in_turn(rival.run, [recording])
        facts[rival.title] = {"kind": "rival", "weights": rival.weights, "settings": rival.settings}
    fewer = affordable(calls, runs, slow_seconds, min(runs, 5))
    with progress(f"{size} units", runs, "runs") as done:
        times = measure(calls, runs, done, round_steps=1, fewer=fewer)
    contestants = {
        name: facts[name] | latency | {"us_per_frame": latency["p50"] / frames}
        for name, latency in latencies(times).items()
    }
    for contestant in contestants.values():
        del contestant["quantiles"]
    return {"contestants": contestants, "absent": absent}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Arguments of this benchmark."""
    parser.add_argument("--sizes", type=numbers, default=(128, 256, 512), help="inputs = units, separated by commas")
    parser.add_argument("--frames", type=positive, default=1000, help="frames of the recording")
    parser.add_argument("--runs", type=positive, default=30, help="runs of each contestant")
    parser.add_argument("--slow-seconds", type=positive, default=3, help="the most that one contestant takes")


if __name__ == "__main__":
    command_line(__file__, __doc__, measure_all, add_arguments)
