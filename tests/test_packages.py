"""grulet as other projects get it: each way by a fresh project, in a folder of its own, which is built and run."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
C_SRC = ROOT / "c_src"
PROJECTS = ROOT / "tests" / "packages"
VECTOR = ROOT / "tests" / "vectors" / "int16_7_19"
LSTM = ROOT / "tests" / "vectors" / "lstm_int16_7_19_33"
CROSS = ("aarch64-linux-gnu-gcc", "aarch64-linux-gnu-g++", "qemu-aarch64")
FEWER_KERNELS = [f"GRULET_COMPILER_HAS_{isa}=OFF" for isa in ("avxvnni", "avx512vnni")]  # for the time they take
VERSION = re.findall(r'#define GRULET_VERSION "(.+)"', (C_SRC / "grulet.h").read_text())[0]


def needs(*tools: str) -> pytest.MarkDecorator:
    """Skip, with the reason, where a tool is missing."""
    missing = [tool for tool in tools if shutil.which(tool) is None]
    return pytest.mark.skipif(bool(missing), reason=f"not installed: {', '.join(missing)}")


def run(*command: str | Path, **environment: str) -> str:
    """Run a command that must succeed; return what it says."""
    done = subprocess.run(
        list(map(str, command)), env={**os.environ, **environment}, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, f"{' '.join(map(str, command))}\n{done.stdout}{done.stderr}"
    return done.stdout


def build(project: Path, folder: Path, *options: str, targets: tuple[str, ...] = ()) -> None:
    """Configure and build a CMake project."""
    run("cmake", "-S", project, "-B", folder, *(f"-D{option}" for option in options))
    run("cmake", "--build", folder, "--parallel", "2", *(("--target", *targets) if targets else ()))


def install(folder: Path, *options: str) -> Path:
    """Build grulet without optimization, for the time it takes; install it and move what was installed."""
    build(ROOT, folder / "build", "CMAKE_BUILD_TYPE=Debug", "CMAKE_INSTALL_LIBDIR=lib", *FEWER_KERNELS, *options)
    run("cmake", "--install", folder / "build", "--prefix", folder / "before")
    shutil.rmtree(folder / "build")
    return (folder / "before").rename(folder / "prefix")


def files_of(vector: Path) -> list[str]:
    """Model, frames and expected answers, as a golden program takes them."""
    return [f"{vector}.{suffix}" for suffix in ("grulet", "input.f32", "output.f32")]


def assert_same_bits(*program: str | Path, **environment: str) -> None:
    """A golden program computes the expected bits."""
    assert "the same bits" in run(*program, *files_of(VECTOR), **environment)


@pytest.fixture(scope="module")
def static(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where the static library is installed."""
    return install(tmp_path_factory.mktemp("static"))


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where the shared library is installed."""
    return install(tmp_path_factory.mktemp("shared"), "BUILD_SHARED_LIBS=ON")


@needs("cmake", "c++", "clang++")
@pytest.mark.parametrize(("kind", "compiler"), [("static", "c++"), ("shared", "clang++")])
def test_find_package(kind: str, compiler: str, tmp_path: Path, request: pytest.FixtureRequest) -> None:
    """A project in C, C++17, C++20 and C++17 without exceptions finds an installed grulet, links and runs."""
    options = [f"CMAKE_PREFIX_PATH={request.getfixturevalue(kind)}", f"CMAKE_CXX_COMPILER={compiler}"]
    build(PROJECTS / "find_package", tmp_path, *options)
    for program in ("golden_c", "golden_cpp17", "golden_cpp20", "golden_no_exceptions"):
        assert_same_bits(tmp_path / program)


@needs("cmake")
def test_a_version_that_is_not_there_is_not_found(static: Path, tmp_path: Path) -> None:
    """Before 1.0 another minor version is another interface."""
    (tmp_path / "CMakeLists.txt").write_text(
        "cmake_minimum_required(VERSION 3.20)\nproject(later LANGUAGES NONE)\nfind_package(grulet 0.99 REQUIRED)\n"
    )
    command = ["cmake", "-S", tmp_path, "-B", tmp_path / "build", f"-DCMAKE_PREFIX_PATH={static}"]
    done = subprocess.run(list(map(str, command)), capture_output=True, text=True, check=False)
    assert done.returncode != 0
    assert re.search(rf'requested\s+version\s+"0.99".*version: {VERSION}', done.stderr, re.DOTALL)


@needs("cmake", "cc", "pkg-config")
@pytest.mark.parametrize("kind", ["static", "shared"])
def test_pkg_config(kind: str, tmp_path: Path, request: pytest.FixtureRequest) -> None:
    """One compiler call with the flags of pkg-config, although what was installed has been moved."""
    prefix = request.getfixturevalue(kind)
    environment = {"PKG_CONFIG_PATH": str(prefix / "lib" / "pkgconfig")}
    assert run("pkg-config", "--modversion", "grulet", **environment).strip() == VERSION
    flags = run("pkg-config", "--cflags", "--libs", "grulet", **environment).split()
    assert "before" not in " ".join(flags)
    run("cc", PROJECTS / "golden.c", *flags, "-o", tmp_path / "golden")
    assert_same_bits(tmp_path / "golden", LD_LIBRARY_PATH=str(prefix / "lib"))


@needs("cmake", "nm")
def test_the_shared_library_exports_what_the_header_declares(shared: Path) -> None:
    """And nothing else; its name carries the version that it must agree in."""
    library = shared / "lib" / f"libgrulet.so.{VERSION.rpartition('.')[0]}"
    lines = run("nm", "-D", "--defined-only", library).splitlines()
    header = re.sub(r"/\*.*?\*/", "", (C_SRC / "grulet.h").read_text(), flags=re.DOTALL)
    declared = set(re.findall(r"\b(grulet_\w+)\(", header))
    assert len(declared) > 15
    assert {line.split()[-1] for line in lines} == declared


@needs("cmake", "cc")
def test_fetch_content(tmp_path: Path) -> None:
    """Part of another project, whose settings stay its own; without a build type grulet is optimized all the same."""
    options = [f"GRULET_CHECKOUT={ROOT}", "CMAKE_EXPORT_COMPILE_COMMANDS=ON", "GRULET_COMPILER_HAS_avx2=OFF"]
    build(PROJECTS / "fetch_content", tmp_path, *options, *FEWER_KERNELS)
    assert_same_bits(tmp_path / "golden_c")
    compiled = json.loads((tmp_path / "compile_commands.json").read_text())
    commands = {Path(entry["file"]).name: entry["command"] for entry in compiled}
    assert "-O3" in commands["grulet.c"]
    assert "-O3" not in commands["golden.c"]
    assert "-ffp-contract" not in commands["golden.c"]


@needs("cmake", *CROSS)
def test_find_package_for_another_cpu(tmp_path: Path) -> None:
    """Installed for 64-bit ARM, found, linked, and run under emulation."""
    options = [f"CMAKE_TOOLCHAIN_FILE={ROOT}/cmake/aarch64-linux-gnu.cmake", f"CMAKE_CXX_COMPILER={CROSS[1]}"]
    prefix = install(tmp_path / "arm", *options)
    targets = ("golden_c", "golden_cpp17")
    build(PROJECTS / "find_package", tmp_path / "uses", f"CMAKE_PREFIX_PATH={prefix}", *options, targets=targets)
    for program in targets:
        assert_same_bits("qemu-aarch64", "-L", "/usr/aarch64-linux-gnu", tmp_path / "uses" / program)


def selected(root: Path, patterns: list[str]) -> list[Path]:
    """The files that the patterns of a PlatformIO srcFilter select, one after the other."""
    files: set[Path] = set()
    for pattern in patterns:
        action, glob = re.fullmatch(r"([+-])<(.+)>", pattern).groups()  # type: ignore[union-attr]
        found = set(root.glob(glob))
        assert found, f"{pattern} selects nothing"
        files = files | found if action == "+" else files - found
    return sorted(files)


class TestPlatformIO:
    """library.json, by form (PlatformIO's compilers come from its own registry); the files it selects are run."""

    manifest = json.loads((ROOT / "library.json").read_text())

    def test_names_what_is_there(self) -> None:
        assert self.manifest["version"] == VERSION
        source, include = ROOT / self.manifest["build"]["srcDir"], ROOT / self.manifest["build"]["includeDir"]
        assert all((include / header).is_file() for header in self.manifest["headers"])
        assert all((ROOT / path).exists() for path in self.manifest["export"]["include"])
        assert source.is_relative_to(ROOT)

    def files(self) -> list[Path]:
        """What PlatformIO would compile."""
        return selected(ROOT / self.manifest["build"]["srcDir"], self.manifest["build"]["srcFilter"])

    @needs("cc")
    def test_the_selected_files_are_the_library(self, tmp_path: Path) -> None:
        flags = ["-std=gnu11", "-O1", f"-I{C_SRC}", *self.manifest["build"]["flags"]]  # gnu11: PlatformIO's usual one
        run("cc", *flags, PROJECTS / "golden.c", *self.files(), "-o", tmp_path / "golden")
        assert_same_bits(tmp_path / "golden")

    @needs("arm-none-eabi-gcc")
    def test_the_selected_files_compile_for_a_board(self, tmp_path: Path) -> None:
        flags = ["-std=gnu11", "-Os", "-mcpu=cortex-m4", "-mthumb", "-mfloat-abi=hard", "-mfpu=fpv4-sp-d16", "-Werror"]
        for file in self.files():
            options = [*flags, f"-I{C_SRC}", *self.manifest["build"]["flags"]]
            run("arm-none-eabi-gcc", *options, "-c", file, "-o", tmp_path / f"{file.stem}.o")


class TestZephyr:
    """The Zephyr module, by form: its description, its Kconfig, its CMakeLists.txt in a stand-in for Zephyr."""

    folder = ROOT / "zephyr"

    def answers(self, **changed: str) -> dict[str, str]:
        """All options of the Kconfig and their values, after some answers have been changed."""
        kconfiglib = pytest.importorskip("kconfiglib")
        kconfig = kconfiglib.Kconfig(str(self.folder / "Kconfig"), warn_to_stderr=False)
        assert kconfig.warnings == []
        for name, value in {"GRULET": "y", **changed}.items():
            assert kconfig.syms[name].set_value(value), name
        return {symbol.name: symbol.str_value for symbol in kconfig.unique_defined_syms}

    def test_module_names_what_is_there(self) -> None:
        yaml = pytest.importorskip("yaml")
        module = yaml.safe_load((self.folder / "module.yml").read_text())
        assert module["name"] == "grulet"
        assert (ROOT / module["build"]["cmake"] / "CMakeLists.txt").samefile(self.folder / "CMakeLists.txt")
        assert (ROOT / module["build"]["kconfig"]).samefile(self.folder / "Kconfig")

    def test_every_macro_has_one_option(self) -> None:
        text = (self.folder / "CMakeLists.txt").read_text()
        lines = [line.split() for line in re.findall(r"^grulet_option\(([^)]+)\)", text, re.MULTILINE)]
        macros = [macro for _, *macros in lines for macro in macros]
        declared = re.findall(r"#ifndef GRULET_WITH_(\w+)", (C_SRC / "grulet_config.h").read_text())
        assert sorted(macros) == sorted(set(declared) - {"DEFAULT"})
        assert {f"GRULET_{option}" for option, *_ in lines} == set(self.answers()) - {"GRULET"}

    @needs("cmake", "cc")
    @pytest.mark.parametrize("leave_out", [(), ("LSTM", "RNN", "INT4", "F16", "OPERATORS", "BLOCKS", "SEQUENCES")])
    def test_builds_what_kconfig_says(self, leave_out: tuple[str, ...], tmp_path: Path) -> None:
        answers = self.answers(**{f"GRULET_{option}": "n" for option in leave_out})
        options = [f"CONFIG_{name}={value}" for name, value in answers.items() if value != "n"]
        build(PROJECTS / "zephyr_app", tmp_path, f"GRULET_MODULE={self.folder}", *options)
        assert_same_bits(tmp_path / "golden_c")
        lstm = [str(tmp_path / "golden_c"), *files_of(LSTM)]
        done = subprocess.run(lstm, capture_output=True, text=True, check=False)
        said, status = ("leaves out", 2) if "LSTM" in leave_out else ("the same bits", 0)
        assert said in done.stdout
        assert done.returncode == status
