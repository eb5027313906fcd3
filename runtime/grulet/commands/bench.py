"""Measure the latency of a frame: p50, p99, p99.9 and worst, of the step and its operators, hot and in real time.

Everything is measured in turn in one run, on one pinned thread, beside the cost of merely reading the weights.  With
--period also in real time: a frame each period, the caches used by something else in between, which is the latency that
an app will see.  --import puts reports of boards beside it (docs/boards.md).  docs/bench.md says how to read all of it,
and lists the keys of --json.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from grulet.commands.arguments import period, picture, whole
from grulet.errors import FormatError, GruletError, SequenceError
from grulet.files import check_writable
from grulet.measuring.answers import answers, frames_of
from grulet.measuring.imported import Imported, read_report
from grulet.measuring.latency import measure, quiet_process
from grulet.measuring.machine import before_and_after, clock_of, machine, process
from grulet.measuring.names import NOTHING, READ, STEP, TICK
from grulet.measuring.operators import OperatorParts
from grulet.measuring.paced import OtherWork, in_turn, run_paced
from grulet.measuring.report import BenchReport, PacedRun
from grulet.measuring.side_by_side import HERE
from grulet.model import Model, load
from grulet.progress import progress

RIVALS = ("onnx", "torch")
PACED_SECONDS = 20
BETWEEN_BYTES = 32 << 20  # more than the caches of one core, and than its share of those of a small machine
MOST_STEPS = 10_000_000

_OPERATORS = "the operators"

Contestants = dict[str, Callable[[int], object]]


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the command's arguments."""
    steps = whole(1, MOST_STEPS)
    parser.add_argument("model", metavar="MODEL.grulet")
    parser.add_argument(
        "--against",
        type=_rivals,
        default=(),
        metavar="onnx,torch",
        help="measure these in turn with us, in the same run",
    )
    parser.add_argument("--steps", type=steps, default=20_000, metavar="N", help="hot steps of each; default: 20,000")
    parser.add_argument(
        "--period",
        type=period,
        metavar="TIME",
        help="also in real time, a frame each 10ms, 500us, 1s or 0.01 (seconds)",
    )
    parser.add_argument(
        "--paced-steps",
        type=steps,
        metavar="N",
        help=f"steps of each in real time; default: as many as fit in {PACED_SECONDS} s, at most 100,000",
    )
    parser.add_argument(
        "--between-bytes",
        type=whole(0, 1 << 30),
        metavar="N",
        help="what something else touches between two frames in real time; 0: nothing; default: 32 MB",
    )
    parser.add_argument(
        "--import",
        dest="imported",
        action="append",
        default=[],
        metavar="BOARD.json",
        help="put the report of grulet-bench --json on a board, or of this command elsewhere, beside ours; repeatable",
    )
    parser.add_argument("--plot", type=picture, metavar="FILE.png", help="draw the latencies and the operators' shares")


def _rivals(text: str) -> tuple[str, ...]:
    names = tuple(name.strip() for name in text.split(","))
    unknown = [name for name in names if name not in RIVALS]
    if unknown:
        raise argparse.ArgumentTypeError(f"unknown rival {unknown[0]!r}; there are: {', '.join(RIVALS)}")
    return names


def run(options: argparse.Namespace) -> BenchReport:
    """Measure all contestants in turn, then in real time; draw the picture."""
    model = load(options.model)
    if model.needs_sequence:
        raise SequenceError(f"{model.needs_sequence}; a frame of it has no latency")
    _check(options)
    imported = _imported(options.imported)
    frames = frames_of((port.width, port.tokens) for port in model.inputs)
    rivals = _rival_steps(options.against, options.model, frames)
    operators = OperatorParts(model, frames[0], options.steps)
    contestants: Contestants = {
        NOTHING: lambda step: None,
        READ: lambda step: model.read_weights(),
        TICK: _ticks(model, frames),
        STEP: _steps(model, frames),
        **rivals,
    }
    with quiet_process() as cpu:
        facts, before = machine() | process(cpu), clock_of(cpu)
        with progress("bench", options.steps, "steps") as done:
            hot = measure(contestants | {_OPERATORS: operators}, options.steps, done)
        del hot[_OPERATORS]
        paced = _paced(options, contestants, [STEP, *rivals]) if options.period else None
        facts |= before_and_after(before, clock_of(cpu))
    report = BenchReport(
        model=options.model,
        model_crc32=f"{model.crc32:08x}",
        title=f"{model!r}",
        weight_bytes=model.weight_bytes,
        answers=answers(model, frames),
        machine=facts,
        hot=hot,
        operators=operators.costs(float(np.median(hot[TICK])), float(np.median(hot[READ]))),
        paced=paced,
        imported=imported,
    )
    if options.plot:
        from grulet.measuring.picture import draw

        draw(options.plot, report)
    return report


def _check(options: argparse.Namespace) -> None:
    """Say now, not after a minute of measuring, what cannot work."""
    for name in ("paced_steps", "between_bytes"):
        if getattr(options, name) is not None and options.period is None:
            raise GruletError(f"--{name.replace('_', '-')} is for runs in real time: give --period, such as 10ms")
    if options.plot:
        import matplotlib  # noqa: F401

        check_writable(options.plot)


def _imported(paths: list[str]) -> tuple[Imported, ...]:
    """Reports of other machines; each needs a name of its own in tables and pictures."""
    reports = tuple(read_report(path) for path in paths)
    names = [HERE, *(report.name for report in reports)]
    for path, name in zip(paths, names[1:], strict=True):
        if names.count(name) > 1:
            raise GruletError(f"--import {path}: {name!r} names another report; give each file a name of its own")
    return reports


def _paced(options: argparse.Namespace, contestants: Contestants, steppers: list[str]) -> PacedRun:
    """All steppers in turn in real time; every eighth frame merely reads the weights, in the same cold caches."""
    part = 7
    fitting = PACED_SECONDS * 1_000_000_000 // options.period * part // (part + 1)
    steps = options.paced_steps or max(1, min(fitting, 100_000))
    between = BETWEEN_BYTES if options.between_bytes is None else options.between_bytes
    turns = in_turn(steppers, READ, steps, part)
    with progress("in real time", len(turns), "frames") as done:
        times, touched = run_paced(contestants, turns, options.period, OtherWork(between), done)
    return PacedRun(options.period, between, int(np.median(touched)), times)


def _ticks(model: Model, frames: NDArray[np.float32]) -> Callable[[int], object]:
    """One C call a step: the frame is already in the stream's buffer."""
    stream = model.stream(block=1)
    stream.input[:] = frames[0]
    tick = stream.tick
    return lambda step: tick()


def _steps(model: Model, frames: NDArray[np.float32]) -> Callable[[int], object]:
    step_once, rows = model.stream(block=1).step, list(frames)
    return lambda step: step_once(rows[step % len(rows)])


def _rival_steps(names: tuple[str, ...], path: str, frames: NDArray[np.float32]) -> Contestants:
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
