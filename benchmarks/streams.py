"""Many streams in one step, from Python: one GRU layer, microseconds for each stream's frame, in turn with the rivals.

    python -m benchmarks.streams [--size 256] [--streams 16,64] [--steps 2000] [--output FILE.json] [--quick]

For us a pool's ``tick`` (frames lie in its own buffer) and ``step`` (a numpy array in, a new one out, as for all
rivals), and beside them as many single streams, one after another.  State carried, one thread, pinned, in rounds of
20 calls.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from benchmarks.common import (
    AbsentError,
    affordable,
    command_line,
    each_step,
    frames_of,
    in_turn,
    latencies,
    numbers,
    positive,
)
from benchmarks.models import layer_of, models_of
from benchmarks.rivals import stream_rivals

import grulet
from grulet.measuring import measure, quiet_process
from grulet.progress import progress

ROUND_STEPS = 20


def measure_all(options: argparse.Namespace, folder: Path) -> dict[str, Any]:
    """Count after count."""
    if not hasattr(grulet.Model, "pool"):
        raise AbsentError("this grulet has no pools")
    steps = 3 if options.quick else options.steps
    with quiet_process():
        counts = {
            str(count): measure_count(options.size, count, steps, options.slow_seconds, folder)
            for count in options.streams
        }
    return {"steps": steps, "size": options.size, "counts": counts}


def measure_count(size: int, count: int, steps: int, slow_seconds: float, folder: Path) -> dict[str, Any]:
    """All contestants of one number of streams; microseconds of a whole step."""
    calls, facts = our_calls(size, count, folder)
    found, absent = stream_rivals(layer_of(size), count, folder)
    frames = frames_of(size, (count,))
    for rival in found:
        calls[rival.title] = in_turn(rival.step_many, frames)
        facts[rival.title] = {"kind": "rival", "weights": rival.weights, "settings": rival.settings}
    fewer = affordable(calls, steps, slow_seconds, min(steps, 5 * ROUND_STEPS))
    with progress(f"{count} streams", steps, "steps") as done:
        times = measure(calls, steps, done, round_steps=ROUND_STEPS, fewer=fewer)
    contestants = {
        name: facts[name] | latency | {"us_per_stream_step": latency["p50"] / count}
        for name, latency in latencies(times).items()
    }
    for contestant in contestants.values():
        del contestant["quantiles"]
    return {"contestants": contestants, "absent": absent}


def our_calls(
    size: int, count: int, folder: Path
) -> tuple[dict[str, Callable[[int], object]], dict[str, dict[str, Any]]]:
    """Our contestants, and what they are."""
    frames = frames_of(size, (count,))
    calls: dict[str, Callable[[int], object]] = {}
    facts: dict[str, dict[str, Any]] = {}
    for form, model in models_of(size, folder).items():
        ticking = model.pool(count)
        ticking.input[:] = frames[0]
        own = {
            "pool.tick": each_step(ticking.tick),
            "pool.step": in_turn(model.pool(count).step, frames),
            "single ticks": single_ticks(model, frames[0]),
        }
        for call, function in own.items():
            calls[f"grulet {form.title}, {call}"] = function
            facts[f"grulet {form.title}, {call}"] = {
                "kind": "grulet",
                "format": form.title,
                "weights": form.weights,
                "call": call,
            }
    return calls, facts


def single_ticks(model: grulet.Model, frames: np.ndarray[Any, np.dtype[np.float32]]) -> Callable[[int], object]:
    """As many streams, each on its own."""
    streams = [model.stream(block=1) for _ in frames]
    for stream, frame in zip(streams, frames, strict=True):
        stream.input[:] = frame
    ticks = [stream.tick for stream in streams]

    def call(step: int) -> None:
        for tick in ticks:
            tick()

    return call


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Arguments of this benchmark."""
    parser.add_argument("--size", type=positive, default=256, help="inputs = units")
    parser.add_argument("--streams", type=numbers, default=(16, 64), help="how many at once, separated by commas")
    parser.add_argument("--steps", type=positive, default=2000, help="steps of each contestant")
    parser.add_argument("--slow-seconds", type=positive, default=3, help="the most that one contestant takes")


if __name__ == "__main__":
    command_line(__file__, __doc__, measure_all, add_arguments)
