"""`grulet inspect --target`: flash, RAM, stack and time on paper, measured where the tools are, estimated where not."""

from __future__ import annotations

import json
import re
import shutil
from dataclasses import replace
from pathlib import Path

import pytest
from builder import Builder
from programs import small_program

from grulet import format as grulet_format
from grulet.__main__ import main
from grulet.errors import GruletError, SequenceError
from grulet.memory import stream_bytes
from grulet.targets import TABLES
from grulet.targets.compiling import LEVELS, CallGraph
from grulet.targets.cores import BUNDLE, CORES, core_of
from grulet.targets.emulation import FEW_FRAMES, FRAMES, frames_of
from grulet.targets.report import Report, Wishes, report
from grulet.targets.terms import terms, weights_by_mode

ROOT = Path(__file__).resolve().parents[1]
DIGITS = ROOT / "examples" / "spoken_digits" / "digits.grulet"
VECTORS = ROOT / "tests" / "vectors"
#: None of these was among the models to which the table's numbers were fitted.
MODELS = {
    "digits": DIGITS,
    "int4": VECTORS / "int4_int8_70_39.grulet",
    "f16": VECTORS / "cells_f16_4_9_17_3.grulet",
    "operators": VECTORS / "operators_int8.grulet",
}
#: How far an estimate may be from the count, as a share; for a build with what one model needs, another inlining.
TOLERANCE = 0.15
TOOLS = ("arm-none-eabi-gcc", "arm-none-eabi-size", "qemu-system-arm")
needs_tools = pytest.mark.skipif(not all(map(shutil.which, TOOLS)), reason=f"needs {', '.join(TOOLS)}")


def on_paper(path: Path, target: str, **wishes: float | bool) -> Report:
    """What the table says."""
    return report(path, core_of(target), Wishes(from_table=True, **wishes))  # type: ignore[arg-type]


def values(made: Report, part: str, name: str, unit: str = "bytes") -> tuple[float, ...]:
    """The figures of one row."""
    (found,) = (row.values for row in made.rows if (row.part, row.name, row.unit) == (part, name, unit))
    return found


def refused(capsys: pytest.CaptureFixture[str], *arguments: str) -> str:
    """The one line of a command that fails."""
    try:
        status = main(["inspect", *arguments])
    except SystemExit as stop:
        status = int(str(stop.code))
    printed = capsys.readouterr()
    assert (status, printed.out, printed.err.count("\n")) == (2, "", 1)
    return printed.err


# ---- sums and shapes -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("target", CORES)
def test_sums_add_up(target: str) -> None:
    """What is in brackets is beside the sum; every row says how it is known."""
    made = on_paper(DIGITS, target, clock=100e6)
    for part in ("flash", "RAM"):
        rows = [
            row for row in made.rows if row.part == part and row.name != "together" and not row.name.startswith("(")
        ]
        assert tuple(map(sum, zip(*(row.values for row in rows), strict=True))) == made.total(part)
    assert all(re.match("exact|computed|measured|at most|estimated|modelled|the sum", row.how) for row in made.rows)
    assert all(value > 0 for row in made.rows for value in row.values)


@pytest.mark.parametrize("target", ["cortex-m4", "cortex-a53"])
def test_exact_rows(target: str) -> None:
    """The file and the stream are what they are."""
    made = on_paper(DIGITS, target)
    program = grulet_format.read(DIGITS.read_bytes())
    pointer = {"cortex-m4": 4, "cortex-a53": 8}[target]
    assert values(made, "flash", "the model's file") == (DIGITS.stat().st_size,) * 2
    assert values(made, "RAM", "a stream") == (stream_bytes(program, pointer_bytes=pointer, blocks=False),) * 2


def test_times_follow_from_cycles() -> None:
    """The stated model: instructions, times cycles an instruction, over the clock."""
    made = on_paper(DIGITS, "cortex-m4", clock=50e6)
    instructions, cycles, times = [row.values[0] for row in made.rows if row.part == "time"][:3]
    assert cycles == pytest.approx(instructions * CORES["cortex-m4"].cycles_per_instruction)
    assert times == pytest.approx(cycles / 50)
    assert [row.unit for row in on_paper(DIGITS, "cortex-m4").rows].count("us") == 0


def test_loops_of_64_bit_arm() -> None:
    """Cycles of the loops: each weight's share of a pass; a core with dot products needs the fewest."""
    loops = json.loads(TABLES.read_text())["cores"]["cortex-a53"]["loops"]
    weights = weights_by_mode(grulet_format.read(DIGITS.read_bytes()))
    assert set(weights) == {"int8 x int16"}
    loop = loops["int8 x int16"]
    expected = weights["int8 x int16"] / loop["weight_bytes"] * loop["cycles"]
    a53, a72, a76 = (
        next(row.values[0] for row in on_paper(DIGITS, name).rows if row.part == "time")
        for name in ("cortex-a53", "cortex-a72", "cortex-a76")
    )
    assert a53 == pytest.approx(expected)
    assert a53 > a72 > a76


def test_terms_of_a_small_model() -> None:
    """What is counted, by hand: one full block and a narrow one of 4 rows; inputs in groups of 4."""
    builder = Builder(0, "int8", "int16")
    builder.output("y", builder.dense(builder.gru(builder.input("x", 6), 18), 3, "tanh"))
    found = terms(builder.program())
    assert found["int8 x int16 full weight"] == 3 * 16 * (8 + 20)
    assert found["int8 x int16 narrow weight"] == 3 * 4 * (8 + 20) + 4 * 20
    assert (found["gru block"], found["gru unit"], found["dense unit"], found["tanh element"]) == (2, 20, 4, 3)
    assert found["int8 x int16 operand"] == 6 + 18 + 18
    assert found["element in or out"] == 6 + 3


def test_table_has_all_terms() -> None:
    """Every term that a model can have was among those that were fitted: whatever opens can be estimated."""
    had = json.loads(TABLES.read_text())["cores"]["cortex-m4"]["builds"]["generic"]["-O2"]["instructions"]
    free = {"embedding f32 element", "state_write element"}  # a memcpy; beside a read: the fit gives them nothing
    for path in VECTORS.glob("*.grulet"):
        program = grulet_format.read(path.read_bytes())
        weighty = {name for name in terms(program) if "weight" in name or "element" in name}
        assert program.needs_sequence or weighty <= had.keys() | free, path.name


# ---- the call graph --------------------------------------------------------------------------------------------------

GRAPH = """graph: { title: "grulet.c"
node: { title: "grulet_step" label: "grulet_step\\ngrulet.c:1:1\\n24 bytes (static)" }
node: { title: "grulet.c:run_op.constprop.0" label: "run_op\\ngrulet.c:2:1\\n40 bytes (static)" }
node: { title: "grulet_cell" label: "grulet_cell\\ngrulet.c:3:1\\n100 bytes (static)" }
node: { title: "grulet.c:gates" label: "gates\\ngrulet.c:4:1\\n16 bytes (static)" }
node: { title: "grulet.c:sums" label: "sums\\ngrulet.c:5:1\\n200 bytes (static)" }
node: { title: "memcpy" label: "__builtin_memcpy\\n<built-in>" shape : ellipse }
edge: { sourcename: "grulet_step" targetname: "grulet.c:run_op.constprop.0" label: "grulet.c:1:9" }
edge: { sourcename: "grulet_step" targetname: "memcpy" label: "grulet.c:1:9" }
edge: { sourcename: "grulet.c:run_op.constprop.0" targetname: "__indirect_call" label: "grulet.c:2:9" }
edge: { sourcename: "grulet_cell" targetname: "__indirect_call" label: "grulet.c:3:9" }
"""


def test_deepest_path_of_a_call_graph() -> None:
    """Calls through pointers go to the operators from run_op, and to a kernel's functions from elsewhere."""
    assert CallGraph([GRAPH]).depth("grulet_step") == 24 + 40 + 100 + 200
    assert CallGraph([GRAPH]).depth("grulet.c:gates") == 16


def test_recursion_has_no_depth() -> None:
    """A cycle is an error, not a number."""
    edge = 'edge: { sourcename: "grulet.c:sums" targetname: "grulet_step" label: "grulet.c:5:9" }\n'
    with pytest.raises(GruletError, match="may call itself"):
        CallGraph([GRAPH, edge]).depth("grulet_step")


# ---- measured --------------------------------------------------------------------------------------------------------


@needs_tools
@pytest.mark.parametrize(
    ("target", "model"),
    [("cortex-m4", "digits"), ("cortex-m4", "f16"), ("cortex-m0plus", "operators"), ("cortex-m55", "int4")],
)
def test_estimates_are_near_the_counts(target: str, model: str) -> None:
    """Of models that the table was not fitted to; sizes of the table are never too small; stacks hold what is used."""
    measured, estimated = report(MODELS[model], core_of(target), Wishes()), on_paper(MODELS[model], target)
    counts, guesses = ([row for row in made.rows if row.unit == "instructions"] for made in (measured, estimated))
    assert len(counts) == len(CORES[target].builds)
    for count, guess in zip(counts, guesses, strict=True):
        assert count.how.startswith("measured")
        assert guess.how.startswith("estimated")
        assert guess.values == pytest.approx(count.values, rel=TOLERANCE)
    for part in ("flash", "RAM"):
        assert all(most >= real for most, real in zip(estimated.total(part), measured.total(part), strict=True))
    depths = [row.values for row in measured.rows if "stack of" in row.name or "opening" in row.name]
    used = [row.values for row in measured.rows if row.name == "(used of it)"]
    assert len(depths) == len(used) == 2
    for depth, real in zip(depths, used, strict=True):
        assert all(d - 400 < u <= d for d, u in zip(depth, real, strict=True))


@needs_tools
@pytest.mark.parametrize("path", sorted(VECTORS.glob("o*.grulet")), ids=lambda path: path.stem)
def test_runs_on_the_smallest(path: Path) -> None:
    """All kinds of operators run on the emulated board, with this CPU's bits (a wrong answer is an error)."""
    made = report(path, core_of("cortex-m0plus"), Wishes())
    assert [row.how for row in made.rows if row.unit == "instructions"] == ["measured: counted under emulation"]


def test_frames_of_large_models_are_few() -> None:
    """And an even number: sweeps go forwards and backwards in turn."""
    from grulet.model import load

    assert len(frames_of(load(DIGITS))) == FRAMES
    builder = Builder(0, "f32", "f32")
    builder.output("y", builder.dense(builder.input("x", 300), 300))
    assert len(frames_of(load(grulet_format.write(builder.program())))) == FEW_FRAMES
    assert FRAMES % 2 == FEW_FRAMES % 2 == 0


@needs_tools
def test_without_a_kernels_sources() -> None:
    """As in a package that leaves them out: the bundle is measured, the library's figures come from the table."""
    strange = replace(core_of("cortex-m4").builds[1], sources=("arm/not_there.c",))
    made = report(DIGITS, replace(core_of("cortex-m4"), builds=(BUNDLE, strange)), Wishes())
    known = [row.how.partition(":")[0] for row in made.rows if row.unit == "instructions"]
    assert known == ["measured", "estimated"]


def test_without_tools(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing on the PATH: the table, and what to install."""
    monkeypatch.setenv("PATH", "")
    made = report(DIGITS, core_of("cortex-m4"), Wishes())
    assert [row.values for row in made.rows] == [row.values for row in on_paper(DIGITS, "cortex-m4").rows]
    assert "with arm-none-eabi-gcc and qemu-system-arm installed, this would be measured" in made.notes


# ---- the command -----------------------------------------------------------------------------------------------------


def test_command(capsys: pytest.CaptureFixture[str]) -> None:
    """A table for people, the same figures as JSON."""
    command = ["inspect", str(DIGITS), "--target", "Cortex-M4", "--clock", "168MHz", "--from-table"]
    assert main(command) == 0
    text = capsys.readouterr().out
    assert main([*command, "--json"]) == 0
    data = json.loads(capsys.readouterr().out)
    assert data["target"] == "cortex-m4"
    assert all(tuple(row["values"]) == LEVELS for row in data["rows"])
    for row in data["rows"]:
        assert row["how"] in text
    assert re.search(r"[\d,]+ +[\d,]+  us +modelled, at 168 MHz\n", text)
    assert "cycles: 1.3 an instruction" in text


def test_what_fits_is_not_refused(capsys: pytest.CaptureFixture[str]) -> None:
    """Sizes in K and M."""
    sizes = ["--flash", "128K", "--ram", "1M"]
    assert main(["inspect", str(DIGITS), "--target", "cortex-m0plus", "--from-table", *sizes]) == 0
    assert "flash" in capsys.readouterr().out


def test_unknown_target(capsys: pytest.CaptureFixture[str]) -> None:
    """All targets are named."""
    line = refused(capsys, str(DIGITS), "--target", "cortex-m3")
    assert "--target cortex-m3" in line
    assert all(name in line for name in CORES)


def test_whole_sequences_have_no_step() -> None:
    """They say so."""
    with pytest.raises(SequenceError, match="has none"):
        on_paper(VECTORS / "whole_f32.grulet", "cortex-m4")


def test_what_does_not_fit_says_what_would_help(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """In flash: formats with fewer bits, if they are enough; in RAM: fewer units."""
    builder = Builder(0, "f32", "f32")
    builder.output("y", builder.gru(builder.input("x", 64), 128))
    path = tmp_path / "net.grulet"
    path.write_bytes(grulet_format.write(builder.program()))
    command = [str(path), "--target", "cortex-m4", "--from-table"]
    assert "with --weights int8 it would be about" in refused(capsys, *command, "--flash", "200K")
    assert "with --weights int4 it would be about" in refused(capsys, *command, "--flash", "70K")
    assert "even with --weights int4" in refused(capsys, *command, "--flash", "20K")
    line = refused(capsys, *command, "--flash", "200K", "--ram", "2K")
    assert "flash" in line
    assert "RAM" in line
    assert "fewer units" in line


def test_the_estimated_size_in_fewer_bits(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Within a tenth of what the file really is then."""
    sizes = {}
    for form in ("f32", "int8", "int4"):
        builder = Builder(0, form, "f32" if form == "f32" else "int16")
        builder.output("y", builder.gru(builder.input("x", 96), 128))
        sizes[form] = len(grulet_format.write(builder.program()))
        (tmp_path / f"{form}.grulet").write_bytes(grulet_format.write(builder.program()))
    code = min(values(on_paper(tmp_path / "f32.grulet", "cortex-m4"), "flash", "code, as a bundle"))
    for form, given in (("int8", "150K"), ("int4", "90K")):
        line = refused(capsys, str(tmp_path / "f32.grulet"), "--target", "cortex-m4", "--from-table", "--flash", given)
        about = int(re.search(rf"--weights {form} it would be about ([\d,]+)", line)[1].replace(",", ""))  # type: ignore[index]
        assert about - code == pytest.approx(sizes[form], rel=0.1)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--clock", "168MHz"], "--clock needs --target"),
        (["--from-table"], "--from-table needs --target"),
        (["--target", "cortex-m4", "--clock", "fast"], "such as 168MHz"),
        (["--target", "cortex-m4", "--flash", "big"], "such as 512K"),
        (["--target", "cortex-m4", "--ram", "0"], "such as 512K"),
    ],
)
def test_bad_options_are_one_line(capsys: pytest.CaptureFixture[str], options: list[str], message: str) -> None:
    """Whichever it is."""
    assert message in refused(capsys, str(DIGITS), *options)


def test_a_small_model_of_multiples_of_nothing(tmp_path: Path) -> None:
    """Every target gives figures for it."""
    path = tmp_path / "net.grulet"
    path.write_bytes(grulet_format.write(small_program()))
    for target in CORES:
        assert str(on_paper(path, target)).count("bytes") > 10
