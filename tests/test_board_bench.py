"""grulet-bench, the C program for boards: the report of `grulet bench`, the answers of the oracle."""

from __future__ import annotations

import json
import os
import platform
import re
import shutil
import subprocess
import sys
import zlib
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from programs import Builder, small_file

import grulet
from grulet import format as grulet_format
from grulet.__main__ import main
from grulet.measuring.answers import answers, frames_of
from grulet.measuring.names import READ, STEP, TICK
from grulet.measuring.schema import fault, report_schema

ROOT = Path(__file__).resolve().parents[1]
VECTORS = ROOT / "tests" / "vectors"
DIGITS = str(ROOT / "examples" / "spoken_digits" / "digits.grulet")
GOLDEN = {name: crc for name, _, crc in map(str.split, (VECTORS / "index.txt").read_text().splitlines())}
SHORT = ["--steps", "40", "--period", "1ms", "--seconds", "0.03", "--between-bytes", "65536"]
#: Name of the static program in build/board, and what runs it here.
EMULATED = {
    "aarch64": ["qemu-aarch64", "-cpu", "cortex-a53"],
    "aarch64, dot products": ["qemu-aarch64", "-cpu", "max"],
    "armv7hf": ["qemu-arm", "-cpu", "cortex-a7"],
    "armv6": ["qemu-arm", "-cpu", "arm1176"],
    "riscv64": ["qemu-riscv64"],
}

pytestmark = pytest.mark.skipif(
    not sys.platform.startswith("linux") or not shutil.which("cmake"), reason="needs Linux, CMake and a C compiler"
)


@pytest.fixture(scope="module")
def program(tmp_path_factory: pytest.TempPathFactory) -> str:
    """The program, built for this machine."""
    folder = str(tmp_path_factory.mktemp("programs"))
    options = ["-DGRULET_BUILD_PROGRAMS=ON", "-DGRULET_WERROR=ON", "-DCMAKE_C_FLAGS_RELEASE=-O1"]  # -O1: quickly built
    build = ["--build", folder, "--target", "grulet-bench", "--parallel", "2"]
    for command in (["-S", str(ROOT), "-B", folder, *options], build):
        done = subprocess.run(["cmake", *command], capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stdout + done.stderr
    return f"{folder}/programs/grulet-bench"


@pytest.fixture
def net(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with a small model; also the current folder."""
    (tmp_path / "net.grulet").write_bytes(small_file())
    monkeypatch.chdir(tmp_path)
    return tmp_path


def run(*command: str) -> subprocess.CompletedProcess[str]:
    """Run a program; its status is the caller's to judge."""
    return subprocess.run(command, capture_output=True, text=True, check=False)


def report(*command: str) -> Any:
    """What a program that must succeed prints as JSON."""
    done = run(*command, "--json", "-")
    assert done.returncode == 0, done.stderr
    assert done.stderr == ""
    return json.loads(done.stdout)


def keys(value: Any) -> Any:
    """The keys of a report, in order, all the way down; the schema knows what may stand under them."""
    if isinstance(value, dict):
        return [(key, keys(item)) for key, item in value.items()]
    return keys(value[0]) if isinstance(value, list) and value else None


def static(operator: dict[str, Any]) -> dict[str, Any]:
    """What is not measured."""
    return {key: value for key, value in operator.items() if key not in ("microseconds", "share", "times_its_read")}


def test_the_report_is_that_of_grulet_bench(program: str, net: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """The same keys, in order; the same facts, counts and answers.  Times are not judged."""
    paced = ["--period", "1ms", "--paced-steps", "26", "--between-bytes", "65536"]
    assert main(["bench", "net.grulet", "--steps", "40", *paced, "--json"]) == 0
    ours = json.loads(capsys.readouterr().out)
    theirs = report(program, "net.grulet", *SHORT)
    for data in (ours, theirs):
        assert fault(data, report_schema((READ, TICK, STEP), (READ, STEP))) == ""
    assert keys(theirs) == keys(ours)
    for key in ("model", "model_crc32", "weight_bytes", "answers"):
        assert theirs[key] == ours[key]
    for key in ("cpu", "system", "release", "grulet", "isa", "page_bytes", "pinned_to_cpu", "scheduler", "emulator"):
        assert theirs["machine"][key] == ours["machine"][key], key
    assert [static(operator) for operator in theirs["operators"]] == [
        static(operator) for operator in ours["operators"]
    ]
    assert sum(operator["share"] for operator in theirs["operators"]) + theirs["rest"]["share"] == pytest.approx(1)
    assert {operator["microseconds"]["steps"] for operator in theirs["operators"]} == {40}
    for key in ("period_seconds", "between_bytes"):
        assert theirs["paced"][key] == ours["paced"][key]
    assert theirs["paced"]["touched_bytes"] in (0, 65536)  # 0 where the machine is too busy for the period
    for name, contestant in theirs["paced"]["contestants"].items():
        assert contestant["compute_microseconds"]["steps"] == (26 if name == STEP else 4)
        factor = contestant["compute_microseconds"]["p50"] / 1000
        assert contestant["real_time_factor"] == pytest.approx(factor)
        for part in ("compute", "late", "answer"):
            consistent(contestant[f"{part}_microseconds"])
    for measured in theirs["microseconds"].values():
        assert measured["steps"] == 40
        consistent(measured)


def consistent(measured: dict[str, Any]) -> None:
    """Percentiles and histogram are of the same times."""
    counts = measured["histogram"]["counts"]
    assert sum(counts) == measured["steps"]
    assert counts[0]
    assert counts[-1]
    assert measured["p50"] <= measured["p99"] <= measured["p999"] <= measured["worst"]
    assert measured["jitter"] == pytest.approx(measured["p999"] - measured["p50"])
    top = 2 ** ((measured["histogram"]["first"] + len(counts)) / 32) / 1e3
    assert top / 2 ** (1 / 32) <= max(measured["worst"], 1e-3) * (1 + 1e-9) <= top * (1 + 2e-9)


@pytest.mark.parametrize("name", GOLDEN)
def test_golden_vectors(program: str, name: str) -> None:
    """The answers to a golden input have the golden checksum; every operator is described as in Python."""
    path = VECTORS / f"{name}.grulet"
    if grulet.load(path).needs_sequence:
        done = run(program, str(path))
        assert done.returncode == 2
        assert "whole sequences" in done.stderr
        return
    data = report(program, str(path), "--steps", "1", "--input", str(VECTORS / f"{name}.input.f32"))
    model = grulet.load(path)
    assert data["answers"]["outputs_crc32"] == GOLDEN[name]
    assert data["model_crc32"] == f"{model.crc32:08x}"
    assert data["weight_bytes"] == model.weight_bytes
    assert [static(operator) for operator in data["operators"]] == [vars(op) for op in model.ops]
    reads = {operator["name"] for operator in data["operators"] if operator["times_its_read"] is not None}
    assert reads <= {op.name for op in model.ops if op.weight_bytes}


def test_tables(program: str, capsys: pytest.CaptureFixture[str]) -> None:
    """Line by line the same words in the same places; what is measured, and who called, may differ."""
    paced = ["--period", "1ms", "--paced-steps", "26", "--between-bytes", "65536"]
    assert main(["bench", DIGITS, "--steps", "40", *paced]) == 0
    ours = capsys.readouterr().out.splitlines()
    theirs = run(program, DIGITS, *SHORT).stdout.splitlines()
    theirs = [line for line in theirs if not line.startswith("refused by the system: ")]
    assert theirs[0] == ours[0]
    assert theirs[1].replace("called from C", f"Python {platform.python_version()}") == ours[1]
    assert theirs[2].replace("memory locked", "memory not locked") == ours[2]
    assert theirs[3].startswith("governor ")
    assert theirs[4] == ours[4]
    assert [plain(line) for line in theirs[5:]] == [plain(line) for line in ours[5:]]


def plain(line: str) -> str:
    """A line of a table without its measured numbers, which end where the numbers of their column do."""
    line = re.sub(r"\d+ of 26 deadlines", "# of 26 deadlines", line)
    return re.sub(r" *(?<![\w,])-?[\d.,]+(e[+-]\d+)?%?", lambda number: "#" if "." in number[0] else number[0], line)


@pytest.mark.parametrize("isa", grulet.isas())
def test_every_instruction_set(program: str, net: Path, isa: str) -> None:
    """Is used when asked for, and gives the same answers."""
    data = report(program, "net.grulet", "--steps", "1", "--isa", isa)
    assert data["machine"]["isa"] == isa
    assert data["answers"] == report(program, "net.grulet", "--steps", "1")["answers"]


def test_where_it_runs(program: str, net: Path) -> None:
    """On the CPU that was asked for; SCHED_FIFO as asked, or refused in sight."""
    for cpu in os.sched_getaffinity(0):
        assert report(program, "net.grulet", "--steps", "1", "--cpu", str(cpu))["machine"]["pinned_to_cpu"] == cpu
    facts = report(program, "net.grulet", "--steps", "1", "--fifo", "7")["machine"]
    refused = [reason for reason in facts["refused"] if reason.startswith("SCHED_FIFO 7: ")]
    assert facts["scheduler"] == ("SCHED_OTHER" if refused else "SCHED_FIFO 7")
    assert facts["memory_locked"] != any(reason.startswith("mlockall: ") for reason in facts["refused"])


def test_no_right_to_real_time(program: str, net: Path) -> None:
    """Without the right the program measures all the same, and says what it was refused."""
    drop = shutil.which("setpriv")
    if drop is None or os.geteuid() != 0 or not os.access("/dev/shm", os.W_OK):
        pytest.skip("needs setpriv, /dev/shm, and root to give up root's rights")
    # Nobody may look into pytest's folders: copies where everybody may.
    copies = [Path("/dev/shm") / f"grulet-test-{os.getpid()}-{name}" for name in ("program", "net.grulet")]
    try:
        for source, copy in zip((program, "net.grulet"), copies, strict=True):
            shutil.copy(source, copy)
            copy.chmod(0o755)
        nobody = f"{drop} --reuid 65534 --regid 65534 --clear-groups --bounding-set -all"
        done = run("bash", "-c", f"ulimit -r 0 -l 64; exec {nobody} {copies[0]} {copies[1]} --fifo 9 --steps 1")
    finally:
        for copy in copies:
            copy.unlink(missing_ok=True)
    assert done.returncode == 0, done.stderr
    assert "refused by the system: mlockall: " in done.stdout
    assert "SCHED_FIFO 9: Operation not permitted" in done.stdout
    assert "SCHED_OTHER, memory not locked" in done.stdout


REFUSED = {
    "no model": ([], "one model was expected, not 0"),
    "two models": (["net.grulet", "net.grulet"], "one model was expected, not 2"),
    "no file": (["none.grulet"], "none.grulet: No such file"),
    "a folder": (["."], ".: this is not a plain file"),
    "not a model": (["text"], "text: this is not a .grulet file"),
    "damaged": (["damaged.grulet"], "its checksum does not match"),
    "unknown option": (["net.grulet", "--frames", "1"], "unrecognized option '--frames'"),
    "no argument": (["net.grulet", "--steps"], "requires an argument"),
    "no steps": (["net.grulet", "--steps", "0"], "--steps: a whole number from 1 to 10000000"),
    "words for steps": (["net.grulet", "--steps", "many"], "not 'many'"),
    "no time": (["net.grulet", "--period", "soon"], "--period: a time from 1us to 60s, such as 10ms"),
    "another notation": (["net.grulet", "--period", "1e-2"], "--period: a time"),
    "too short": (["net.grulet", "--period", "0.5us"], "--period: a time"),
    "seconds alone": (["net.grulet", "--seconds", "3"], "--seconds is for runs in real time"),
    "between alone": (["net.grulet", "--between-bytes", "3"], "--between-bytes is for runs in real time"),
    "no such CPU": (["net.grulet", "--cpu", "1023"], "CPU 1023: Invalid argument; this process usually runs on: "),
    "priority": (["net.grulet", "--fifo", "100"], "--fifo: a whole number from 1 to 99"),
    "unknown kernel": (["net.grulet", "--isa", "mmx"], "no instruction set 'mmx' here; there are: "),
    "no frames": (["net.grulet", "--input", "none.f32"], "none.f32: No such file"),
    "half a frame": (["net.grulet", "--input", "half.f32"], "half.f32: 7 bytes are not whole frames of 5 float32"),
    "empty frames": (["net.grulet", "--input", "empty.f32"], "empty.f32: 0 bytes are not whole frames"),
    "bad frame": (["net.grulet", "--input", "nan.f32"], "frame 1 of 2: the frame holds a NaN"),
    "nowhere to write": (["net.grulet", "--steps", "1", "--json", "no/x.json"], "no/x.json: cannot be written"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_refusals(program: str, net: Path, name: str) -> None:
    """One line that says what is wrong, status 2, nothing printed, nothing left behind."""
    (net / "text").write_text("text")
    damaged = bytearray(small_file())
    damaged[-1] ^= 1
    (net / "damaged.grulet").write_bytes(damaged)
    (net / "half.f32").write_bytes(bytes(7))
    (net / "empty.f32").write_bytes(b"")
    np.array([0] * 5 + [np.nan] * 5, np.float32).tofile(net / "nan.f32")
    before = sorted(net.iterdir())
    arguments, reason = REFUSED[name]
    done = run(program, *arguments)
    assert done.returncode == 2
    assert done.stderr.startswith("grulet-bench: ")
    assert done.stderr.count("\n") == 1
    assert reason in done.stderr
    assert done.stdout == "" or "json" in str(arguments)
    assert sorted(net.iterdir()) == before


def test_help(program: str) -> None:
    """On the standard output; it names every option."""
    done = run(program, "--help")
    assert done.returncode == 0
    for option in ("steps", "period", "seconds", "between-bytes", "cpu", "fifo", "isa", "input", "json"):
        assert f"  --{option}" in done.stdout


def test_any_names(program: str, tmp_path: Path) -> None:
    """That JSON escapes; where the file's text names none, operators are numbered."""
    builder = Builder(3)
    value = builder.input("input", 4)
    for _ in range(3):
        value = builder.dense(value, 4, "relu")
    builder.output("output", value)
    made = builder.program(metadata={"operators": ["not", "these"]})
    names = ('"operators":["', "back\\slash\n\x01\t", "\N{HIRAGANA LETTER A}")
    for operator, name in zip(made.operators, names, strict=True):
        object.__setattr__(operator, "name", name)
    path = tmp_path / "names.grulet"
    path.write_bytes(grulet_format.write(made))
    assert [operator["name"] for operator in report(program, str(path), "--steps", "1")["operators"]] == list(names)
    data = bytearray(path.read_bytes().replace(b'"operators":["\\"op', b'"operatorz":["\\"op'))
    data[12:16] = bytes(4)
    data[12:16] = zlib.crc32(data).to_bytes(4, "little")
    path.write_bytes(data)
    numbered = [operator["name"] for operator in report(program, str(path), "--steps", "1")["operators"]]
    assert numbered == ["operator 0", "operator 1", "operator 2"]


def test_beside_this_machine(program: str, net: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A board's report goes into the host's, in the table and the picture."""
    assert run(program, "net.grulet", *SHORT, "--json", "board.json").stdout.startswith("<grulet.Model")
    arguments = ["--import", "board.json", "--plot", "p.png"]
    assert main(["bench", "net.grulet", "--steps", "40", *arguments]) == 0
    table = capsys.readouterr().out.partition("Side by side")[2]
    assert "the same answers to 64 frames, bit for bit" in table
    assert "called from C" in table
    assert {path.name for path in net.iterdir()} == {"net.grulet", "board.json", "p.png"}


@pytest.mark.parametrize("board", EMULATED)
def test_under_emulation(board: str) -> None:
    """What `make board-bench` has built gives the same answers on an emulated CPU, and says that it is emulated."""
    built = ROOT / "build" / "board" / f"grulet-bench-{board.partition(',')[0]}"
    if not built.exists() or not shutil.which(EMULATED[board][0]):
        pytest.skip(f"needs {built.name} (make board-bench) and {EMULATED[board][0]}")
    data = report(*EMULATED[board], str(built), DIGITS, "--steps", "20")
    assert data["machine"]["emulator"] == EMULATED[board][0]
    assert fault(data, report_schema((READ, TICK, STEP), ())) == ""
    opened = grulet.load(DIGITS)
    assert data["answers"] == answers(opened, frames_of((port.width, port.tokens) for port in opened.inputs))
