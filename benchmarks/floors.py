"""What bounds a step of a small layer from below on this CPU: reading, products, gates, the chain of the state.

    python -m benchmarks.floors [--sizes 32,64,...] [--streams 64] [--passes 7] [--output FILE.json] [--quick]

benchmarks/floors.c measures a step, its reading, and the chains of benchmarks/chains.c, made of the best kernel's own
functions, in turn; benchmarks/limits.c the peak of products, before it in every pass.  Every pass is a process of its
own; `floor_of` makes a floor of each, and the median of the passes counts.  Then, from Python, many streams in one
step, and what calling costs: bursts of calls from C (benchmarks/loop.c) and from Python, in turn, in one process and on
one stream.  One thread, pinned.
"""

from __future__ import annotations

import argparse
import ctypes
import statistics
from collections.abc import Callable
from pathlib import Path
from timeit import Timer
from typing import TYPE_CHECKING, Any

import numpy as np
from benchmarks.building import compiler_version, kernel_program, loaded, native_program, run
from benchmarks.common import command_line, each_step, frames_of, latencies, numbers, positive, rounded
from benchmarks.limits import multiply_adds
from benchmarks.models import FORMATS, Format, file_of, models_of

import grulet
from grulet._kernel import ffi, lib
from grulet.kernel import tick_voice
from grulet.measuring import measure, quiet_process
from grulet.progress import progress

if TYPE_CHECKING:
    from grulet.stream import Floats

#: Layers whose weights a cache near the CPU holds: for larger ones reading is all that counts.
SMALL = (32, 64, 128, 256)
ROUNDS = 301
#: Units of a block: `floors.c` gives the gates of so many.
BLOCK = 16
#: What `floors.c` calls a format.
CODES = {"f32": 0, "int8 x int16": 1, "int8 x int8": 2}
#: Statements on frames `x` in turn: our calls, and of each the bare minimum: the cffi call and the fastest copies of a
#: frame and of an answer that were found, one behind the other, with no function around them and no check.
CALLS = {"tick": "tick()", "step": "step(x)", "step(out)": "step(x, out=y)"}
BARE = {
    "bare tick": "tick_voice(voice)",
    "bare step": "view[whole] = x; tick_voice(voice); output.copy()",
    "bare step(out)": "view[whole] = x; tick_voice(voice); out[whole] = answer",
}
#: Turns of C and Python, bursts of each call in a turn, calls in a burst, and frames, about as in benchmarks/calls.c.
TURNS, BURSTS, BURST_CALLS, FRAMES = 301, 5, 80, 8


def floor_of(read: float, products: float, gates: float, chain: float) -> float:
    """The least time of one step, in the unit of its parts.

    Every weight is read.  Products and gates take turns in the same vector units.  No product of the new state, which
    are half of all, begins before the state is known, and no gate ends before its products.
    """
    return max(read, products + gates, chain + products / 2)


def measure_all(options: argparse.Namespace, folder: Path) -> dict[str, Any]:
    """Layers, streams, calls."""
    passes = 2 if options.quick else options.passes
    with quiet_process():
        layers = measure_layers(options.sizes, passes, 3 if options.quick else ROUNDS, folder)
        size = max(options.sizes)
        steps = 20 if options.quick else 2000
        streams = measure_streams(size, options.streams, steps, folder)
        calls = measure_calls(options.sizes, 3 if options.quick else TURNS, folder)
    return {
        "compiler": compiler_version(),
        "isa": grulet.isas()[0],
        "passes": passes,
        "layers": layers,
        "streams": streams,
        "calls": calls,
    }


def measure_layers(sizes: tuple[int, ...], passes: int, rounds: int, folder: Path) -> dict[str, dict[str, Any]]:
    """By format and size."""
    isa = grulet.isas()[0]
    limits, floors = native_program("limits", folder), kernel_program("floors", "chains", isa, folder)
    cases = [(form, size) for form in FORMATS for size in sizes]
    files = [f"{CODES[form.title]}:{file_of(size, form, folder)}" for form, size in cases]
    found: dict[tuple[Format, int], list[dict[str, float]]] = {case: [] for case in cases}
    with progress("floors", passes, "passes") as done:
        for number in range(passes):
            peaks = peaks_of(run([str(limits), str(min(rounds, 101))]))
            lines = run([str(floors), isa, str(rounds), *files]).splitlines()
            for (form, size), line in zip(cases, lines, strict=True):
                found[form, size].append(parts_of(form, size, peaks, [float(word) / 1e3 for word in line.split()]))
            done(number + 1)
    layers: dict[str, dict[str, Any]] = {}
    for (form, size), each in found.items():
        medians = {key: rounded(statistics.median(part[key] for part in each)) for key in each[0]}
        layers.setdefault(form.title, {})[str(size)] = medians
    return layers


def peaks_of(text: str) -> dict[str, float]:
    """Multiply-adds in a microsecond, of int8 and of f32, of what `limits` prints."""
    words = [line.split() for line in text.splitlines()]
    return {kind: 1e3 * float(value) for kind, value, *_ in words if kind in ("int8", "f32")}


def parts_of(form: Format, size: int, peaks: dict[str, float], measured: list[float]) -> dict[str, float]:
    """One layer in one pass, microseconds: what was measured, what follows from it, and the ratios."""
    step, read, state_chain, frame_chain, gates_of_block = measured
    dots = 2 if form.activations == "int16" and form.weights != "f32" else 1  # a 16-bit level is two bytes
    products = dots * multiply_adds(size) / peaks[form.weights]
    gates = size / BLOCK * gates_of_block
    floor = floor_of(read, products, gates, state_chain)
    return {
        "step_us": step,
        "read_us": read,
        "products_us": products,
        "gates_us": gates,
        "state_chain_us": state_chain,
        "frame_chain_us": frame_chain,
        "floor_us": floor,
        "step_over_floor": step / floor,
        "floor_over_read": floor / read,
        "step_over_read": step / read,
    }


def measure_streams(size: int, count: int, steps: int, folder: Path) -> dict[str, Any]:
    """Microseconds of each stream's frame, of a pool's tick; reading is shared."""
    pools = {form.title: model.pool(count) for form, model in models_of(size, folder).items()}
    for pool in pools.values():
        pool.input[:] = np.stack(frames_of(size)[:count])
    times = latencies(measure({form: each_step(pool.tick) for form, pool in pools.items()}, steps, round_steps=20))
    return {
        "size": size,
        "count": count,
        "formats": {form: {"us_per_stream_step": rounded(time["p50"] / count)} for form, time in times.items()},
    }


def measure_calls(sizes: tuple[int, ...], turns: int, folder: Path) -> dict[str, dict[str, float]]:
    """By size, in microseconds: the call from C, those from Python, bare and ours, and what they cost over C's."""
    loop = loaded("loop", folder).loop
    loop.restype = ctypes.c_double
    loop.argtypes = [ctypes.c_void_p] * 4 + [ctypes.c_size_t] * 2
    calls: dict[str, dict[str, float]] = {}
    with progress("calls", len(sizes), "sizes") as done:
        for number, size in enumerate(sizes):
            stream = grulet.load(file_of(size, FORMATS[0], folder)).stream(block=1)
            frames = frames_of(size)[:FRAMES]
            from_c, from_python = c_burst(loop, stream, frames), python_bursts(stream, frames)
            found = [calls_in_turn(from_c, from_python) for _ in range(turns)]
            calls[str(size)] = {key: rounded(statistics.median(turn[key] for turn in found)) for key in found[0]}
            done(number + 1)
    return calls


def c_burst(loop: Any, stream: grulet.Stream, frames: list[Floats]) -> Callable[[], float]:
    """A burst of steps from C, in microseconds a step."""
    step = int(ffi.cast("uintptr_t", ffi.addressof(lib, "grulet_step")))
    address = int(ffi.cast("uintptr_t", stream._kernel._stream))
    pointers = (ctypes.c_void_p * len(frames))(*[frame.ctypes.data for frame in frames])
    arguments = (step, address, stream.output.ctypes.data, pointers, len(frames), BURST_CALLS)

    def burst() -> float:
        nanoseconds = float(loop(*arguments))
        if nanoseconds < 0:
            raise RuntimeError("grulet_step refused a frame of the benchmark")
        return nanoseconds / 1e3

    return burst


def python_bursts(stream: grulet.Stream, frames: list[Floats]) -> dict[str, Timer]:
    """A loop over frames for each statement, and the empty loop."""
    y = np.empty(stream.model.output_width, np.float32)
    names = {
        "frames": frames * (BURST_CALLS // len(frames)),
        "tick_voice": tick_voice,
        "voice": stream._kernel.voice,
        "view": stream.input.data,
        "whole": slice(None),
        "output": stream.output,
        "answer": stream.output.data,
        "y": y,
        "out": y.data,
        "tick": stream.tick,
        "step": stream.step,
    }
    statements = {"loop": "pass"} | BARE | CALLS
    return {name: Timer(f"for x in frames: {statement}", globals=names) for name, statement in statements.items()}


def calls_in_turn(from_c: Callable[[], float], from_python: dict[str, Timer]) -> dict[str, float]:
    """Microseconds of one turn: of the call from C, of each statement without its loop, and of each over C's."""
    found, empty = {"C call": statistics.median(from_c() for _ in range(BURSTS))}, 0.0
    for name, burst in from_python.items():
        time = 1e6 * statistics.median(burst.repeat(BURSTS, 1)) / BURST_CALLS
        if name == "loop":
            empty = time
            continue
        found[name] = time - empty
        found[f"{name} over C"] = found[name] - statistics.median(from_c() for _ in range(BURSTS))
    return {f"{name}_us": time for name, time in found.items()}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Arguments of this benchmark."""
    parser.add_argument("--sizes", type=numbers, default=SMALL, help="inputs = units, separated by commas")
    parser.add_argument("--streams", type=positive, default=64, help="streams in one step")
    parser.add_argument("--passes", type=positive, default=7, help="processes of each program")


if __name__ == "__main__":
    command_line(__file__, __doc__, measure_all, add_arguments)
