"""The committed figures of `grulet inspect --target`, measured anew: runtime/grulet/targets/tables.json.

    python -m benchmarks.targets [--output FILE.json]

For every core, kernel and level of optimization: bytes of code and of stack of a library with everything, and, on the
microcontrollers, how many instructions each term of a model (grulet.targets.terms) takes: small models that differ in
a few terms each run on qemu's boards, and the numbers are fitted by least squares of relative errors.  Of 64-bit ARM
the cycles of the inner loops are copied from benchmarks/results/arm-loops.json.

The same on every run; a minute or two on two CPUs.  Needs the cross compilers and qemu-system-arm: without, the exit
status is 2.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np
from benchmarks.building import run, tool
from benchmarks.common import RESULTS, ROOT, AbsentError, rounded, write_json
from numpy.typing import NDArray

from grulet import format as grulet_format
from grulet.bundle.needs import needs
from grulet.targets import TABLES
from grulet.targets.compiling import LEVELS, compile_build
from grulet.targets.cores import CORES, Build, Core
from grulet.targets.emulation import EMULATOR, count
from grulet.targets.terms import terms

EXAMPLE = ROOT / "examples" / "spoken_digits" / "digits.grulet"
CELLS = {"gru": ((16, 16), (64, 32), (32, 64), (64, 64), (20, 20), (7, 12), (40, 39)),
         "lstm": ((16, 16), (24, 48), (9, 20)), "rnn": ((16, 16), (24, 48), (9, 20))}  # fmt: skip
DENSE = ((64, 64), (64, 12), (16, 128), (5, 7), (150, 16))
WIDTHS = (8, 40, 120)  # of what is done element by element
PARTS = {"neon": "products_neon", "dotprod": "products_dotprod"}


def models(folder: Path) -> list[Path]:
    """Files of small models, made by the tests' builder: all formats, cells, functions and operators."""
    sys.path.insert(0, str(ROOT / "tests"))
    builder, programs = import_module("builder"), import_module("programs")
    made = [*panel_models(builder), *element_models(builder, programs)]
    paths = [folder / f"{number}.grulet" for number in range(len(made))]
    for path, model in zip(paths, made, strict=True):
        model.output("y", len(model.widths) - 1)
        path.write_bytes(grulet_format.write(model.program()))
    return paths


def panel_models(builder: Any) -> Iterator[Any]:
    """One layer of each kind, size and format."""
    for formats in builder.FORMATS:
        for kind, sizes in CELLS.items():
            for inputs, units in sizes:
                model = builder.Builder(1, *formats)
                model.cell(kind, model.input("x", inputs), units)
                yield model
        for inputs, units in DENSE:
            model = builder.Builder(1, *formats)
            model.dense(model.input("x", inputs), units)
            yield model
        for width in WIDTHS:
            model = builder.Builder(1, *formats)
            model.embedding(model.input("x", 2, 11), width)
            yield model


def element_models(builder: Any, programs: Any) -> Iterator[Any]:
    """Every function and every operator without a panel, of some widths."""
    for width in WIDTHS:
        for function in programs.ACTIVATIONS:
            model = builder.Builder(1)
            model.activation(model.input("x", width), function, *programs.ARGUMENTS.get(function, ()))
            yield model
        for function in programs.BINARY_FUNCTIONS:
            model = builder.Builder(1)
            x = model.input("x", width)
            model.binary(x, x, function)
            yield model
        others = {"affine": (), "prelu": (), "layer_norm": (), "slice": (1, width - 2), "select": (width,)}
        others["history"] = (4,)
        for name, more in others.items():
            model = builder.Builder(1)
            getattr(model, name)(model.input("x", width), *more)
            yield model
        model = builder.Builder(1)
        x = model.input("x", width)
        model.concat(x, x)
        yield model
        model = builder.Builder(1)
        x = model.input("x", width)
        with model.loop():
            state = model.state_read(width)
            model.state_write(model.binary(x, state, "max"), state)
        yield model
        model = builder.Builder(1)
        model.depthwise(model.history(model.input("x", width), 4), 4)
        yield model


def fitted(rows: list[Counter[str]], measured: list[float]) -> dict[str, float]:
    """Term -> instructions, none below 0, with the least sum of squares of relative errors."""
    names = sorted(set().union(*rows))
    matrix = np.array([[row[name] for name in names] for row in rows]) / np.array(measured)[:, None]
    found = non_negative(matrix, np.ones(len(rows)))
    return {name: rounded(float(value)) for name, value in zip(names, found, strict=True) if value > 0}


def non_negative(matrix: NDArray[np.float64], right: NDArray[np.float64]) -> NDArray[np.float64]:
    """The x >= 0 with the least |matrix x - right|, after Lawson and Hanson: more and more of x is let go of 0."""
    free = np.zeros(matrix.shape[1], bool)
    x = np.zeros(matrix.shape[1])
    while True:
        slope = np.where(free, 0.0, matrix.T @ (right - matrix @ x) / np.linalg.norm(matrix, axis=0))
        if slope.max() < 1e-9:
            return x
        free[slope.argmax()] = True
        while True:
            best = np.zeros_like(x)
            best[free] = np.linalg.lstsq(matrix[:, free], right, rcond=None)[0]
            if best.min() >= 0:
                break
            below = best < 0
            x += (best - x) * min(x[below] / (x[below] - best[below]))  # as far as to the first 0
            free &= x > 1e-12
            x[~free] = 0.0
        x = best


def sizes(compiled: Any) -> dict[str, int]:
    """What `Compiled` tells in bytes."""
    return {name: getattr(compiled, name) for name in ("code", "static", "open_stack", "step_stack")}


def measure(core: Core, build: Build, level: str, paths: list[Path], folder: Path) -> dict[str, Any]:
    """One line of the table."""
    where = folder / core.name / build.kernel / level
    everything = compile_build(core, build, level, None, where)
    example = compile_build(core, build, level, needs(grulet_format.read(EXAMPLE.read_bytes())), where / "example")
    found: dict[str, Any] = {"everything": sizes(everything), EXAMPLE.stem: sizes(example)}
    if core.board:
        counted = count(core, everything.objects, paths, where)
        wrong = [path.name for path, kernels in zip(paths, counted, strict=True) if kernels[build.kernel].wrong]
        if wrong:
            raise ValueError(f"{core.name}, {build.kernel}, {level}: wrong bits: {', '.join(wrong)}")
        rows = [terms(grulet_format.read(path.read_bytes())) for path in paths]
        instructions = [kernels[build.kernel].instructions for kernels in counted]
        found["instructions"] = fitted(rows, instructions)
        found["worst"] = rounded(worst(found["instructions"], rows, instructions))
    return found


def worst(fit: dict[str, float], rows: list[Counter[str]], measured: list[float]) -> float:
    """The largest relative error of the fit."""
    estimates = [sum(fit.get(name, 0.0) * times for name, times in row.items()) for row in rows]
    return max(abs(estimate / real - 1) for estimate, real in zip(estimates, measured, strict=True))


def loops_of(core: Core) -> dict[str, Any]:
    """Mode -> what llvm-mca says of a pass through its loop."""
    parts = json.loads((RESULTS / "arm-loops.json").read_text(encoding="utf-8"))["results"]["parts"]
    title = core.title.partition(",")[0]
    loops = parts[PARTS[core.kernel]][title] | parts["floats_neon"][title]
    return {mode: {key: facts[key] for key in ("weight_bytes", "cycles")} for mode, facts in loops.items()}


def tables(folder: Path) -> dict[str, Any]:
    """All lines: core -> kernel -> level."""
    paths = models(folder)
    wanted = [(core, build, level) for core in CORES.values() for build in core.builds for level in LEVELS]
    alike = {(core.compiler, core.flags, build, level): core for core, build, level in wanted}
    with ThreadPoolExecutor(2) as pool:
        waiting = {
            key: pool.submit(measure, core, build=key[2], level=key[3], paths=paths, folder=folder)
            for key, core in alike.items()
        }
    found = [waiting[core.compiler, core.flags, build, level].result() for core, build, level in wanted]
    cores: dict[str, Any] = {}
    for (core, build, level), line in zip(wanted, found, strict=True):
        made = cores.setdefault(
            core.name, {"compiler": run([core.compiler, "--version"]).splitlines()[0], "builds": {}}
        )
        made["builds"].setdefault(build.kernel, {})[level] = line
        if core.kernel:
            made["loops"] = loops_of(core)
    return {"example": EXAMPLE.stem, "emulator": run([EMULATOR, "--version"]).splitlines()[0], "cores": cores}


def main() -> int:
    """Command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--output", type=Path, default=TABLES, metavar="FILE.json")
    options = parser.parse_args()
    try:
        for name in (EMULATOR, *{core.compiler for core in CORES.values()}):
            tool(name)
    except AbsentError as reason:
        print(f"targets: {reason}", file=sys.stderr)
        return 2
    with tempfile.TemporaryDirectory() as folder:
        made = tables(Path(folder))
    write_json(options.output, made)
    for name, core in made["cores"].items():
        for kernel, levels in core["builds"].items():
            for level, line in levels.items():
                fit = f"worst fit {line['worst']:.1%}" if "worst" in line else "-"
                print(f"{name:14}{kernel:9}{level}  {line['everything']['code']:7,} bytes of code  {fit}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
