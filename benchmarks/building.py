"""C programs of the benchmarks: the library as CMake builds it, and programs linked with it."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

from benchmarks.common import ROOT, AbsentError

SOURCES = ROOT / "benchmarks"


def run(command: list[str], folder: Path | None = None) -> str:
    """What a command prints; its complaint as an exception."""
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, errors="replace", check=False)
    if done.returncode != 0:
        raise RuntimeError(f"{' '.join(command)}\nexit status {done.returncode}\n{done.stdout}{done.stderr}")
    return done.stdout


def tool(*names: str) -> str:
    """The first of these programs that is here; beside Python is a place to look too (pip puts programs there)."""
    for name in names:
        found = shutil.which(name) or shutil.which(name, path=str(Path(sys.executable).parent))
        if found:
            return found
    raise AbsentError(f"{' or '.join(names)} is not installed")


def compiler() -> list[str]:
    """The C compiler's command: $CC, or the system's own."""
    return os.environ["CC"].split() if os.environ.get("CC") else [tool("cc", "gcc", "clang")]


def compiler_version() -> str:
    """Name and version, as it says itself; the same by whatever name GCC is called."""
    first, *rest = run([*compiler(), "--version"]).splitlines()
    is_gcc = any("Free Software Foundation" in line for line in rest)
    return f"gcc {first.partition(' ')[2]}" if is_gcc else first


def library(folder: Path) -> Path:
    """The static library, with all kernels, built by CMake as a release.

    Built anew in a folder that has it already costs nothing where no source has changed.
    """
    build = folder / "library"
    command, *flags = compiler()
    options = ["-DCMAKE_BUILD_TYPE=Release", f"-DCMAKE_C_COMPILER={command}", f"-DCMAKE_C_FLAGS={' '.join(flags)}"]
    cmake = tool("cmake")
    run([cmake, "-S", str(ROOT), "-B", str(build), *options])
    run([cmake, "--build", str(build), "--target", "grulet_core", "--config", "Release", "--parallel", "2"])
    return next(path for path in build.rglob("*grulet_core*") if path.suffix in (".a", ".lib"))


def linked_program(name: str, folder: Path) -> Path:
    """``benchmarks/NAME.c``, linked with the library."""
    program = folder / name
    include = ["-I", str(ROOT / "c_src"), "-I", str(SOURCES)]
    flags = ["-std=c99", "-O2", *include]
    run([*compiler(), *flags, str(SOURCES / f"{name}.c"), str(library(folder)), "-o", str(program)])
    return program


def native_program(name: str, folder: Path) -> Path:
    """``benchmarks/NAME.c`` by itself, with every instruction that this CPU has."""
    program = folder / name
    run([*compiler(), *native_flags(), str(SOURCES / f"{name}.c"), "-o", str(program)])
    return program


def native_flags() -> list[str]:
    """For every instruction that this CPU has."""
    x86 = os.uname().machine in ("x86_64", "i686") if hasattr(os, "uname") else True
    return ["-std=c99", "-O3", "-march=native" if x86 else "-mcpu=native", "-ffp-contract=off"]


def kernel_program(name: str, part: str, isa: str, folder: Path) -> Path:
    """``benchmarks/NAME.c``, linked with the library and with ``benchmarks/PART.c``, which includes the kernel ``isa``.

    The kernel's table gets another name there, so that the library's own stays the library's.
    """
    program = folder / name
    kernel = next((ROOT / "c_src").glob(f"*/grulet_kernel_{isa}.c"))
    include = ["-I", str(ROOT / "c_src"), "-I", str(SOURCES)]
    kernel_flags = [f'-D{part.upper()}_KERNEL="{kernel}"', f"-Dgrulet_kernel_{isa}={part}_table"]
    files = [str(SOURCES / f"{part}.c"), str(SOURCES / f"{name}.c"), str(library(folder))]
    run([*compiler(), *native_flags(), *include, *kernel_flags, *files, "-o", str(program)])
    return program
