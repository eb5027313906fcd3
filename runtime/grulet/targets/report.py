"""Flash, RAM, stack and time of a model on a target: every figure with how it is known."""

from __future__ import annotations

import json
import re
import tempfile
from collections.abc import Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from grulet import format as grulet_format
from grulet.bundle import library
from grulet.bundle.needs import needs
from grulet.errors import GruletError, SequenceError
from grulet.memory import stream_bytes
from grulet.model import Model, load
from grulet.operators import Program, state_floats
from grulet.targets import TABLES
from grulet.targets.compiling import LEVELS, Compiled, compile_build, has_compiler, run
from grulet.targets.cores import BUNDLE, Build, Core
from grulet.targets.emulation import Counted, count, fits_board, has_emulator
from grulet.targets.terms import terms, weights_by_mode

#: Bytes of a weight in a file, without what belongs to its row.
_WEIGHT_BYTES = {"f32": 4.0, "f16": 2.0, "int8": 1.0, "int4": 0.53125}
_QUANTIZED_ROW = 8  # bytes that a row of integers has beside its weights: scale and sum
_MODEL_STRUCT = (1, 12)  # grulet_model: pointers, and words of 4 bytes


@dataclass(frozen=True)
class Row:
    """A line: what it is, its figure at each of `LEVELS`, and how that is known."""

    part: str  # flash, RAM, time
    name: str
    values: tuple[float, ...]
    unit: str
    how: str


@dataclass(frozen=True)
class Figures:
    """One build at one level: bytes, and instructions of a frame (None: not known)."""

    code: int
    static: int
    open_stack: int
    step_stack: int
    instructions: float | None
    used: Counted | None = None  # under emulation


@dataclass(frozen=True)
class Wishes:
    """What the user gave: Hz (0: none), bytes of flash and RAM (0: any), and whether the table is enough."""

    clock: float = 0.0
    flash: int = 0
    ram: int = 0
    from_table: bool = False


@dataclass(frozen=True)
class Report:
    """What `grulet inspect --target` prints."""

    model: str
    core: Core
    rows: tuple[Row, ...]
    notes: tuple[str, ...]

    def as_json(self) -> dict[str, Any]:
        """For ``--json``."""
        rows = [asdict(row) | {"values": dict(zip(LEVELS, row.values, strict=True))} for row in self.rows]
        return {
            "model": self.model,
            "target": self.core.name,
            "title": self.core.title,
            "rows": rows,
            "notes": self.notes,
        }

    def total(self, part: str) -> tuple[float, ...]:
        """The sums of flash or RAM."""
        return next(row.values for row in self.rows if row.part == part and row.name == "together")

    def __str__(self) -> str:
        cells = [["", "", *LEVELS, "", ""]]
        for before, row in zip((None, *self.rows), self.rows, strict=False):
            part = row.part if before is None or before.part != row.part else ""
            cells.append([part, row.name, *map(_number, row.values), row.unit, row.how])
        widths = [max(len(line[column]) for line in cells) for column in range(len(cells[0]))]
        lines = []
        for line in cells:
            placed = [cell.rjust(width) if 2 <= c < 2 + len(LEVELS) else cell.ljust(width)
                      for c, (cell, width) in enumerate(zip(line, widths, strict=True))]  # fmt: skip
            lines.append("  ".join(placed).rstrip())
        return "\n".join([f"{self.model} on {self.core.title}", "", *lines, "", *(f"- {note}" for note in self.notes)])


def report(path: Path, core: Core, wishes: Wishes) -> Report:
    """What the model in ``path`` takes of a target.

    Measured with the target's compiler and an emulator as far as they are here, else from the committed table.
    `SequenceError` for models that cannot step, `GruletError` for those that do not fit what was given.
    """
    model = load(path)
    if model.needs_sequence:
        raise SequenceError(
            f"{path}: --target tells what a step takes, and this model has none: {model.needs_sequence}"
        )
    figures = _Figures(path, core, from_table=wishes.from_table)
    rows = [*_flash(model, figures), *_ram(model, figures), *_time(figures, wishes.clock)]
    made = Report(path.name, core, tuple(rows), tuple(_notes(core, figures, wishes)))
    _check_fit(made, figures.program, wishes)
    return made


# ---- figures --------------------------------------------------------------------------------------------------------


class _Figures:
    """Measured or looked up, build by build."""

    def __init__(self, path: Path, core: Core, *, from_table: bool) -> None:
        self.path, self.core = path, core
        self.program: Program = grulet_format.read(path.read_bytes())
        self.table: dict[str, Any] = json.loads(TABLES.read_text(encoding="utf-8"))
        self.of_core: dict[str, Any] = self.table["cores"][core.name]
        self.compiles = has_compiler(core) and not from_table
        fits = fits_board(load(path), stream_bytes(self.program, pointer_bytes=core.pointer_bytes, blocks=False))
        self.counts = self.compiles and core.board is not None and has_emulator() and fits

    @cached_property
    def _all(self) -> dict[tuple[str, str], Figures]:
        wanted = [(build, level) for build in self.core.builds for level in LEVELS]
        if not self.compiles:
            return {(build.kernel, level): self._looked_up(build, level) for build, level in wanted}
        with tempfile.TemporaryDirectory() as folder, ThreadPoolExecutor(2) as pool:
            waiting = {
                (build.kernel, level): pool.submit(self._measured, build, level, Path(folder))
                for build, level in wanted
            }
            return {key: one.result() for key, one in waiting.items()}

    def of(self, build: Build) -> list[Figures]:
        """One for each level."""
        return [self._all[build.kernel, level] for level in LEVELS]

    def _estimated(self, build: Build, level: str) -> float | None:
        fit: Mapping[str, float] | None = self.of_core["builds"][build.kernel][level].get("instructions")
        if fit is None:
            return None
        return sum(fit.get(name, 0.0) * times for name, times in terms(self.program).items())

    def _looked_up(self, build: Build, level: str) -> Figures:
        sizes = self.of_core["builds"][build.kernel][level]["everything"]
        return Figures(**sizes, instructions=self._estimated(build, level))

    def measures(self, build: Build) -> bool:
        """Whether this build is compiled here; a package may lack the sources of kernels of other CPUs."""
        return self.compiles and all((library() / name).is_file() for name in build.sources)

    def _measured(self, build: Build, level: str, folder: Path) -> Figures:
        if not self.measures(build):
            return self._looked_up(build, level)
        where = folder / build.kernel / level
        made: Compiled = compile_build(self.core, build, level, needs(self.program), where)
        sizes = (made.code, made.static, made.open_stack, made.step_stack)
        if not self.counts:
            return Figures(*sizes, self._estimated(build, level))
        counted: Counted = count(self.core, made.objects, [self.path], where)[0][build.kernel]
        if counted.wrong:
            raise GruletError(
                f"{self.path}: {counted.wrong} answers on the emulated {self.core.name} differ from this CPU's"
            )
        return Figures(*sizes, counted.instructions, counted)

    @cached_property
    def compiler(self) -> str:
        """Name and version of what compiled, here or for the table."""
        said = run([self.core.compiler, "--version"]).splitlines()[0] if self.compiles else self.of_core["compiler"]
        name, version = re.fullmatch(r"(\S+) .*?(\d+\.\d+\.\d+)(?: .*)?", said).groups()  # type: ignore[union-attr]
        return f"{name} {version}"

    @property
    def example(self) -> str:
        """What the table has of a real model."""
        name = self.table["example"]
        levels = self.of_core["builds"][BUNDLE.kernel]
        return f"that of {name} has {' and '.join(format(levels[level][name]['code'], ',') for level in LEVELS)} bytes"

    def of_code(self, build: Build) -> str:
        """How code and static memory are known."""
        if self.measures(build):
            return f"measured: {self.compiler}"
        return f"at most, from the table: {self.compiler}"

    def of_instructions(self, build: Build) -> str:
        """How instructions are known."""
        counted = self.counts and self.measures(build)
        return "measured: counted under emulation" if counted else "estimated: fitted to counts of other models"


# ---- rows -----------------------------------------------------------------------------------------------------------


def _same(value: float) -> tuple[float, ...]:
    return (value,) * len(LEVELS)


def _together(part: str, rows: Iterable[Row]) -> Row:
    sums = tuple(map(sum, zip(*(row.values for row in rows), strict=True)))
    return Row(part, "together", sums, "bytes", "the sum")


def _flash(model: Model, figures: _Figures) -> list[Row]:
    bundle = figures.of(BUNDLE)
    rows = [
        Row("flash", "the model's file", _same(model.file_bytes), "bytes", "exact"),
        Row("flash", "code, as a bundle", tuple(one.code for one in bundle), "bytes", figures.of_code(BUNDLE)),
    ]
    more = []
    for build in figures.core.builds[1:]:
        code = tuple(one.code for one in figures.of(build))
        more.append(Row("flash", f"(code, as {build.title})", code, "bytes", figures.of_code(build)))
    return [*rows, _together("flash", rows), *more]


def _ram(model: Model, figures: _Figures) -> list[Row]:
    core, program = figures.core, figures.program
    bundle = figures.of(BUNDLE)
    state = 4 * sum(state_floats(program, op) for op in program.operators)
    stream = stream_bytes(program, pointer_bytes=core.pointer_bytes, blocks=False)
    pointers, words = _MODEL_STRUCT
    frames = 4 * (program.input_width + program.output_width)
    rows = [
        Row("RAM", "a stream", _same(stream), "bytes", f"computed; {state:,} of it are state"),
        Row("RAM", "the opened model", _same(core.pointer_bytes * pointers + 4 * words), "bytes", "computed"),
        Row("RAM", "a frame in, a frame out", _same(frames), "bytes", "computed"),
        Row("RAM", "static", tuple(one.static for one in bundle), "bytes", figures.of_code(BUNDLE)),
        Row("RAM", "stack", tuple(max(one.step_stack, one.open_stack) for one in bundle), "bytes", _of_stack(figures)),
    ]
    deeper = [
        Row("RAM", "(stack of a step)", tuple(one.step_stack for one in bundle), "bytes", _of_stack(figures)),
        Row("RAM", "(stack, opening the model)", tuple(one.open_stack for one in bundle), "bytes", _of_stack(figures)),
    ]
    used = [one.used for one in bundle if one.used]
    if used:
        how = "measured: painted, under emulation"
        deeper.insert(1, Row("RAM", "(used of it)", tuple(one.step_stack for one in used), "bytes", how))
        deeper.append(Row("RAM", "(used of it)", tuple(one.open_stack for one in used), "bytes", how))
    return [*rows, _together("RAM", rows), *deeper]


def _of_stack(figures: _Figures) -> str:
    path = "deepest path of the call graph"
    return f"measured: {path}" if figures.compiles else f"at most, from the table: {path}"


def _time(figures: _Figures, clock: float) -> list[Row]:
    core = figures.core
    if core.kernel:
        return _modelled_loops(figures, clock)
    rows = []
    for build in core.builds if core.board else ():
        instructions = tuple(one.instructions or 0.0 for one in figures.of(build))
        cycles = tuple(number * core.cycles_per_instruction for number in instructions)
        rows.append(
            Row("time", f"a frame, {build.title}", instructions, "instructions", figures.of_instructions(build))
        )
        rows.append(Row("time", "", cycles, "cycles", f"modelled: {core.cycles_per_instruction} an instruction"))
        rows += _at(clock, cycles)
    return rows


def _modelled_loops(figures: _Figures, clock: float) -> list[Row]:
    cycles = 0.0
    for mode, weights in weights_by_mode(figures.program).items():
        loop = figures.of_core["loops"][mode]
        cycles += weights * _WEIGHT_STORED[mode.partition(" ")[0]] / loop["weight_bytes"] * loop["cycles"]
    how = "modelled: llvm-mca of the inner loops alone, weights in the first cache"
    row = Row("time", f"a frame, library, {figures.core.kernel}", _same(cycles), "cycles", how)
    return [row, *_at(clock, row.values)]


#: Bytes that a panel has for a weight.
_WEIGHT_STORED = _WEIGHT_BYTES | {"int4": 0.5}


def _at(clock: float, cycles: tuple[float, ...]) -> list[Row]:
    if not clock:
        return []
    return [
        Row("time", "", tuple(1e6 * number / clock for number in cycles), "us", f"modelled, at {clock / 1e6:g} MHz")
    ]


def _number(value: float) -> str:
    return f"{value:,.0f}" if isinstance(value, int) or value >= 1000 else f"{value:.3g}"


# ---- words ----------------------------------------------------------------------------------------------------------


def _notes(core: Core, figures: _Figures, wishes: Wishes) -> list[str]:
    code = (
        "code: grulet.c of `grulet bundle`, with what this model needs and nothing else"
        if figures.compiles
        else f"code: of a build with everything; {figures.example} at -Os and -O2, with what it needs alone"
    )
    notes = [code, "stack: of grulet's own calls; the caller's and that of interrupts come on top"]
    if core.board:
        notes.append(f"cycles: {core.source}; slow flash and caches that miss come on top: a board decides")
    elif core.kernel:
        notes.append(
            "not in the cycles: gates, operators without weights, weights that come from farther than the first cache; "
            "docs/arm.md has the loops, and grulet-bench measures on the board (docs/boards.md)"
        )
    else:
        notes.append(f"time: {core.source}; grulet-bench measures on the board (docs/boards.md)")
    if not wishes.from_table:
        lacking = [] if figures.compiles else [core.compiler]
        lacking += ["qemu-system-arm"] if core.board and not has_emulator() else []
        if lacking:
            notes.append(f"with {' and '.join(lacking)} installed, this would be measured")
        elif core.board and not figures.counts:
            notes.append("the model is larger than the emulated board's memory: its instructions are estimated")
    return notes


def _check_fit(made: Report, program: Program, wishes: Wishes) -> None:
    """Raise a `GruletError` that says what is too large, and what would help, if the smaller build is."""
    problems = []
    if wishes.flash and min(made.total("flash")) > wishes.flash:
        problems.append(f"{_too_large('flash', made, wishes.flash)}; {_smaller_weights(made, program, wishes.flash)}")
    if wishes.ram and min(made.total("RAM")) > wishes.ram:
        helps = "weights are not in it: fewer units, and narrower vectors between layers, would help"
        problems.append(f"{_too_large('RAM', made, wishes.ram)}; {helps}")
    if problems:
        raise GruletError(f"{made.model} does not fit this {made.core.name}: {'. '.join(problems)}")


def _too_large(part: str, made: Report, given: int) -> str:
    return f"{part} {min(made.total(part)):,.0f} bytes, {given:,} given"


def _smaller_weights(made: Report, program: Program, given: int) -> str:
    """What would be left of flash in smaller formats."""
    rows = terms(program)
    for form in ("int8", "int4"):
        saved = 0.0
        for mode, weights in weights_by_mode(program).items():
            now = mode.partition(" ")[0]
            saved += weights * max(0.0, _WEIGHT_BYTES[now] - _WEIGHT_BYTES[form])
            saved -= _QUANTIZED_ROW * rows[f"{mode} row"] if now in ("f32", "f16") else 0.0
        left = min(made.total("flash")) - saved
        if left <= given:
            return f"with --weights {form} it would be about {left:,.0f}"
    return f"even with --weights int4 it would be about {left:,.0f}: fewer units would help"
