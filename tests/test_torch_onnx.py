"""torch modules to ONNX: against onnxruntime, against torch in float64, and what is refused."""

from __future__ import annotations

import copy
from collections import namedtuple
from collections.abc import Callable
from typing import Any

import numpy as np
import onnx
import onnxruntime
import pytest
import torch
from equal_graphs import assert_equal_graphs
from float_graph import evaluate
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn
from torch.nn import functional

from grulet_export.errors import ExportMismatch, UnsupportedGraph
from grulet_export.graph import Concat, Graph, Gru, Lstm
from grulet_export.onnx_reading.read import read_onnx
from grulet_export.torch_reading.agreement import check_against_onnxruntime
from grulet_export.torch_reading.to_onnx import build_onnx

Pair = namedtuple("Pair", ["voice", "pitch"])


def graph_of(model: onnx.ModelProto | None) -> Graph:
    """Return the graph that an ONNX model reads as."""
    assert model is not None
    return read_onnx(model).graph


class Net(nn.Module):
    """A GRU, a Linear and whatever forward a test gives."""

    def __init__(self, forward: Callable[..., Any], **options: Any) -> None:
        super().__init__()
        self.gru = nn.GRU(4, 5, **options)
        self.head = nn.Linear(5, 3)
        self.wide = nn.Linear(4, 5)
        self.follow = forward

    def forward(self, x: Tensor) -> Any:
        return self.follow(self, x)


class WithState(nn.Module):
    """The form of many real models: state in, default None, and state out."""

    def __init__(self) -> None:
        super().__init__()
        self.gru = nn.GRU(4, 5, num_layers=2, batch_first=True, dropout=0.5)
        self.head = nn.Linear(5, 3)

    def forward(self, x: Tensor, h: Tensor | None = None, loud: bool = False) -> tuple[Tensor, Tensor]:
        y, h = self.gru(x, h)
        return torch.softmax(self.head(y), dim=-1), h


class TwoInputs(nn.Module):
    """Two streams, one of which runs through the same GRU as the other."""

    def __init__(self) -> None:
        super().__init__()
        self.gru = nn.GRU(4, 5)
        self.output = nn.Linear(5, 2)

    def forward(self, left: Tensor, right: Tensor) -> dict[str, Tensor]:
        return {"left": self.output(self.gru(left)[0]), "r": self.gru(right)[0]}


ACTIVATIONS: list[Callable[[], nn.Module]] = [
    nn.ReLU,
    lambda: nn.LeakyReLU(0.2),
    nn.Sigmoid,
    nn.Tanh,
    lambda: nn.Softmax(dim=-1),
    nn.Identity,
    lambda: nn.Dropout(0.5),
]
KINDS = [nn.GRU, nn.GRU, nn.LSTM, nn.RNN]


class Stack(nn.Module):
    """Dense layers, a recurrent layer, dense layers."""

    def __init__(self, before: nn.Module, layer: nn.RNNBase, after: nn.Module) -> None:
        super().__init__()
        self.before, self.layer, self.after = before, layer, after

    def forward(self, x: Tensor) -> Tensor:
        y, _ = self.layer(self.before(x))
        result: Tensor = self.after(y)
        return result


@st.composite
def modules(draw: st.DrawFn) -> nn.Module:
    """Draw a module of random shape, with random weights."""
    torch.manual_seed(draw(st.integers(0, 2**31)))
    width, units, answers = (draw(st.integers(1, 9)) for _ in range(3))
    layers = draw(st.integers(1, 3))
    directions = draw(st.sampled_from([1, 1, 2]))
    layer: nn.RNNBase = draw(st.sampled_from(KINDS))(
        width,
        units,
        num_layers=layers,
        bias=draw(st.booleans()),
        batch_first=draw(st.booleans()),
        dropout=0.3 if layers > 1 else 0.0,
        bidirectional=directions == 2,
    )
    if draw(st.booleans()):
        return layer
    before = nn.Sequential(*(draw(st.sampled_from(ACTIVATIONS))() for _ in range(draw(st.integers(0, 2)))))
    after = nn.Sequential(
        nn.Linear(directions * units, answers, bias=draw(st.booleans())), draw(st.sampled_from(ACTIVATIONS))()
    )
    return Stack(before, layer, after)


def run_onnx(model: onnx.ModelProto, feeds: dict[str, Any]) -> dict[str, Any]:
    """Run a model, with zeros for the states that are not given."""
    session = onnxruntime.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])
    batch = next(iter(feeds.values())).shape[0 if len(next(iter(feeds.values())).shape) == 2 else 1]
    for entry in session.get_inputs():
        feeds.setdefault(entry.name, np.zeros((1, batch, entry.shape[-1]), np.float32))
    return dict(zip([entry.name for entry in session.get_outputs()], session.run(None, feeds), strict=True))


@settings(max_examples=40, deadline=None)
@given(modules())
def test_random_modules_agree_with_onnxruntime(module: nn.Module) -> None:
    """Both models, every output and state; and all ways to the graph give the same one."""
    export = build_onnx(module)
    for model in export.models.values():
        onnx.checker.check_model(model, full_check=True)
    comparisons = check_against_onnxruntime(module, export, frames=20, sequences=2)
    names = {"output", *(output for _, output in export.state_names)}
    assert {(item.name, item.model) for item in comparisons} == {
        (name, model) for name in names for model in export.models
    }
    assert all(item.max_error <= item.limit and item.rms_error <= item.max_error for item in comparisons)
    # All ways to the graph lead to the same one.
    for model in export.models.values():
        assert_equal_graphs(graph_of(model), export.traced.graph)


@settings(max_examples=40, deadline=None)
@given(modules())
def test_random_modules_as_graphs_agree_with_torch_in_float64(module: nn.Module) -> None:
    """Torch and the graph in float64 leave no room for anything but equal meaning."""
    graph = graph_of(build_onnx(module).sequence)
    frames = np.random.default_rng(0).standard_normal((12, graph.inputs[0].width), np.float32)
    module = copy.deepcopy(module).eval().double()
    with torch.no_grad():
        # One sequence without a batch: there is nothing to take for time but time.
        returned = module(torch.tensor(frames, dtype=torch.float64))
    expected = returned[0] if isinstance(returned, tuple) else returned
    np.testing.assert_allclose(evaluate(graph, {"input": frames})["output"], expected, atol=1e-7)


@pytest.mark.parametrize("batch_first", [True, False])
def test_sequence_model_against_torch(batch_first: bool) -> None:
    """The comparison done here by hand, so that nothing rests on check_against_onnxruntime alone."""
    torch.manual_seed(1)
    module = nn.GRU(3, 4, num_layers=2, batch_first=batch_first)
    x, h = torch.randn(6, 2, 3), torch.randn(2, 6 if batch_first else 2, 4)
    with torch.no_grad():
        y, h_n = module(x, h)
    export = build_onnx(module)
    feeds = {"input": x.numpy()} | {
        name: h[layer : layer + 1].numpy() for layer, (name, _) in enumerate(export.state_names)
    }
    answers = run_onnx(export.sequence, feeds)
    np.testing.assert_allclose(answers["output"], y, atol=1e-6)
    for layer, (_, name) in enumerate(export.state_names):
        np.testing.assert_allclose(answers[name][0], h_n[layer], atol=1e-6)


def test_step_model_against_torch() -> None:
    """Frame by frame, states carried by hand, is the whole sequence."""
    torch.manual_seed(2)
    module = WithState().eval()
    x = torch.randn(1, 12, 4)
    with torch.no_grad():
        y, _ = module(x)
    export = build_onnx(module)
    states = {name: np.zeros((1, 1, 5), np.float32) for name, _ in export.state_names}
    for frame in range(12):
        answers = run_onnx(export.step, {"input": x[0, frame : frame + 1].numpy(), **states})
        states = {start: answers[final] for start, final in export.state_names}
        np.testing.assert_allclose(answers["output"], y[:, frame], atol=1e-6)


def test_names_and_shapes() -> None:
    """What a user of the ONNX files relies on."""
    export = build_onnx(WithState())
    assert export.state_names == (
        ("gru.layer0.initial_state", "gru.layer0.final_state"),
        ("gru.layer1.initial_state", "gru.layer1.final_state"),
    )

    def shapes(entries: Any) -> dict[str, list[Any]]:
        return {
            entry.name: [size.dim_param or size.dim_value for size in entry.type.tensor_type.shape.dim]
            for entry in entries
        }

    state = [1, "batch", 5]
    assert shapes(export.sequence.graph.input) == {
        "input": ["batch", "time", 4],
        "gru.layer0.initial_state": state,
        "gru.layer1.initial_state": state,
    }
    assert shapes(export.sequence.graph.output) == {
        "output": ["batch", "time", 3],
        "gru.layer0.final_state": state,
        "gru.layer1.final_state": state,
    }
    assert shapes(export.step.graph.input)["input"] == [1, 4]
    assert shapes(export.step.graph.output) == {
        "output": [1, 3],
        "gru.layer0.final_state": [1, 1, 5],
        "gru.layer1.final_state": [1, 1, 5],
    }
    assert [(node.op_type, node.name) for node in export.step.graph.node] == [
        ("Unsqueeze", "input.enter"),
        ("GRU", "gru.layer0"),
        ("Squeeze", "gru.layer0.squeeze"),
        ("GRU", "gru.layer1"),
        ("Squeeze", "gru.layer1.squeeze"),
        ("MatMul", "head"),
        ("Add", "head.add"),
        ("Softmax", "softmax"),
        ("Squeeze", "output.leave"),
    ]
    for node in export.sequence.graph.node:
        if node.op_type == "GRU":
            attributes = {item.name: onnx.helper.get_attribute_value(item) for item in node.attribute}
            assert attributes == {"hidden_size": 5, "linear_before_reset": 1}


def test_several_inputs_and_outputs() -> None:
    """Two streams through one GRU keep two states."""
    module = TwoInputs()
    export = build_onnx(module)
    graph = graph_of(export.sequence)
    assert [(port.name, port.width) for port in graph.inputs] == [("left", 4), ("right", 4)]
    # No tensor of an ONNX graph is both an input and another output.
    assert [(port.name, port.width) for port in graph.outputs] == [("left_2", 2), ("r", 5)]
    # The GRU runs twice, so there are two states.
    assert [node.name for node in graph.nodes] == ["gru.layer0", "output", "gru.layer0_2"]
    assert {item.name for item in check_against_onnxruntime(module, export, frames=9)} == {
        "left_2",
        "r",
        "gru.layer0.final_state",
        "gru.layer0_2.final_state",
    }


FORWARDS: list[Callable[[Any, Tensor], Any]] = [
    lambda net, x: net.head(net.gru(x)[0]),
    lambda net, x: net.head(net.gru(input=x, hx=None)[0]),
    lambda net, x: net.gru(x),
    lambda net, x: functional.relu(net.head(net.gru(x)[0])),
    lambda net, x: functional.leaky_relu(net.gru(x)[0], 0.3),
    lambda net, x: functional.softmax(net.head(net.gru(x)[0]), dim=2),
    lambda net, x: net.head(net.gru(x)[0].tanh().contiguous()).softmax(-1),
    lambda net, x: torch.sigmoid(net.gru(torch.tanh(x))[0].relu()),
    lambda net, x: functional.linear(net.gru(x)[0], net.head.weight, net.head.bias),
    lambda net, x: functional.linear(net.gru(x)[0], net.head.weight).sigmoid(),
    lambda net, x: functional.dropout(net.gru(x)[0], 0.5, training=net.training),
    lambda net, x: (net.gru(x)[0], net.wide(x), x),
    lambda net, x: Pair(net.gru(x)[0], net.wide(x)),
    lambda net, x: [net.wide(x).sigmoid(), {"deep": (net.gru(x)[0],)}],
    lambda net, x: net.gru(x)[0] + net.wide(x),
    lambda net, x: torch.cat([net.gru(x)[0], x], -1),
    lambda net, x: torch.mul(torch.sub(1, net.gru(x)[0]), net.wide(x)) - 0.25,
    lambda net, x: torch.add(net.wide(x), 0.5) * net.gru(x)[0] - net.wide(x),
    lambda net, x: net.gru(x, torch.zeros(net.gru.num_layers, x.size(0), 5, device=x.device))[0],
    lambda net, x: net.gru(x, x.new_zeros(net.gru.num_layers, x.size(0), 5).to(x.device))[0],
]


@pytest.mark.parametrize("forward", FORWARDS)
def test_ways_to_write_a_forward(forward: Callable[..., Any]) -> None:
    """Functions, methods, keyword arguments, states of zeros, several results."""
    torch.manual_seed(3)
    module = Net(forward, num_layers=2, batch_first=True)
    export = build_onnx(module)
    check_against_onnxruntime(module, export, frames=10, sequences=2)
    assert_equal_graphs(graph_of(export.step), graph_of(export.sequence))


def test_lstm_states_are_two() -> None:
    """An LSTM's h and c, of forward layers; a reverse layer starts anew with every sequence."""
    names = build_onnx(nn.LSTM(3, 4, num_layers=2)).state_names
    assert [name for name, _ in names] == [
        "lstm.layer0.initial_state",
        "lstm.layer0.initial_cell",
        "lstm.layer1.initial_state",
        "lstm.layer1.initial_cell",
    ]
    both = build_onnx(nn.LSTM(3, 4, bidirectional=True))
    assert both.state_names == (
        ("lstm.layer0.initial_state", "lstm.layer0.final_state"),
        ("lstm.layer0.initial_cell", "lstm.layer0.final_cell"),
    )
    assert both.step is None
    assert [type(node) for node in both.traced.graph.nodes] == [Lstm, Lstm, Concat]


def test_tokens() -> None:
    """One token a frame is an int64 without an axis of its own; two tables over it allow what both have."""

    class TwoTables(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.small, self.large = nn.Embedding(5, 3), nn.Embedding(9, 4)
            self.norm = nn.LayerNorm(7, elementwise_affine=False)

        def forward(self, tokens: Tensor) -> Tensor:
            y: Tensor = self.norm(torch.cat([self.small(tokens), self.large(tokens)], dim=-1))
            return y

    module = TwoTables()
    export = build_onnx(module)
    check_against_onnxruntime(module, export, frames=9)
    assert export.traced.graph.inputs[0].tokens == 5
    (tokens,) = export.sequence.graph.input
    assert tokens.type.tensor_type.elem_type == onnx.TensorProto.INT64
    assert [size.dim_param for size in tokens.type.tensor_type.shape.dim] == ["batch", "time"]
    for model in export.models.values():
        assert_equal_graphs(graph_of(model), export.traced.graph)
    assert build_onnx(module, example=torch.zeros(1, 4, dtype=torch.int64)).models == export.models
    with pytest.raises(UnsupportedGraph, match="it takes several tokens a frame"):
        build_onnx(module, example=torch.zeros(1, 4, 2, dtype=torch.int64))


def test_output_names() -> None:
    """Names follow dicts and named tuples; else there is one output, or they are numbered."""

    def names(forward: Callable[..., Any]) -> list[str]:
        return [port.name for port in build_onnx(Net(forward)).traced.graph.outputs]

    assert names(lambda net, x: net.gru(x)) == ["output"]
    assert names(lambda net, x: (net.gru(x)[0], net.wide(x))) == ["output0", "output1"]
    assert names(lambda net, x: Pair(net.gru(x)[0], net.wide(x))) == ["voice", "pitch"]
    assert names(lambda net, x: {"a": net.gru(x), "b": net.wide(x)}) == ["a", "b"]


def test_layers_without_a_module_around() -> None:
    """A single layer is a model; an activation alone needs an example."""
    linear = nn.Linear(2, 3)
    assert [node.name for node in build_onnx(linear).traced.graph.nodes] == ["linear"]
    check_against_onnxruntime(linear, build_onnx(linear), frames=5)
    with pytest.raises(UnsupportedGraph, match="the width of its input 'input' is unknown; give an example"):
        build_onnx(nn.Tanh())
    tanh = build_onnx(nn.Tanh(), example=torch.zeros(1, 2, 7))
    assert tanh.traced.graph.inputs[0].width == 7


def test_subclasses_mean_the_same_unless_they_have_their_own_forward() -> None:
    """A subclass is followed where it does something else."""

    class Named(nn.GRU):
        pass

    class Louder(nn.Linear):
        def forward(self, input: Tensor) -> Tensor:
            return torch.relu(super().forward(input))

    module = nn.Sequential(Louder(2, 3), nn.Sequential(Louder(3, 3)))
    export = build_onnx(module)
    assert [type(node).__name__ for node in export.traced.graph.nodes] == ["Dense", "Activation"] * 2
    check_against_onnxruntime(module, export, frames=5)
    check_against_onnxruntime(Named(2, 3), build_onnx(Named(2, 3)), frames=1, sequences=0)
    assert build_onnx(Named(2, 3)).state_names[0][0] == "named.layer0.initial_state"


def test_parametrized_layers_are_exported_as_they_are_now() -> None:
    """A weight that is computed is exported by its value."""
    module = nn.utils.parametrizations.weight_norm(nn.Linear(2, 3))
    check_against_onnxruntime(module, build_onnx(module), frames=5)


def test_same_module_same_bytes_and_the_module_is_left_as_it_was() -> None:
    """Bytes repeat; mode, hooks, attributes and torch's random numbers are untouched."""

    def build() -> tuple[WithState, bytes, bytes]:
        torch.manual_seed(4)
        module = WithState()
        export = build_onnx(module, metadata={"b": 1, "a": [2]})
        return module, export.sequence.SerializeToString(), export.step.SerializeToString()

    module, *once = build()
    _, *again = build()
    assert once == again
    assert module.training
    assert module.gru.training
    state = torch.random.get_rng_state()
    check_against_onnxruntime(module, build_onnx(module), frames=3)
    assert module.training
    assert not module.gru._forward_hooks
    assert torch.equal(state, torch.random.get_rng_state())
    # A forward that makes a tensor of its own: torch.fx would leave it behind in the module.
    own = Net(lambda net, x: (net.gru(x)[0], [x + torch.ones(4)][0]))
    before = set(vars(own))
    with pytest.raises(UnsupportedGraph):
        build_onnx(own)
    assert set(vars(own)) == before


def test_a_later_change_of_the_module_does_not_change_the_export() -> None:
    """Weights are copies; the comparison sees the difference and says where."""
    module = nn.GRU(2, 3)
    export = build_onnx(module)
    before = export.sequence.SerializeToString()
    with torch.no_grad():
        module.all_weights[0][0].zero_()
    assert export.sequence.SerializeToString() == before
    (layer,) = export.traced.graph.nodes
    assert isinstance(layer, Gru)
    assert layer.input_weights.any()
    with pytest.raises(ExportMismatch, match=r"'output' of the sequence model: .* at frame \d+ of sequence \d"):
        check_against_onnxruntime(module, export, frames=10)


def test_wrong_exports_are_found() -> None:
    """The faults seen in the wild: the reset gate on the wrong side, a bias gone, gates in torch's order."""

    def spoiled(change: Callable[[onnx.ModelProto], None]) -> None:
        torch.manual_seed(5)
        module = nn.GRU(3, 6)
        export = build_onnx(module)
        for model in (export.sequence, export.step):
            change(model)
            with pytest.raises(ExportMismatch):
                check_against_onnxruntime(module, export, frames=10)

    def reset_first(model: onnx.ModelProto) -> None:
        gru = next(node for node in model.graph.node if node.op_type == "GRU")
        del gru.attribute[:]
        gru.attribute.append(onnx.helper.make_attribute("hidden_size", 6))

    def torch_order(model: onnx.ModelProto) -> None:
        for tensor in model.graph.initializer:
            if tensor.name.endswith((".W", ".R")):
                array = onnx.numpy_helper.to_array(tensor).reshape(1, 3, 6, -1)[:, [1, 0, 2]].reshape(1, 18, -1)
                tensor.CopyFrom(onnx.numpy_helper.from_array(array, tensor.name))

    def no_bias(model: onnx.ModelProto) -> None:
        for node in model.graph.node:
            if node.op_type == "GRU":
                node.input[3] = ""

    for change in (reset_first, torch_order, no_bias):
        spoiled(change)


def test_metadata() -> None:
    """Both sources of metadata, the argument over the module's own, in both models, as canonical JSON."""
    module = nn.GRU(2, 3)
    module.grulet_metadata = {"labels": ["0", "ü"], "rate": 8000}
    export = build_onnx(module, metadata={"rate": 16000, "nested": {"b": None, "a": [True, 1.5]}})
    expected = {"labels": ["0", "ü"], "rate": 16000, "nested": {"b": None, "a": [True, 1.5]}}
    assert graph_of(export.sequence).metadata == graph_of(export.step).metadata == expected
    (entry,) = export.sequence.metadata_props
    assert entry.key == "grulet"
    assert entry.value == '{"labels":["0","\\u00fc"],"nested":{"a":[true,1.5],"b":null},"rate":16000}'


@pytest.mark.parametrize(
    "metadata",
    [{"x": object()}, {"x": float("nan")}, {"x": [float("inf")]}, {1: "x"}, {"x": {2: 3}}, {"x": "\ud800"}, [1]],
)
def test_metadata_that_are_not_json(metadata: Any) -> None:
    """Metadata that would not come back are refused."""
    with pytest.raises(UnsupportedGraph, match=r"GRU 'grulet_metadata': the metadata are"):
        build_onnx(nn.GRU(2, 3), metadata=metadata)


class AnyArguments(nn.Module):
    """A forward without names."""

    def forward(self, *frames: Tensor) -> Tensor:
        return frames[0]


class Unused(nn.Module):
    """A forward with an argument too many."""

    def __init__(self) -> None:
        super().__init__()
        self.gru = nn.GRU(4, 5)

    def forward(self, x: Tensor, y: Tensor) -> Tensor:
        result: Tensor = self.gru(x)[0]
        return result


class GivenState(Unused):
    """A state that must be given."""

    def forward(self, x: Tensor, y: Tensor) -> Tensor:
        result: Tensor = self.gru(x, y)[0]
        return result


class Both(nn.Module):
    """One GRU of each order of axes."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.second = nn.GRU(2, 3, batch_first=True), nn.GRU(3, 3)

    def forward(self, x: Tensor) -> Tensor:
        result: Tensor = self.second(self.first(x)[0])[0]
        return result


def poisoned() -> nn.Module:
    """Return a GRU that has diverged."""
    module = nn.GRU(2, 3)
    with torch.no_grad():
        module.all_weights[0][1][0, 0] = float("nan")
    return module


def hooked() -> nn.Module:
    """Return a GRU that does more than a GRU."""
    module = nn.GRU(2, 3)
    module.register_forward_hook(lambda module, args, result: (2 * result[0], result[1]))
    return module


def replaced() -> nn.Module:
    """Return a module whose forward is not that of its class."""
    module = Net(lambda net, x: net.wide(x))
    vars(module)["forward"] = module.wide.forward
    return module


REFUSED: list[tuple[nn.Module, str]] = [
    (Both(), "GRU 'second': its batch_first is False, unlike.*give all layers the same"),
    (nn.LSTM(2, 3, proj_size=2), r"LSTM 'lstm': it projects its state \(proj_size\)"),
    (nn.Sequential(nn.RNN(2, 3, nonlinearity="relu")), "RNN '0': its nonlinearity is relu; use tanh"),
    (nn.Sequential(nn.Linear(2, 3), nn.GRUCell(3, 3)), "GRUCell '1': it is one step of a loop; use nn.GRU"),
    (nn.Sequential(nn.Linear(2, 3), nn.LayerNorm((4, 3))), "LayerNorm '1': it takes 2 axes together; normalize the"),
    (nn.Embedding(3, 2, max_norm=1.0), r"Embedding 'embedding': it shortens its rows while it runs \(max_norm\)"),
    (
        nn.Sequential(nn.Linear(2, 1), nn.Embedding(3, 2)),
        "Embedding '1': its tokens are computed from others; give the",
    ),
    (nn.Sequential(nn.Conv1d(2, 3, 1)), "Conv1d '0': it looks at several frames at once"),
    (nn.Sequential(nn.Linear(2, 3), nn.GELU()), "GELU '1': it is not part of a frame program; grulet follows"),
    (nn.Sequential(nn.Linear(2, 3), nn.Linear(4, 1)), "Linear '1': it takes 4 features, but is given 3"),
    (nn.Sequential(nn.Linear(2, 3), nn.Softmax(dim=1)), "Softmax '1': its dim is 1, not the features; use dim=-1"),
    (nn.Sequential(nn.Linear(2, 3, dtype=torch.float64)), r"its weight is float64; .*module\.float\(\)"),
    (nn.GRU(2, 3).half(), "GRU 'gru': its weight_ih_l0 is float16"),
    (nn.GRU(2, 3, device="meta"), "its weight_ih_l0 has no numbers"),
    (poisoned(), "its weight_hh_l0 holds NaN or infinity"),
    (nn.Sequential(nn.GRU(2, 3), nn.Linear(3, 1)), r"Linear '1': it takes the pair \(y, h_n\).*take y: y, _ = gru"),
    (Net(lambda net, x: net.gru(x)[0][:, -1]), "getitem 'getitem_1': it takes some frames.*return y, one vector"),
    (Net(lambda net, x: net.head(net.gru(x)[1][-1])), r"it uses the final state \(h_n\).*return y"),
    (Net(lambda net, x: net.head(net.gru(x)[1])), r"Linear 'head': it uses the final state"),
    (Net(lambda net, x: net.gru(x)[1]), "Net 'forward': it returns nothing per frame, only final states"),
    (Net(lambda net, x: (net.wide(x), net.gru(x)[1])), "it returns the final state of 'gru.layer0', but nothing per"),
    (Net(lambda net, x: (net.wide(x), None)), "it returns a NoneType that is not computed from frames"),
    (Net(lambda net, x: (net.wide(x), net.head.bias)), "it returns a Parameter that is not computed"),
    (Net(lambda net, x: net.wide(x) + x), "add 'add': it takes 5 features, but is given 4; make the widths agree"),
    (Net(lambda net, x: net.wide(x) + net.head.bias), "add 'add': its input is not computed from frames"),
    (
        Net(lambda net, x: net.wide(x) / net.gru(x)[0]),
        "truediv 'truediv': it combines signals in a way grulet does not",
    ),
    (Net(lambda net, x: (2 * x, net.wide(x))), "mul 'mul': the width of what it reads is unknown; give an example"),
    (Net(lambda net, x: torch.cat([net.gru(x)[0], net.wide(x)])), "cat 'cat': its dim is 0, not the features"),
    (Net(lambda net, x: net.gru(x.transpose(0, 1))[0]), "transpose 'transpose': it moves or merges axes; drop it"),
    (Net(lambda net, x: net.wide(x) if x.sum() > 0 else x), "Net 'forward': torch.fx cannot follow it.*the same calls"),
    (Net(lambda net, x: [net.wide(frame) for frame in x]), "torch.fx cannot follow it"),
    (Net(lambda net, x: functional.dropout(net.wide(x))), "it drops values in evaluation too"),
    (Net(lambda net, x: functional.softmax(net.wide(x), -1, dtype=torch.float64)), "it converts to torch.float64"),
    (Net(lambda net, x: (functional.relu(y := net.wide(x), inplace=True), y)), "it works in place on a tensor that"),
    (Net(lambda net, x: net.wide(x).to(torch.float16)), "to 'to': it changes the type or the device"),
    (Net(lambda net, x: net.gru(net.gru(x)[0])[0]), "GRU 'gru': it takes 4 features, but is given 5"),
    (hooked(), "GRU 'gru': it has forward hooks, which may change its numbers; remove them"),
    (nn.Sequential(hooked()), "GRU '0': it has forward hooks"),
    (replaced(), "Net 'forward': its forward was replaced after it was made"),
    (AnyArguments(), r"it takes any number of arguments \('frames'\); name every input"),
    (Unused(), "its argument 'y' does not reach what it returns"),
    (GivenState(), "GRU 'gru': it is given an initial state; leave it out: a stream starts from zeros"),
    (nn.Sequential(), "the width of its input 'input' is unknown"),
]


@pytest.mark.parametrize(("module", "message"), REFUSED)
def test_refused(module: nn.Module, message: str) -> None:
    """One line that names the module, its kind, the reason and what would work."""
    with pytest.raises(UnsupportedGraph, match=f"(?s){message}") as caught:
        build_onnx(module)
    assert caught.value.operator
    assert caught.value.reason
    assert caught.value.remedy


def test_refused_examples() -> None:
    """Examples that do not fit, and no module at all."""
    with pytest.raises(UnsupportedGraph, match="there are 2 examples for 1 inputs"):
        build_onnx(nn.GRU(2, 3), example=(torch.zeros(2), torch.zeros(2)))
    with pytest.raises(UnsupportedGraph, match="it takes 2 features, but is given 4"):
        build_onnx(nn.GRU(2, 3), example=torch.zeros(1, 1, 4))
    with pytest.raises(UnsupportedGraph, match=r"list: it is no torch.nn.Module"):
        build_onnx([1])  # type: ignore[arg-type]
