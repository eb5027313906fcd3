"""C programs of the benchmarks: the library as CMake builds it, and programs linked with it."""

from __future__ import annotations

import ctypes
import os
import re
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


def library(folder: Path, *, shared: bool = False) -> Path:
    """The static library, or the shared one, with all kernels, built by CMake as a release.

    Built anew in a folder that has it already costs nothing where no source has changed.
    """
    build = folder / ("shared-library" if shared else "library")
    command, *flags = compiler()
    options = ["-DCMAKE_BUILD_TYPE=Release", f"-DCMAKE_C_COMPILER={command}", f"-DCMAKE_C_FLAGS={' '.join(flags)}"]
    options.append(f"-DBUILD_SHARED_LIBS={'ON' if shared else 'OFF'}")
    cmake = tool("cmake")
    run([cmake, "-S", str(ROOT), "-B", str(build), *options])
    run([cmake, "--build", str(build), "--target", "grulet_core", "--config", "Release", "--parallel", "2"])
    suffixes = (".so", ".dylib", ".dll") if shared else (".a", ".lib")
    return next(path for path in build.rglob("*grulet.*") if path.suffix in suffixes)


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


def loaded(name: str, folder: Path) -> ctypes.CDLL:
    """``benchmarks/NAME.c`` by itself, in this process."""
    shared = folder / f"{name}.so"
    run([*compiler(), "-std=c99", "-O2", "-fPIC", "-shared", str(SOURCES / f"{name}.c"), "-o", str(shared)])
    return ctypes.CDLL(str(shared))


def native_flags() -> list[str]:
    """For every instruction that this CPU has."""
    x86 = os.uname().machine in ("x86_64", "i686") if hasattr(os, "uname") else True
    return ["-std=c99", "-O3", "-march=native" if x86 else "-mcpu=native", "-ffp-contract=off"]


def kernel_files(isa: str) -> tuple[Path, Path]:
    """The two halves of a kernel, its floats and its products, as grulet_cpu.c puts them together."""
    kernels = (ROOT / "c_src" / "grulet_cpu.c").read_text(encoding="utf-8")
    (names,) = re.findall(rf'\{{"{isa}", \w+, &(\w+), &(\w+)\}}', kernels)
    floats, products = (next((ROOT / "c_src").glob(f"*/{name}.c")) for name in names)
    return floats, products


def kernel_program(name: str, part: str, isa: str, folder: Path) -> Path:
    """``benchmarks/NAME.c``, linked with the library and with ``benchmarks/PART.c``, which includes the kernel ``isa``.

    The kernel's tables get other names there, so that the library's own stay the library's.
    """
    program = folder / name
    floats, products = kernel_files(isa)
    include = ["-I", str(ROOT / "c_src"), "-I", str(SOURCES)]
    kernel_flags = [f'-D{part.upper()}_FLOATS="{floats}"', f'-D{part.upper()}_PRODUCTS="{products}"']
    kernel_flags += [f"-D{path.stem}={part}_{path.stem}" for path in (floats, products)]
    files = [str(SOURCES / f"{part}.c"), str(SOURCES / f"{name}.c"), str(library(folder))]
    run([*compiler(), *native_flags(), *include, *kernel_flags, *files, "-o", str(program)])
    return program
