"""The same model in onnxruntime and torch, one frame at a time, at their best settings: for benchmarks.

Both are rebuilt from the `.grulet` file with its weights as float32, so that a benchmark needs that file alone.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeAlias

import numpy as np
import torch
from grulet import format as grulet_format
from grulet.format import Activation, Dense, Gru, Matrix, Program
from torch import Tensor, nn

from grulet_export.errors import UnsupportedGraph
from grulet_export.graph import Array
from grulet_export.onnx_run import session
from grulet_export.torch_onnx import build_onnx

_FUNCTIONS: dict[str, Callable[[float], nn.Module]] = {
    "relu": lambda alpha: nn.ReLU(),
    "leaky_relu": lambda alpha: nn.LeakyReLU(alpha),
    "sigmoid": lambda alpha: nn.Sigmoid(),
    "tanh": lambda alpha: nn.Tanh(),
    "softmax": lambda alpha: nn.Softmax(dim=-1),
}

Layer: TypeAlias = nn.GRU | nn.Linear | nn.Module


def _float_weights(matrix: Matrix, level: float = 1.0) -> Array:
    """(sets * units, inputs) float32; ``level``: what a recurrent matrix's scale holds of the state's format."""
    values = np.asarray(matrix.values, np.float32)
    if matrix.scale is not None:
        values = values * (matrix.scale / np.float32(level))[:, :, None]
    return values.reshape(-1, values.shape[2])


def _torch_order(gates: Array) -> Tensor:
    """(3 * units, ...) in our order z, r, n -> torch's r, z, n."""
    z, r, n = np.split(gates, 3)
    return torch.from_numpy(np.ascontiguousarray(np.concatenate([r, z, n])))


def _gru(op: Gru) -> nn.GRU:
    units, inputs = op.bias.shape[1], op.input_matrix.values.shape[2]
    layer = nn.GRU(inputs, units, batch_first=True)
    level = 1.0 / grulet_format.LEVELS[op.activations] if op.weights == "int8" else 1.0
    z, r, n_input, n_recurrent = op.bias
    zeros = np.zeros(2 * units, np.float32)
    with torch.no_grad():
        layer.weight_ih_l0.copy_(_torch_order(_float_weights(op.input_matrix)))
        layer.weight_hh_l0.copy_(_torch_order(_float_weights(op.recurrent_matrix, level)))
        layer.bias_ih_l0.copy_(_torch_order(np.concatenate([z, r, n_input])))
        layer.bias_hh_l0.copy_(_torch_order(np.concatenate([zeros, n_recurrent])))
    return layer


def _linear(op: Dense) -> nn.Module:
    layer = nn.Linear(op.matrix.values.shape[2], op.bias.shape[1])
    with torch.no_grad():
        layer.weight.copy_(torch.from_numpy(_float_weights(op.matrix)))
        layer.bias.copy_(torch.from_numpy(op.bias[0]))
    if op.function == "none":
        return layer
    return nn.Sequential(layer, _FUNCTIONS[op.function](op.alpha))


class ProgramModule(nn.Module):
    """A program as a torch module: (batch, time, in) -> (batch, time, out), or a tuple for several outputs."""

    def __init__(self, program: Program) -> None:
        super().__init__()
        if len(program.inputs) != 1:
            raise UnsupportedGraph(
                "", "model", f"it has {len(program.inputs)} inputs", "benchmarks against others need a model with one"
            )
        self.program = program
        self.layers = nn.ModuleList(map(_layer, program.operators))

    def forward(self, frames: Tensor) -> Tensor | tuple[Tensor, ...]:
        """Whole sequences, from the zero state."""
        values = {self.program.inputs[0].value: frames}
        for op, layer in zip(self.program.operators, self.layers, strict=True):
            answer = layer(values[op.input])
            values[op.output] = answer[0] if isinstance(op, Gru) else answer
        answers = tuple(values[port.value] for port in self.program.outputs)
        return answers[0] if len(answers) == 1 else answers


def _layer(op: grulet_format.AnyOperator) -> nn.Module:
    if isinstance(op, Activation):
        return _FUNCTIONS[op.function](op.alpha)
    return _gru(op) if isinstance(op, Gru) else _linear(op)


class OnnxRival:
    """onnxruntime, GRU operator in float32, state in and out, one thread."""

    title = "onnxruntime (float32)"

    def __init__(self, data: bytes) -> None:
        program = grulet_format.read(data)
        self._session = session(build_onnx(ProgramModule(program)).step.SerializeToString())
        inputs, outputs = self._session.get_inputs(), self._session.get_outputs()
        self._frame_name, *self._state_names = (entry.name for entry in inputs)
        self._frame_shape = inputs[0].shape
        self._names = [entry.name for entry in outputs]
        self._answers = len(outputs) - len(self._state_names)
        initial = [op.initial_state for op in program.operators if isinstance(op, Gru)]
        self._states = {name: h.reshape(1, 1, -1) for name, h in zip(self._state_names, initial, strict=True)}

    def step(self, frame: Array) -> Array:
        """One frame (in,) -> (out,)."""
        feed = self._states
        feed[self._frame_name] = frame.reshape(self._frame_shape)
        results = self._session.run(self._names, feed)
        self._states = dict(zip(self._state_names, results[self._answers :], strict=True))
        answers: list[Array] = results[: self._answers]
        return answers[0].ravel() if self._answers == 1 else np.concatenate([a.ravel() for a in answers])


class TorchRival:
    """torch in inference mode, one thread; a GRUCell is its fastest way to take one step."""

    title = "torch (float32)"

    def __init__(self, data: bytes) -> None:
        self._program = grulet_format.read(data)
        module = ProgramModule(self._program).eval()
        self._layers: list[Layer] = [
            _cell(layer) if isinstance(layer, nn.GRU) else layer for layer in module.layers
        ]
        self._states = {
            op.name: torch.from_numpy(op.initial_state.copy()) for op in self._program.operators if isinstance(op, Gru)
        }
        torch.set_num_threads(1)

    @torch.inference_mode()
    def step(self, frame: Array) -> Array:
        """One frame (in,) -> (out,)."""
        values = {self._program.inputs[0].value: torch.from_numpy(frame)}
        for op, layer in zip(self._program.operators, self._layers, strict=True):
            if isinstance(op, Gru):
                values[op.output] = self._states[op.name] = layer(values[op.input], self._states[op.name])
            else:
                values[op.output] = layer(values[op.input])
        answers: list[Array] = [values[port.value].numpy() for port in self._program.outputs]
        return answers[0] if len(answers) == 1 else np.concatenate(answers)


def _cell(layer: nn.GRU) -> nn.GRUCell:
    cell = nn.GRUCell(layer.input_size, layer.hidden_size)
    cell.load_state_dict({name.removesuffix("_l0"): value for name, value in layer.state_dict().items()})
    return cell
