"""ONNX files to `.grulet` files: proved, and run by the kernel with the oracle's bits."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx_models import BATCH_FIRST, CHANNELS_FIRST, CONSTANTS, UNITS, WIDTH, floats, gru, model, node, squeeze

import grulet
from grulet.__main__ import main
from grulet_export import ExportMismatch, export, verify

LSTM = {"Wl": floats(1, 4 * UNITS, WIDTH), "Rl": floats(1, 4 * UNITS, UNITS)}
BOTH = {name: np.repeat(CONSTANTS[name], 2, axis=0) for name in "WRB"}

MODELS: dict[str, onnx.ModelProto] = {
    "gru": model([gru(), squeeze()]),
    "reset before the product": model([gru(linear_before_reset=0, clip=2.0), squeeze()]),
    "other functions": model([gru(activations=["HardSigmoid", "Softsign"]), squeeze()]),
    "lstm": model([node("LSTM", ["x", "Wl", "Rl"], ["Y"], hidden_size=UNITS), squeeze()], constants=LSTM),
    "layout 1": model([gru(layout=1), node("Squeeze", ["Y", "two"], ["y"])], BATCH_FIRST),
    "both directions": model(
        [gru(direction="bidirectional"), node("Transpose", ["Y"], ["y"], perm=[0, 2, 1, 3])], constants=BOTH
    ),
    "last step": model([gru(outputs=["", "h"]), node("MatMul", ["h", "head"], ["y"])]),
    "last step of both directions": model(
        [
            gru(outputs=["", "h"], direction="bidirectional"),
            node("Transpose", ["h"], ["t"], perm=[1, 0, 2]),
            node("Flatten", ["t"], ["f"]),
            node("MatMul", ["f", "m"], ["y"]),
        ],
        constants={**BOTH, "m": floats(2 * UNITS, 2)},
    ),
    "convolution": model(
        [node("Conv", ["x", "k"], ["c"], pads=[2, 0]), node("Tanh", ["c"], ["y"])],
        CHANNELS_FIRST,
        constants={"k": floats(4, WIDTH, 3)},
    ),
    "embedding": model(
        [node("Gather", ["table", "x"], ["e"]), node("Softmax", ["e"], ["y"])],
        ("batch", "time"),
        integers=["x"],
        constants={"table": floats(7, 4)},
    ),
    "a vector for all frames": model(
        [gru(), squeeze(target="s"), node("Mul", ["s", "gain"], ["y"])], inputs={"gain": ("batch", UNITS)}
    ),
}


@pytest.mark.parametrize("weights", ["f32", "int8"])
@pytest.mark.parametrize("name", MODELS)
def test_conversion(tmp_path: Path, name: str, weights: str) -> None:
    """onnxruntime, oracle and kernel agree as far as they should; the file verifies."""
    path = tmp_path / "net.grulet"
    report = export(MODELS[name], path, weights=weights, frames=30)
    assert all(comparison.same_bits for comparison in report.between("oracle", "C kernel"))
    assert report.between("onnxruntime", "oracle, float weights")[0].largest < 1e-5
    assert report.between("onnxruntime", "C kernel")[0].largest < (1e-5 if weights == "f32" else 0.2)
    again = verify(MODELS[name], path, frames=30)
    assert again.comparisons == report.comparisons
    assert again.notes == report.notes
    assert bool(grulet.load(path).needs_sequence) is ("both directions" in name)


def test_notes_are_in_the_report(tmp_path: Path) -> None:
    """What the conversion decided is printed and in the JSON."""
    given = model([gru(outputs=["Y", "h_n"]), squeeze()], outputs=["y", "h_n"])
    report = export(given, tmp_path / "net.grulet", frames=10)
    note = "The output 'h_n' is left out: a stream keeps its state itself."
    assert report.as_json()["notes"] == (note,)
    assert f"note: {note}" in str(report)


@pytest.fixture
def step(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return a folder with one frame of a leaky sum whose weights and state come from outside."""
    nodes = [
        node("Mul", ["before", "decay"], ["d"]),
        node("Add", ["d", "x"], ["after"]),
        node("MatMul", ["after", "m"], ["y"]),
    ]
    inputs = {"before": (1, WIDTH), "m": (WIDTH, 2)}
    given = model(nodes, (1, WIDTH), inputs=inputs, outputs=["y", "after"], constants={"decay": np.float32(0.5)})
    onnx.save(given, tmp_path / "net.onnx")
    np.save(tmp_path / "m.npy", floats(WIDTH, 2))
    np.save(tmp_path / "wrong.npy", floats(WIDTH, 3))
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_options_of_the_command_line(step: Path) -> None:
    """--constant and --state, for convert and for verify."""
    options = ["--constant", "m=m.npy", "--state", "before=after", "--frames", "20"]
    assert main(["convert", "net.onnx", "-o", "net.grulet", *options]) == 0
    assert main(["verify", "net.onnx", "net.grulet", *options]) == 0
    stream = grulet.load("net.grulet").stream()
    (first, second) = (stream.step(np.ones(WIDTH, np.float32)) for _ in range(2))
    np.testing.assert_allclose(second, 1.5 * first, rtol=0.05)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--constant", "m"], "--constant m: LEFT=RIGHT was expected, two names with = between them"),
        (["--constant", "m=m.npy", "--constant", "m=m.npy"], "--constant: 'm' is given twice"),
        (["--constant", "m=no.npy"], "no.npy: No such file or directory"),
        (["--constant", "m=net.onnx"], "net.onnx: not a .npy file of numbers"),
        (["--constant", "m=wrong.npy"], "the constant for 'm' is float32 (3, 3); give float32 (3, 2)"),
        (["--constant", "m=m.npy", "--state", "before=y"], "output 'y': its shape (1, 2) is not that of the state"),
        ([], "MatMul 'y': it multiplies two tensors that are both computed from inputs, as attention does"),
    ],
)
def test_options_that_do_not_fit(
    step: Path, capsys: pytest.CaptureFixture[str], options: list[str], message: str
) -> None:
    """One line, exit status 2, nothing written."""
    assert main(["convert", "net.onnx", "-o", "net.grulet", *options]) == 2
    printed = capsys.readouterr().err
    assert message in printed
    assert printed.count("\n") == 1
    assert not (step / "net.grulet").exists()


def test_a_file_that_computes_nan_is_no_proof(tmp_path: Path) -> None:
    """Its answers are compared like any others: a NaN is not taken for a frame without an answer."""
    file = model([node("Log", ["x"], ["y"], name="log")], ("batch", "time", 1))
    with pytest.raises(ExportMismatch, match="'y': onnxruntime and oracle, float weights differ by nan"):
        export(file, tmp_path / "log.grulet", frames=20)
    assert list(tmp_path.iterdir()) == []
