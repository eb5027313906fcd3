"""The same bits on every CPU, under emulation: `python tools/emulate.py`.

Cross-compiles the C tests for every target below, runs `selftest` (golden vectors, then random models made on the spot)
and `gates` there, and prints one table: a hash of the outputs that each kernel computed, beside the numpy oracle's.
Exit status 1 if a hash differs, a test fails, or other kernels ran than the CPU has; 2 if a tool is missing (0 with
--allow-missing).
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import subprocess
import sys
import zlib
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
VECTORS = ROOT / "tests" / "vectors"
HASHES = dict[tuple[str, str], str]  # vector, kernel -> hash


@dataclass(frozen=True)
class Target:
    """One CPU.  ``cpu`` is what qemu calls it; ``kernels`` are those that must run there, and no others may."""

    name: str
    toolchain: str | None = None  # cmake/<toolchain>.cmake; None: this machine, where any kernel may run
    cpu: str = ""
    kernels: tuple[str, ...] = ()
    needs: tuple[str, ...] = ()
    options: tuple[str, ...] = ()  # of CMake

    @property
    def folder(self) -> str:
        """Where it is built; targets that differ only in ``cpu`` share a build."""
        return "-".join([self.toolchain or "native", *(option.partition("=")[0] for option in self.options)])


A64, A64_NEEDS = "aarch64-linux-gnu", ("aarch64-linux-gnu-gcc", "qemu-aarch64")
A32, A32_NEEDS = "arm-linux-gnueabihf", ("arm-linux-gnueabihf-gcc", "qemu-arm")
WASM, WASM_NEEDS = "wasm32-wasi", ("clang", "wasm-ld", "node")

TARGETS = (
    Target("this machine"),
    Target("its AVX-512 as AVX-VNNI", options=("GRULET_AVXVNNI_AS_AVX512=ON",)),
    Target("64-bit Cortex-A53", A64, "cortex-a53", ("neon", "generic"), A64_NEEDS),
    Target("64-bit ARM, all extensions", A64, "max", ("dotprod", "neon", "generic"), A64_NEEDS),
    Target("32-bit Cortex-A7", A32, "cortex-a7", ("armv7neon", "generic"), A32_NEEDS),
    Target("32-bit ARM, all extensions", A32, "max", ("armv7neon", "generic"), A32_NEEDS),
    Target("WebAssembly in node", WASM, "", ("simd128", "generic"), WASM_NEEDS),
)


def run(command: list[str], cpu: str = "") -> subprocess.CompletedProcess[str]:
    """Run a program; a failing build or test is for the caller to report."""
    env = {**os.environ, "QEMU_CPU": cpu} if cpu else None
    return subprocess.run(command, env=env, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False)


def build(target: Target, folder: Path) -> dict[str, list[str]]:
    """Build the tests; return the command that runs each one, the emulator included."""
    options = ["GRULET_BUILD_TESTS=ON", "GRULET_WERROR=ON", *target.options]
    if target.toolchain:
        options.append(f"CMAKE_TOOLCHAIN_FILE={ROOT / 'cmake' / target.toolchain}.cmake")
    configure = ["cmake", "-S", str(ROOT), "-B", str(folder), *(f"-D{option}" for option in options)]
    compile_tests = ["cmake", "--build", str(folder), "--target", "grulet_selftest", "grulet_gates"]
    for command in (configure, compile_tests):
        done = run(command)
        if done.returncode:
            sys.exit(f"{done.stdout}\nemulate: cannot build the tests for {target.name}")
    listed = json.loads(run(["ctest", "--test-dir", str(folder), "--show-only=json-v1"]).stdout)
    return {test["name"]: test["command"] for test in listed["tests"] if "command" in test}


def oracle(folder: Path) -> dict[str, str]:
    """Return vector -> hash from a folder's index."""
    lines = [line.split() for line in (folder / "index.txt").read_text().splitlines()]
    return {name: crc for name, _, crc in lines}


def selftest(command: list[str], cpu: str, folder: Path, problems: list[str], where: str) -> HASHES:
    """Run selftest on a folder of vectors; return what it says that it computed."""
    done = run([*command[:-1], str(folder)], cpu)
    if done.returncode:
        problems.append(f"{where}: selftest of {folder.name} failed:\n{done.stdout}")
    words = [line.split() for line in done.stdout.splitlines()]
    known = oracle(folder)
    return {(line[0], line[1]): line[2] for line in words if len(line) == 3 and line[0] in known}


def compare(where: str, kernels: list[str], hashes: HASHES, expected: dict[str, str], problems: list[str]) -> None:
    """Name every cell that differs from the oracle."""
    for vector, crc in expected.items():
        for kernel in kernels:
            if (computed := hashes.get((vector, kernel), "nothing")) != crc:
                problems.append(f"{vector}: {where}, {kernel} gives {computed}, the oracle {crc}")


def combined(hashes: list[str]) -> str:
    """Return one hash of many."""
    return f"{zlib.crc32(' '.join(hashes).encode()):08x}"


def print_table(columns: dict[str, dict[str, list[str]]], rows: list[str]) -> None:
    """Print columns, target -> kernel -> cells, under two lines of heading."""
    first = max(map(len, rows)) + 2
    heads, kernels, lines = " " * first, " " * first, [row.ljust(first) for row in rows]
    for target, by_kernel in columns.items():
        width = max(12, -(-(len(target) + 2) // len(by_kernel)))
        heads += target.ljust(width * len(by_kernel))
        for kernel, cells in by_kernel.items():
            kernels += kernel.ljust(width)
            lines = [line + cell.ljust(width) for line, cell in zip(lines, cells, strict=True)]
    print("\n".join(line.rstrip() for line in [heads, kernels, *lines]))


def main() -> int:
    """Build, run, compare, print."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--build", type=Path, default=ROOT / "build" / "emulation", help="folder for the builds")
    parser.add_argument("--allow-missing", action="store_true", help="a missing tool is no failure")
    options = parser.parse_args()
    random = options.build.resolve() / "random"
    made = run([sys.executable, str(ROOT / "tests" / "random_vectors.py"), str(random)])
    if made.returncode:
        sys.exit(made.stdout)
    golden, drawn = oracle(VECTORS), oracle(random)

    problems: list[str] = []
    missing: list[str] = []
    columns = {"": {"oracle": [*golden.values(), combined([*drawn.values()])]}}
    for target in TARGETS:
        lacking = [tool for tool in ("cmake", *target.needs) if shutil.which(tool) is None]
        if lacking:
            missing.append(f"{target.name}: skipped: needs {', '.join(lacking)}")
            continue
        commands = build(target, options.build.resolve() / target.folder)
        hashes = selftest(commands["selftest"], target.cpu, VECTORS, problems, target.name)
        hashes |= selftest(commands["selftest"], target.cpu, random, problems, target.name)
        kernels = list(dict.fromkeys(kernel for _, kernel in hashes)) or ["none"]
        if target.kernels and set(kernels) != set(target.kernels):
            problems.append(f"{target.name}: {', '.join(kernels)} ran, not {', '.join(target.kernels)}")
        compare(target.name, kernels, hashes, golden | drawn, problems)
        gates = run(commands["gates"], target.cpu)
        if gates.returncode:
            problems.append(f"{target.name}: gates failed:\n{gates.stdout}")
        columns[target.name] = {
            kernel: [
                *(hashes.get((vector, kernel), "-") for vector in golden),
                combined([hashes.get((vector, kernel), "-") for vector in drawn]),
            ]
            for kernel in kernels
        }
    print_table(columns, [*golden, f"{len(drawn)} random models"])
    for line in [*missing, *problems]:
        print(line)
    if problems:
        return 1
    print("all equal")
    return 2 if missing and not options.allow_missing else 0


if __name__ == "__main__":
    sys.exit(main())
