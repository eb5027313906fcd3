"""The code of docs/embedding.md: all of it compiles, what is a program runs, its figures are the library's."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from grulet.__main__ import main
from grulet.kernel import KernelModel, KernelVoices

ROOT = Path(__file__).resolve().parents[1]
C_SRC = ROOT / "c_src"
PAGE = ROOT / "docs" / "embedding.md"
DIGITS = ROOT / "examples" / "spoken_digits" / "digits.grulet"
INCLUDES = [f"-I{C_SRC}", f"-I{ROOT / 'tests' / 'packages' / 'freertos'}"]
WARNINGS = ["-Wall", "-Wextra", "-pedantic", "-Werror"]
LANGUAGES = {"c": ["cc", "-std=c11"], "cpp": ["c++", "-std=c++17"]}


def blocks(language: str) -> list[str]:
    """The fenced blocks of a language."""
    return re.findall(rf"```{language}\n(.*?)```", PAGE.read_text(), re.DOTALL)


def run(*command: str | Path, folder: Path) -> str:
    """Run a command that must succeed; return what it says."""
    done = subprocess.run(list(map(str, command)), cwd=folder, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.fixture(scope="module")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The digits model as a bundle, whose model.h the page's programs include."""
    folder = tmp_path_factory.mktemp("page") / "bundle"
    assert main(["bundle", str(DIGITS), "-o", str(folder)]) == 0
    return folder


@pytest.mark.parametrize(("language", "number"), [(name, i) for name in LANGUAGES for i in range(len(blocks(name)))])
def test_compiles(language: str, number: int, tmp_path: Path, bundle: Path) -> None:
    """Each block is a source file that compiles without a warning; a complete program runs on the digits model."""
    compiler, *flags = LANGUAGES[language]
    if shutil.which(compiler) is None:
        pytest.skip(f"not installed: {compiler}")
    source = tmp_path / f"block.{language}"
    source.write_text(blocks(language)[number])
    (tmp_path / "net.grulet").symlink_to(DIGITS)
    command = [compiler, *flags, *WARNINGS, *INCLUDES, f"-I{bundle}", source]
    if "int main(" not in source.read_text():
        run(*command, "-c", folder=tmp_path)
        return
    library = [*C_SRC.glob("*.c"), *C_SRC.glob("generic/*.c")]
    run(*command, "-ffp-contract=off", *library, "-o", "program", folder=tmp_path)
    assert run("./program", folder=tmp_path) == "no error\n"


def test_arduino_sketch_compiles_for_a_board(tmp_path: Path, bundle: Path) -> None:
    """The .ino as C++, the bundle's files as C, with the flags of Arduino's boards with a Cortex-M4."""
    if shutil.which("arm-none-eabi-g++") is None:
        pytest.skip("not installed: arm-none-eabi-g++")
    board = ["-mcpu=cortex-m4", "-mthumb", "-mfloat-abi=hard", "-mfpu=fpv4-sp-d16", "-Os", "-ffunction-sections"]
    (sketch,) = (block for block in blocks("cpp") if "void setup()" in block)
    (tmp_path / "sketch.cpp").write_text(sketch)
    flags = [*board, "-std=gnu++11", "-fno-exceptions", "-fno-rtti", f"-I{bundle}"]
    run("arm-none-eabi-g++", *flags, "-c", "sketch.cpp", folder=tmp_path)
    for name in ("grulet.c", "model.c"):
        run("arm-none-eabi-gcc", *board, "-std=gnu11", "-c", bundle / name, folder=tmp_path)
    symbols = run("arm-none-eabi-nm", "sketch.o", "grulet.o", "model.o", folder=tmp_path)
    undefined = set(re.findall(r" U (\w+)", symbols)) - set(re.findall(r" [TRD] (\w+)", symbols))
    assert {name for name in undefined if not name.startswith("__")} == {"memcpy", "memset"}


def test_python_runs() -> None:
    """The formula gives what the page says that it gives, and the library says the same."""
    (code,) = blocks("python")
    (shown,) = re.findall(r"# -> (.*)", code)
    assert run(sys.executable, "-c", code, folder=ROOT).strip() == shown
    assert KernelVoices(KernelModel(DIGITS.read_bytes()), 1, 1).voice_bytes == int(shown.split()[0])


def test_cmake_is_what_the_projects_of_the_tests_hold() -> None:
    """tests/test_packages.py builds and runs them."""
    projects = [path.read_text() for path in sorted((ROOT / "tests" / "packages").glob("f*/CMakeLists.txt"))]
    assert len(blocks("cmake")) == len(projects) == 2
    for block in blocks("cmake"):
        assert any(all(line in project.splitlines() for line in block.splitlines()) for project in projects), block


def test_links_are_alive() -> None:
    """Every file that the page links or names in the repository is there."""
    text = PAGE.read_text()
    links = re.findall(r"\]\(([^)#:]+)\)", text)
    named = re.findall(r"`((?:tests|zephyr|c_src|examples)/[\w/.]+)`", text)
    assert len(links) > 2
    assert len(named) > 1
    assert all((PAGE.parent / link).exists() for link in links), links
    assert all((ROOT / name).exists() for name in named), named
