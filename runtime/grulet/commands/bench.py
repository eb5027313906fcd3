"""Measure the latency of a frame: p50, p99, p99.9 and worst, beside the cost of merely reading the weights."""

from __future__ import annotations

import argparse
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from grulet.bench import HEADINGS, Latency, machine, measure, quiet_process
from grulet.commands.arguments import positive
from grulet.commands.result import Result
from grulet.errors import FormatError
from grulet.model import Model, load
from grulet.progress import progress

RIVALS = ("onnx", "torch")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the command's arguments."""
    parser.add_argument("model", metavar="MODEL.grulet")
    parser.add_argument(
        "--against",
        type=_rivals,
        default=(),
        metavar="onnx,torch",
        help="measure these in turn with us, in the same run",
    )
    parser.add_argument("--steps", type=positive, default=20_000, metavar="N", help="steps of each; default: 20,000")


def _rivals(text: str) -> tuple[str, ...]:
    names = tuple(name.strip() for name in text.split(","))
    unknown = [name for name in names if name not in RIVALS]
    if unknown:
        raise argparse.ArgumentTypeError(f"unknown rival {unknown[0]!r}; there are: {', '.join(RIVALS)}")
    return names


def run(options: argparse.Namespace) -> Result:
    """Measure all contestants in turn."""
    model = load(options.model)
    frames = np.random.default_rng(0).normal(size=(1000, model.input_width)).astype(np.float32)
    contestants = {
        "a call of nothing": lambda step: None,
        "reading the weights": lambda step: model.read_weights(),
        "grulet tick (held buffers)": _ticks(model, frames),
        "grulet step": _steps(model, frames),
        **_rival_steps(options.against, options.model, frames),
    }
    with progress("bench", options.steps, "steps") as done, quiet_process() as cpu:
        times = measure(contestants, options.steps, done)
    latencies = {name: Latency.of(samples) for name, samples in times.items()}
    facts = machine() | {"pinned_to_cpu": cpu}
    data = {
        "model": options.model,
        "weight_bytes": model.weight_bytes,
        "machine": facts,
        "microseconds": {name: asdict(latency) for name, latency in latencies.items()},
    }
    return Result(_table(model, latencies, facts), data)


def _ticks(model: Model, frames: NDArray[np.float32]) -> Callable[[int], object]:
    """One C call a step: the frame is already in the stream's buffer."""
    stream = model.stream(block=1)
    stream.input[:] = frames[0]
    tick = stream.tick
    return lambda step: tick()


def _steps(model: Model, frames: NDArray[np.float32]) -> Callable[[int], object]:
    step_once, rows = model.stream(block=1).step, list(frames)
    return lambda step: step_once(rows[step % len(rows)])


def _rival_steps(names: tuple[str, ...], path: str, frames: NDArray[np.float32]) -> dict[str, Callable[[int], object]]:
    if not names:
        return {}
    from grulet_export.rivals import OnnxRival, TorchRival

    try:
        data = Path(path).read_bytes()
    except OSError as error:
        raise FormatError(f"{path}: {error.strerror or error}") from error
    classes: dict[str, type[OnnxRival] | type[TorchRival]] = {"onnx": OnnxRival, "torch": TorchRival}
    rows = list(frames)

    def stepping(step_once: Callable[[NDArray[np.float32]], object]) -> Callable[[int], object]:
        return lambda step: step_once(rows[step % len(rows)])

    return {classes[name].title: stepping(classes[name](data).step) for name in names}


def _table(model: Model, latencies: dict[str, Latency], facts: dict[str, object]) -> str:
    ours = latencies["grulet step"].p50
    pinned = "not pinned" if facts["pinned_to_cpu"] is None else f"pinned to CPU {facts['pinned_to_cpu']}"
    steps = next(iter(latencies.values())).steps
    lines = [
        f"{model!r}",
        f"{facts['cpu']}, {facts['system']}, Python {facts['python']}, kernel {facts['isa']}, one thread, {pinned}",
        f"microseconds of one frame, {steps:,} steps each, in turn; weights hot in cache",
        f"{'':<28} {HEADINGS} {'p50 ratio':>10}",
    ]
    lines += [f"{name:<28} {latency.row()} {latency.p50 / ours:>10.2f}" for name, latency in latencies.items()]
    return "\n".join(lines)
