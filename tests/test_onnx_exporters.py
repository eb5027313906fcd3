"""What torch's own exporter (TorchScript) writes for modules as people write them: read, and equal to onnxruntime."""

from __future__ import annotations

import inspect
import io
import warnings
from collections.abc import Callable
from typing import Any

import onnx
import pytest
import torch
import torch.nn.functional as F  # noqa: N812 (as everyone calls it)
from onnx_models import assert_agrees, kinds
from torch import Tensor, nn

from grulet_export.onnx_reading.layout import Imported

WIDTH, UNITS = 5, 6
BATCH_FIRST, TIME_FIRST = {0: "batch", 1: "time"}, {0: "time", 1: "batch"}


def exported(module: nn.Module, example: tuple[Tensor, ...], axes: dict[str, dict[int, str]]) -> onnx.ModelProto:
    """Return a module as torch's exporter writes it, its outputs named out0, out1, ..."""
    module.eval()
    names = list(inspect.signature(module.forward).parameters)[: len(example)]
    with torch.no_grad():
        outputs = [f"out{place}" for place in range(len(torch.utils._pytree.tree_leaves(module(*example))))]
    buffer = io.BytesIO()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # it warns of its own age
        torch.onnx.export(
            module, example, buffer, dynamo=False, input_names=names, output_names=outputs, dynamic_axes=axes
        )
    return onnx.load_model_from_string(buffer.getvalue())


def read(module: nn.Module, *example: Tensor, **axes: dict[int, str]) -> Imported:
    """Export, read and compare."""
    return assert_agrees(exported(module, example, axes))


class Layer(nn.Module):
    """A recurrent layer, and what a model does with what it gives."""

    def __init__(self, kind: str, then: Callable[..., Any], **options: Any) -> None:
        super().__init__()
        torch.manual_seed(3)
        self.layer = getattr(nn, kind)(WIDTH, UNITS, **options)
        self.head = nn.Linear(UNITS * (2 if options.get("bidirectional") else 1), 3)
        self.then = then

    def forward(self, x: Tensor) -> Any:
        y, states = self.layer(x)
        h = states[0] if isinstance(states, tuple) else states
        return self.then(self, x, y, h)


THEN: dict[str, Callable[..., Any]] = {
    "all frames": lambda self, x, y, h: y,
    "all frames and states": lambda self, x, y, h: (y, h),
    "head": lambda self, x, y, h: torch.relu(self.head(y)),
    "last frame": lambda self, x, y, h: self.head(y[:, -1] if self.layer.batch_first else y[-1]),
    "last state": lambda self, x, y, h: F.linear(h[-1], self.head.weight[:, :UNITS], self.head.bias),
    "flattened": lambda self, x, y, h: self.head(y.reshape(-1, y.shape[-1])).view(*y.shape[:2], 3),
}
BOTH_STATES: dict[str, Callable[..., Any]] = {
    "joined": lambda self, x, y, h: self.head(torch.cat([h[-2], h[-1]], dim=1)),
    "reshaped": lambda self, x, y, h: self.head(h[-2:].permute(1, 0, 2).reshape(h.shape[1], -1)),
}


@pytest.mark.parametrize("layers", [1, 2])
@pytest.mark.parametrize("batch_first", [True, False])
@pytest.mark.parametrize("bidirectional", [False, True])
@pytest.mark.parametrize("kind", ["GRU", "LSTM", "RNN"])
def test_recurrent_layers(kind: str, bidirectional: bool, batch_first: bool, layers: int) -> None:
    """Every way to use what they give."""
    options = {"bidirectional": bidirectional, "batch_first": batch_first, "num_layers": layers}
    x = torch.randn(2, 7, WIDTH) if batch_first else torch.randn(7, 2, WIDTH)
    for name, then in {**THEN, **(BOTH_STATES if bidirectional else {})}.items():
        imported = read(Layer(kind, then, **options), x, x=BATCH_FIRST if batch_first else TIME_FIRST)
        cells = [item for item in kinds(imported.graph) if item in ("Gru", "Lstm", "Rnn")]
        assert len(cells) <= layers * (2 if bidirectional else 1), name
        assert "StateRead" not in kinds(imported.graph)


class WithStates(nn.Module):
    """A layer that starts from states given."""

    def __init__(self, kind: str, **options: Any) -> None:
        super().__init__()
        self.layer = getattr(nn, kind)(WIDTH, UNITS, batch_first=True, **options)

    def forward(self, x: Tensor, h: Tensor, c: Tensor | None = None) -> Any:
        return self.layer(x, h if c is None else (h, c))


@pytest.mark.parametrize("layers", [1, 2])
@pytest.mark.parametrize("kind", ["GRU", "LSTM", "RNN"])
@pytest.mark.parametrize("one_frame", [True, False])
def test_states_in_and_out(kind: str, layers: int, one_frame: bool) -> None:
    """Whole sequences, and single frames with the states carried from call to call."""
    batch = 1 if one_frame else 2
    states = [torch.zeros(layers, batch, UNITS) for _ in range(2 if kind == "LSTM" else 1)]
    example = (torch.randn(batch, 1 if one_frame else 7, WIDTH), *states)
    axes = {} if one_frame else {"x": BATCH_FIRST, "h": {1: "batch"}, "c": {1: "batch"}}
    axes = {name: axes[name] for name in list(axes)[: len(example)]}
    imported = read(WithStates(kind, num_layers=layers), *example, **axes)
    assert [state.output for state in imported.layout.states.values()] == ["out1", "out2"][: len(states)]
    assert len(imported.graph.outputs) == 1
    assert imported.layout.sequence is not one_frame
    assert imported.layout.carries


class Parts(nn.Module):
    """Channels and bands: frames of two axes, merged for the GRU and parted again behind it."""

    def __init__(self) -> None:
        super().__init__()
        self.gru = nn.GRU(40, UNITS, batch_first=True)
        self.head = nn.Linear(UNITS, 4)

    def forward(self, x: Tensor) -> Tensor:
        batch, channels, time, bands = x.shape
        y, _ = self.gru(x.permute(0, 2, 1, 3).reshape(batch, time, channels * bands))
        return self.head(y.reshape(batch * time, -1)).view(batch, time, 2, 2).permute(0, 2, 1, 3)


class Enhancer(nn.Module):
    """Convolutions, norms, a GRU with a skip connection, two outputs."""

    def __init__(self) -> None:
        super().__init__()
        self.first = nn.Conv1d(WIDTH, 8, 3, padding=2)
        self.second = nn.Conv1d(8, 8, 3, groups=8, dilation=2)
        self.batch_norm = nn.BatchNorm1d(8)
        self.batch_norm.running_mean.uniform_(-1, 1)
        self.batch_norm.running_var.uniform_(0.5, 2)
        self.gru = nn.GRU(8, 8, batch_first=True)
        self.norm = nn.LayerNorm(8)
        self.heads = nn.ModuleList([nn.Linear(8, 2), nn.Linear(8, 1)])

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        z = F.relu(self.batch_norm(self.first(x.transpose(1, 2))[..., :-2]))
        z = self.second(F.pad(z, (4, 0))).transpose(1, 2)
        y = self.norm(self.gru(z)[0] + z)
        return self.heads[0](y), torch.sigmoid(self.heads[1](y))


class LanguageModel(nn.Module):
    """Tokens, two GRUs, a head that shares the weights of the embedding."""

    def __init__(self) -> None:
        super().__init__()
        self.embedding = nn.Embedding(11, UNITS)
        self.gru = nn.GRU(UNITS, UNITS, num_layers=2, batch_first=True)

    def forward(self, tokens: Tensor) -> Tensor:
        y, _ = self.gru(self.embedding(tokens))
        return F.log_softmax(F.linear(y, self.embedding.weight), dim=-1)


class Speaker(nn.Module):
    """A vector for the whole sequence beside the frames."""

    def __init__(self) -> None:
        super().__init__()
        self.gru = nn.GRU(WIDTH + 3, UNITS, batch_first=True)

    def forward(self, x: Tensor, speaker: Tensor) -> Tensor:
        return self.gru(torch.cat([x, speaker.unsqueeze(1).expand(-1, x.shape[1], -1)], dim=-1))[0]


class Gated(nn.Module):
    """Features split, stacked and flattened."""

    def __init__(self) -> None:
        super().__init__()
        self.gru = nn.GRU(WIDTH, 2 * UNITS, batch_first=True)

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        a, b = self.gru(x)[0].chunk(2, dim=-1)
        return a * torch.sigmoid(b), torch.stack([a, b], dim=-1).flatten(2), a.mean(-1)


class Functions(nn.Module):
    """Everything elementwise."""

    def __init__(self) -> None:
        super().__init__()
        self.linear = nn.Linear(WIDTH, WIDTH)
        self.slopes = nn.PReLU()

    def forward(self, x: Tensor) -> Tensor:
        y = self.linear(x)
        parts = [F.elu(y), F.leaky_relu(y, 0.2), F.hardtanh(y), F.softplus(y), F.gelu(y, approximate="tanh"), F.silu(y)]
        parts += [F.hardsigmoid(y), F.hardswish(y), F.mish(y), F.selu(y), F.softsign(y), F.relu6(y), self.slopes(y)]
        parts += [
            y.abs().sqrt(),
            torch.exp(-(y**2)),
            torch.clamp(y, min=0.1),
            1 / (y * y + 1),
            y**3,
            torch.log(1 + y.abs()),
        ]
        return torch.cat([*parts, x / (1 + x.norm(dim=-1, keepdim=True))], dim=-1)


MODULES: dict[str, tuple[Callable[[], nn.Module], tuple[Tensor, ...], dict[str, dict[int, str]]]] = {
    "parts of a frame": (Parts, (torch.randn(2, 4, 7, 10),), {"x": {0: "batch", 2: "time"}}),
    "convolutions and two outputs": (Enhancer, (torch.randn(2, 7, WIDTH),), {"x": BATCH_FIRST}),
    "language model": (LanguageModel, (torch.randint(0, 11, (2, 7)),), {"tokens": BATCH_FIRST}),
    "speaker": (Speaker, (torch.randn(2, 7, WIDTH), torch.randn(2, 3)), {"x": BATCH_FIRST, "speaker": {0: "batch"}}),
    "gated": (Gated, (torch.randn(2, 7, WIDTH),), {"x": BATCH_FIRST}),
    "functions": (Functions, (torch.randn(2, 7, WIDTH),), {"x": BATCH_FIRST}),
    "all sizes fixed": (Enhancer, (torch.randn(1, 7, WIDTH),), {}),
    "batch fixed": (Enhancer, (torch.randn(2, 7, WIDTH),), {"x": {1: "time"}}),
    "time fixed": (Enhancer, (torch.randn(2, 7, WIDTH),), {"x": {0: "batch"}}),
}


@pytest.mark.parametrize("name", MODULES)
def test_modules(name: str) -> None:
    """Networks as they are."""
    factory, example, axes = MODULES[name]
    torch.manual_seed(5)
    read(factory(), *example, **axes)


class Cell(nn.Module):
    """One step, the state by hand."""

    def __init__(self) -> None:
        super().__init__()
        self.cell = nn.GRUCell(WIDTH, UNITS)
        self.head = nn.Linear(UNITS, 2)

    def forward(self, x: Tensor, h: Tensor) -> tuple[Tensor, Tensor]:
        h = self.cell(x, h)
        return self.head(h), h


def test_a_step_by_hand() -> None:
    """Written by the exporter in single operations; the state is named."""
    given = exported(Cell(), (torch.randn(1, WIDTH), torch.zeros(1, UNITS)), {})
    imported = assert_agrees(given, states={"h": "out1"})
    assert kinds(imported.graph).count("StateRead") == 1
    assert [port.name for port in imported.graph.outputs] == ["out0"]
