"""The export: what it writes, what it proves, and that it writes nothing it has not proved."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import onnx
import pytest
import torch
from torch import nn

import grulet
import grulet_export.exporting as exporting
from grulet import format as grulet_format
from grulet.errors import FormatError, FrameError, GruletError
from grulet.reference import Reference
from grulet_export import ExportMismatch, UnsupportedGraph, export, verify
from grulet_export.graph import Gru
from grulet_export.onnx_reading.layout import Imported


class Net(nn.Module):
    """Two GRU layers, a hidden dense layer and a softmax: every kind of operator."""

    def __init__(self, batch_first: bool = True) -> None:
        super().__init__()
        self.gru = nn.GRU(20, 33, num_layers=2, batch_first=batch_first)
        self.hidden = nn.Linear(33, 17)
        self.head = nn.Linear(17, 5)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Probabilities of every frame."""
        y, _ = self.gru(x)
        return torch.softmax(self.head(torch.relu(self.hidden(y))), dim=-1)


@pytest.fixture
def net() -> Net:
    """Return a network with fixed weights."""
    torch.manual_seed(1)
    return Net()


def test_f32_is_torch_to_two_in_a_million(tmp_path: Path) -> None:
    """Float weights at H = 256 over 1,000 frames: largest error at most 2e-6 against torch and onnxruntime."""
    torch.manual_seed(0)
    gru = nn.GRU(256, 256, batch_first=True)
    report = export(gru, tmp_path / "gru.grulet", weights="f32", frames=1000)
    frames = np.random.default_rng(3).standard_normal((1000, 256), np.float32)
    with torch.no_grad():
        expected = gru(torch.from_numpy(frames)[None])[0][0].numpy()
    ours = grulet.load(tmp_path / "gru.grulet").stream().run(frames)
    assert np.abs(ours - expected).max() <= 2e-6
    (against_onnxruntime,) = report.between("onnxruntime", "C kernel")
    assert against_onnxruntime.frames == 1000
    assert against_onnxruntime.largest <= 2e-6


@pytest.mark.parametrize("batch_first", [True, False])
def test_report_compares_all_four(tmp_path: Path, batch_first: bool) -> None:
    """torch, onnxruntime, oracle and kernel are compared, over the number of frames asked for, in either layout."""
    torch.manual_seed(2)
    report = export(Net(batch_first), tmp_path / "net.grulet", frames=300)
    pairs = {(c.left, c.right) for c in report.comparisons}
    assert pairs == {
        ("torch", "onnxruntime"),
        ("onnxruntime", "oracle, float weights"),
        ("onnxruntime", "C kernel"),
        ("oracle, float weights", "oracle, exact activations"),
        ("oracle, exact activations", "oracle"),
        ("oracle", "C kernel"),
    }
    assert all(c.frames == 300 for c in report.comparisons)
    assert report.between("torch", "onnxruntime")[0].largest < 1e-5
    assert report.between("onnxruntime", "C kernel")[0].snr_db > 30
    assert report.between("oracle", "C kernel")[0].same_bits
    assert report.file_bytes == (tmp_path / "net.grulet").stat().st_size
    assert report.parameters == sum(parameter.numel() for parameter in Net().parameters())


def test_int16_activations_round_40_db_finer_than_int8(tmp_path: Path, net: Net) -> None:
    """The rounding of activations alone, against an oracle with the same weights and unrounded activations."""
    snr = {}
    for activations in ("int16", "int8"):
        report = export(net, tmp_path / "net.grulet", activations=activations)
        (rounding,) = report.between("oracle, exact activations", "oracle")
        assert rounding.frames == 1000
        snr[activations] = rounding.snr_db
    assert snr["int16"] - snr["int8"] >= 40


def test_export_and_convert_give_the_same_file(tmp_path: Path, net: Net) -> None:
    """torch -> ONNX -> .grulet is one path: converting the ONNX it wrote gives the same bytes, and so does a repeat."""
    export(net, tmp_path / "a.grulet", onnx=tmp_path / "net.onnx", onnx_step=tmp_path / "step.onnx", frames=50)
    export(tmp_path / "net.onnx", tmp_path / "b.grulet", frames=50)
    export(net, tmp_path / "c.grulet", frames=50)
    a = (tmp_path / "a.grulet").read_bytes()
    assert a == (tmp_path / "b.grulet").read_bytes() == (tmp_path / "c.grulet").read_bytes()
    assert verify(tmp_path / "step.onnx", tmp_path / "a.grulet", frames=50).between("oracle", "C kernel")[0].same_bits


@pytest.mark.parametrize("weights", ["int8", "f32"])
def test_lowering_keeps_the_network(tmp_path: Path, net: Net, weights: str) -> None:
    """Fused functions, shared arena: the float oracle of the file equals torch."""
    export(net, tmp_path / "net.grulet", weights=weights, frames=20)
    program = grulet_format.read((tmp_path / "net.grulet").read_bytes())
    assert [type(op).__name__ for op in program.operators] == ["Gru", "Gru", "Dense", "Dense"]
    assert [getattr(op, "function", "") for op in program.operators] == ["", "", "relu", "softmax"]
    separate = sum(-(-value.width // 16) * 16 for value in program.values)
    assert program.arena_floats < separate, "values that are no longer needed must give their place to others"


@pytest.mark.parametrize(("activations", "known"), [("int16", 1.0), ("int8", 0.0)])
def test_ranges(tmp_path: Path, net: Net, activations: str, known: float) -> None:
    """16 bits spread over all that a hidden state can be; all else has each frame's own range, calibrated or not."""
    frames = np.random.default_rng(5).standard_normal((200, 20), np.float32)
    export(net, tmp_path / "net.grulet", calibration=frames, activations=activations)
    program = grulet_format.read((tmp_path / "net.grulet").read_bytes())
    assert [op.input_peak for op in program.operators] == [0, known, known, 0]


@pytest.mark.parametrize(
    ("frames", "message"),
    [
        (np.zeros((5, 20)), "float64"),
        (np.zeros((5, 19), np.float32), r"\(T, 20\)"),
        (np.zeros((0, 20), np.float32), "empty"),
        (np.full((5, 20), np.nan, np.float32), "NaN"),
        ([[0.0] * 20], "list"),
        (np.zeros((31, 20), np.float32), "31 frames are too few"),
        (
            [np.zeros((40, 20), np.float32), np.zeros((40, 2), np.float32)],
            r"recording 2: .* not float32 \(40, 2\)",
        ),
    ],
)
def test_bad_calibration_is_refused(tmp_path: Path, net: Net, frames: object, message: str) -> None:
    """Frames that do not fit are named, and nothing is written."""
    with pytest.raises(FrameError, match=message):
        export(net, tmp_path / "net.grulet", calibration=frames)  # type: ignore[arg-type]
    assert list(tmp_path.iterdir()) == []


def test_nothing_is_written_when_the_proof_fails(tmp_path: Path, net: Net, monkeypatch: pytest.MonkeyPatch) -> None:
    """A lowering that mixes up two gates is caught, and an older file at the same place survives."""
    path = tmp_path / "net.grulet"
    path.write_bytes(b"older")
    right = exporting.read_onnx

    def wrong(source: bytes, **options: object) -> Imported:
        imported = right(source, **options)  # type: ignore[arg-type]
        first, *others = imported.graph.nodes
        assert isinstance(first, Gru)
        mixed_up = replace(first, recurrent_weights=first.recurrent_weights[[1, 0, 2]])
        return replace(imported, graph=replace(imported.graph, nodes=(mixed_up, *others)))

    monkeypatch.setattr(exporting, "read_onnx", wrong)
    with pytest.raises(ExportMismatch, match="onnxruntime and oracle, float weights differ"):
        export(net, path, frames=50, onnx=tmp_path / "net.onnx")
    assert path.read_bytes() == b"older"
    assert list(tmp_path.iterdir()) == [path]


def test_wrong_onnx_from_torch_is_caught(tmp_path: Path, net: Net, monkeypatch: pytest.MonkeyPatch) -> None:
    """What torch's own exporter once did, linear_before_reset=0, fails the comparison with torch."""
    import grulet_export.torch_reading.front as torch_front

    right = torch_front.build_onnx

    def wrong(*arguments: object) -> object:
        built = right(*arguments)
        for model in (built.sequence, built.step):
            for node in model.graph.node:
                for attribute in node.attribute:
                    if attribute.name == "linear_before_reset":
                        attribute.i = 0
        return built

    monkeypatch.setattr(torch_front, "build_onnx", wrong)
    with pytest.raises(ExportMismatch, match="torch and onnxruntime differ"):
        export(net, tmp_path / "net.grulet")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"weights": "int7"}, "weights must be one of int8, int4, f16, f32"),
        ({"activations": "int4"}, "activations must be one of int16, int8"),
        ({"frames": 0}, "at least 1"),
    ],
)
def test_unknown_options_are_refused(tmp_path: Path, net: Net, options: dict[str, object], message: str) -> None:
    """An option that is not there is named."""
    with pytest.raises(GruletError, match=message):
        export(net, tmp_path / "net.grulet", **options)  # type: ignore[arg-type]
    assert list(tmp_path.iterdir()) == []


def test_onnx_options_need_a_torch_module(tmp_path: Path, net: Net) -> None:
    """Options that would do nothing are refused."""
    export(net, tmp_path / "net.grulet", onnx=tmp_path / "net.onnx", frames=10)
    with pytest.raises(GruletError, match="go with a torch module"):
        export(tmp_path / "net.onnx", tmp_path / "b.grulet", onnx=tmp_path / "c.onnx")


def test_unsupported_module_is_refused_by_name(tmp_path: Path) -> None:
    """The refusal names the module."""
    with pytest.raises(
        UnsupportedGraph, match=r"Conv1d '0': it looks at several frames.*or give an example \(example="
    ):
        export(nn.Sequential(nn.Conv1d(4, 4, 3)), tmp_path / "net.grulet")
    assert list(tmp_path.iterdir()) == []


def test_verify_refuses_another_model(tmp_path: Path, net: Net) -> None:
    """A file of other widths is not compared."""
    export(net, tmp_path / "net.grulet", onnx=tmp_path / "net.onnx", frames=10)
    export(nn.GRU(3, 4), tmp_path / "other.grulet", frames=10)
    with pytest.raises(FormatError, match="not made from this ONNX model"):
        verify(tmp_path / "net.onnx", tmp_path / "other.grulet")


def test_metadata_travels(tmp_path: Path) -> None:
    """The module's notes and the caller's reach the model through ONNX."""
    module = nn.GRU(3, 4)
    module.grulet_metadata = {"labels": ["a", "b"]}  # type: ignore[assignment]
    export(module, tmp_path / "net.grulet", metadata={"rate": 50, "name": "Grün"}, frames=10)
    model = grulet.load(tmp_path / "net.grulet")
    assert model.metadata == {"labels": ["a", "b"], "rate": 50, "name": "Grün"}
    assert model.exporter == f"grulet {grulet.__version__}"
    assert len(model.source_sha256) == 64


def test_several_outputs(tmp_path: Path) -> None:
    """Two heads give a named tuple, each compared."""

    class TwoHeads(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.gru = nn.GRU(6, 9, batch_first=True)
            self.mask = nn.Linear(9, 6)
            self.speech = nn.Linear(9, 1)

        def forward(self, x: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
            y, _ = self.gru(x)
            return torch.sigmoid(self.mask(y)), torch.sigmoid(self.speech(y))

    torch.manual_seed(4)
    report = export(TwoHeads(), tmp_path / "net.grulet", frames=40)
    model = grulet.load(tmp_path / "net.grulet")
    assert {c.output for c in report.comparisons} == {port.name for port in model.outputs}
    mask, speech = model.stream().step(np.zeros(6, np.float32))
    assert mask.shape == (6,)
    assert speech.shape == (1,)


def test_the_onnx_model_is_an_ordinary_one(tmp_path: Path, net: Net) -> None:
    """The file that is written passes onnx's own checker and says linear_before_reset=1 in every GRU."""
    export(net, tmp_path / "net.grulet", onnx=tmp_path / "net.onnx", onnx_step=tmp_path / "step.onnx", frames=10)
    for name in ("net.onnx", "step.onnx"):
        model = onnx.load(tmp_path / name)
        onnx.checker.check_model(model, full_check=True)
        layers = [node for node in model.graph.node if node.op_type == "GRU"]
        assert len(layers) == 2
        for layer in layers:
            attributes = {attribute.name: attribute.i for attribute in layer.attribute}
            assert attributes["linear_before_reset"] == 1
            assert layer.input[5], "the initial state is explicit"
            assert layer.output[1], "the final state is explicit"


def test_silence_and_odd_weights(tmp_path: Path) -> None:
    """Rows of zeros and tiny rows survive the rounding of weights; a silent frame is fine."""
    gru = nn.GRU(4, 6, batch_first=True)
    with torch.no_grad():
        gru.weight_ih_l0[0] = 0
        gru.weight_ih_l0[1] = 1e-38
        gru.weight_hh_l0[:] = 0
    export(gru, tmp_path / "net.grulet", frames=30)
    data = (tmp_path / "net.grulet").read_bytes()
    zeros = np.zeros((3, 4), np.float32)
    assert grulet.load(data).stream().run(zeros).tobytes() == Reference(data).run(zeros).tobytes()
