"""The library and its programs, cross-compiled for 64-bit ARM."""

from __future__ import annotations

import platform
from pathlib import Path

from benchmarks.building import SOURCES, run, tool
from benchmarks.common import ROOT, Document, facts

TOOLCHAIN = ROOT / "cmake" / "aarch64-linux-gnu.cmake"


def compiler() -> str:
    """The cross compiler's command; AbsentError if it is not here."""
    return tool("aarch64-linux-gnu-gcc")


def compiler_version() -> str:
    """Name and version."""
    return run([compiler(), "--version"]).splitlines()[0]


def library(folder: Path) -> Path:
    """The folder of the static library and its objects, with all kernels, built by CMake as a release."""
    compiler()
    build, cmake = folder / "library-arm64", tool("cmake")
    options = ["-DCMAKE_BUILD_TYPE=Release", f"-DCMAKE_TOOLCHAIN_FILE={TOOLCHAIN}"]
    run([cmake, "-S", str(ROOT), "-B", str(build), *options])
    run([cmake, "--build", str(build), "--target", "grulet_core", "--parallel", "2"])
    return build


def object_file(part: str, build: Path) -> Path:
    """``c_src/arm/grulet_PART.c``, compiled, in `library`'s folder."""
    (found,) = build.rglob(f"grulet_{part}.c.o")
    return found


def program(source: Path, folder: Path) -> Path:
    """A C program, linked with the library, statically: it needs no files of the emulated system."""
    (archive,) = library(folder).rglob("*.a")
    output = folder / f"{source.stem}-arm64"
    include = ["-I", str(ROOT / "c_src"), "-I", str(SOURCES)]
    flags = ["-std=c99", "-O2", "-static", *include]
    run([compiler(), *flags, str(source), str(archive), "-o", str(output)])
    return output


def document(benchmark: str, date: str) -> Document:
    """What a result begins with: where and when the counting was done, which decides nothing here but the tools."""
    return {
        "benchmark": benchmark,
        "date": date,
        "host": f"{platform.system()} {platform.machine()}",
        "grulet": facts()["grulet"],
        "compiler": compiler_version(),
    }
