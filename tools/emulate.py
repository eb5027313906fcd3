"""The same bits on every CPU, under emulation: `python tools/emulate.py`.

Cross-compiles the C tests for every target below, runs `selftest` there (golden vectors, then random models made on
the spot), `contract` and `gates`, and prints one table: a line for each kernel on each CPU, with how many of its
outputs have the bits of the numpy oracle and one hash of all outputs of the golden vectors.  What cannot run here is a
line that says why.  `--vectors` prints the hash of every golden vector as well.

Linux targets run under qemu-user, Cortex-M ones on qemu's boards (tests/c/cortex_m), WebAssembly in node.  Exit status
1 if a hash differs, a test fails, or other kernels ran than the CPU has; 2 if a tool is missing (0 with
--allow-missing).
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import shutil
import subprocess
import sys
import time
import zlib
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
VECTORS, HOSTILE = ROOT / "tests" / "vectors", ROOT / "tests" / "hostile"
SMALL = 32768  # bytes of the largest random model that an emulated board runs: each takes it seconds
PROGRAMS = ("selftest", "contract", "gates")
NATIVE_KERNELS = {
    "x86_64": ("avx512vnni", "avxvnni", "avx2", "generic"),
    "aarch64": ("i8mm", "dotprod", "neon", "generic"),
}


@dataclass(frozen=True)
class Target:
    """One CPU.  ``cpu`` is what qemu-user calls it; ``kernels`` are those that must run there, and no others may."""

    name: str
    toolchain: str | None = None  # cmake/<toolchain>.cmake; None: this machine, where those kernels may run
    cpu: str = ""
    kernels: tuple[str, ...] = ("generic",)
    needs: tuple[str, ...] = ()
    options: tuple[str, ...] = ()  # of CMake
    board: bool = False
    architecture: str = ""  # what the linker must have noted of all code in the program; "": not asked
    programs: tuple[str, ...] = PROGRAMS

    @property
    def folder(self) -> str:
        """Where it is built; targets that differ only in ``cpu`` share a build."""
        return "-".join([self.toolchain or "native", *(option.replace("=", "-") for option in self.options)])


def linux(name: str, system: str, cpu: str, *kernels: str) -> Target:
    """Return a target for qemu-user; ``system`` is the toolchain's, whose compiler Debian calls by the same name."""
    emulator = {"aarch64": "qemu-aarch64", "riscv64": "qemu-riscv64"}.get(system.partition("-")[0], "qemu-arm")
    compiler = system.replace("armv6", "arm") + "-gcc"
    return Target(name, system, cpu, (*kernels, "generic"), (compiler, emulator))


def cortex_m(cortex: str, name: str, *kernels: str, architecture: str = "") -> Target:
    """Return a target for one of qemu's boards."""
    needs = ("arm-none-eabi-gcc", "arm-none-eabi-readelf", "qemu-system-arm")
    options = (f"GRULET_CORTEX={cortex}",)
    return Target(name, "arm-none-eabi", "", (*kernels, "generic"), needs, options, True, architecture)


A64, A32, A32_V6 = "aarch64-linux-gnu", "arm-linux-gnueabihf", "armv6-linux-gnueabi"
S390X = "s390x-linux-gnu"
HOST = platform.machine()
TARGETS = (
    Target(f"this machine, {HOST}", kernels=NATIVE_KERNELS.get(HOST, ("generic",))),
    Target("its AVX-512 as AVX-VNNI", kernels=("avxvnni",), options=("GRULET_AVXVNNI_AS_AVX512=ON",)),
    linux("64-bit Cortex-A53", A64, "cortex-a53", "neon"),
    linux("64-bit Cortex-A76", A64, "cortex-a76", "dotprod", "neon"),
    linux("64-bit ARM, all extensions", A64, "max", "i8mm", "dotprod", "neon"),
    linux("32-bit Cortex-A7", A32, "cortex-a7", "armv7neon", "dsp"),
    linux("32-bit ARM, all extensions", A32, "max", "armv7neon", "dsp"),
    linux("ARMv6 with VFP (ARM1176)", A32_V6, "arm1176", "dsp"),
    linux("64-bit RISC-V", "riscv64-linux-gnu", "rv64"),
    cortex_m("m0plus", "Cortex-M0+ code (on an M3)", architecture="v6S-M"),
    cortex_m("m4", "Cortex-M4F", "dsp"),
    cortex_m("m7", "Cortex-M7", "dsp"),
    cortex_m("m33", "Cortex-M33", "dsp"),
    cortex_m("m55", "Cortex-M55", "helium", "dsp"),
    Target("WebAssembly in node", "wasm32-wasi", "", ("simd128", "generic"), ("clang", "wasm-ld", "node")),
    Target(
        "big-endian (IBM Z)", "s390x-linux-gnu", "", (), ("s390x-linux-gnu-gcc", "qemu-s390x"), programs=("big_endian",)
    ),
)


@dataclass
class Outcome:
    """What a target's programs said: (vector, kernel) -> hash, kernels in the order in which they ran, problems."""

    hashes: dict[tuple[str, str], str] = field(default_factory=dict)
    kernels: list[str] = field(default_factory=list)
    problems: list[str] = field(default_factory=list)
    refusal: str = ""  # what a big-endian CPU's program said


def run(command: list[str], cpu: str = "") -> subprocess.CompletedProcess[str]:
    """Run a program; a failing build or test is for the caller to report."""
    env = {**os.environ, "QEMU_CPU": cpu} if cpu else None
    return subprocess.run(
        command, env=env, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, errors="replace", check=False
    )


def oracle(folder: Path) -> dict[str, str]:
    """Return vector -> hash from a folder's index."""
    lines = [line.split() for line in (folder / "index.txt").read_text().splitlines()]
    return {name: crc for name, _, crc in lines}


def make_random(folder: Path, small: Path) -> None:
    """Draw random models, and copy those that an emulated board runs into a folder of their own."""
    made = run([sys.executable, str(ROOT / "tests" / "random_vectors.py"), str(folder)])
    if made.returncode:
        sys.exit(made.stdout)
    small.mkdir(exist_ok=True)
    lines = (folder / "index.txt").read_text().splitlines(keepends=True)
    fitting = [line for line in lines if (folder / f"{line.split()[0]}.grulet").stat().st_size <= SMALL]
    for line in fitting:
        for suffix in ("grulet", "input.f32", "output.f32"):
            shutil.copy(folder / f"{line.split()[0]}.{suffix}", small)
    (small / "index.txt").write_text("".join(fitting))


def build(target: Target, folder: Path) -> dict[str, list[str]]:
    """Build the tests; return the command that runs each one, the emulator included."""
    options = ["GRULET_BUILD_TESTS=ON", "GRULET_WERROR=ON", *target.options]
    if target.toolchain:
        options.append(f"CMAKE_TOOLCHAIN_FILE={ROOT / 'cmake' / target.toolchain}.cmake")
    configure = ["cmake", "-S", str(ROOT), "-B", str(folder), *(f"-D{option}" for option in options)]
    compile_tests = ["cmake", "--build", str(folder), "--target", *(f"grulet_{name}" for name in target.programs)]
    for command in (configure, compile_tests):
        done = run(command)
        if done.returncode:
            sys.exit(f"{done.stdout}\nemulate: cannot build the tests for {target.name}")
    listed = json.loads(run(["ctest", "--test-dir", str(folder), "--show-only=json-v1"]).stdout)
    return {test["name"]: test["command"] for test in listed["tests"] if "command" in test}


def selftest(target: Target, command: list[str], arguments: list[str], outcome: Outcome) -> None:
    """Run selftest on a folder of vectors and note what it says that it computed."""
    done = run([*command[:-1], *arguments], target.cpu)
    if done.returncode:
        outcome.problems.append(f"{target.name}: selftest {' '.join(arguments)} failed:\n{done.stdout}")
    known = oracle(Path(arguments[0]))
    words = [line.split() for line in done.stdout.splitlines()]
    hashes = {(line[0], line[1]): line[2] for line in words if len(line) == 3 and line[0] in known}
    outcome.hashes |= hashes
    outcome.kernels = list(dict.fromkeys(kernel for _, kernel in hashes)) or outcome.kernels


def other_test(target: Target, name: str, command: list[str], outcome: Outcome) -> None:
    """Run a test that has no hashes."""
    done = run(command, target.cpu)
    if done.returncode:
        outcome.problems.append(f"{target.name}: {name} failed:\n{done.stdout}")
    elif name == "big_endian":
        outcome.refusal = done.stdout.splitlines()[0]


def check_architecture(target: Target, program: str, outcome: Outcome) -> None:
    """The linker merges what the compiler and the assembler noted of all objects, newlib's included: the CPU needed."""
    noted = run(["arm-none-eabi-readelf", "--arch-specific", program]).stdout
    if f"Tag_CPU_arch: {target.architecture}\n" not in noted:
        outcome.problems.append(f"{target.name}: {program} needs more than {target.architecture}:\n{noted}")


def run_all(targets: list[Target], folder: Path, workers: int) -> dict[str, Outcome]:
    """Build and run everything, `workers` programs at a time; return each target's outcome."""
    random, small = folder / "random", folder / "random-small"
    outcomes = {target.name: Outcome() for target in targets}
    with ThreadPoolExecutor(workers) as pool:
        drawn = pool.submit(make_random, random, small)
        one_each = {target.folder: target for target in targets}
        builds = {name: pool.submit(build, target, folder / name) for name, target in one_each.items()}
        drawn.result()
        commands = {name: built.result() for name, built in builds.items()}
        runs = []
        for target in sorted(targets, key=lambda target: not target.board):  # the longest first
            command, outcome = commands[target.folder], outcomes[target.name]
            if target.architecture:
                program = next(word for word in command["selftest"] if word.endswith(".elf"))
                check_architecture(target, program, outcome)
            for name in target.programs:
                if name == "selftest":
                    models = str(small if target.board else random)
                    for arguments in ([str(VECTORS)], [models, "at-one-address"]):
                        runs.append(pool.submit(selftest, target, command[name], arguments, outcome))
                else:
                    runs.append(pool.submit(other_test, target, name, command[name], outcome))
        for done in runs:
            done.result()
    return outcomes


def combined(hashes: list[str]) -> str:
    """Return one hash of many."""
    return f"{zlib.crc32(' '.join(hashes).encode()):08x}"


def equal(outcome: Outcome, kernel: str, expected: dict[str, str]) -> str:
    """Say how many vectors have the oracle's bits."""
    same = sum(outcome.hashes.get((vector, kernel)) == crc for vector, crc in expected.items())
    return f"{same} of {len(expected)} equal"


def lines_of(target: Target, outcome: Outcome, golden: dict[str, str], drawn: dict[str, str]) -> list[list[str]]:
    """Return a target's lines of the table and add to its problems what differs from the oracle."""
    if target.programs != PROGRAMS:
        said = f"refused, as it must be: {outcome.refusal}" if outcome.refusal else "NOT REFUSED"
        return [[target.name, "-", said]]
    native, others = target.toolchain is None, "FAILED" if outcome.problems else "ok"
    if not native and set(outcome.kernels) != set(target.kernels):
        ran = ", ".join(outcome.kernels) or "nothing"
        outcome.problems.append(f"{target.name}: {ran} ran, not {', '.join(target.kernels)}")
    lines = []
    for kernel in target.kernels:
        if native and kernel not in outcome.kernels:
            lines.append([target.name, kernel, "skipped: this machine has no such instructions"])
            continue
        for vector, crc in (golden | drawn).items():
            if (computed := outcome.hashes.get((vector, kernel), "nothing")) != crc:
                outcome.problems.append(f"{vector}: {target.name}, {kernel} gives {computed}, the oracle {crc}")
        code = combined([outcome.hashes.get((vector, kernel), "-") for vector in golden])
        same = [equal(outcome, kernel, vectors) for vectors in (golden, drawn)]
        lines.append([target.name, kernel, same[0], code, same[1], others])
    return lines


def print_columns(lines: list[list[str]]) -> None:
    """Print lines of cells; the last cell of a line may be of any length."""
    widths = [
        max((len(line[c]) for line in lines if c < len(line) - 1), default=0) for c in range(max(map(len, lines)))
    ]
    for line in lines:
        cells = [cell.ljust(width) for cell, width in zip(line[:-1], widths, strict=False)]
        print("  ".join([*cells, line[-1]]))


def print_vectors(lines: list[list[str]], outcomes: dict[str, Outcome], golden: dict[str, str]) -> None:
    """Print the hash of every golden vector; columns are the kernels of the table, counted from 1."""
    numbered = [(number, name, kernel) for number, (name, kernel, *_) in enumerate(lines, 1)]
    ran = [line for line in numbered if line[1] in outcomes and line[2] in outcomes[line[1]].kernels]
    grid = [["vector", "oracle", *(str(number) for number, _, _ in ran), ""]]
    for vector, crc in golden.items():
        grid.append([vector, crc, *(outcomes[name].hashes.get((vector, kernel), "-") for _, name, kernel in ran), ""])
    print_columns(grid)


def main() -> int:
    """Build, run, compare, print."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--build", type=Path, default=ROOT / "build" / "emulation", help="folder for the builds")
    parser.add_argument("--allow-missing", action="store_true", help="a missing tool is no failure")
    parser.add_argument("--vectors", action="store_true", help="also print the hash of every golden vector")
    parser.add_argument("--jobs", type=int, default=os.cpu_count() or 1, help="programs that run at a time")
    options = parser.parse_args()
    folder, begin = options.build.resolve(), time.monotonic()
    folder.mkdir(parents=True, exist_ok=True)
    lacking = {
        target.name: [tool for tool in ("cmake", *target.needs) if shutil.which(tool) is None] for target in TARGETS
    }
    outcomes = run_all([target for target in TARGETS if not lacking[target.name]], folder, max(1, options.jobs))

    golden, drawn, small = oracle(VECTORS), oracle(folder / "random"), oracle(folder / "random-small")
    lines: list[list[str]] = []
    for target in TARGETS:
        if lacking[target.name]:
            lines.append([target.name, ", ".join(target.kernels), f"skipped: needs {', '.join(lacking[target.name])}"])
        else:
            lines += lines_of(target, outcomes[target.name], golden, small if target.board else drawn)
    head = ["", "CPU", "kernel", "golden vectors", "hash", "random models", "contract, gates"]
    first = ["", "numpy oracle", "", str(len(golden)), combined([*golden.values()]), str(len(drawn)), ""]
    print_columns([head, first, *([str(number), *line] for number, line in enumerate(lines, 1))])
    if options.vectors:
        print_vectors(lines, outcomes, golden)
    problems = [problem for outcome in outcomes.values() for problem in outcome.problems]
    for problem in problems:
        print(problem)
    if problems:
        return 1
    print(f"all equal ({time.monotonic() - begin:.0f} s)")
    return 2 if any(lacking.values()) and not options.allow_missing else 0


if __name__ == "__main__":
    sys.exit(main())
