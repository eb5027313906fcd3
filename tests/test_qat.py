"""Quantization-aware training: what a prepared module computes is what the exported file computes, and it learns."""

from __future__ import annotations

import copy
import io
import math
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.nn.utils.rnn import pack_sequence

import grulet
from grulet import format as grulet_format
from grulet import functions
from grulet.operators import Cell, Dense
from grulet_export import UnsupportedGraph, export, qat
from grulet_export.qat import gates
from grulet_export.qat.rounded_layer import RoundedLayer
from grulet_export.quantization.grids import round_to

#: Formats of weights and activations.
FORMATS = [
    ("int8", "int16"), ("int8", "int8"), ("int4", "int16"), ("int4", "int8"), ("f16", "int16"), ("f32", "int16"),
]  # fmt: skip
INPUTS, UNITS, CLASSES = 13, 20, 6


@pytest.fixture(scope="module", autouse=True)
def one_thread() -> Iterator[None]:
    """A step of so small layers is no work for two, and they wait for each other where anything else runs."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


class Net(nn.Module):
    """Recurrent layers and a head."""

    def __init__(self, kind: str = "GRU", layers: int = 1, **options: Any) -> None:
        super().__init__()
        self.rnn = getattr(nn, kind)(INPUTS, UNITS, num_layers=layers, batch_first=True, **options)
        self.head = nn.Linear(UNITS * (1 + self.rnn.bidirectional), CLASSES)

    def forward(self, x: Tensor) -> Tensor:
        """(batch, time, inputs) -> (batch, time, classes)."""
        y, _ = self.rnn(x)
        answer: Tensor = self.head(y)
        return answer


def made(make: Callable[[], nn.Module], seed: int = 3) -> nn.Module:
    """A module with fixed weights."""
    torch.manual_seed(seed)
    return make()


def frames(*shape: int, seed: int = 5) -> Tensor:
    """Standard normal numbers."""
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed))


def both(module: nn.Module, x: Tensor, path: Path, **options: Any) -> tuple[np.ndarray, np.ndarray]:
    """(time, out) what the module, in evaluation mode, and the kernel of the exported file answer to (time, in)."""
    export(module, path, frames=10, **options)
    with torch.no_grad():
        expected = module.eval()(x[None])[0]
    return expected.numpy(), grulet.load(path).stream().run(x.numpy())


# ---- the module and the kernel ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["sigmoid", "tanh"])
def test_gates_have_the_bits_of_the_contract(name: str) -> None:
    """Over the whole range, and beyond its clamps."""
    x = np.concatenate([np.linspace(-91, 91, 300_001), np.linspace(-3, 3, 300_001)]).astype(np.float32)
    ours = getattr(gates, name)(torch.from_numpy(x)).numpy()
    assert ours.tobytes() == getattr(functions, name)(x).tobytes()


@pytest.mark.parametrize("layers", [1, 2, 3])
@pytest.mark.parametrize(("weights", "activations"), FORMATS)
@pytest.mark.parametrize("kind", ["GRU", "LSTM"])
def test_the_kernel_gives_what_the_module_gives(
    kind: str, weights: str, activations: str, layers: int, tmp_path: Path
) -> None:
    """Over 1,000 frames: integers to the bit, floats but for the order of their sums."""
    module = qat.prepare(made(lambda: Net(kind, layers)), weights, activations)
    expected, answer = both(module, frames(1000, INPUTS), tmp_path / "net.grulet")
    assert np.abs(expected - answer).max() <= 1e-5
    if weights.startswith("int"):
        assert np.array_equal(expected, answer)


@pytest.mark.parametrize(("weights", "activations"), [("int8", "int16"), ("int4", "int8")])
def test_spans_of_512_inputs(weights: str, activations: str, tmp_path: Path) -> None:
    """Sums of more inputs are rounded span by span."""
    module = qat.prepare(made(lambda: nn.Sequential(nn.Linear(1100, 3), nn.Linear(3, 530))), weights, activations)
    module.append(qat.Linear(530, 2, weights=weights, activations=activations))
    expected, answer = both(module, frames(20, 1100) * 10, tmp_path / "net.grulet")
    assert np.array_equal(expected, answer)


def test_spans_of_512_units(tmp_path: Path) -> None:
    """Of a hidden state, too."""
    module = qat.GRU(2, 516, weights="int8").eval()
    export(module, tmp_path / "wide.grulet", frames=2)
    with torch.no_grad():
        y, _ = module(frames(6, 2))
    assert np.array_equal(y.numpy(), grulet.load(tmp_path / "wide.grulet").stream().run(frames(6, 2).numpy()))


@pytest.mark.parametrize("weights", ["int8", "int4"])
def test_silence_and_loud_frames(weights: str, tmp_path: Path) -> None:
    """Every frame has its own range; one of zeros has none."""
    x = frames(40, INPUTS) * torch.logspace(-40, 20, 40)[:, None]
    x[7:9] = 0
    expected, answer = both(qat.prepare(made(Net), weights), x, tmp_path / "net.grulet")
    assert np.array_equal(expected, answer)


def test_rows_of_zeros(tmp_path: Path) -> None:
    """They have no grid, and stay zeros."""
    module = made(Net)
    with torch.no_grad():
        module.rnn.weight_hh_l0[3] = 0
        module.head.weight.zero_()
    expected, answer = both(qat.prepare(module), frames(50, INPUTS), tmp_path / "net.grulet")
    assert np.array_equal(expected, answer)
    assert np.array_equal(expected, np.tile(module.head.bias.detach(), (50, 1)))


@pytest.mark.parametrize("kind", ["GRU", "LSTM"])
def test_both_directions(kind: str, tmp_path: Path) -> None:
    """A bidirectional layer is two layers, and the file runs on whole sequences."""
    module = qat.prepare(made(lambda: Net(kind, 2, bidirectional=True)), "int4", "int8")
    expected, answer = both(module, frames(60, INPUTS), tmp_path / "net.grulet")
    assert np.array_equal(expected, answer)


@pytest.mark.parametrize("weights", ["int8", "int4", "f16"])
@pytest.mark.parametrize("kind", ["GRU", "LSTM"])
def test_the_file_holds_the_integers_of_the_module(kind: str, weights: str, tmp_path: Path) -> None:
    """Also after the weights have moved away from where the grids were fitted."""
    module = qat.prepare(made(lambda: Net(kind, 2)), weights)
    with torch.no_grad():
        for parameter in module.parameters():
            parameter += 0.02 * torch.randn(parameter.shape)
    data = export(module, tmp_path / "net.grulet", frames=10) and (tmp_path / "net.grulet").read_bytes()
    order = [1, 0, 2] if kind == "GRU" else [0, 1, 2, 3]
    operators = [op for op in grulet_format.read(data).operators if isinstance(op, Cell | Dense)]
    expected = [
        (layer, name)
        for layer, names in (
            (module.rnn, ["weight_ih_l0", "weight_hh_l0", "weight_ih_l1", "weight_hh_l1"]),
            (module.head, ["weight"]),
        )
        for name in names
    ]
    matrices = [matrix for op in operators for matrix in op.matrices]
    assert len(matrices) == len(expected) == 5
    for matrix, (layer, name) in zip(matrices, expected, strict=True):
        sets = order if layer is module.rnn else [0]
        weight = getattr(layer, name).detach().numpy()[None]
        q = round_to(weight, layer.grid(name))[0].reshape(len(sets), -1, weight.shape[2])[sets]
        assert np.array_equal(matrix.values, q)
        if weights.startswith("int"):
            integers = layer.eval().rounded(name).integers
            assert np.array_equal(matrix.integers, integers.reshape(q.shape)[sets])
    assert {op.weights for op in operators} == {weights}


def test_what_torch_exports_itself_keeps_its_integers(tmp_path: Path) -> None:
    """A forward that only torch's own exporter can follow: names change on the way, weights do not."""

    class Turned(Net):
        grulet_example = torch.zeros(1, 4, INPUTS)

        def forward(self, x: Tensor) -> Tensor:
            y, _ = self.rnn(x.transpose(1, 2).contiguous().transpose(1, 2))
            return super().forward(x) + self.head(torch.nn.functional.hardtanh(y))

    module = qat.prepare(made(Turned))
    expected, answer = both(module, frames(100, INPUTS), tmp_path / "net.grulet")
    assert np.array_equal(expected, answer)
    assert {op.weights for op in grulet.load(tmp_path / "net.grulet").ops if op.weights != "none"} == {"int4"}


def test_export_leaves_the_module_alone(tmp_path: Path) -> None:
    """It goes on training afterwards."""
    module = qat.prepare(made(Net)).train()
    before = copy.deepcopy(module.state_dict())
    export(module, tmp_path / "net.grulet", frames=10)
    assert module.training
    assert isinstance(module.rnn, qat.GRU)
    assert all(torch.equal(tensor, before[name]) for name, tensor in module.state_dict().items())


def test_a_layer_that_takes_no_part_is_reported(tmp_path: Path) -> None:
    """Such as a head that only the loss looks at."""
    module = made(Net)
    module.auxiliary = nn.Linear(UNITS, 2)
    report = export(qat.prepare(module), tmp_path / "net.grulet", frames=10)
    assert report.notes == (
        "'auxiliary' was trained with its rounding, but the graph has no such weights: it takes no part in the "
        "answers, or was changed on the way",
    )


# ---- gradients -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "options",
    [{}, {"num_layers": 3}, {"bidirectional": True, "batch_first": True, "num_layers": 2}, {"bias": False}],
    ids=str,
)
@pytest.mark.parametrize("kind", ["GRU", "LSTM"])
def test_gradients_are_those_of_torch(kind: str, options: dict[str, Any]) -> None:
    """With float weights: of the frames, the states handed in and out, and all parameters."""
    torch.manual_seed(2)
    theirs = getattr(nn, kind)(5, 7, **options)
    ours = getattr(qat, kind)(5, 7, weights="f32", **options)
    ours.load_state_dict(theirs.state_dict())
    rows = theirs.num_layers * (1 + theirs.bidirectional)
    start = frames(2, rows, 6, 7).tanh()
    results = []
    for layer in (theirs, ours):
        x, h, c = (tensor.clone().requires_grad_() for tensor in (frames(6, 6, 5), *start))
        y, final = layer(x, (h, c) if kind == "LSTM" else h)
        states = final if isinstance(final, tuple) else (final,)
        shapes = [tensor.shape for tensor in (y, *states)]
        sum((tensor * frames(*tensor.shape)).sum() for tensor in (y, *states)).backward()
        gradients = [x.grad, h.grad, *([c.grad] if kind == "LSTM" else []), *(p.grad for p in layer.parameters())]
        results.append(([y, *states, *gradients], shapes))
    (expected, shapes), (answers, our_shapes) = results
    assert shapes == our_shapes
    for left, right in zip(expected, answers, strict=True):
        assert torch.allclose(left, right, atol=1e-5, rtol=1e-4)


@pytest.mark.parametrize(("weights", "activations"), FORMATS[:5])
@pytest.mark.parametrize("kind", ["GRU", "LSTM"])
def test_gradients_pass_through_the_rounding(kind: str, weights: str, activations: str) -> None:
    """They are close to those of the floats, whose outputs are close."""
    plain = made(lambda: Net(kind, 2))
    rounded = qat.prepare(copy.deepcopy(plain), weights, activations)
    x = frames(4, 12, INPUTS)
    for module in (plain, rounded):
        module.train()(x).square().sum().backward()
    for (name, left), right in zip(plain.named_parameters(), rounded.parameters(), strict=True):
        outside = rounded_away(rounded, name)
        error = torch.where(outside, 0, left.grad - right.grad).norm() / left.grad.norm()
        assert error < (0.25 if weights == "int4" else 0.03), name


def rounded_away(module: nn.Module, name: str) -> Tensor:
    """Which elements of a parameter lie beyond the ends of their grid."""
    path, _, matrix = name.rpartition(".")
    layer, weight = module.get_submodule(path), module.get_parameter(name).detach()
    if not matrix.startswith("weight") or not layer.grid(matrix).weights.startswith("int"):
        return torch.zeros_like(weight, dtype=torch.bool)
    steps = torch.from_numpy(layer.grid(matrix).steps(weight.shape[1])[0])
    low, high = {"int8": (-127.5, 127.5), "int4": (-8.5, 7.5)}[layer.weight_format]
    quotient = weight / steps
    return (quotient < low) | (quotient > high)


def test_weights_beyond_their_grid_get_no_gradient() -> None:
    """Moving them further out changes nothing; those inside get the gradient of the rounded product."""
    layer = qat.Linear(4, 1, weights="int8", bias=False)
    with torch.no_grad():
        layer.weight[:] = torch.tensor([1.0, -0.5, 0.25, 0.1])
        layer.refit()
        layer.weight[0, 1], layer.weight[0, 2] = 1.5, -1.5
    x = torch.tensor([[1.0, 0.5, -0.25, 0.125]])
    layer(x).sum().backward()
    assert torch.allclose(layer.weight.grad, torch.tensor([[1.0, 0.0, 0.0, 0.125]]), atol=1e-4)


# ---- training --------------------------------------------------------------------------------------------------------


def toy_task(count: int, seed: int) -> tuple[Tensor, Tensor]:
    """Which of six channels had the largest sum over the last four frames."""
    x = frames(count, 16, INPUTS, seed=seed)
    windows = torch.nn.functional.pad(x[..., :CLASSES].cumsum(1), (0, 0, 4, 0))
    return x, (windows[:, 4:] - windows[:, :-4]).argmax(-1)


def trained(module: nn.Module, steps: int, rate: float) -> list[float]:
    """Train on the toy task; return the losses."""
    optimizer = torch.optim.Adam(module.parameters(), rate)
    losses = []
    for step in range(steps):
        x, target = toy_task(32, seed=step)
        loss = nn.functional.cross_entropy(module(x).flatten(0, 1), target.flatten())
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    return losses


@torch.no_grad()
def loss_of(module: nn.Module) -> float:
    """The loss on data that trained nothing."""
    x, target = toy_task(512, seed=10_000)
    return nn.functional.cross_entropy(module.eval()(x).flatten(0, 1), target.flatten()).item()


@pytest.mark.parametrize("kind", ["GRU", "LSTM"])
def test_training_removes_the_loss_of_int4(kind: str) -> None:
    """Half of what rounding costs, at least."""
    module = made(lambda: Net(kind)).train()
    losses = trained(module, 200, 1e-2)
    assert losses[-1] < losses[0] / 2
    trained(module, 60, 1e-3)  # so that more training alone gains little
    in_floats = loss_of(module)
    rounded = qat.prepare(module)
    after_rounding = loss_of(rounded)
    assert after_rounding > in_floats
    trained(rounded.train(), 60, 1e-3)
    assert loss_of(rounded) - in_floats < 0.5 * (after_rounding - in_floats)


def test_grids_stay_until_refit() -> None:
    """Training moves weights on them; refit fits them to where the weights are."""
    module = qat.prepare(made(Net))
    before = {name: buffer.clone() for name, buffer in module.named_buffers()}
    held = module.rnn.weight_hh_l0_scale
    assert set(before) == {
        f"{name}_{part}"
        for name in ("rnn.weight_ih_l0", "rnn.weight_hh_l0", "head.weight")
        for part in ("scale", "multipliers")
    }
    trained(module, 3, 1e-2)
    assert all(torch.equal(buffer, before[name]) for name, buffer in module.named_buffers())
    qat.refit(module)
    assert not torch.equal(module.rnn.weight_hh_l0_scale, before["rnn.weight_hh_l0_scale"])
    assert module.rnn.weight_hh_l0_scale is held


def test_the_same_seed_gives_the_same_training() -> None:
    """Dropout between the layers included."""

    def run() -> list[float]:
        module = qat.prepare(made(lambda: Net(layers=2, dropout=0.5))).train()
        torch.manual_seed(11)
        return trained(module, 3, 1e-2)

    losses = run()
    assert losses == run()
    assert all(math.isfinite(loss) for loss in losses)


def test_dropout_is_between_layers_and_in_training_only() -> None:
    """As torch's."""
    module = qat.GRU(3, 4, num_layers=2, dropout=1.0)
    x = frames(5, 2, 3)
    y, _ = module.train()(x)
    from_nothing, _ = single_layer(module, "l1").train()(torch.zeros(5, 2, 4))
    assert torch.allclose(y, from_nothing)
    y, _ = module.eval()(x)
    assert not torch.allclose(y, from_nothing)


def single_layer(module: qat.GRU, suffix: str) -> qat.GRU:
    """One layer of a module."""
    layer = qat.GRU(module.hidden_size, module.hidden_size)
    layer.load_state_dict(
        {f"{name}_l0": getattr(module, f"{name}_{suffix}") for name in ("weight_ih", "weight_hh", "bias_ih", "bias_hh")}
    )
    return layer


@pytest.mark.parametrize("kind", ["GRU", "LSTM"])
def test_a_sequence_may_be_run_in_parts(kind: str) -> None:
    """The state goes from one part to the next."""
    module = getattr(qat, kind)(INPUTS, UNITS, num_layers=2).eval()
    x = frames(20, 3, INPUTS)
    whole, final = module(x)
    first, state = module(x[:7])
    second, last = module(x[7:], state)
    assert torch.equal(whole, torch.cat([first, second]))
    for left, right in zip(final, last, strict=True):
        assert torch.equal(left, right)


@pytest.mark.parametrize("kind", ["GRU", "LSTM"])
def test_a_sequence_without_a_batch(kind: str) -> None:
    """Two axes in, two axes out, and the states without the batch, too."""
    module = getattr(qat, kind)(INPUTS, UNITS, batch_first=True).eval()
    x = frames(9, INPUTS)
    alone, state = module(x)
    batch, states = module(x[None])
    assert torch.equal(alone, batch[0])
    again, _ = module(x, state)
    assert again.shape == (9, UNITS)
    for left, right in zip(*((s if kind == "LSTM" else (s,)) for s in (state, states)), strict=True):
        assert torch.equal(left, right[:, 0])


def test_training_and_evaluation_differ_by_float_rounding_only() -> None:
    """In training the sums run in torch's order."""
    module = qat.prepare(made(lambda: Net(layers=2)))
    x = frames(2, 30, INPUTS)
    assert torch.allclose(module.train()(x), module.eval()(x), atol=2e-4)


def test_under_autocast() -> None:
    """The layers keep to float32: half precision has no room for exact sums."""
    module = qat.prepare(made(Net)).eval()
    x = frames(2, 9, INPUTS)
    with torch.autocast("cpu", torch.bfloat16):
        inside = module(x)
    assert inside.dtype == torch.float32
    assert torch.equal(inside, module(x))


# ---- modules, state_dicts and copies ---------------------------------------------------------------------------------


@pytest.mark.parametrize("weights", ["int8", "int4", "f16", "f32"])
def test_state_dicts(weights: str) -> None:
    """A float one gives the grids that it deserves; one of our own brings its grids."""
    plain = made(lambda: Net(layers=2))
    prepared = qat.prepare(copy.deepcopy(plain), weights)
    loaded = qat.prepare(made(lambda: Net(layers=2), seed=8), weights)
    loaded.load_state_dict(plain.state_dict())
    assert_equal_states(loaded, prepared)

    trained(prepared, 2, 1e-2)
    buffer = io.BytesIO()
    torch.save(prepared.state_dict(), buffer)
    buffer.seek(0)
    loaded.load_state_dict(torch.load(buffer, weights_only=True))
    assert_equal_states(loaded, prepared)
    assert torch.equal(loaded(frames(1, 5, INPUTS)), prepared(frames(1, 5, INPUTS)))


def assert_equal_states(left: nn.Module, right: nn.Module) -> None:
    """Parameters and grids."""
    states = left.state_dict(), right.state_dict()
    assert states[0].keys() == states[1].keys()
    assert all(torch.equal(tensor, states[1][name]) for name, tensor in states[0].items())


def test_a_missing_weight_is_still_an_error() -> None:
    """Only grids may be missing."""
    state = made(Net).state_dict()
    del state["rnn.weight_hh_l0"]
    with pytest.raises(RuntimeError, match=r'Missing key\(s\) in state_dict: "rnn.weight_hh_l0". $'):
        qat.prepare(made(Net)).load_state_dict(state)


def test_copies_and_pickles() -> None:
    """They are modules of their own with the same answers."""
    module = qat.prepare(made(lambda: Net("LSTM"))).eval()
    buffer = io.BytesIO()
    torch.save(module.rnn, buffer)
    buffer.seek(0)
    x = frames(1, 5, INPUTS)
    expected, _ = module.rnn(x)
    for other in (copy.deepcopy(module.rnn), torch.load(buffer, weights_only=False)):
        assert torch.equal(other(x)[0], expected)
        assert other.weight_hh_l0 is not module.rnn.weight_hh_l0


class Nested(nn.Module):
    """Layers at several depths, one of them in two places."""

    def __init__(self) -> None:
        super().__init__()
        self.encoder = nn.ModuleDict({"net": Net(), "norm": nn.LayerNorm(CLASSES)})
        self.heads = nn.Sequential(nn.Linear(CLASSES, CLASSES), nn.ReLU())
        self.heads.append(self.heads[0])
        self.last = nn.Linear(CLASSES, 2)

    def forward(self, x: Tensor) -> Tensor:
        """(batch, time, inputs) -> (batch, time, 2)."""
        answer: Tensor = self.last(self.heads(self.encoder["norm"](self.encoder["net"](x))))
        return answer


def formats(module: nn.Module) -> dict[str, str]:
    """Path -> format of the layers that round."""
    return {path: part.weight_format for path, part in module.named_modules() if isinstance(part, RoundedLayer)}


def test_prepare_a_nested_module() -> None:
    """In place: the optimizer that trained it goes on to train it."""
    module = made(Nested)
    parameters, encoder = list(module.parameters()), module.encoder["net"].rnn
    assert qat.prepare(module) is module
    assert all(left is right for left, right in zip(parameters, module.parameters(), strict=True))
    assert module.encoder["net"].rnn is encoder
    assert module.heads[0] is module.heads[2]
    names = ["encoder.net.rnn", "encoder.net.head", "heads.0", "last"]
    assert formats(module) == dict.fromkeys(names, "int4")
    assert str(module.last) == "Linear(in_features=6, out_features=2, bias=True, weights=int4, activations=int16)"

    qat.prepare(module, {"last": "f16", "heads.0": "int8"}, "int8")  # again, some of it, in other formats
    assert formats(module) == dict.fromkeys(names[:2], "int4") | {"heads.0": "int8", "last": "f16"}
    assert [module.heads[0].activation_format, module.last.activation_format] == ["int8", "f32"]
    assert "last.weight_scale" not in module.state_dict()


def test_prepare_some_layers(tmp_path: Path) -> None:
    """What is skipped stays a float in training and in the file, unless the export is told otherwise."""
    module = qat.prepare(made(Nested), skip=["heads", "encoder.net.head"])
    assert formats(module) == dict.fromkeys(["encoder.net.rnn", "last"], "int4")
    module = qat.prepare(made(Nested), {"encoder.net.rnn": "int4", "last": "int8"})
    assert formats(module) == {"encoder.net.rnn": "int4", "last": "int8"}
    assert type(module.heads[0]) is nn.Linear

    def in_file(**options: Any) -> list[tuple[str, str]]:
        export(module, tmp_path / "net.grulet", frames=10, **options)
        ops = grulet.load(tmp_path / "net.grulet").ops
        return [(op.weights, op.activations) for op in ops if op.weights != "none"]

    float_layer = ("f32", "f32")
    assert in_file() == [("int4", "int16"), float_layer, float_layer, float_layer, ("int8", "int16")]
    head = [operator_named(module, "head"), operator_named(module, "last")]
    assert in_file(weights={head[0]: "f16", head[1]: "int8", "*": "f32"}, activations="int16") == [
        ("int4", "int16"), ("f16", "f32"), float_layer, float_layer, ("int8", "int16"),
    ]  # fmt: skip


def operator_named(module: nn.Module, ending: str) -> str:
    """The operator of the layer whose path ends so."""
    return next(path for path, _ in module.named_modules() if path.endswith(ending))


# ---- refusals --------------------------------------------------------------------------------------------------------


class OwnGru(nn.GRU):
    """A class that somebody derived."""


NAMES = "'encoder.net.rnn', 'encoder.net.head', 'heads.0', 'last'"


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"weights": "int5"}, "weights must be one of int8, int4, f16, f32, not 'int5'"),
        ({"weights": {"last": "int3"}}, "weights must be one of int8, int4, f16, f32, not 'int3'"),
        ({"activations": "f32"}, "activations must be one of int16, int8, not 'f32'"),
        ({"skip": ["head"]}, f"skip: no GRU, LSTM or Linear is called 'head', or inside it; there are {NAMES}"),
        ({"weights": {"rnn": "int4"}}, f"weights: no GRU, LSTM or Linear is called 'rnn'; there are {NAMES}"),
        ({"weights": {}}, f"nothing to prepare: the layers {NAMES} are all skipped"),
    ],
)
def test_prepare_refuses(options: dict[str, Any], message: str) -> None:
    """Options that mean nothing; the module is left as it was."""
    module = made(Nested)
    with pytest.raises(grulet.GruletError) as caught:
        qat.prepare(module, **options)
    assert str(caught.value) == message
    assert formats(module) == {}


@pytest.mark.parametrize(
    ("module", "message"),
    [
        (
            nn.Sequential(nn.Linear(2, 2), OwnGru(2, 2)),
            "OwnGru '1': it is a class of its own, whose forward may differ from torch's; use torch's own layer, "
            "remove its parametrizations, or name it in skip",
        ),
        (
            nn.Sequential(nn.Linear(2, 2), nn.LSTM(2, 4, proj_size=2)),
            "LSTM '1': it projects its state (proj_size); train it without proj_size",
        ),
    ],
)
def test_prepare_refuses_layers(module: nn.Module, message: str) -> None:
    """Layers that do more than ours would; the others are left as they were."""
    with pytest.raises(UnsupportedGraph) as caught:
        qat.prepare(module)
    assert str(caught.value) == message
    assert formats(module) == {}


def test_prepare_refuses_a_module_without_layers() -> None:
    """Nothing would be trained with rounding."""
    with pytest.raises(grulet.GruletError) as caught:
        qat.prepare(nn.Sequential(nn.RNN(2, 2), nn.ReLU()))
    assert str(caught.value) == "nothing to prepare: the module has no GRU, LSTM or Linear"


@pytest.mark.parametrize(
    ("run", "message"),
    [
        (
            lambda: qat.GRU(2, 3)(pack_sequence([frames(4, 2), frames(3, 2)])),
            "a PackedSequence is not supported: give padded sequences, and leave their ends out of the loss",
        ),
        (lambda: qat.LSTM(2, 3)(frames(1, 1, 1, 2)), "LSTM takes 2 or 3 axes, not 4"),
        (lambda: qat.GRU(2, 3)(frames(0, 1, 2)), "the sequence has no frames"),
        (
            lambda: qat.LSTM(2, 4, proj_size=2),
            "proj_size is not supported: a .grulet file has no projected states",
        ),
        (
            lambda: qat.Linear(2, 3).double()(frames(4, 2).double()),
            "weight is torch.float64: quantization-aware training takes float32 weights",
        ),
    ],
)
def test_layers_refuse(run: Callable[[], Any], message: str) -> None:
    """What torch's layers take and ours do not."""
    with pytest.raises((TypeError, ValueError)) as caught:
        run()
    assert str(caught.value) == message


@pytest.mark.parametrize(
    ("options", "formats_of_training"),
    [
        ({"weights": "int8"}, "int4 weights and int8 activations"),
        ({"weights": {"rnn.layer0": "f16"}}, "int4 weights and int8 activations"),
        ({"activations": "int16"}, "int4 weights and int8 activations"),
    ],
)
def test_export_refuses_other_formats(options: dict[str, Any], formats_of_training: str, tmp_path: Path) -> None:
    """Those of the training stand; the same ones may be named."""
    module = qat.prepare(made(Net), "int4", "int8")
    with pytest.raises(grulet.GruletError) as caught:
        export(module, tmp_path / "net.grulet", frames=10, **options)
    assert str(caught.value) == (
        f"operator 'rnn.layer0' was trained with {formats_of_training}: leave out the options weights and activations, "
        "or prepare the module with others and train it"
    )
    assert not (tmp_path / "net.grulet").exists()
    export(module, tmp_path / "net.grulet", frames=10, weights="int4", activations="int8")
