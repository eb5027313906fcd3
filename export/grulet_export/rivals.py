"""The same model in onnxruntime and torch, one frame at a time, at their best settings: for benchmarks.

Both are rebuilt from the `.grulet` file, with its weights as float32, so that a benchmark needs that file alone.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import torch
from torch import Tensor, nn

from grulet import format as grulet_format
from grulet.format import Matrix, Program
from grulet_export.graph import Activation, Array, Dense, Graph, Gru, Node, Port
from grulet_export.onnx_run import session
from grulet_export.onnx_writer import STEP, write_onnx

# ---- a program as a float graph --------------------------------------------------------------------------------------


def float_graph(program: Program) -> Graph:
    """Undo the lowering: the weights of the file as float32."""
    nodes: list[Node] = []
    for op in program.operators:
        source, target = _value(op.input), _value(op.output)
        if isinstance(op, grulet_format.Gru):
            level = 1.0 / grulet_format.LEVELS[op.activations] if op.weights == "int8" else 1.0
            zeros = np.zeros(op.bias.shape[1], np.float32)
            bz, br, bxn, bhn = op.bias
            nodes.append(
                Gru(
                    op.name,
                    source,
                    target,
                    _float_weights(op.input_matrix),
                    _float_weights(op.recurrent_matrix, level),
                    np.stack([bz, br, bxn]),
                    np.stack([zeros, zeros, bhn]),
                    op.initial_state,
                )
            )
        elif isinstance(op, grulet_format.Dense):
            sums = target if op.function == "none" else f"{target} before {op.function}"
            nodes.append(Dense(op.name, source, sums, _float_weights(op.matrix)[0], op.bias[0]))
            if op.function != "none":
                nodes.append(Activation(f"{op.name}.{op.function}", sums, target, op.function, op.alpha))
        else:
            nodes.append(Activation(op.name, source, target, op.function, op.alpha))
    inputs = tuple(Port(port.name, _value(port.value), program.width(port.value)) for port in program.inputs)
    outputs = tuple(Port(port.name, _value(port.value), program.width(port.value)) for port in program.outputs)
    return Graph(inputs, outputs, tuple(nodes), program.text.source_sha256)


def _value(index: int) -> str:
    return f"value {index}"


def _float_weights(matrix: Matrix, level: float = 1.0) -> Array:
    """(sets, units, inputs) float32; ``level``: what a recurrent matrix's scale holds of the state's format."""
    values = np.asarray(matrix.values, np.float32)
    return values if matrix.scale is None else values * (matrix.scale / np.float32(level))[:, :, None]


# ---- rivals ----------------------------------------------------------------------------------------------------------


class OnnxRival:
    """onnxruntime, GRU operator in float32, state in and out, one thread."""

    title = "onnxruntime (float32)"

    def __init__(self, data: bytes) -> None:
        graph = float_graph(grulet_format.read(data))
        model, states = write_onnx(graph, STEP, "{}")
        self._session = session(model.SerializeToString())
        self._outputs = [port.name for port in graph.outputs]
        self._names = self._outputs + [state.output for state in states]
        self._state_inputs = [state.input for state in states]
        self._inputs = [(port.name, port.width) for port in graph.inputs]
        self._ends = np.cumsum([width for _, width in self._inputs])[:-1]
        initial = [node.initial_state for node in graph.nodes if isinstance(node, Gru)]
        self._states = {name: h.reshape(1, 1, -1) for name, h in zip(self._state_inputs, initial, strict=True)}

    def step(self, frame: Array) -> Array:
        """One frame (in,) -> (out,)."""
        if len(self._inputs) == 1:
            feed = {self._inputs[0][0]: frame[None]}
        else:
            parts = np.split(frame, self._ends)
            feed = {name: part[None] for (name, _), part in zip(self._inputs, parts, strict=True)}
        results = self._session.run(self._names, feed | self._states)
        answers = results[: len(self._outputs)]
        self._states = dict(zip(self._state_inputs, results[len(self._outputs) :], strict=True))
        return answers[0][0] if len(answers) == 1 else np.concatenate([answer[0] for answer in answers])


class TorchRival:
    """torch in inference mode, one thread; a GRUCell is its fastest way to take one step."""

    title = "torch (float32)"

    def __init__(self, data: bytes) -> None:
        self._graph = float_graph(grulet_format.read(data))
        self._steps = [(node, _layer(node)) for node in self._graph.nodes]
        self._ends = np.cumsum([port.width for port in self._graph.inputs])[:-1]
        self._states = {
            node.name: torch.from_numpy(node.initial_state.copy())
            for node in self._graph.nodes
            if isinstance(node, Gru)
        }
        torch.set_num_threads(1)

    @torch.inference_mode()
    def step(self, frame: Array) -> Array:
        """One frame (in,) -> (out,)."""
        parts = [frame] if len(self._graph.inputs) == 1 else np.split(frame, self._ends)
        values = {port.value: torch.from_numpy(part) for port, part in zip(self._graph.inputs, parts, strict=True)}
        for node, layer in self._steps:
            if isinstance(node, Gru):
                values[node.output] = self._states[node.name] = layer(values[node.input], self._states[node.name])
            else:
                values[node.output] = layer(values[node.input])
        answers: list[Array] = [values[port.value].numpy() for port in self._graph.outputs]
        return answers[0] if len(answers) == 1 else np.concatenate(answers)


_FUNCTIONS: dict[str, Callable[[float], nn.Module]] = {
    "relu": lambda alpha: nn.ReLU(),
    "leaky_relu": lambda alpha: nn.LeakyReLU(alpha),
    "sigmoid": lambda alpha: nn.Sigmoid(),
    "tanh": lambda alpha: nn.Tanh(),
    "softmax": lambda alpha: nn.Softmax(dim=-1),
}


def _layer(node: Node) -> nn.Module:
    if isinstance(node, Activation):
        return _FUNCTIONS[node.function](node.alpha)
    if isinstance(node, Dense):
        return _loaded(nn.Linear(node.weights.shape[1], len(node.bias)), weight=node.weights, bias=node.bias)
    _, units, inputs = node.input_weights.shape
    return _loaded(
        nn.GRUCell(inputs, units),
        weight_ih=_torch_order(node.input_weights),
        weight_hh=_torch_order(node.recurrent_weights),
        bias_ih=_torch_order(node.input_bias),
        bias_hh=_torch_order(node.recurrent_bias),
    )


def _torch_order(gates: Array) -> Array:
    """Our gates z, r, n (3, units, ...) -> torch's r, z, n as rows (3 * units, ...)."""
    return gates[[1, 0, 2]].reshape(-1, *gates.shape[2:])


def _loaded(layer: nn.Module, **parameters: Array) -> nn.Module:
    state: dict[str, Tensor] = {name: torch.from_numpy(np.ascontiguousarray(a)) for name, a in parameters.items()}
    layer.load_state_dict(state)
    return layer
