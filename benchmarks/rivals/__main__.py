"""Hold every rival against float32 torch, so that one that is set wrongly is noticed before it is measured.

    python -m benchmarks.rivals [--size 256] [--frames 200] [--streams 16] [--settings]

For each: the largest error of a state, and a rough time (median; `latency.py` measures).  Exit status 1 if an error is
beyond its limit: rounding for float32, what its number of levels explains for int8 and int4.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import torch
from torch import nn

from grulet.measuring import quiet_process

from . import Array, Rival, rivals, sequence_rivals, stream_rivals

#: The largest error of a state, whose values lie in -1..1, by kind of weights.
LIMITS = {"f32": 1e-5, "int8": 5e-2, "int4": 3e-1}
TIMED_STEPS = 1000
TIMED_SEQUENCES = 10


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--size", type=int, default=256, help="inputs = units")
    parser.add_argument("--frames", type=int, default=200, help="frames to compare")
    parser.add_argument("--streams", type=int, default=16, help="streams where many go together")
    parser.add_argument("--settings", action="store_true", help="print how each is run, and no times")
    options = parser.parse_args()
    if min(options.size, options.frames, options.streams) < 1:
        parser.error("--size, --frames and --streams must be 1 or more")
    torch.manual_seed(0)
    layer = nn.GRU(options.size, options.size)
    with tempfile.TemporaryDirectory() as folder:
        if options.settings:
            print_settings(*rivals(layer, Path(folder)))
        else:
            sys.exit(1 if check(layer, options.frames, options.streams, Path(folder)) else 0)


def print_settings(found: Sequence[Rival], absent: dict[str, str]) -> None:
    """Version and settings of each."""
    for rival in found:
        print(f"{rival.title}: {rival.package} {rival.version()}; {rival.settings}")
    for title, reason in absent.items():
        print(f"{title}: absent: {reason}")


def check(layer: nn.GRU, frames: int, streams: int, folder: Path) -> list[str]:
    """Print three tables; titles of the rivals that are beyond their limit."""
    sequences = np.random.default_rng(0).standard_normal((frames, streams, layer.input_size), np.float32)
    with torch.inference_mode():
        expected: Array = layer(torch.from_numpy(sequences))[0].numpy()
    one, one_expected = np.ascontiguousarray(sequences[:, 0]), expected[:, 0]

    def answers(step: Callable[[Array], Array], inputs: Array) -> Array:
        return np.stack([step(frame) for frame in inputs])

    found, absent = rivals(layer, folder)
    errors = [largest(answers(rival.step, one) - one_expected) for rival in found]
    calls = [lambda i, step=rival.step: step(one[i % frames]) for rival in found]
    bad = table("one step", found, absent, errors, calls, TIMED_STEPS)

    many, absent = stream_rivals(layer, streams, folder)
    errors = [largest(answers(rival.step_many, sequences) - expected) for rival in many]
    calls = [lambda i, step=rival.step_many: step(sequences[i % frames]) for rival in many]
    bad += table(f"one step of {streams} streams", many, absent, errors, calls, TIMED_STEPS)

    whole, absent = sequence_rivals(layer, folder)
    errors = [largest(rival.run(one) - one_expected) for rival in whole]
    calls = [lambda i, run=rival.run: run(one) for rival in whole]
    return bad + table(f"{frames} frames in one call", whole, absent, errors, calls, TIMED_SEQUENCES)


def largest(differences: Array) -> float:
    """Largest absolute value; nan if there is one."""
    return float(np.abs(differences).max())


def median_time(call: Callable[[int], object], steps: int) -> float:
    """Median of one call in microseconds, after a tenth of ``steps`` to warm up."""
    nanoseconds = []
    for step in range(-steps // 10, steps):
        begin = time.perf_counter_ns()
        call(step)
        if step >= 0:
            nanoseconds.append(time.perf_counter_ns() - begin)
    return float(np.median(nanoseconds)) / 1e3


def table(
    heading: str,
    found: Sequence[Rival],
    absent: dict[str, str],
    errors: Sequence[float],
    calls: Sequence[Callable[[int], object]],
    steps: int,
) -> list[str]:
    """Print one table; titles of the rivals that are beyond their limit."""
    titles = [rival.title for rival in found]
    with quiet_process():
        times = [median_time(call, steps) for call in calls]
    wrong = [not error < LIMITS[rival.weights] for rival, error in zip(found, errors, strict=True)]
    print(f"\n{heading:<26} {'max error':>10} {'p50 us':>10}")
    for title, error, microseconds, beyond in zip(titles, errors, times, wrong, strict=True):
        print(f"{title:<26} {error:>10.2g} {microseconds:>10.2f}{'  WRONG' if beyond else ''}")
    for title, reason in absent.items():
        print(f"{title:<26} absent: {reason}")
    return [title for title, beyond in zip(titles, wrong, strict=True) if beyond]


if __name__ == "__main__":
    main()
