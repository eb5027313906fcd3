"""torch modules of every kind to `.grulet` files: exported with proof, and run with the same bits by every kernel."""

from __future__ import annotations

import importlib.util
import io
import warnings
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch_modules import (
    Enhancer,
    LanguageModel,
    LastLayerOfLstm,
    LastStep,
    LeakyStep,
    LoopByHand,
    Residual,
    Step,
    Tagger,
    WithState,
)

import grulet
from grulet import format as grulet_format
from grulet.__main__ import main
from grulet.frames import random_frames
from grulet.reference import Reference
from grulet_export import ExportMismatch, Report, UnsupportedGraph, export, verify
from grulet_export.torch_reading.exporter import TorchSession

Array = NDArray[np.float32]

DYNAMO = pytest.mark.skipif(importlib.util.find_spec("onnxscript") is None, reason="needs onnxscript")


def frames_for(model: grulet.Model, count: int) -> Array:
    """Return frames that the model takes."""
    return random_frames([(port.width, port.tokens) for port in model.inputs], count)


def made(factory: Callable[[], nn.Module]) -> nn.Module:
    """Return a module with fixed weights."""
    torch.manual_seed(7)
    return factory().eval()


# ---- every kind of module --------------------------------------------------------------------------------------------

#: The module, and whether torch's own exporter has to write it.
MODULES: dict[str, tuple[Callable[[], nn.Module], bool]] = {
    "lstm": (LastLayerOfLstm, False),
    "rnn": (lambda: nn.RNN(5, 6, num_layers=2, batch_first=True), False),
    "conv1d, gru, norm, skip": (Enhancer, True),
    "language model": (LanguageModel, False),
    "residual, two inputs and outputs": (Residual, False),
    "sequential": (lambda: nn.Sequential(nn.Linear(5, 6), nn.LayerNorm(6), nn.Tanh(), nn.Linear(6, 3)), False),
    "state in and out": (WithState, True),
    "one step of cells": (Step, True),
    "last step": (LastStep, True),
}


@pytest.mark.parametrize("weights", ["f32", "int8"])
@pytest.mark.parametrize(("factory", "by_exporter"), MODULES.values(), ids=MODULES)
def test_modules(tmp_path: Path, factory: Callable[[], nn.Module], by_exporter: bool, weights: str) -> None:
    """torch, onnxruntime, oracle and every kernel agree; the ONNX of the way reads as the same file."""
    path, whole = tmp_path / "net.grulet", tmp_path / "net.onnx"
    report = export(made(factory), path, weights=weights, onnx=whole, frames=60)
    assert report.between("torch", "onnxruntime")
    assert all(item.same_bits for item in report.between("oracle", "C kernel"))
    assert any("torch's own exporter" in note for note in report.notes) is by_exporter
    same_on_every_isa(path, 60)
    if not isinstance(made(factory), Step):  # whose states a reader of the ONNX file has to name
        again = verify(whole, path, frames=60)
        assert all(item.same_bits for item in again.between("oracle", "C kernel"))


def same_on_every_isa(path: Path, count: int) -> None:
    """Compare every instruction set with the oracle, frame by frame where that is possible, and whole."""
    data = path.read_bytes()
    model = grulet.load(data)
    frames = frames_for(model, count)
    expected = Reference(data).run(frames)
    for isa in grulet.isas():
        grulet.use_isa(isa)
        model = grulet.load(data)
        assert model.stream().run_vector(frames).tobytes() == expected.tobytes(), isa
        if not grulet_format.read(data).needs_sequence:
            stream = model.stream()
            steps = np.concatenate([stream.run_vector(frame[None]) for frame in frames])
            assert steps.tobytes() == expected.tobytes(), isa


@pytest.mark.parametrize("weights", ["f32", "int8"])
def test_a_bidirectional_tagger(tmp_path: Path, weights: str) -> None:
    """It runs on whole sentences, in every kernel, and says why it has no step form."""
    path = tmp_path / "tagger.grulet"
    export(made(Tagger), path, weights=weights, frames=60)
    same_on_every_isa(path, 60)
    with pytest.raises(UnsupportedGraph, match="from the last frame to the first"):
        export(made(Tagger), tmp_path / "no.grulet", onnx_step=tmp_path / "step.onnx", frames=20)
    assert list(tmp_path.iterdir()) == [path]


def test_outputs_are_torchs(tmp_path: Path) -> None:
    """The comparison done here by hand, so that nothing rests on the report alone."""
    module = made(Enhancer)
    export(module, tmp_path / "net.grulet", weights="f32", frames=30)
    model = grulet.load(tmp_path / "net.grulet")
    frames = frames_for(model, 30)
    with torch.no_grad():
        expected = module(torch.from_numpy(frames)[None])
    answers = model.stream().run(frames)
    assert [port.name for port in model.outputs] == ["mask", "voice"]
    for name in ("mask", "voice"):
        np.testing.assert_allclose(getattr(answers, name), expected[name][0], atol=2e-6)


def test_steps_are_torchs(tmp_path: Path) -> None:
    """A module of one step, its states carried by hand, against the stream."""
    module = made(Step)
    export(module, tmp_path / "net.grulet", weights="f32", frames=20)
    stream = grulet.load(tmp_path / "net.grulet").stream()
    states = [torch.zeros(1, width) for width in (6, 4, 4)]
    for x in np.random.default_rng(1).standard_normal((12, 5), np.float32):
        with torch.no_grad():
            y, *states = module(torch.from_numpy(x)[None], *states)
        np.testing.assert_allclose(stream.step(x), y[0], atol=2e-6)


def test_cells_become_operators_of_their_own(tmp_path: Path) -> None:
    """A cell between its state's input and output is one operator; where more happens to it, it is spelled out."""

    class Forgetful(Step):
        def forward(self, x: Tensor, g: Tensor, h: Tensor, c: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
            return super().forward(x, 0.5 * g, h, c)

    kinds = {}
    for factory in (Step, Forgetful):
        export(made(factory), tmp_path / "net.grulet", weights="f32", frames=40)
        kinds[factory] = {operator.kind for operator in grulet.load(tmp_path / "net.grulet").ops}
        same_on_every_isa(tmp_path / "net.grulet", 40)
    assert kinds[Step] == {"gru", "lstm", "dense"}
    assert "state_read" in kinds[Forgetful]


def test_states_by_name(tmp_path: Path) -> None:
    """A step written by hand says which output is which input's next value; the other outputs are answers."""
    module = made(LeakyStep)
    path = tmp_path / "net.grulet"
    report = export(module, path, states={"state": "kept"}, weights="f32", frames=40)
    model = grulet.load(path)
    assert [port.name for port in model.outputs] == ["answer"]
    assert report.between("torch", "onnxruntime")[0].frames == 40
    same_on_every_isa(path, 40)


def test_a_cell_alone(tmp_path: Path) -> None:
    """A cell's new state is its answer and its state."""
    cell = made(lambda: nn.GRUCell(5, 6))
    export(cell, tmp_path / "cell.grulet", example=(torch.zeros(1, 5), torch.zeros(1, 6)), weights="f32", frames=30)
    stream = grulet.load(tmp_path / "cell.grulet").stream()
    h = torch.zeros(1, 6)
    for x in np.random.default_rng(1).standard_normal((9, 5), np.float32):
        with torch.no_grad():
            h = cell(torch.from_numpy(x)[None], h)
        np.testing.assert_allclose(stream.step(x), h[0], atol=2e-6)


def test_the_command_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    """States by name, and one line and exit status 2 for a form that there is not."""
    monkeypatch.chdir(tmp_path)
    command = ["export", "torch_modules:LeakyStep", "-o", "net.grulet", "--frames", "20"]
    assert main([*command, "--state", "state=kept"]) == 0
    assert grulet.load(tmp_path / "net.grulet").output_width == 2
    assert (
        main(["export", "torch_modules:Tagger", "-o", "no.grulet", "--onnx-step", "step.onnx", "--frames", "20"]) == 2
    )
    (line,) = capsys.readouterr().err.splitlines()
    assert "it goes from the last frame to the first" in line
    assert [path.name for path in tmp_path.iterdir()] == ["net.grulet"]


# ---- one module, several ways: equal outputs -------------------------------------------------------------------------


def by_torchscript(module: nn.Module, example: tuple[Tensor, ...], axes: Sequence[dict[int, str]]) -> bytes:
    """Return what torch's older exporter writes."""
    names = [f"in{number}" for number in range(len(example))]
    buffer = io.BytesIO()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        torch.onnx.export(
            module.eval(),
            example,
            buffer,
            dynamo=False,
            input_names=names,
            dynamic_axes=dict(zip(names, axes, strict=True)),
        )
    return buffer.getvalue()


def by_dynamo(module: nn.Module, example: tuple[Tensor, ...], axes: Sequence[dict[int, str]]) -> bytes:
    """Return what torch's newer exporter writes."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        program = torch.onnx.export(module.eval(), example, dynamo=True, dynamic_shapes=tuple(axes), verbose=False)
    assert program is not None
    model: bytes = program.model_proto.SerializeToString()
    return model


def outputs_of(source: Any, path: Path, **options: Any) -> Array:
    """Return what the file made of a model answers to 40 frames."""
    export(source, path, weights="f32", frames=40, **options)
    model = grulet.load(path)
    return model.stream().run_vector(frames_for(model, 40))


#: The module, an example, and whether torch.export leaves its number of frames free.
TWICE = {
    "lstm": (LastLayerOfLstm, (torch.randn(1, 7, 7),), True),
    "conv1d, gru, norm, skip": (Enhancer, (torch.randn(1, 9, 6),), True),
    "bidirectional gru": (Tagger, (torch.ones(1, 7, dtype=torch.int64),), False),
    "state in and out": (WithState, (torch.randn(1, 7, 5), torch.randn(2, 1, 6)), False),
}


@DYNAMO
@pytest.mark.parametrize(("factory", "example", "free"), TWICE.values(), ids=TWICE)
def test_both_exporters_of_torch(
    tmp_path: Path, factory: Callable[[], nn.Module], example: tuple[Tensor, ...], free: bool
) -> None:
    """What TorchScript and dynamo write of one module becomes files with equal outputs; so does our own way."""
    module = made(factory)
    rest: list[dict[int, str]] = [{} for _ in example[1:]]
    script = by_torchscript(module, example, [{1: "time"}, *rest])
    dynamo = by_dynamo(module, example, [{1: "time"} if free else {}, *rest])
    answers = {outputs_of(source, tmp_path / "net.grulet").tobytes() for source in (script, dynamo)}
    answers.add(outputs_of(module, tmp_path / "net.grulet", example=example).tobytes())
    assert len(answers) == 1


@pytest.mark.parametrize("kind", [nn.GRU, nn.LSTM, nn.RNN])
def test_batch_first_or_not(tmp_path: Path, kind: type[nn.RNNBase]) -> None:
    """The order of axes is the caller's business; the file is the same."""
    one, other = (made(lambda b=b: kind(5, 6, num_layers=2, batch_first=b)) for b in (True, False))
    answers = [outputs_of(module, tmp_path / "net.grulet") for module in (one, other)]
    example = (torch.randn(1, 7, 5),)
    answers.append(outputs_of(by_torchscript(one, example, ({1: "time"},)), tmp_path / "net.grulet"))
    answers.append(outputs_of(by_torchscript(other, (torch.randn(7, 1, 5),), ({0: "time"},)), tmp_path / "net.grulet"))
    assert len({answer.tobytes() for answer in answers}) == 1


def test_states_as_inputs_or_not(tmp_path: Path) -> None:
    """A state that the caller keeps is the stream's."""

    class Without(nn.Module):
        def __init__(self, module: WithState) -> None:
            super().__init__()
            self.gru, self.head = module.gru, module.head

        def forward(self, x: Tensor) -> Tensor:
            y: Tensor = self.head(self.gru(x)[0])
            return y

    module = made(WithState)
    assert isinstance(module, WithState)
    with_state = outputs_of(module, tmp_path / "with.grulet")
    without = outputs_of(Without(module), tmp_path / "without.grulet")
    script = outputs_of(
        by_torchscript(module, (torch.randn(1, 7, 5), torch.randn(2, 1, 6)), ({1: "time"}, {})), tmp_path / "s.grulet"
    )
    assert with_state.tobytes() == without.tobytes() == script.tobytes()


# ---- the step form ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["lstm", "conv1d, gru, norm, skip", "language model", "one step of cells"])
def test_the_step_form_is_the_same_model(tmp_path: Path, name: str) -> None:
    """Frame by frame in onnxruntime, states carried by the names in the file, is the stream."""
    import onnxruntime

    path, step = tmp_path / "net.grulet", tmp_path / "step.onnx"
    export(made(MODULES[name][0]), path, weights="f32", onnx_step=step, frames=20)
    onnx.checker.check_model(onnx.load(step), full_check=True)
    model = grulet.load(path)
    frames = frames_for(model, 12)
    session = onnxruntime.InferenceSession(step.read_bytes(), providers=["CPUExecutionProvider"])
    inputs, outputs = session.get_inputs(), [entry.name for entry in session.get_outputs()]
    states = {entry.name: np.zeros(entry.shape, np.float32) for entry in inputs[len(model.inputs) :]}
    kinds = {"tensor(int64)": np.int64, "tensor(float)": np.float32}
    for frame, expected in zip(frames, model.stream().run_vector(frames), strict=True):
        feeds = {
            port.name: frame[port.slice].astype(kinds[entry.type]).reshape(entry.shape)
            for port, entry in zip(model.inputs, inputs, strict=False)
        }
        results = session.run(outputs, feeds | states)
        np.testing.assert_allclose(np.concatenate([y[0] for y in results[: len(model.outputs)]]), expected, atol=2e-6)
        states = dict(zip(states, results[len(model.outputs) :], strict=True))


# ---- quantized modules -----------------------------------------------------------------------------------------------


def quantized(module: nn.Module) -> nn.Module:
    """Return a module as torch quantizes it."""
    kinds = {nn.GRU, nn.LSTM, nn.Linear, nn.GRUCell, nn.LSTMCell, nn.RNNCell}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # torch has announced that this will go
        answer: nn.Module = torch.ao.quantization.quantize_dynamic(module, kinds)
    return answer


@pytest.mark.parametrize("factory", [LastLayerOfLstm, LanguageModel, Step])
def test_modules_that_torch_quantized(tmp_path: Path, factory: Callable[[], nn.Module]) -> None:
    """They are taken with the weights that they have, close to the float module, and the report says so."""
    module = made(factory)
    answers = outputs_of(module, tmp_path / "float.grulet")
    theirs = quantized(module)
    before = {name: type(part) for name, part in theirs.named_modules()}
    report = export(theirs, tmp_path / "net.grulet", weights="f32", frames=40)
    assert any("torch had quantized" in note for note in report.notes)
    assert "torch had quantized" in str(report)
    assert before == {name: type(part) for name, part in theirs.named_modules()}, "the module itself was changed"
    model = grulet.load(tmp_path / "net.grulet")
    ours = model.stream().run_vector(frames_for(model, 40))
    difference = np.abs(ours - answers).max()
    assert 0 < difference < 0.1 * np.abs(answers).max()


# ---- refused ---------------------------------------------------------------------------------------------------------


class NoTensor(nn.Module):
    """It returns a number beside its frames."""

    def forward(self, x: Tensor) -> tuple[Tensor, int]:
        """Frames as they are."""
        return torch.erf(x), 3


class Bessel(nn.Module):
    """A function that has no ONNX operator."""

    def forward(self, x: Tensor) -> Tensor:
        """As wide as x."""
        return torch.special.i0(x)


def statically_quantized() -> nn.Module:
    """Return a layer with scales of its own for what it answers."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # torch has announced that this will go
        layer: nn.Module = torch.ao.nn.quantized.Linear(2, 3)
    return layer


REFUSED: list[tuple[nn.Module, dict[str, Any], str]] = [
    (LoopByHand(cell=True), {}, "LoopByHand: it calls 'cell' in a loop of its own.*use nn.GRU, nn.LSTM or nn.RNN"),
    (LoopByHand(cell=False), {}, "LoopByHand: it calls 'cell' once for every frame in a loop.*use nn.GRU"),
    (nn.Sequential(nn.Conv1d(2, 3, 1)), {}, r"Conv1d '0': it looks at several frames.*or give an example \(example="),
    (
        Enhancer(),
        {"example": torch.zeros(1, 9, 5)},
        "Enhancer: it does not run on the example .*give an example that it",
    ),
    (Enhancer(), {"example": ()}, "Enhancer: the example is no tensor or tuple of tensors"),
    (Enhancer(), {"example": [torch.zeros(1, 9, 6)]}, r"no tensor or tuple of tensors \(list\)"),
    (WithState(), {"example": torch.zeros(1, 9, 5)}, "WithState: the example does not fit its arguments.*'h'"),
    (nn.GRUCell(5, 6), {"example": torch.zeros(1, 5)}, "GRUCell: it is one step of a recurrence, but no state goes in"),
    (nn.GRU(5, 6), {"states": {"a": "b"}}, "GRU: states are for a module of one step, which needs an example"),
    (LeakyStep(), {"states": {"state": "lost"}}, "it has no output 'lost' to be a state; name one of answer, kept"),
    (Bessel(), {"example": torch.zeros(1, 9, 6)}, "Bessel: torch's exporter cannot write it .*i0.*another way"),
    (nn.Sequential(statically_quantized()), {}, "Linear '0': torch quantized it in a way .*give the float module"),
    (NoTensor(), {"example": torch.zeros(1, 9, 6)}, "NoTensor: it returns a int; return tensors"),
    (
        nn.Conv1d(2, 3, 3),
        {"example": torch.zeros(1, 2, 9)},
        "Conv '/Conv': it looks 2 frames ahead.*2 zeros on the left",
    ),
]


@pytest.mark.parametrize(("module", "options", "message"), REFUSED)
def test_refused(tmp_path: Path, module: nn.Module, options: dict[str, Any], message: str) -> None:
    """One error that names what is wrong and what would work; nothing is written."""
    with pytest.raises(UnsupportedGraph, match=f"(?s){message}"):
        export(module, tmp_path / "net.grulet", frames=20, **options)
    assert list(tmp_path.iterdir()) == []


def test_a_wrong_export_by_torch_is_caught(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What torch's exporter writes is compared with the module itself."""
    right = TorchSession.run

    def wrong(self: TorchSession, names: Sequence[str], feeds: Any) -> Any:
        return [answer * np.float32(1.001) for answer in right(self, names, feeds)]

    monkeypatch.setattr(TorchSession, "run", wrong)
    with pytest.raises(ExportMismatch, match="torch and onnxruntime differ"):
        export(made(Enhancer), tmp_path / "net.grulet", frames=30)
    assert list(tmp_path.iterdir()) == []


def test_the_report_shows_notes(tmp_path: Path) -> None:
    """In print and in JSON."""
    report: Report = export(made(Enhancer), tmp_path / "net.grulet", frames=20)
    assert any("torch's own exporter" in note for note in report.as_json()["notes"])
    assert "torch's own exporter" in str(report)
