"""What is said of 64-bit ARM: docs/arm.md comes from its JSON alone, and loops are found and judged as described."""

from __future__ import annotations

import copy
import json
import re
import runpy
import shutil
import subprocess
import sys
from collections import Counter
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))  # benchmarks is no installed package

from benchmarks.arm import emulated  # noqa: E402
from benchmarks.arm.emulated import HERE, Contestant, measure_layer  # noqa: E402
from benchmarks.arm.loops import CORES, LIMITS, MATRIX_CORES, TARGETS, Loop, loop_in, loops_in, missed  # noqa: E402
from benchmarks.arm.page import DOCS, emulated_section, factor_over, is_fewest, page  # noqa: E402
from benchmarks.common import RESULTS  # noqa: E402

CORE = {core.title: core for core in CORES}

#: Two loops in a function: one of four instructions, and around it one that jumps ahead.
CODE = [
    (0x10, "mov\tw1, #0x4"),
    (0x14, "ldp\tq1, q2, [x0, #0x20]"),
    (0x18, "cbz\tw1, 0x30 <sum+0x20>"),
    (0x1C, "ldr\tq0, [x2], #0x10"),
    (0x20, "ldr\tq1, [x0]"),
    (0x24, "ldp\tq2, q3, [x0, #0x10]"),
    (0x28, "sdot\tv9.4s, v1.16b, v0.4b[0]"),
    (0x2C, "b.ne\t0x1c <sum+0xc>"),
    (0x30, "cbnz\tw3, 0x14 <sum+0x4>"),
    (0x34, "ret"),
]


def test_docs_are_what_the_results_say() -> None:
    """Not a figure or word by hand."""
    assert DOCS.read_text(encoding="utf-8") == page(RESULTS)
    for link in re.findall(r"\]\(\.\./([^)]+)\)", page(RESULTS)):
        assert (ROOT / link).exists(), link


def test_every_figure_of_the_tables_is_in_the_results() -> None:
    """Instructions of a step, in full; shares of the limits."""
    text = page(RESULTS)
    counted = json.loads((RESULTS / "arm-instructions.json").read_text())["results"]
    for sizes in counted["cpus"].values():
        for found in sizes.values():
            for facts in found.values():
                assert f" {facts['instructions']:,} " in text
    modelled = json.loads((RESULTS / "arm-loops.json").read_text())["results"]
    for cores in modelled["parts"].values():
        for core, formats in cores.items():
            for form, facts in formats.items():
                (row,) = re.findall(
                    rf"\| {core} \| {form} \| {facts['instructions']} \| {facts['weight_bytes']} .*", text
                )
                assert [f"{100 * facts['shares'][limit]:.0f} %" for limit in LIMITS] == re.findall(r"\d+ %", row)


def test_all_targets_are_reached() -> None:
    """By the results in the repository; each one that is not is a sentence."""
    results = json.loads((RESULTS / "arm-loops.json").read_text())["results"]
    assert missed(results) == []
    slower = copy.deepcopy(results)
    slower["parts"]["products_dotprod"]["Cortex-A76"]["int8 x int16"]["shares"]["multiplications"] = 0.5
    (sentence,) = missed(slower)
    assert "Cortex-A76, products_dotprod, int8 x int16: 50%" in sentence
    assert {core for core, _ in TARGETS} <= CORE.keys()


def test_the_inner_loop_is_found() -> None:
    """From the jump's target to the jump; the outer one holds another jump back."""
    (loop,) = loops_in(CODE, jumps_ahead=False)
    assert loop == loop_in([[], CODE])
    assert loop.instructions == tuple(text for _, text in CODE[3:8])
    assert loop.counts == Counter({"load": 4, "dot": 1})
    assert loop.weight_bytes == 64  # the operand's pointer gives a quarter of it
    assert loop.assembly().splitlines()[0] == "head:"
    assert loop.assembly().splitlines()[-1] == "b.ne\thead"


def test_jumps_ahead_are_only_a_second_choice() -> None:
    """As in a loop with early ends."""
    code = [*CODE[1:7], *CODE[8:]]  # without the inner loop
    assert loops_in(code, jumps_ahead=False) == []
    assert loop_in([code]).instructions == tuple(text for _, text in code[:-1])
    assert loop_in([CODE[:1]]) == Loop(())


def test_limits_of_a_core() -> None:
    """The busiest pipeline, or the sum where nothing goes together."""
    loop = Loop(
        ("ldp\tq1, q2, [x0]", "smull\tv1.8h, v1.8b, v0.8b", "smlal2\tv1.8h, v2.16b, v0.16b", "sadalp\tv3.4s, v1.8h")
    )
    assert tuple(CORE["Cortex-A53"].limits(loop).values()) == (2, 3, 7)
    assert tuple(CORE["Cortex-A72"].limits(loop).values()) == (2, 2, 2)
    dots = Loop(("ldp\tq1, q2, [x0]", *["sdot\tv1.4s, v1.16b, v0.4b[0]"] * 4, *["add\tx0, x0, #0x10"] * 9))
    assert tuple(CORE["Cortex-A76"].limits(dots).values()) == (2, 2, 14 / 4)  # decoding


def test_products_of_several_frames() -> None:
    """SDOT adds up 16 of them, SMMLA 32; and what the results say of both is on the page, for equal work."""
    several = Loop(("sdot\tv1.4s, v1.16b, v0.4b[0]", "smmla\tv2.4s, v3.16b, v4.16b", "zip1\tv3.4s, v3.4s, v4.4s"))
    assert several.products == 48
    results = json.loads((RESULTS / "arm-loops.json").read_text())["results"]["several"]
    assert results.keys() == MATRIX_CORES.keys()
    for core, formats in results.items():
        for form, facts in formats.items():
            dot, matrix = facts["SDOT"], facts["SMMLA"]
            assert dot["products"] == 2 * matrix["products"] == 1024
            (row,) = re.findall(rf"\| {core} \| {form} \| {dot['instructions']} .*", page(RESULTS))
            assert f"| {2 * matrix['instructions']} |" in row
            assert f"{matrix['products_per_cycle'] / dot['products_per_cycle']:.2f}" in row


def test_fewest_is_of_one_format_and_from_python() -> None:
    """C is no rival's way, and float weights are another thing."""
    found = {
        "grulet int8, Python": {"weights": "int8", "instructions": 30},
        "grulet int8, C": {"weights": "int8", "instructions": 20},
        "A int8": {"weights": "int8", "instructions": 40},
        "A f32": {"weights": "f32", "instructions": 25},
    }
    assert [name for name in found if is_fewest(found, name)] == ["grulet int8, Python", "A f32"]


ANSWERS = {"grulet f32, Python": 100.0, "A int8": 101.9, "B int8": 102.1, "C f32": float("nan")}


def measured(monkeypatch: pytest.MonkeyPatch, answers: dict[str, float]) -> tuple[dict[str, object], dict[str, str]]:
    """What is found and what is absent if the contestants give these answers."""
    contestants = [Contestant(title, "int8" if "int8" in title else "f32", (), answers=True) for title in answers]
    monkeypatch.setattr(emulated, "count", lambda contestant, cpu, counting: (1000.0, answers[contestant.title]))
    absent: dict[str, str] = {}
    return measure_layer(contestants, "cortex-a53", 512, Path(), absent), absent


def test_a_rival_with_another_answer_is_absent_in_sight(monkeypatch: pytest.MonkeyPatch) -> None:
    """Named with both answers, and the others are counted."""
    found, absent = measured(monkeypatch, ANSWERS)
    assert list(found) == ["grulet f32, Python", "A int8"]
    assert absent == {
        "B int8, 512 units, cortex-a53": "another answer: 102.1 and not 100.0",
        "C f32, 512 units, cortex-a53": "another answer: nan and not 100.0",
    }


def test_grulet_with_another_answer_is_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    """That would be a bug of ours, and no figure to publish."""
    with pytest.raises(RuntimeError, match=r"grulet int8 x int8, Python, 512 units, cortex-a53: another answer: 90\.0"):
        measured(monkeypatch, ANSWERS | {"grulet int8 x int8, Python": 90.0})


def test_absent_at_one_size_is_a_dash() -> None:
    """In the columns of that size; the others stay, and the best of the rivals that are left is compared."""
    document = json.loads((RESULTS / "arm-instructions.json").read_text())
    sizes = document["results"]["cpus"]["cortex-a53"]
    first, *others = sizes.values()
    del first["ncnn int8"]
    (row, _) = re.findall(r"\| ncnn int8 .*", emulated_section(document))
    assert row.split(" | ")[2:4] == ["-", "-"]
    assert all(f" {found['ncnn int8']['instructions']:,} " in row for found in others)
    alone = {name: facts for name, facts in first.items() if name.startswith("grulet")}
    assert factor_over("grulet f32, Python", alone) == "no rival beside grulet f32"


@pytest.mark.skipif(not shutil.which("gcc"), reason="needs gcc")
def test_the_counting_plugin_compiles(tmp_path: Path) -> None:
    """As C99, without a warning; it declares the emulator's interface itself."""
    flags = ["-std=c99", "-Wall", "-Wextra", "-pedantic", "-Werror", "-shared", "-fPIC"]
    subprocess.run(["gcc", *flags, HERE / "count_instructions.c", "-o", tmp_path / "plugin.so"], check=True)


@pytest.mark.parametrize("name", ["emulated", "loops"])
def test_help(name: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    """Each explains itself; in this process, which has torch already."""
    monkeypatch.setattr(sys, "argv", [name, "--help"])
    with pytest.raises(SystemExit) as ended:
        runpy.run_path(str(ROOT / "benchmarks" / "arm" / f"{name}.py"), run_name="__main__")
    assert ended.value.code == 0
    assert f"python -m benchmarks.arm.{name}" in capsys.readouterr().out
