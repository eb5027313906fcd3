"""The options of quantization, as users meet them: `export`, `convert`, and what they refuse."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from xml.etree import ElementTree

import numpy as np
import pytest
import torch
from torch import nn

import grulet
from grulet.__main__ import main
from grulet.format import read
from grulet_export import export
from grulet_export.graph import Array


class Net(nn.Module):
    """Two GRU layers and a dense one."""

    def __init__(self) -> None:
        super().__init__()
        self.gru = nn.GRU(12, 24, num_layers=2, batch_first=True)
        self.head = nn.Linear(24, 7)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Answers of every frame."""
        return self.head(self.gru(x)[0])


def sound(frames: int, seed: int) -> Array:
    """(frames, 12) that move slowly and together, with a mean, as features of sound do."""
    random = np.random.default_rng(seed)
    causes = 0.3 * random.standard_normal((frames, 4))
    for t in range(1, frames):
        causes[t] += 0.95 * causes[t - 1]
    mixing = np.random.default_rng(0).standard_normal((4, 12))
    return (causes @ mixing + 0.1 * random.standard_normal((frames, 12)) + mixing[0]).astype(np.float32)


@pytest.fixture
def files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The current folder: a model, its ONNX file, frames, and a folder of recordings."""
    monkeypatch.chdir(tmp_path)
    torch.manual_seed(0)
    export(Net(), "float.grulet", onnx="net.onnx", weights="f32", frames=20)
    Path("recordings").mkdir()
    for number in range(3):
        np.save(f"recordings/{number}.npy", sound(400, number))
    np.save("frames.npy", sound(600, 9))
    np.save("other.npy", sound(1000, 10))
    return tmp_path


def convert(*options: str, to: str = "b.grulet") -> grulet.Model:
    """Run `grulet convert`."""
    assert main(["convert", "net.onnx", "-o", to, "--frames", "40", *options]) == 0
    return grulet.load(to)


def loss(model: grulet.Model, frames: Array | None = None) -> float:
    """RMS error against float weights over the RMS of the answers."""
    frames = np.load("other.npy") if frames is None else frames
    right = grulet.load("float.grulet").stream().run(frames)
    return float(np.sqrt(np.square(model.stream().run(frames) - right).mean() / np.square(right).mean()))


def formats(model: grulet.Model) -> dict[str, str]:
    """Operator -> its weights."""
    return {op.name: op.weights for op in model.ops}


def test_formats_in_order_of_loss(files: Path) -> None:
    """Each format loses less than the one before, and costs more."""
    models = [convert("--weights", weights) for weights in ("int4", "int8", "f16", "f32")]
    losses, sizes = [loss(model) for model in models], [model.file_bytes for model in models]
    assert losses == sorted(losses, reverse=True)
    assert losses[-1] == 0
    assert sizes == sorted(sizes)


def test_weights_by_name(files: Path) -> None:
    """One operator named, the others by the format for all, or int8."""
    assert list(formats(convert("--weights", "int4", "--weights", "head=f16")).items()) == [
        ("gru.layer0", "int4"), ("gru.layer1", "int4"), ("head", "f16"),
    ]  # fmt: skip
    assert list(formats(convert("--weights", "gru.layer1=int4")).values()) == ["int8", "int4", "int8"]
    torch.manual_seed(0)
    export(Net(), "c.grulet", weights={"gru.layer1": "int4"}, frames=40)
    assert Path("c.grulet").read_bytes() == Path("b.grulet").read_bytes()


@pytest.mark.parametrize(("weights", "most"), [("int8", 0.7), ("int4", 0.8)])
def test_calibration_saves_loss_on_other_frames(files: Path, weights: str, most: float) -> None:
    """Against plain rounding, and a folder of recordings does as well as one."""
    plain = loss(convert("--weights", weights, "--rounding", "plain"))
    fitted = convert("--weights", weights, "--rounding", "fitted", to="fitted.grulet")
    assert Path("fitted.grulet").read_bytes() == _bytes(convert("--weights", weights))
    assert fitted.file_bytes == convert("--weights", weights, "--rounding", "plain").file_bytes
    for calibration in ("frames.npy", "recordings"):
        assert loss(convert("--weights", weights, "--calibrate", calibration)) <= most * plain


def _bytes(model: grulet.Model) -> bytes:
    """The file that was converted last."""
    return Path("b.grulet").read_bytes()


def test_each_recording_starts_anew(files: Path) -> None:
    """Two recordings are not one: between them the state is reset."""
    first, second = sound(300, 1), sound(300, 2)
    module = Net()
    for name, calibration in (("two", [first, second]), ("one", np.concatenate([first, second]))):
        export(module, f"{name}.grulet", calibration=calibration, frames=20)
    assert Path("two.grulet").read_bytes() != Path("one.grulet").read_bytes()


def test_f32_and_f16_need_no_calibration(files: Path) -> None:
    """With one they give the file that they give without."""
    for weights in ("f32", "f16"):
        convert("--weights", weights, to="with.grulet")
        convert("--weights", weights, "--calibrate", "frames.npy", to="without.grulet")
        assert Path("with.grulet").read_bytes() == Path("without.grulet").read_bytes()


@pytest.mark.parametrize("options", [["--calibrate", "recordings"], ["--mix", "--max-loss", "0.02"]])
def test_the_same_bytes_again(files: Path, options: Sequence[str]) -> None:
    """In other processes, with one thread of numpy's and with two."""
    made = []
    for threads in ("1", "2", "2"):
        command = [sys.executable, "-m", "grulet", "convert", "net.onnx", "-o", "b.grulet", "--frames", "20", *options]
        variables = {"OMP_NUM_THREADS": threads, "OPENBLAS_NUM_THREADS": threads, "MKL_NUM_THREADS": threads}
        subprocess.run(command, env=os.environ | variables, check=True, capture_output=True)
        made.append(Path("b.grulet").read_bytes())
    assert made[0] == made[1] == made[2]


def test_the_error_does_not_grow(files: Path) -> None:
    """Over 100,000 frames: the last tenth loses no more than a quarter above the first."""
    model = convert("--weights", "int4", "--calibrate", "recordings")
    frames = np.random.default_rng(1).standard_normal((100_000, 12)).astype(np.float32)
    error = np.square(model.stream().run(frames) - grulet.load("float.grulet").stream().run(frames)).mean(axis=1)
    assert error[-10_000:].mean() < 1.25 * error[:10_000].mean()


# ---- mixed precision ------------------------------------------------------------------------------------------------


def test_mix_within_bytes(files: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """The file keeps to the bytes, loses less than one format of that size, and the report says what else there was."""
    int4 = convert("--weights", "int4", "--calibrate", "recordings", to="int4.grulet")
    int8 = convert("--weights", "int8", "--calibrate", "recordings", to="int8.grulet")
    limit = (int4.file_bytes + int8.file_bytes) // 2
    options = ["--calibrate", "recordings", "--mix", "--max-bytes", str(limit)]
    capsys.readouterr()
    mixed = convert(*options, "--json")
    report = json.loads(capsys.readouterr().out)
    assert mixed.file_bytes <= limit
    assert len(set(formats(mixed).values())) > 1
    assert loss(int8) < loss(mixed) < loss(int4)
    mixture = report["mixture"]
    assert mixture["chosen"]["formats"] == formats(mixed)
    assert mixture["chosen"]["file_bytes"] == mixed.file_bytes
    recordings = [np.load(f"recordings/{number}.npy") for number in range(3)]
    right = np.concatenate([grulet.load("float.grulet").stream().run(frames) for frames in recordings])
    ours = np.concatenate([mixed.stream().run(frames) for frames in recordings])
    measured = np.sqrt(np.square(ours - right, dtype=np.float64).mean() / np.square(right, dtype=np.float64).mean())
    assert mixture["measured_loss"] == pytest.approx(measured, rel=1e-6)
    assert mixture["chosen"]["loss"] == pytest.approx(measured, rel=0.5)
    sizes, losses = zip(*((point["file_bytes"], point["loss"]) for point in mixture["curve"]), strict=True)
    assert list(sizes) == sorted(sizes)
    assert list(losses) == sorted(losses, reverse=True)
    assert losses[-1] == 0
    assert sizes[0] == int4.file_bytes, "the bytes that are foretold are those of the file"


def test_mix_within_a_loss(files: Path) -> None:
    """The smaller the loss allowed, the larger the file; it is kept as measured, not only as expected."""
    sizes = []
    for limit in (0.2, 0.02, 0.002, 0.0):
        torch.manual_seed(0)
        report = export(Net(), "b.grulet", calibration=sound(600, 9), mix=True, max_loss=limit, frames=40)
        assert report.mixture is not None
        assert report.mixture.measured_loss <= limit
        assert loss(grulet.load("b.grulet"), sound(600, 9)) == pytest.approx(report.mixture.measured_loss, rel=1e-5)
        sizes.append(report.file_bytes)
    assert sizes == sorted(sizes)
    assert sizes[0] < sizes[-1]


def test_mix_without_calibration_says_so(files: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Random frames are better than nothing, but no more."""
    capsys.readouterr()
    convert("--mix", "--max-loss", "0.05")
    text = capsys.readouterr().out
    assert "note: mixed: gru.layer0 int" in text
    assert "note: mixed by the answers to random frames: a calibration would say what counts" in text


def test_mix_is_drawn(files: Path) -> None:
    """As PNG and SVG; the title says what was chosen."""
    convert("--mix", "--max-loss", "0.05", "--mix-picture", "mix.png")
    assert Path("mix.png").read_bytes().startswith(b"\x89PNG")
    convert("--mix", "--max-loss", "0.05", "--mix-picture", "mix.svg")
    assert ElementTree.parse("mix.svg").getroot().tag.endswith("svg")


# ---- refusals -------------------------------------------------------------------------------------------------------

REFUSED = {
    "several formats": (
        ["--weights", "int4", "--weights", "int8"],
        "--weights: two formats for all operators, int4 and int8; give one",
    ),
    "unknown format": (
        ["--weights", "head=int3"],
        "weights must be one of int8, int4, f16, f32, not 'int3'",
    ),
    "unknown operator": (
        ["--weights", "tail=int4"],
        "weights: no operator with weights is called 'tail'; there are 'gru.layer0', 'gru.layer1', 'head'",
    ),
    "named twice": (["--weights", "head=int4", "--weights", "head=int8"], "--weights: 'head' is given twice"),
    "nothing to compensate on": (
        ["--rounding", "compensated"],
        "rounding 'compensated' needs frames to compensate on: give a calibration",
    ),
    "no limit": (["--mix"], "mix needs either max_bytes, the most bytes of the file, or max_loss, such as 0.01"),
    "two limits": (
        ["--mix", "--max-bytes", "9999", "--max-loss", "0.1"],
        "mix needs either max_bytes, the most bytes of the file, or max_loss, such as 0.01",
    ),
    "no mix": (["--max-loss", "0.1"], "max_bytes and max_loss go with mix"),
    "mix and formats": (
        ["--mix", "--max-loss", "0.1", "--weights", "int4"],
        "mix chooses every operator's format: leave out weights",
    ),
    "less than no loss": (
        ["--mix", "--max-loss", "-1"],
        "max_loss must be a share of the output's RMS such as 0.01, not -1.0",
    ),
    "too few bytes": (
        ["--mix", "--max-bytes", "1000"],
        "max_bytes: the smallest file of this model has 7,616 bytes, more than 1,000",
    ),
    "a picture of nothing": (["--mix-picture", "mix.png"], "mix_picture goes with mix"),
    "wrong shape": (["--calibrate", "narrow.npy"],
        "calibration: float32 frames (T, 12) were expected, not float32 (40, 11)"),
    "wrong type": (["--calibrate", "double.npy"],
        "double.npy: float32 (frames, inputs) was expected, not float64 (40, 12)"),
    "not a number": (["--calibrate", "nan.npy"], "calibration: the frames hold a NaN or an infinity"),
    "too few": (
        ["--calibrate", "short.npy"],
        "calibration: 31 frames are too few to say what is typical: give at least 32, better 1,000 and more",
    ),
    "an empty folder": (["--calibrate", "empty"], "empty: no .npy file in this folder"),
    "a bad recording": (
        ["--calibrate", "bad"],
        "calibration, recording 2: float32 frames (T, 12) were expected, not float32 (5, 3)",
    ),
    "nothing there": (["--calibrate", "none.npy"], "none.npy: No such file or directory"),
}  # fmt: skip


@pytest.mark.parametrize("name", REFUSED)
def test_refused(name: str, files: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """One line that names what is wrong, status 2, nothing written."""
    for folder in ("empty", "bad"):
        Path(folder).mkdir()
    arrays = {
        "narrow": np.zeros((40, 11), np.float32),
        "double": np.zeros((40, 12)),
        "nan": np.full((40, 12), np.nan, np.float32),
        "short": np.zeros((31, 12), np.float32),
        "bad/1": sound(40, 0),
        "bad/2": np.zeros((5, 3), np.float32),
    }
    for path, array in arrays.items():
        np.save(f"{path}.npy", array)
    before = sorted(os.listdir())
    capsys.readouterr()
    options, message = REFUSED[name]
    assert main(["convert", "net.onnx", "-o", "b.grulet", "--frames", "20", *options]) == 2
    printed = capsys.readouterr()
    assert printed.out == ""
    assert printed.err == f"grulet convert: {message}\n"
    assert sorted(os.listdir()) == before


def test_a_long_calibration_is_shortened(files: Path) -> None:
    """The report says so; what is kept is the start of every recording."""
    long = [np.tile(sound(1000, seed), (9, 1)) for seed in (1, 2)]
    report = export(Net(), "b.grulet", calibration=long, frames=20)
    assert any(note.startswith("calibration: of 18,000 frames, about 16,384 were used") for note in report.notes)


def test_what_is_written_is_what_was_asked_for(files: Path) -> None:
    """Scales, multipliers and integers of the file are those of the format, for a recurrent matrix too."""
    convert("--weights", "int4", "--calibrate", "frames.npy")
    for op in read(Path("b.grulet").read_bytes()).operators:
        for matrix in op.matrices:  # type: ignore[union-attr]
            assert matrix.multipliers is not None
            assert matrix.values.min() >= -8
            assert matrix.values.max() <= 7
            assert (np.abs(matrix.integers.astype(int)) <= 120).all()
