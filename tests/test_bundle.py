"""`grulet bundle`: C sources that any compiler builds, with what the model needs, in memory known beforehand."""

from __future__ import annotations

import ctypes
import json
import os
import re
import shutil
import subprocess
from pathlib import Path

import numpy as np
import pytest

from grulet import format as grulet_format
from grulet.__main__ import main
from grulet.bundle import bundle, library
from grulet.bundle.amalgamation import amalgamate
from grulet.bundle.needs import needs
from grulet.errors import GruletError
from grulet.kernel import KernelModel, lib
from grulet.memory import stream_bytes

ROOT = Path(__file__).resolve().parents[1]
VECTORS = ROOT / "tests" / "vectors"
MODELS = {
    "digits": ROOT / "examples" / "spoken_digits" / "digits.grulet",
    "int4": VECTORS / "int4_int8_70_39.grulet",
    "f32 LSTM": VECTORS / "lstm_f32_5_13.grulet",
    "tokens, f16": VECTORS / "operators_f16.grulet",
    "convolutions": VECTORS / "operators_int8.grulet",
    "whole sequence": VECTORS / "whole_f32.grulet",
    "functions alone": VECTORS / "all_functions.grulet",
}
C = ["-std=c99"]
CPP = ["-x", "c++", "-std=c++11"]
STRICT = ["-Wall", "-Wextra", "-pedantic", "-Werror"]
M4F = ["-mcpu=cortex-m4", "-mthumb", "-mfloat-abi=hard", "-mfpu=fpv4-sp-d16"]
CORTEX_M = ROOT / "tests" / "c" / "cortex_m"
BOARD = [  # a start and newlib's printf, in the two memories of the emulated board
    "-nostartfiles", "--specs=rdimon.specs", "-Wl,--defsym=CODE=0,--defsym=DATA=0x21000000",
    "-T", CORTEX_M / "board.ld", CORTEX_M / "start.c", CORTEX_M / "measured_main.c",
]  # fmt: skip
ARM_TOOLS = ("arm-none-eabi-gcc", "arm-none-eabi-size", "arm-none-eabi-nm", "qemu-system-arm")


def available(*tools: str) -> bool:
    """Whether all of these programs are installed."""
    return all(shutil.which(tool) for tool in tools)


needs_gcc = pytest.mark.skipif(not available("gcc", "nm"), reason="needs gcc and nm")
needs_arm = pytest.mark.skipif(not available(*ARM_TOOLS), reason=f"needs {', '.join(ARM_TOOLS)}")


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Bundles of all models."""
    top = tmp_path_factory.mktemp("bundles")
    for name, path in MODELS.items():
        bundle(path, top / name)
    return {name: top / name for name in MODELS}


def run(*command: str | Path, folder: Path) -> str:
    """Output of a command that must succeed."""
    done = subprocess.run(list(map(str, command)), cwd=folder, capture_output=True, text=True, check=False)
    assert done.returncode == 0, f"{command}: {done.stdout}{done.stderr}"
    return done.stdout


def answer(program: Path) -> tuple[int, str]:
    """Exit status and output."""
    done = subprocess.run([str(program)], capture_output=True, text=True, check=False)
    return done.returncode, done.stdout


# ---- it builds and gives the golden bits -----------------------------------------------------------------------------


@pytest.mark.parametrize("model", MODELS)
@pytest.mark.parametrize(
    ("compiler", "flags"),
    [("gcc", C), ("clang", C), ("g++", CPP), ("clang++", CPP)],
    ids=["gcc", "clang", "g++", "clang++"],
)
def test_builds_without_a_warning_and_gives_the_golden_bits(
    folders: dict[str, Path], tmp_path: Path, compiler: str, flags: list[str], model: str
) -> None:
    """C99 and C++11, as strict as compilers are: the answers of the numpy oracle."""
    if not available(compiler):
        pytest.skip(f"needs {compiler}")
    run(compiler, *flags, *STRICT, "main.c", "grulet.c", "model.c", "-o", tmp_path / "golden",
        folder=folders[model])  # fmt: skip
    status, printed = answer(tmp_path / "golden")
    assert (status, printed) == (0, "OK: 20 frames, the golden bits\n")


def fused_multiply_add() -> list[str]:
    """Flags for a CPU that could fuse a product and a sum, if this is one."""
    cpu = Path("/proc/cpuinfo")
    features = cpu.read_text().split() if cpu.exists() else []
    return ["-mfma", "-mavx2"] if {"fma", "avx2"}.issubset(features) else []


@pytest.mark.parametrize(
    ("compiler", "optimize", "model"),
    [
        ("gcc", "-O3", "digits"),
        ("gcc", "-Os", "convolutions"),
        ("gcc", "-O3", "functions alone"),
        ("clang", "-O2", "convolutions"),
    ],
)
def test_optimizers_change_no_bit(
    folders: dict[str, Path], tmp_path: Path, compiler: str, optimize: str, model: str
) -> None:
    """Without a flag against fused operations, and with the compiler's own dialect, which allows them."""
    if not available(compiler):
        pytest.skip(f"needs {compiler}")
    run(compiler, optimize, *STRICT, *fused_multiply_add(), "main.c", "grulet.c", "model.c", "-o", tmp_path / "golden",
        folder=folders[model])  # fmt: skip
    assert answer(tmp_path / "golden") == (0, "OK: 20 frames, the golden bits\n")


@pytest.mark.skipif(not available("cmake", "ctest"), reason="needs CMake")
def test_cmake(folders: dict[str, Path], tmp_path: Path) -> None:
    """The CMakeLists.txt builds and checks; the folder itself stays as it was."""
    run("cmake", "-S", folders["int4"], "-B", tmp_path, "-DCMAKE_BUILD_TYPE=Debug", folder=tmp_path)
    run("cmake", "--build", tmp_path, folder=tmp_path)
    assert "100% tests passed" in run("ctest", "--test-dir", tmp_path, folder=tmp_path)
    bundle(MODELS["int4"], folders["int4"])


# ---- it says what is wrong -------------------------------------------------------------------------------------------


@needs_gcc
def test_another_weight_is_found(tmp_path: Path) -> None:
    """The model array of another model of the same shape: the frame and the output that differ; a damaged one."""
    data = MODELS["digits"].read_bytes()
    program = grulet_format.read(data)
    program.operators[-1].bias[0, 3] += np.float32(0.5)  # type: ignore[union-attr]
    (tmp_path / "other.grulet").write_bytes(grulet_format.write(program))
    bundle(MODELS["digits"], tmp_path / "bundle")
    bundle(tmp_path / "other.grulet", tmp_path / "other")
    other = (tmp_path / "other" / "model.c").read_text()
    (tmp_path / "bundle" / "model.c").write_text(other)
    compile_golden = ("gcc", "main.c", "grulet.c", "model.c", "-o", tmp_path / "golden")
    run(*compile_golden, folder=tmp_path / "bundle")
    status, printed = answer(tmp_path / "golden")
    assert status == 1
    assert re.fullmatch(r"frame 0 of 20 differs: output 3 is \S+ and should be \S+\n", printed)
    assert "0x" in other[-40:]
    (tmp_path / "bundle" / "model.c").write_text(re.sub(r"0x\w+(?=,\n\};\n$)", "0x1", other))
    run(*compile_golden, folder=tmp_path / "bundle")
    assert answer(tmp_path / "golden") == (
        1,
        "grulet_model_open: the file is damaged: its checksum does not match\n",
    )


@needs_gcc
@pytest.mark.parametrize("model", ["digits", "convolutions", "whole sequence"])
def test_files_that_need_more_are_refused(folders: dict[str, Path], tmp_path: Path, model: str) -> None:
    """A bundle's grulet.c opens what it has all parts for, says of others that parts are left out, and stays safe."""
    run("gcc", "-O1", "-shared", "-fPIC", "-Wl,-Bsymbolic", "grulet.c", "-o", tmp_path / "grulet.so",
        folder=folders[model])  # fmt: skip
    library = ctypes.CDLL(str(tmp_path / "grulet.so"))
    parts = set(json.loads((folders[model] / "bundle.json").read_text())["needs"])
    opened = 0
    for path in [*VECTORS.glob("*.grulet"), *MODELS.values()]:
        enough = parts.issuperset(needs(grulet_format.read(path.read_bytes())))
        assert open_with(library, path) == (lib.GRULET_OK if enough else LEFT_OUT), path.name
        opened += enough
    assert 0 < opened < len(MODELS)
    for path in (ROOT / "tests" / "hostile").glob("*.grulet"):
        assert open_with(library, path) != lib.GRULET_OK, path.name


LEFT_OUT = 16


def open_with(library: ctypes.CDLL, path: Path) -> int:
    """Status of grulet_model_open."""
    data = np.concatenate([np.fromfile(path, np.uint8), np.zeros(16, np.uint8)])  # numpy aligns to 16
    model, size = ctypes.create_string_buffer(128), ctypes.c_size_t(path.stat().st_size)
    return int(library.grulet_model_open(model, ctypes.c_void_p(data.ctypes.data), size))


@needs_gcc
def test_narrow_blocks_can_be_left_out(folders: dict[str, Path], tmp_path: Path) -> None:
    """A library for full blocks refuses the digits model, whose last layer has 11 units."""
    source = (folders["digits"] / "grulet.c").read_text()
    (tmp_path / "grulet.c").write_text(source.replace("#define GRULET_WITH_NARROW 1\n", ""))
    run("gcc", "-I.", "main.c", "model.c", tmp_path / "grulet.c", "-o", tmp_path / "golden", folder=folders["digits"])
    assert answer(tmp_path / "golden") == (
        1,
        "grulet_model_open: the model needs an operator, a function or a weight format that this build of the library "
        "leaves out\n",
    )


# ---- it needs nothing ------------------------------------------------------------------------------------------------


@needs_gcc
@pytest.mark.parametrize(
    ("optimize", "model"), [("-O0", "digits"), ("-O2", "digits"), ("-O1", "convolutions"), ("-O1", "whole sequence")]
)
def test_needs_memcpy_and_memset_alone(folders: dict[str, Path], tmp_path: Path, model: str, optimize: str) -> None:
    """No malloc, no libm; one writable global; no public name but grulet's."""
    run("gcc", optimize, "-fno-stack-protector", "-fno-pic", "-c", "grulet.c", "-o", tmp_path / "grulet.o",
        folder=folders[model])  # fmt: skip
    lines = run("nm", "-P", tmp_path / "grulet.o", folder=tmp_path).splitlines()
    kinds = [tuple(line.split()[:2]) for line in lines]
    assert {name for name, kind in kinds if kind == "U"} == {"memcpy", "memset"}
    assert {re.sub(r"\.\d+$", "", name) for name, kind in kinds if kind in "bBdD"} <= {"chosen"}
    assert all(name.startswith("grulet_") for name, kind in kinds if kind in "TR")


def test_digits_have_what_they_need() -> None:
    """The switches, by name."""
    program = grulet_format.read(MODELS["digits"].read_bytes())
    assert needs(program) == ("DENSE", "GRU", "INT8_INT16", "NARROW")
    assert needs(program, block=8) == ("BLOCKS", "DENSE", "GRU", "INT8_INT16", "NARROW")


def test_every_switch_is_needed_by_some_model() -> None:
    """The macros of grulet_config.h are what models need, but for one that only callers can."""
    config = (library() / "grulet_config.h").read_text()
    switches = set(re.findall(r"#ifndef GRULET_WITH_(\w+)", config)) - {"DEFAULT"}
    programs = [grulet_format.read(path.read_bytes()) for path in VECTORS.glob("*.grulet")]
    assert switches - set().union(*map(needs, programs)) == {"SAVE"}


@pytest.mark.parametrize("path", [*MODELS.values(), VECTORS / "mixed.grulet"], ids=lambda path: path.stem)
@pytest.mark.parametrize("block", [1, 2, 100])
def test_stream_bytes(path: Path, block: int) -> None:
    """The sizes that Python computes are those of the C library."""
    data = path.read_bytes()
    size = stream_bytes(grulet_format.read(data), pointer_bytes=np.dtype(np.uintp).itemsize, block=block)
    assert size == lib.grulet_stream_bytes(KernelModel(data).pointer, block)


@needs_arm
@pytest.mark.parametrize(("optimize", "model"), [("-Os", "digits"), ("-O2", "int4"), ("-O1", "whole sequence")])
def test_cortex_m4f(folders: dict[str, Path], tmp_path: Path, model: str, optimize: str) -> None:
    """On a microcontroller: at most 16 KB of code, 4 KB of memory beside the state, no libm; the golden bits."""
    facts = json.loads((folders[model] / "bundle.json").read_text())
    compiler = ["arm-none-eabi-gcc", *M4F, "-I", str(folders[model]), *STRICT]
    run(*compiler, optimize, "-std=c99", "-c", "grulet.c", "-o", tmp_path / "grulet.o", folder=folders[model])
    run(*compiler, "-Os", "-Dmain=bundle_main", "-Dprintf=report", "-c", "main.c", "-o", tmp_path / "main.o",
        folder=folders[model])  # fmt: skip
    run(*compiler, *BOARD, "main.o", "grulet.o", folders[model] / "model.c", "-o", "golden.elf", folder=tmp_path)
    board = ("qemu-system-arm", "-M", "mps2-an386", "-nographic", "-semihosting-config", "enable=on,target=native")
    printed = run("timeout", "60", *board, "-kernel", "golden.elf", folder=tmp_path)
    stream, stack = (int(re.search(rf"{what} (\d+) bytes", printed)[1]) for what in ("stream", "stack"))  # type: ignore[index]
    assert "OK: 20 frames, the golden bits" in printed
    assert stream == facts["stream_bytes"]["32"]
    undefined = run("arm-none-eabi-nm", "-u", "grulet.o", folder=tmp_path).split()
    assert set(undefined) - {"U"} == {"memcpy", "memset"}
    code, data, bss = map(int, run("arm-none-eabi-size", "grulet.o", folder=tmp_path).splitlines()[1].split()[:3])
    memory = stream - facts["state_bytes"] + stack + data + bss
    print(f"{model} {optimize}: {code} bytes of code, {memory} of memory beside {facts['state_bytes']} of state")
    if model == "digits":
        assert code <= 16 * 1024
        assert memory < 4096


# ---- the folder ------------------------------------------------------------------------------------------------------


def contents(folder: Path) -> dict[str, bytes]:
    """All files of a folder and of what is beside it."""
    files = [path for path in folder.parent.rglob("*") if path.is_file()]
    return {str(path.relative_to(folder.parent)): path.read_bytes() for path in files}


def test_a_bundle_is_replaced_whole(tmp_path: Path) -> None:
    """As long as nobody has changed it; nothing of the old one, and nothing else, stays."""
    folder = tmp_path / "out"
    bundle(MODELS["int4"], folder)
    before = contents(folder)
    bundle(MODELS["digits"], folder)
    assert contents(folder).keys() == before.keys()
    assert b"digits" in (folder / "model.h").read_bytes()
    bundle(MODELS["int4"], folder)
    assert contents(folder) == before


@pytest.mark.parametrize("change", ["edited", "added", "removed", "no bundle", "a file"])
def test_nothing_else_is_replaced(tmp_path: Path, change: str) -> None:
    """Whatever a user has put or changed there stays, and the reason is said."""
    folder = tmp_path / "out"
    if change == "a file":
        folder.write_text("mine")
    elif change == "no bundle":
        folder.mkdir()
        (folder / "main.c").write_text("mine")
    else:
        bundle(MODELS["int4"], folder)
        if change == "edited":
            (folder / "main.c").write_text("mine")
        elif change == "added":
            (folder / "notes.txt").write_text("mine")
        else:
            (folder / "main.c").unlink()
    before = contents(folder)
    with pytest.raises(GruletError, match="name another folder or remove this one"):
        bundle(MODELS["digits"], folder)
    assert contents(folder) == before


def test_an_empty_folder_is_filled(tmp_path: Path) -> None:
    """The one that a user has just made."""
    (tmp_path / "out").mkdir()
    bundle(MODELS["int4"], tmp_path / "out")
    assert (tmp_path / "out" / "grulet.c").is_file()


def test_a_failure_leaves_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A disk that is full at the last file, a move that fails: the old bundle, or none."""
    folder = tmp_path / "out"
    bundle(MODELS["int4"], folder)
    before = contents(folder)
    rename = os.rename

    def refuse_new(source: Path, target: Path) -> None:
        if Path(source).name == "new":
            raise OSError(28, "No space left on device")
        rename(source, target)

    with monkeypatch.context() as patch:
        patch.setattr(os, "rename", refuse_new)
        with pytest.raises(GruletError, match="out: cannot be written: No space left on device"):
            bundle(MODELS["digits"], folder)
    assert contents(folder) == before
    (tmp_path / "net.grulet").write_bytes(MODELS["int4"].read_bytes()[:-1])
    with pytest.raises(GruletError, match=r"truncated|bytes"):
        bundle(tmp_path / "net.grulet", tmp_path / "new")
    assert not (tmp_path / "new").exists()


def test_names_do_no_harm(tmp_path: Path) -> None:
    """A model's file may have any name; C and Markdown see letters."""
    odd = tmp_path / "a*b \\ `c`.grulet"
    odd.write_bytes(MODELS["int4"].read_bytes())
    bundle(odd, tmp_path / "out")
    assert "a_b____c_.grulet" in (tmp_path / "out" / "model.c").read_text()


# ---- the command -----------------------------------------------------------------------------------------------------


def test_command(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    """Frames and a block of the user's; what was written, for people and as JSON."""
    monkeypatch.chdir(tmp_path)
    np.save("x.npy", np.random.default_rng(1).standard_normal((7, 32), np.float32))
    command = ["bundle", str(MODELS["digits"]), "-o", "out", "--input", "x.npy", "--block", "4"]
    assert main([*command, "--json"]) == 0
    facts = json.loads(capsys.readouterr().out)
    assert facts["golden_frames"] == 7
    assert "BLOCKS" in facts["needs"]
    assert facts["stream_bytes"]["64"] > facts["stream_bytes"]["32"] > 4 * 1024
    assert main(command) == 0
    assert f"{facts['stream_bytes']['32']:,} bytes for a stream on a 32-bit CPU" in capsys.readouterr().out
    if available("gcc"):
        run("gcc", "main.c", "grulet.c", "model.c", "-o", tmp_path / "golden", folder=tmp_path / "out")
        assert answer(tmp_path / "golden") == (0, "OK: 7 frames, the golden bits\n")


BAD = {
    "no folder named": ([], "-o/--output"),
    "no such parent": (["-o", "no/out"], "there is no folder"),
    "the current folder": (["-o", "."], "the current folder"),
    "frames of another width": (["-o", "out", "--input", "narrow.npy"], "(frames, 32)"),
    "no frames": (["-o", "out", "--input", "none.npy"], "at least one"),
    "a frame with a NaN": (["-o", "out", "--input", "nan.npy"], "NaN"),
    "a block of nothing": (["-o", "out", "--block", "0"], "at least 1"),
}


@pytest.mark.parametrize("name", BAD)
def test_bad_input_is_one_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], name: str
) -> None:
    """Status 2, one line, and no folder."""
    monkeypatch.chdir(tmp_path)
    np.save("narrow.npy", np.zeros((3, 7), np.float32))
    np.save("none.npy", np.zeros((0, 32), np.float32))
    np.save("nan.npy", np.full((3, 32), np.nan, np.float32))
    options, message = BAD[name]
    try:
        status = main(["bundle", str(MODELS["digits"]), *options])
    except SystemExit as stop:
        status = int(str(stop.code))
    printed = capsys.readouterr()
    assert (status, printed.out, printed.err.count("\n")) == (2, "", 1)
    assert message in printed.err
    assert {path.suffix for path in tmp_path.iterdir()} == {".npy"}


# ---- the resolver ----------------------------------------------------------------------------------------------------


def test_amalgamation(tmp_path: Path) -> None:
    """Guarded headers once, others each time; what a condition hides may come again; system headers once."""
    (tmp_path / "sub").mkdir()
    files = {
        "public.h": "int p;\n",
        "once.h": "/* once */\n#ifndef ONCE_H\n#define ONCE_H\n#include <string.h>\nint once;\n#endif\n",
        "often.h": "int OFTEN;\n",
        "sub/near.h": '#ifndef NEAR_H\n#define NEAR_H\n#include "once.h"\nint near;\n#endif\n',
        "a.c": '#include "public.h"\n#include <string.h>\n#ifdef X\n#include "once.h"\n#endif\n'
        '#include "sub/near.h"\n#include "often.h"\n',
        "sub/b.c": '#include "public.h"\n#include "near.h"\n#include "often.h"\n#include <stdio.h>\nint b;\n',
    }
    for name, text in files.items():
        (tmp_path / name).write_text(text)
    text = amalgamate(tmp_path, ["a.c", "sub/b.c"], "public.h")
    lines = [line for line in text.splitlines() if line and not line.startswith("/*")]
    assert lines.count("int once;") == 2  # one of them hidden by X, and by the guard if X is defined
    for line in ('#include "public.h"', "int near;", "#include <stdio.h>", "int b;"):
        assert lines.count(line) == 1, line
    assert lines.count("int OFTEN;") == 2
    assert lines.index("#ifdef X") < lines.index("int once;") < lines.index("int near;") < lines.index("int b;")
    assert not re.search(r'#include "(?!public)', text)
