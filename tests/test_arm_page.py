"""What is said of 64-bit ARM: docs/arm.md comes from its JSON alone, and loops are found and judged as described."""

from __future__ import annotations

import copy
import json
import re
import shutil
import subprocess
import sys
from collections import Counter
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))  # benchmarks is no installed package

from benchmarks.arm.emulated import HERE  # noqa: E402
from benchmarks.arm.loops import CORES, LIMITS, TARGETS, Loop, loop_in, loops_in, missed  # noqa: E402
from benchmarks.arm.page import DOCS, is_fewest, page  # noqa: E402
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


def test_fewest_is_of_one_format_and_from_python() -> None:
    """C is no rival's way, and float weights are another thing."""
    found = {
        "grulet int8, Python": {"weights": "int8", "instructions": 30},
        "grulet int8, C": {"weights": "int8", "instructions": 20},
        "A int8": {"weights": "int8", "instructions": 40},
        "A f32": {"weights": "f32", "instructions": 25},
    }
    assert [name for name in found if is_fewest(found, name)] == ["grulet int8, Python", "A f32"]


@pytest.mark.skipif(not shutil.which("gcc"), reason="needs gcc")
def test_the_counting_plugin_compiles(tmp_path: Path) -> None:
    """As C99, without a warning; it declares the emulator's interface itself."""
    flags = ["-std=c99", "-Wall", "-Wextra", "-pedantic", "-Werror", "-shared", "-fPIC"]
    subprocess.run(["gcc", *flags, HERE / "count_instructions.c", "-o", tmp_path / "plugin.so"], check=True)


@pytest.mark.parametrize("name", ["emulated", "loops"])
def test_help(name: str) -> None:
    """Each explains itself."""
    command = [sys.executable, "-m", f"benchmarks.arm.{name}", "--help"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True)
    assert f"python -m benchmarks.arm.{name}" in done.stdout
