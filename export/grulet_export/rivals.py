"""The same model in onnxruntime and torch, one frame at a time, at their best settings: for benchmarks.

Both are rebuilt from the `.grulet` file, with its weights as float32, so that a benchmark needs that file alone.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TypeAlias

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from grulet import format as grulet_format
from grulet.errors import GruletError
from grulet_export.graph import Activation, Array, Dense, Graph, Gru, Lstm, Node, Rnn
from grulet_export.lift import lift
from grulet_export.onnx_running.runner import session
from grulet_export.onnx_writing import STEP, write_onnx
from grulet_export.onnx_writing.parts import has_width


class OnnxRival:
    """onnxruntime, its own cells in float32, state in and out, one thread."""

    title = "onnxruntime (float32)"

    def __init__(self, data: bytes) -> None:
        graph = lift(grulet_format.read(data))
        model, states = write_onnx(graph, STEP, "{}")
        self._session = session(model.SerializeToString())
        self._outputs = [port.name for port in graph.outputs]
        self._names = self._outputs + [state.output for state in states]
        self._states = {state.input: state.initial.reshape(1, 1, -1) for state in states}
        self._state_inputs = list(self._states)
        self._inputs = [
            (port.name, (1, port.width) if has_width(port) else (1,), np.int64 if port.tokens else np.float32)
            for port in graph.inputs
        ]
        self._ends = _ends(graph)

    def step(self, frame: Array) -> Array:
        """One frame (in,) -> (out,)."""
        parts = np.split(frame, self._ends) if len(self._ends) else [frame]
        feed = {
            name: part.reshape(shape).astype(kind, copy=False)
            for (name, shape, kind), part in zip(self._inputs, parts, strict=True)
        }
        results = self._session.run(self._names, feed | self._states)
        answers = results[: len(self._outputs)]
        self._states = dict(zip(self._state_inputs, results[len(self._outputs) :], strict=True))
        return answers[0][0] if len(answers) == 1 else np.concatenate([answer[0] for answer in answers])


class TorchRival:
    """torch in inference mode, one thread; a cell (nn.GRUCell, ...) is its fastest way to take one step.

    For stacks of GRU, LSTM, RNN, dense layers and functions; raises `GruletError` for a model with anything else.
    """

    title = "torch (float32)"

    def __init__(self, data: bytes) -> None:
        self._graph = lift(grulet_format.read(data))
        self._steps = [(node, _layer(node)) for node in self._graph.nodes]
        self._ends = _ends(self._graph)
        self._states = {
            node.name: torch.from_numpy(node.initial_state.copy())
            for node in self._graph.nodes
            if isinstance(node, Gru | Lstm | Rnn)
        }
        torch.set_num_threads(1)

    @torch.inference_mode()
    def step(self, frame: Array) -> Array:
        """One frame (in,) -> (out,)."""
        parts = np.split(frame, self._ends) if len(self._ends) else [frame]
        values = {port.value: torch.from_numpy(part) for port, part in zip(self._graph.inputs, parts, strict=True)}
        for node, layer in self._steps:
            x = values[node.inputs[0]]
            if isinstance(node, Lstm):
                state = self._states[node.name] = layer(x, self._states[node.name])
                values[node.output] = state[0]
            elif isinstance(node, Gru | Rnn):
                values[node.output] = self._states[node.name] = layer(x, self._states[node.name])
            else:
                values[node.output] = layer(x)
        answers: list[Array] = [values[port.value].numpy() for port in self._graph.outputs]
        return answers[0] if len(answers) == 1 else np.concatenate(answers)


def _ends(graph: Graph) -> list[int]:
    """Return where a frame is cut into the graph's inputs."""
    return [int(end) for end in np.cumsum([port.width for port in graph.inputs])[:-1]]


# ---- layers of torch -------------------------------------------------------------------------------------------------

#: What takes the place of a node: a function of x, or of x and the state.
_Layer: TypeAlias = Callable[..., Tensor]

_FUNCTIONS: dict[str, Callable[[Tensor, float, float], Tensor]] = {
    "relu": lambda x, alpha, beta: torch.relu(x),
    "leaky_relu": lambda x, alpha, beta: functional.leaky_relu(x, alpha),
    "sigmoid": lambda x, alpha, beta: torch.sigmoid(x),
    "tanh": lambda x, alpha, beta: torch.tanh(x),
    "softmax": lambda x, alpha, beta: torch.softmax(x, dim=-1),
    "clip": lambda x, alpha, beta: torch.clamp(x, alpha, beta),
    "elu": lambda x, alpha, beta: functional.elu(x, alpha),
    "hard_sigmoid": lambda x, alpha, beta: torch.clamp(x * alpha + beta, 0, 1),
    "softplus": lambda x, alpha, beta: functional.softplus(x),
    "softsign": lambda x, alpha, beta: functional.softsign(x),
    "thresholded_relu": lambda x, alpha, beta: functional.threshold(x, alpha, 0),
    "exp": lambda x, alpha, beta: torch.exp(x),
    "log": lambda x, alpha, beta: torch.log(x),
    "sqrt": lambda x, alpha, beta: torch.sqrt(x),
    "abs": lambda x, alpha, beta: torch.abs(x),
    "reciprocal": lambda x, alpha, beta: torch.reciprocal(x),
}


def _layer(node: Node) -> _Layer:
    """Return what computes a node."""
    match node:
        case Activation(size=0):
            function, alpha, beta = _FUNCTIONS[node.function], node.alpha, node.beta
            return lambda x: function(x, alpha, beta)
        case Dense():
            return _loaded(
                nn.Linear(node.weights.shape[1], len(node.bias)), {"weight": node.weights, "bias": node.bias}
            )
        case Gru(reverse=False):
            order = [1, 0, 2]  # ours z r n, torch's r z n
            return _cell(nn.GRUCell, node, order, node.input_bias, node.recurrent_bias)
        case Lstm(reverse=False):
            lstm = _cell(nn.LSTMCell, node, [0, 1, 2, 3], node.bias, np.zeros_like(node.bias))
            return lambda x, state: torch.stack(lstm(x, (state[0], state[1])))
        case Rnn(reverse=False):
            return _cell(nn.RNNCell, node, [0], node.bias, np.zeros_like(node.bias))
    raise GruletError(
        f"torch: not available for this model, which has {type(node).__name__} '{node.name}'; "
        "it takes stacks of GRU, LSTM, RNN, dense layers and functions"
    )


def _cell(
    kind: Callable[[int, int], nn.Module],
    node: Gru | Lstm | Rnn,
    order: list[int],
    input_bias: Array,
    recurrent_bias: Array,
) -> nn.Module:
    """Return a cell of torch; ``order``: which of our gates is each of torch's."""
    _, units, inputs = node.input_weights.shape
    gates = {
        "weight_ih": node.input_weights,
        "weight_hh": node.recurrent_weights,
        "bias_ih": input_bias,
        "bias_hh": recurrent_bias,
    }
    rows = {name: array[order].reshape(-1, *array.shape[2:]) for name, array in gates.items()}
    return _loaded(kind(inputs, units), rows)


def _loaded(layer: nn.Module, parameters: Mapping[str, Array]) -> nn.Module:
    layer.load_state_dict({name: torch.from_numpy(np.ascontiguousarray(a)) for name, a in parameters.items()})
    return layer
