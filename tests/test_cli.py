"""The command line: what every command prints and writes, and how bad input ends."""

from __future__ import annotations

import json
import subprocess
import sys
import wave
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

import grulet
from grulet.__main__ import COMMANDS, main
from grulet.audio import LogMel

EXAMPLE = Path(__file__).parents[1] / "examples" / "spoken_digits"
AUDIO = LogMel(8000, 200, 80, 256, 8, 100.0, 3800.0, 1e-7, 6.0, 0.25).metadata()


@pytest.fixture
def files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with a module, its checkpoint, its exported forms, frames and sound; also the current folder."""
    torch.manual_seed(0)
    (tmp_path / "tiny_network.py").write_text(
        "from torch import nn\n"
        "class Net(nn.GRU):\n"
        f"    grulet_metadata = {{'audio': {AUDIO!r}}}\n"
        "    def __init__(self):\n"
        "        super().__init__(8, 6, num_layers=2, batch_first=True)\n"
        "def broken(size):\n"
        "    return size\n"
        "def nothing():\n"
        "    return 3\n"
    )
    torch.save(nn.GRU(8, 6, 2, batch_first=True).state_dict(), tmp_path / "net.pt")
    np.save(tmp_path / "frames.npy", np.random.default_rng(0).standard_normal((77, 8), np.float32))
    monkeypatch.chdir(tmp_path)
    monkeypatch.delitem(sys.modules, "tiny_network", raising=False)
    monkeypatch.syspath_prepend(str(tmp_path))
    run = ["export", "tiny_network:Net", "--checkpoint", "net.pt", "-o", "net.grulet"]
    assert main([*run, "--onnx", "net.onnx", "--onnx-step", "step.onnx", "--frames", "60"]) == 0
    return tmp_path


def test_export_prints_the_proof(files: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Sizes and every comparison, for people and as JSON."""
    capsys.readouterr()
    assert main(["export", "tiny_network:Net", "-o", "again.grulet", "--frames", "60"]) == 0
    text = capsys.readouterr().out
    for word in ("torch", "onnxruntime", "oracle", "C kernel", "the same bits", "SNR dB", "parameters"):
        assert word in text
    assert main(["export", "tiny_network:Net", "-o", "again.grulet", "--frames", "60", "--json"]) == 0
    report = json.loads(capsys.readouterr().out)
    assert report["parameters"] == sum(p.numel() for p in nn.GRU(8, 6, 2).parameters())
    assert report["file_bytes"] == (files / "again.grulet").stat().st_size
    assert report["comparisons"][-1]["same_bits"] is True


def test_convert_gives_what_export_gave(files: Path) -> None:
    """The ONNX file that export wrote converts to the same bytes."""
    assert main(["convert", "net.onnx", "-o", "b.grulet", "--frames", "60"]) == 0
    assert (files / "b.grulet").read_bytes() == (files / "net.grulet").read_bytes()


@pytest.mark.parametrize(
    ("options", "weights", "activations"),
    [
        (["--weights", "f32"], "f32", "f32"),
        (["--weights", "int8", "--activations", "int8"], "int8", "int8"),
        (["--calibrate", "frames.npy"], "int8", "int16"),
        (["--weights", "int4"], "int4", "int16"),
        (["--weights", "f16"], "f16", "f32"),
        (["--rounding", "plain"], "int8", "int16"),
    ],
)
def test_convert_options(files: Path, options: list[str], weights: str, activations: str) -> None:
    """Every option changes the file as it says."""
    assert main(["convert", "net.onnx", "-o", "b.grulet", "--frames", "60", *options]) == 0
    assert {(op.weights, op.activations) for op in grulet.load("b.grulet").ops} == {(weights, activations)}
    assert (files / "b.grulet").read_bytes() != (files / "net.grulet").read_bytes()


@pytest.mark.parametrize("onnx", ["net.onnx", "step.onnx"])
def test_verify(files: Path, onnx: str, capsys: pytest.CaptureFixture[str]) -> None:
    """Both ONNX forms verify, on given frames too."""
    capsys.readouterr()
    assert main(["verify", onnx, "net.grulet", "--input", "frames.npy", "--json"]) == 0
    report = json.loads(capsys.readouterr().out)
    assert report["frames"] == 77
    assert {c["right"] for c in report["comparisons"]} >= {"C kernel", "oracle"}


def test_inspect(files: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Operators, formats, sizes."""
    capsys.readouterr()
    assert main(["inspect", "net.grulet"]) == 0
    text = capsys.readouterr().out
    for word in ("gru", "8 -> 6", "int8", "int16", "parameters", "log_mel"):
        assert word in text
    assert main(["inspect", "net.grulet", "--json"]) == 0
    data = json.loads(capsys.readouterr().out)
    assert [op["kind"] for op in data["operators"]] == ["gru", "gru"]
    assert data["state_bytes"] == 2 * 6 * 4
    assert {(op["weights"], op["activations"], op["weight_bits"]) for op in data["operators"]} == {("int8", "int16", 8)}


@pytest.mark.parametrize("chunk", ["1", "7", "1000"])
def test_run_on_frames(files: Path, chunk: str) -> None:
    """The answers of a stream, whatever the chunk."""
    assert main(["run", "net.grulet", "frames.npy", "out.npy", "--chunk", chunk]) == 0
    expected = grulet.load("net.grulet").stream().run(np.load("frames.npy"))
    assert np.load("out.npy").tobytes() == expected.tobytes()


def write_wave(path: str, rate: int) -> np.ndarray:
    """Write a second of noise; returns its 16-bit samples."""
    samples = np.random.default_rng(1).integers(-8000, 8000, rate).astype("<i2")
    with wave.open(path, "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(rate)
        file.writeframes(samples.tobytes())
    return samples


def test_run_on_sound(files: Path) -> None:
    """A model that declares audio takes a .wav file."""
    samples = write_wave("sound.wav", 8000)
    assert main(["run", "net.grulet", "sound.wav", "out.npy"]) == 0
    frames = LogMel.from_metadata(AUDIO).frames(samples.astype(np.float32) / 32768)
    assert np.load("out.npy").tobytes() == grulet.load("net.grulet").stream().run(frames).tobytes()


def test_bench(files: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Percentiles of us, the floor and the rivals, from one run."""
    capsys.readouterr()
    assert main(["bench", "net.grulet", "--against", "onnx,torch", "--steps", "50", "--json"]) == 0
    data = json.loads(capsys.readouterr().out)
    names = set(data["microseconds"])
    assert names >= {"grulet step", "reading the weights", "onnxruntime (float32)", "torch (float32)"}
    for latency in data["microseconds"].values():
        assert 0 < latency["p50"] <= latency["p99"] <= latency["p999"] <= latency["worst"]
        assert latency["steps"] == 50
    assert main(["bench", "net.grulet", "--steps", "50"]) == 0
    assert "p99.9" in capsys.readouterr().out


def test_rivals_compute_the_same(files: Path) -> None:
    """What is measured against us is our model: with float weights all three agree."""
    from grulet_export.rivals import OnnxRival, TorchRival

    frames = np.load("frames.npy")
    for weights, tolerance in (("f32", 1e-6), ("int8", 1e-4)):
        assert main(["convert", "net.onnx", "-o", "b.grulet", "--frames", "20", "--weights", weights]) == 0
        data = (files / "b.grulet").read_bytes()
        ours = grulet.load(data).stream().run(frames)
        for rival in (OnnxRival(data), TorchRival(data)):
            theirs = np.stack([rival.step(frame) for frame in frames])
            assert np.abs(theirs - ours).max() < tolerance, rival.title


BAD = {
    "no such model": (["inspect", "none.grulet"], "none.grulet: No such file"),
    "a folder": (["inspect", "."], "Is a directory"),
    "text as model": (["inspect", "tiny_network.py"], "not a .grulet file"),
    "empty model": (["inspect", "empty"], "empty"),
    "truncated model": (["inspect", "short.grulet"], "truncated"),
    "damaged model": (["run", "flipped.grulet", "frames.npy", "out.npy"], "damaged"),
    "newer model": (["bench", "newer.grulet"], "format version 2"),
    "no such frames": (["run", "net.grulet", "none.npy", "out.npy"], "none.npy: No such file"),
    "text as frames": (["run", "net.grulet", "tiny_network.py", "out.npy"], "not a .npy file"),
    "wrong dtype": (["run", "net.grulet", "double.npy", "out.npy"], "float64"),
    "wrong shape": (["run", "net.grulet", "narrow.npy", "out.npy"], "the model wants 8"),
    "pickled frames": (["run", "net.grulet", "pickled.npy", "out.npy"], "not a .npy file of numbers"),
    "NaN in frames": (["run", "net.grulet", "nan.npy", "out.npy"], "NaN"),
    "wrong rate": (["run", "net.grulet", "fast.wav", "out.npy"], "16000 Hz"),
    "text as sound": (["run", "net.grulet", "text.wav", "out.npy"], "text.wav"),
    "nowhere to write": (["run", "net.grulet", "frames.npy", "no/out.npy"], "no/out.npy"),
    "bad chunk": (["run", "net.grulet", "frames.npy", "out.npy", "--chunk", "0"], "at least 1"),
    "no such ONNX": (["convert", "none.onnx", "-o", "x.grulet"], "none.onnx"),
    "text as ONNX": (["convert", "tiny_network.py", "-o", "x.grulet"], "ONNX"),
    "bad calibration": (["convert", "net.onnx", "-o", "x.grulet", "--calibrate", "narrow.npy"], r"(T, 8)"),
    "unknown weights": (
        ["convert", "net.onnx", "-o", "x.grulet", "--weights", "int3"],
        "one of int8, int4, f16, f32, not 'int3'",
    ),
    "no output named": (["convert", "net.onnx"], "-o/--output"),
    "nowhere to export": (["convert", "net.onnx", "-o", "no/x.grulet", "--frames", "5"], "no/x.grulet"),
    "no such module": (["export", "nowhere:Net", "-o", "x.grulet"], "no such Python module"),
    "no such factory": (["export", "tiny_network:Nets", "-o", "x.grulet"], "has no 'Nets'"),
    "no factory": (["export", "tiny_network", "-o", "x.grulet"], "PACKAGE.MODULE:FACTORY"),
    "factory with arguments": (["export", "tiny_network:broken", "-o", "x.grulet"], "without arguments"),
    "factory of no module": (["export", "tiny_network:nothing", "-o", "x.grulet"], "not a torch.nn.Module"),
    "wrong checkpoint": (["export", "tiny_network:Net", "--checkpoint", "wrong.pt", "-o", "x.grulet"], "does not fit"),
    "text as checkpoint": (
        ["export", "tiny_network:Net", "--checkpoint", "tiny_network.py", "-o", "x.grulet"],
        "not a checkpoint",
    ),
    "another model": (["verify", "other.onnx", "net.grulet"], "not made from this ONNX model"),
    "unknown rival": (["bench", "net.grulet", "--against", "tflite"], "unknown rival 'tflite'"),
    "no steps": (["bench", "net.grulet", "--steps", "0"], "from 1 to 10,000,000"),
    "no time": (["bench", "net.grulet", "--period", "soon"], "such as 10ms, 500us, 1s or 0.01"),
    "paced without a period": (["bench", "net.grulet", "--paced-steps", "9"], "--paced-steps is for runs in real time"),
    "between without a period": (["bench", "net.grulet", "--between-bytes", "0"], "give --period, such as 10ms"),
    "less than nothing between": (["bench", "net.grulet", "--period", "1s", "--between-bytes", "-1"], "from 0 to"),
    "no picture": (["bench", "net.grulet", "--plot", "bench.txt"], "a .png, .svg or .pdf file"),
    "nowhere to draw": (["bench", "net.grulet", "--plot", "no/bench.png"], "no/bench.png: cannot be written"),
    "no command": ([], "COMMAND"),
    "unknown command": (["transmogrify"], "invalid choice"),
    "no example": (["demo", "--example", "."], "no demo.py"),
}


@pytest.mark.parametrize("name", BAD)
def test_bad_input_is_one_line_and_status_2(name: str, files: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """One line on stderr that names the problem, nothing on stdout, status 2, and no file written or changed."""
    data = (files / "net.grulet").read_bytes()
    (files / "empty").write_bytes(b"")
    (files / "text.wav").write_text("no sound")
    (files / "short.grulet").write_bytes(data[:-1])
    (files / "flipped.grulet").write_bytes(data[:-70] + bytes([data[-70] ^ 1]) + data[-69:])
    (files / "newer.grulet").write_bytes(data[:8] + b"\2" + data[9:])
    np.save("double.npy", np.zeros((3, 8)))
    np.save("narrow.npy", np.zeros((3, 7), np.float32))
    np.save("pickled.npy", np.array([{}]), allow_pickle=True)
    np.save("nan.npy", np.full((3, 8), np.nan, np.float32))
    write_wave("fast.wav", 16000)
    torch.save(nn.GRU(8, 5).state_dict(), "wrong.pt")
    if name == "another model":
        from grulet_export import export

        export(nn.GRU(4, 4), "other.grulet", onnx="other.onnx", frames=5)
    before = {path.name: path.read_bytes() for path in files.iterdir() if path.is_file()}
    capsys.readouterr()
    arguments, message = BAD[name]
    try:
        status = main(arguments)
    except SystemExit as stop:  # argparse's own errors
        status = int(str(stop.code))
    printed = capsys.readouterr()
    assert status == 2
    assert printed.out == ""
    assert printed.err.count("\n") == 1
    assert printed.err.startswith("grulet")
    assert message in printed.err
    assert {path.name: path.read_bytes() for path in files.iterdir() if path.is_file()} == before


def test_python_m_grulet(files: Path) -> None:
    """The module form, and its exit status, as a shell sees it."""
    command = [sys.executable, "-m", "grulet"]
    assert subprocess.run([*command, "--version"], capture_output=True, text=True, check=True).stdout.startswith(
        "grulet "
    )
    refused = subprocess.run([*command, "inspect", "tiny_network.py"], capture_output=True, text=True)
    assert refused.returncode == 2
    assert "Traceback" not in refused.stderr


def test_every_command_is_documented(capsys: pytest.CaptureFixture[str]) -> None:
    """Help exists for each, and the README names each."""
    readme = (EXAMPLE.parents[1] / "README.md").read_text()
    for command in COMMANDS:
        with pytest.raises(SystemExit) as stop:
            main([command, "--help"])
        assert stop.value.code == 0
        assert len(capsys.readouterr().out.splitlines()) > 5
        assert f"grulet {command}" in readme, f"the README does not name the command {command}"
