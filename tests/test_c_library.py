"""The C library by itself: what it links to, what it keeps in memory, and its own tests."""

import os
import platform
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
C_SRC = ROOT / "c_src"
COMPILER = os.environ.get("CC") or shutil.which("cc") or shutil.which("gcc") or shutil.which("clang")
FOLDERS = {"x86_64": "x86", "amd64": "x86", "aarch64": "arm", "arm64": "arm"}  # of the other CPUs generic alone
FLAGS = {  # of files that need some
    "grulet_floats_avx2.c": ["-mavx2", "-mf16c"],
    "grulet_products_avx2.c": ["-mavx2"],
    "grulet_products_avxvnni.c": ["-mavx2", "-mavxvnni"],
    "grulet_floats_avx512.c": ["-mavx512f", "-mavx512bw", "-mavx512dq", "-mavx512vl"],
    "grulet_products_avx512vnni.c": ["-mavx512f", "-mavx512bw", "-mavx512dq", "-mavx512vl", "-mavx512vnni"],
    "grulet_products_dotprod.c": ["-march=armv8.2-a+dotprod"],
    "grulet_products_i8mm.c": ["-march=armv8.2-a+dotprod+i8mm"],
}

needs_compiler = pytest.mark.skipif(
    not COMPILER or not shutil.which("nm") or not sys.platform.startswith("linux"), reason="needs a C compiler and nm"
)


def sources() -> list[Path]:
    """The library's files for this machine."""
    files = [*C_SRC.glob("*.c"), *C_SRC.glob("generic/*.c")]
    if folder := FOLDERS.get(platform.machine().lower()):
        files += [path for path in C_SRC.glob(f"{folder}/*.c") if not re.search("armv7|dsp|helium", path.name)]
    return sorted(files)


def compiled(folder: Path, level: str) -> list[Path]:
    """Objects at absolute addresses, so that constant tables are constant to the linker too."""
    objects = []
    for source in sources():
        objects.append(folder / f"{source.stem}.o")
        flags = ["-std=c99", "-ffp-contract=off", "-fno-pic", level, f"-I{C_SRC}", *FLAGS.get(source.name, [])]
        subprocess.run([*str(COMPILER).split(), *flags, "-c", str(source), "-o", str(objects[-1])], check=True)
    return objects


def symbols(objects: list[Path]) -> dict[str, set[str]]:
    """Symbol type letter of nm -> names."""
    lines = subprocess.run(["nm", *map(str, objects)], capture_output=True, text=True, check=True).stdout.splitlines()
    found: dict[str, set[str]] = {}
    for line in lines:
        match = re.fullmatch(r"(?:[0-9a-f]+)? *(\w) (\S+)", line)
        if match:
            found.setdefault(match[1], set()).add(match[2])
    return found


@pytest.fixture(scope="module", params=["-O0", "-O2"])
def library(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> dict[str, set[str]]:
    """Symbols of the whole library, compiled without and with optimization."""
    return symbols(compiled(tmp_path_factory.mktemp("library"), request.param))


@needs_compiler
def test_needs_memcpy_and_memset_alone(library: dict[str, set[str]]) -> None:
    """Freestanding but for memcpy and memset: no malloc, no stdio, no libm, no errno, no threads.

    ARM CPUs do not tell programs what they have, so there Linux is asked: getauxval.
    """
    outside = library["U"] - library["T"] - library.get("R", set())
    helpers = {name for name in outside if name.startswith("__") or name == "_GLOBAL_OFFSET_TABLE_"}
    arm = FOLDERS.get(platform.machine()) == "arm"
    assert outside - helpers == {"memcpy", "memset"} | ({"getauxval"} if arm else set())


@needs_compiler
def test_one_global(library: dict[str, set[str]]) -> None:
    """All that the library writes to, outside the caller's memory, is the pointer to the chosen kernel."""
    writable = {re.sub(r"\.\d+$", "", name) for kind in "bBdDgGsScC" for name in library.get(kind, set())}
    assert writable == {"chosen"}


@needs_compiler
def test_names(library: dict[str, set[str]]) -> None:
    """A program that links the library gets no names but grulet's, and all that the header declares."""
    public = library["T"] | library.get("R", set())
    assert all(name.startswith("grulet_") for name in public)
    header = re.sub(r"/\*.*?\*/", "", (C_SRC / "grulet.h").read_text(), flags=re.DOTALL)
    declared = set(re.findall(r"\b(grulet_\w+)\(", header))
    assert len(declared) > 15
    assert declared <= library["T"]


@pytest.mark.skipif(not COMPILER or not shutil.which("cmake") or not shutil.which("ctest"), reason="needs CMake")
def test_c_tests(tmp_path: Path) -> None:
    """Golden vectors, contract, no allocation, gates and hostile files, from C (tests/c)."""
    options = ["-DGRULET_BUILD_TESTS=ON", "-DGRULET_WERROR=ON", "-DCMAKE_BUILD_TYPE=Release"]
    for command in (
        ["cmake", "-S", str(ROOT), "-B", str(tmp_path), *options],
        ["cmake", "--build", str(tmp_path), "--parallel", "2"],
        ["ctest", "--test-dir", str(tmp_path), "--output-on-failure"],
    ):
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stdout + done.stderr
    passed = done.stdout
    for name in ("selftest", "contract", "gates", "fuzz_open"):
        assert re.search(rf"{name} \.+ +Passed", passed), passed


@pytest.mark.skipif(
    platform.machine().lower() not in ("x86_64", "amd64") or not shutil.which("cmake") or not shutil.which("strip"),
    reason="the bound is that of x86; needs CMake and strip",
)
def test_shared_library_is_small(tmp_path: Path) -> None:
    """All x86 kernels, one shared library, stripped: at most 96 KB."""
    for command in (
        ["cmake", "-S", str(ROOT), "-B", str(tmp_path), "-DBUILD_SHARED_LIBS=ON", "-DCMAKE_BUILD_TYPE=Release"],
        ["cmake", "--build", str(tmp_path), "--parallel", "2"],
        ["strip", "-o", str(tmp_path / "stripped"), str(tmp_path / "libgrulet.so")],
    ):
        subprocess.run(command, check=True, capture_output=True)
    assert (tmp_path / "stripped").stat().st_size <= 96 * 1024
