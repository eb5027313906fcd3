"""Cycles of the inner loops on ARM cores, by llvm-mca: a model, not a measurement.

    python -m benchmarks.arm.loops [--output FILE.json] [--folder FOLDER]

The library is cross-compiled; of each kernel's object file the functions that sum up the panels of one frame (three
sets of rows: a GRU's) are disassembled, and the loop in each that reads most weights is found by its back edge.
llvm-mca then tells the cycles of one pass through it, with all weights in the first cache.  Beside them, the least
that the core needs for the loop's multiplications, for all of its arithmetic, and with its loads (`CORES`).  Then the
loops of several frames, with SDOT and with SMMLA, on cores that have both (`MATRIX_CORES`).

Exit status 1 if a loop misses its target (`TARGETS`), 2 if a tool is missing.  Needs, from Debian: llvm-22 (the model
of Cortex-A76's pipeline came with llvm 17), gcc-aarch64-linux-gnu, cmake.
"""

from __future__ import annotations

import argparse
import json
import re
import subprocess
import sys
import tempfile
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

from benchmarks.arm import cross
from benchmarks.building import run, tool
from benchmarks.common import RESULTS, AbsentError, rounded, write_json

LLVM_VERSIONS = range(29, 16, -1)
PASSES = 100

#: Format -> the functions in which its loop may be, by how much the compiler has inlined.
INTEGERS: dict[str, tuple[str, ...]] = {
    "int8 x int8": ("int8_int8_one_frame_3",),
    "int8 x int16": ("int8_int16_one_frame_3",),
    "int4 x int8": ("int4_int8_one_frame_3", "sum_int4_int8_alone", "sum_int4_int8_together"),
    "int4 x int16": ("int4_int16_one_frame_3", "sum_int4_int16_alone", "sum_int4_int16_together"),
}
FLOATS: dict[str, tuple[str, ...]] = {"f16": ("f16_one_frame_3",), "f32": ("f32_one_frame_3",)}
#: Part of the library (c_src/arm/grulet_NAME.c) -> what it sums up.
PARTS = {"products_dotprod": INTEGERS, "products_neon": INTEGERS, "floats_neon": FLOATS}
#: What sums up panels of several frames, by SDOT in one part and by SMMLA in the other.
SEVERAL: dict[str, tuple[str, ...]] = {
    "int8 x int8": ("int8_int8_many_frames_3",),
    "int8 x int16": ("int8_int16_many_frames_3",),
}
SEVERAL_PARTS = {"SDOT": "products_dotprod", "SMMLA": "products_i8mm"}

#: Kinds of vector work, beside the loads.
KINDS = {
    "dot": r"[su]dot",
    "matrix": r"[su]mmla",
    "multiply": r"[su]ml[as]l2?|[su]mull2?",
    "accumulate": r"[su]adalp",
    "widen": r"[su]shll2?|[su]xtl2?",
    "float multiply": r"fmul",
    "float add": r"fadd",
    "half to float": r"fcvtl2?",
    "nibbles": r"and|ushr",
}
LOAD = re.compile(r"(ldr|ldur|ld(?P<pair>p))\t(?P<form>[qd])\d+,.*\[(?P<base>x\d+)")
LOADS = {"load": "q", "half load": "d"}  # of 16 bytes, and of 8
MULTIPLICATIONS = ("dot", "multiply", "float multiply")
PRODUCTS = {"dot": 16, "matrix": 32}  # of bytes, of one instruction
FEATURES = "--mattr=+dotprod,+i8mm"
LIMITS = ("multiplications", "arithmetic", "arithmetic and loads")


@dataclass(frozen=True)
class Core:
    """A core's pipelines, as far as these loops go.

    ``work``: kind -> the pipeline that it occupies and for how many cycles; on a core that executes in order, what
    cannot be issued together shares one.  What it lacks, the core has no instruction for.
    ``model`` and ``options`` are llvm-mca's.
    """

    title: str
    model: str
    work: dict[str, tuple[str, float]]
    source: str
    options: tuple[str, ...] = ()
    decoded: float | None = None  # instructions a cycle, where llvm-mca's model does not have that limit

    def limits(self, loop: Loop) -> dict[str, float]:
        """Limit (`LIMITS`) -> cycles of one pass that it makes the least."""
        pipes: Counter[str] = Counter()
        multiplications = 0.0
        for kind, count in loop.counts.items():
            pipe, cycles = self.work[kind]
            pipes[pipe] += count * cycles  # type: ignore[assignment]
            multiplications += count * cycles if kind in MULTIPLICATIONS else 0.0
        loads = {kind: self.work[kind] for kind in LOADS}
        without_loads = pipes.copy()
        for kind, (pipe, cycles) in loads.items():
            without_loads[pipe] -= loop.counts[kind] * cycles  # type: ignore[assignment]
        return {
            "multiplications": multiplications,
            "arithmetic": max(without_loads.values()),
            "arithmetic and loads": max(*pipes.values(), self.decoding(loop)),
        }

    def decoding(self, loop: Loop) -> float:
        """Cycles that decoding takes at least, where llvm-mca's model has no such limit."""
        return len(loop.instructions) / self.decoded if self.decoded else 0.0


def in_order(dot: float | None) -> dict[str, tuple[str, float]]:
    """One vector operation or half of a 16-byte load at a time."""
    work = {kind: ("vector", 1.0) for kind in KINDS if kind not in PRODUCTS}
    work |= {"load": ("vector", 2.0), "half load": ("vector", 1.0)}
    return work if dot is None else work | {"dot": ("vector", dot)}


CORES = (
    Core(
        "Cortex-A53",
        "cortex-a53",
        in_order(None),
        "Arm publishes no guide for it. LLVM's model: one 128-bit operation a cycle; 16-byte loads: as its successor "
        "Cortex-A55, 2 cycles in which no vector operation is issued",
    ),
    Core(
        "Cortex-A55",
        "cortex-a55",
        in_order(1.0) | {"accumulate": ("vector", 2.0)},
        "Arm's Cortex-A55 Software Optimization Guide, 4.13 and 4.15: SDOT by element, SMLAL and SMULL 1 a cycle, "
        "SADALP and 16-byte loads 1 every second, none of them issued together with another",
    ),
    Core(
        "Cortex-A72",
        "cortex-a72",
        {
            "multiply": ("F0", 1.0),
            "accumulate": ("F1", 1.0),
            "widen": ("F1", 1.0),
            "float multiply": ("F0 and F1", 1.0),
            "float add": ("F0 and F1", 1.0),
            "half to float": ("F0 and F1", 1.5),
            "nibbles": ("F0 and F1", 0.5),
            "load": ("L", 1.0),
            "half load": ("L", 1.0),
        },
        "LLVM gives it the model of Cortex-A57, after Arm's guide for that one, 3.14 and 3.15: SMULL and SMLAL on one "
        "pipeline, SADALP and SSHLL on the other, 128-bit floats on both together, one load a cycle",
    ),
    Core(
        "Cortex-A76",
        "neoverse-n1",  # the same pipeline; LLVM gives "cortex-a76" the model of Cortex-A57, with one dot a cycle
        {
            "dot": ("V0 and V1", 0.5),
            "multiply": ("V0", 1.0),
            "accumulate": ("V1", 1.0),
            "widen": ("V1", 1.0),
            "float multiply": ("V0 and V1", 0.5),
            "float add": ("V0 and V1", 0.5),
            "half to float": ("V0", 2.0),
            "nibbles": ("V0 and V1", 0.5),
            "load": ("L0 and L1", 0.5),
            "half load": ("L0 and L1", 0.5),
        },
        "Arm's guide for Neoverse N1, whose pipeline it has, as LLVM's model of that one holds it: SDOT 2 a cycle, "
        "SMULL and SMLAL 1 (V0), SADALP and SSHLL 1 (V1), 2 loads; the guide's 4.1: 4 instructions decoded and 8 "
        "micro-operations dispatched a cycle",
        options=("-dispatch=8",),  # LLVM's own 3 is what suits its scheduler: its issue 136374, its change 154495
        decoded=4.0,
    ),
)

#: Cores with SMMLA -> what llvm-mca calls them.
MATRIX_CORES = {
    "Cortex-A510": "cortex-a510",
    "Cortex-A710, Neoverse N2": "neoverse-n2",
    "Neoverse V1": "neoverse-v1",
    "AmpereOne": "ampere1",
}

#: (core, part) -> a limit, and the share of it that int8 weights must reach.
TARGETS = {
    ("Cortex-A76", "products_dotprod"): ("multiplications", 0.85),
    ("Cortex-A72", "products_neon"): ("arithmetic and loads", 0.80),
    ("Cortex-A53", "products_neon"): ("arithmetic and loads", 0.80),
}


@dataclass(frozen=True)
class Loop:
    """Instructions of one pass, the jump back included."""

    instructions: tuple[str, ...]

    @property
    def counts(self) -> Counter[str]:
        """Kind -> how many; a pair of loads is two."""
        found: Counter[str] = Counter()
        for instruction in self.instructions:
            name, _, operands = instruction.partition("\t")
            for kind, pattern in KINDS.items():
                if operands.startswith("v") and re.fullmatch(pattern, name):
                    found[kind] += 1
            if load := LOAD.match(instruction):
                kind = "load" if load["form"] == LOADS["load"] else "half load"
                found[kind] += 2 if load["pair"] else 1
        return found

    @property
    def products(self) -> int:
        """Of two bytes, of which SDOT and SMMLA add up 16 and 32."""
        return sum(PRODUCTS.get(kind, 0) * count for kind, count in self.counts.items())

    @property
    def weight_bytes(self) -> int:
        """What is read through pointers that give at least a quarter of all: the others are the operand's."""
        read: Counter[str] = Counter()
        for load in filter(None, map(LOAD.match, self.instructions)):
            read[load["base"]] += (2 if load["pair"] else 1) * (16 if load["form"] == LOADS["load"] else 8)
        return sum(count for count in read.values() if 4 * count >= read.total())

    def assembly(self) -> str:
        """For llvm-mca."""
        lines = (re.sub(r"0x[0-9a-f]+ <.*>", "head", line) for line in self.instructions)  # every jump: same cost
        return "\n".join(["head:", *lines, ""])


def llvm_tool(name: str) -> str:
    """The newest version that is here; AbsentError if none is."""
    try:
        return tool(*(f"{name}-{version}" for version in LLVM_VERSIONS))
    except AbsentError as error:
        raise AbsentError(f"{name} of llvm {min(LLVM_VERSIONS)} or later is not installed") from error


def functions_of(kernel: Path) -> dict[str, list[tuple[int, str]]]:
    """Function -> its instructions with their addresses."""
    text = run([llvm_tool("llvm-objdump"), "--disassemble", "--no-show-raw-insn", FEATURES, str(kernel)])
    found: dict[str, list[tuple[int, str]]] = {}
    code: list[tuple[int, str]] = []
    for line in text.splitlines():
        if title := re.match(r"[0-9a-f]+ <(.+)>:", line):
            code = found.setdefault(title[1], [])
        elif instruction := re.match(r"\s*([0-9a-f]+):\s+(.*)", line):
            code.append((int(instruction[1], 16), instruction[2].partition("//")[0].strip()))
    return found


def loop_in(functions: Sequence[Sequence[tuple[int, str]]]) -> Loop:
    """The innermost loop that reads most weights, of the first of these functions that has one.

    A loop in one piece is preferred: where there is none, jumps ahead are taken as not taken.
    """
    for code in functions:
        for jumps_ahead in (False, True):
            best = max(loops_in(code, jumps_ahead), key=lambda loop: loop.weight_bytes, default=Loop(()))
            if best.weight_bytes:
                return best
    return Loop(())


def loops_in(code: Sequence[tuple[int, str]], jumps_ahead: bool) -> list[Loop]:
    """Instructions from where a jump goes back to, up to that jump; between them no call, and no other jump back."""
    found: list[Loop] = []
    begin = 0  # behind the last instruction that no loop may hold
    for end, (here, instruction) in enumerate(code):
        if not re.match(r"(b|bl|blr|br|ret|b\.\w+|cbn?z|tbn?z)\b", instruction):
            continue
        target = re.search(r"0x([0-9a-f]+) <", instruction)
        to = int(target[1], 16) if target else None
        if to is not None and code[begin][0] <= to <= here:
            found.append(Loop(tuple(text for address, text in code[begin : end + 1] if address >= to)))
        if not (jumps_ahead and to is not None and to > here and instruction.startswith(("b.", "cb", "tb"))):
            begin = min(end + 1, len(code) - 1)
    return found


def cycles_of(loop: Loop, core: Core) -> float:
    """Cycles of one pass; no fewer than decoding takes."""
    return max(modelled_cycles(loop, core.model, core.options), core.decoding(loop))


def modelled_cycles(loop: Loop, model: str, options: tuple[str, ...] = ()) -> float:
    """Cycles of one pass, by llvm-mca."""
    settings = ["-mtriple=aarch64", f"-mcpu={model}", FEATURES, f"-iterations={PASSES}", *options]
    command = [llvm_tool("llvm-mca"), *settings, "-json"]
    done = subprocess.run(command, input=loop.assembly(), capture_output=True, text=True, check=False)
    if done.returncode:
        raise RuntimeError(f"{' '.join(command)}\n{done.stderr}")
    (region,) = json.loads(done.stdout)["CodeRegions"]
    cycles: float = region["SummaryView"]["TotalCycles"] / PASSES
    return cycles


def measure(folder: Path) -> dict[str, Any]:
    """Part of the library -> core -> format -> what was found; of several frames, core -> format -> instruction."""
    build = cross.library(folder)
    parts: dict[str, Any] = {}
    for part, functions in PARTS.items():
        loops = loops_of(part, build, functions)
        parts[part] = {
            core.title: {form: facts_of(loop, core) for form, loop in loops.items()}
            for core in CORES
            if all(loop.counts.keys() <= core.work.keys() for loop in loops.values())  # it has the instructions
        }
    version = run([llvm_tool("llvm-mca"), "--version"])
    llvm = re.findall(r"LLVM version ([\d.]+)", version)[0]
    return {"llvm": llvm, "parts": parts, "several": several_frames(build)}


def several_frames(build: Path) -> dict[str, Any]:
    """Core with SMMLA -> format -> instruction: what several frames take."""
    loops = {name: loops_of(part, build, SEVERAL) for name, part in SEVERAL_PARTS.items()}
    return {
        core: {form: {name: throughput(of[form], model) for name, of in loops.items()} for form in SEVERAL}
        for core, model in MATRIX_CORES.items()
    }


def throughput(loop: Loop, model: str) -> dict[str, Any]:
    """Numbers of a pass: how many products of two bytes, and how many a cycle."""
    cycles = modelled_cycles(loop, model)
    return {
        "instructions": len(loop.instructions),
        "products": loop.products,
        "cycles": rounded(cycles),
        "products_per_cycle": rounded(loop.products / cycles),
    }


def loops_of(part: str, build: Path, functions: dict[str, tuple[str, ...]]) -> dict[str, Loop]:
    """Format -> its loop; ValueError if one is not found."""
    found = functions_of(cross.object_file(part, build))
    loops = {form: loop_in([found.get(name, []) for name in names]) for form, names in functions.items()}
    without = [form for form, loop in loops.items() if not loop.weight_bytes]
    if without:
        raise ValueError(f"{part}: no loop that reads weights for {', '.join(without)}: is a function renamed?")
    return loops


def facts_of(loop: Loop, core: Core) -> dict[str, Any]:
    """Numbers of a pass, and shares of the limits."""
    cycles = cycles_of(loop, core)
    limits = core.limits(loop)
    return {
        "instructions": len(loop.instructions),
        "weight_bytes": loop.weight_bytes,
        "cycles": rounded(cycles),
        "limits": {name: rounded(least) for name, least in limits.items()},
        "shares": {name: rounded(least / cycles) for name, least in limits.items()},
    }


def missed(results: dict[str, Any]) -> list[str]:
    """Targets that int8 weights do not reach, as sentences."""
    found = []
    for (core, part), (limit, least) in TARGETS.items():
        for form in ("int8 x int8", "int8 x int16"):
            share = results["parts"][part][core][form]["shares"][limit]
            if share < least:
                found.append(f"{core}, {part}, {form}: {share:.0%} of the limit of {limit}, not {least:.0%}")
    return found


def main() -> int:
    """Command line: the exit status is the verdict."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--output", type=Path, default=RESULTS / "arm-loops.json", metavar="FILE.json")
    parser.add_argument("--folder", type=Path, help="keep the library here for the next run; default: nowhere")
    options = parser.parse_args()
    date = datetime.now(timezone.utc).strftime("%Y-%m-%d %H:%M UTC")
    with tempfile.TemporaryDirectory() as temporary:
        try:
            results = measure(options.folder or Path(temporary))
        except AbsentError as reason:
            print(f"loops: {reason}", file=sys.stderr)
            return 2
        write_json(options.output, cross.document("arm.loops", date) | {"results": results})
    from benchmarks.arm.page import loops_section  # it knows this module

    print(loops_section(json.loads(options.output.read_text(encoding="utf-8"))))
    for sentence in missed(results):
        print(f"loops: {sentence}", file=sys.stderr)
    return 1 if missed(results) else 0


if __name__ == "__main__":
    sys.exit(main())
