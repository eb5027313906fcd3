"""torch, without a graph for gradients: its cell operators, which one step takes faster than `nn.GRU`."""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from .common import Array, LayerWeights, SequenceRival, StepRival

#: Engines of torch's int8 operators, fastest first.
ENGINES = ("x86", "fbgemm", "qnnpack")


class TorchFloat(StepRival):
    """The operator behind `nn.GRUCell`."""

    title = "torch f32"
    weights = "f32"
    package = "torch"
    settings = "eager torch.gru_cell (what nn.GRUCell calls) on tensors without gradients; set_num_threads(1)"

    def prepare(self, folder: Path) -> None:
        """Plain tensors: cheaper to call with than parameters under inference_mode."""
        torch.set_num_threads(1)
        self._cell = torch.gru_cell
        layer = self.layer
        arrays = layer.input_weights, layer.recurrent_weights, layer.input_bias, layer.recurrent_bias
        self._use([torch.from_numpy(array) for array in arrays])

    def _use(self, parameters: list[Any]) -> None:
        self._parameters = parameters
        self._frame_shape = (self.batch, self.layer.inputs)
        self._state = torch.zeros(self.batch, self.layer.units)

    def step(self, frame: Array) -> Array:
        """One step; every state is a new tensor, so the caller's array is not written again."""
        frames = torch.from_numpy(frame.reshape(self._frame_shape))
        self._state = self._cell(frames, self._state, *self._parameters)
        answer: Array = self._state.numpy().reshape(self.answer_shape)
        return answer


class TorchInt8(TorchFloat):
    """The operator behind the dynamically quantized `nn.GRUCell`."""

    title = "torch int8"
    weights = "int8"
    settings = (
        "torch.ao.quantization.quantize_dynamic(nn.GRUCell, qint8), engine x86 (fbgemm or qnnpack where there is "
        "none), its operator quantized_gru_cell_dynamic called directly; set_num_threads(1)"
    )

    def prepare(self, folder: Path) -> None:
        """Quantize the cell and keep what its module would pass on."""
        torch.set_num_threads(1)
        cell = quantized(loaded(nn.GRUCell(self.layer.inputs, self.layer.units), self.layer))
        self._cell = torch.ops.quantized.quantized_gru_cell_dynamic
        self._use([cell._packed_weight_ih, cell._packed_weight_hh, cell.bias_ih.detach(), cell.bias_hh.detach()])


class TorchSequence(SequenceRival):
    """`nn.GRU` over all frames."""

    title = "torch f32"
    weights = "f32"
    package = "torch"
    settings = "nn.GRU over all frames, inference_mode, set_num_threads(1)"

    def prepare(self, folder: Path) -> None:
        """A layer of its own."""
        torch.set_num_threads(1)
        self._module = self.model(loaded(nn.GRU(self.layer.inputs, self.layer.units), self.layer))

    def model(self, layer: nn.Module) -> Any:
        """What runs: the layer itself."""
        return layer.eval()

    @torch.inference_mode()
    def run(self, frames: Array) -> Array:
        """All frames."""
        states: Tensor = self._module(torch.from_numpy(frames)[:, None])[0]
        answer: Array = states[:, 0].numpy()
        return answer


class TorchInt8Sequence(TorchSequence):
    """The dynamically quantized `nn.GRU` over all frames."""

    title = "torch int8"
    weights = "int8"
    settings = (
        "torch.ao.quantization.quantize_dynamic(nn.GRU, qint8) over all frames, engine x86 (fbgemm or qnnpack where "
        "there is none), inference_mode, set_num_threads(1)"
    )

    def model(self, layer: nn.Module) -> Any:
        """What runs: the layer with int8 weights."""
        return quantized(layer)


def loaded(module: nn.Module, layer: LayerWeights) -> nn.Module:
    """The weights of ``layer`` in a `nn.GRU` or `nn.GRUCell`, whose names differ by a suffix."""
    arrays = {
        "weight_ih": layer.input_weights,
        "weight_hh": layer.recurrent_weights,
        "bias_ih": layer.input_bias,
        "bias_hh": layer.recurrent_bias,
    }
    suffix = "_l0" if isinstance(module, nn.GRU) else ""
    module.load_state_dict({name + suffix: torch.from_numpy(array) for name, array in arrays.items()})
    return module


def quantized(module: nn.Module) -> Any:
    """The module with int8 weights; RuntimeError where torch has no engine for them."""
    supported = torch.backends.quantized.supported_engines
    engine = next((engine for engine in ENGINES if engine in supported), None)
    if engine is None:
        raise RuntimeError(f"this build of torch has none of the int8 engines {', '.join(ENGINES)}")
    quantize: Any = torch.ao.quantization.quantize_dynamic
    before = torch.backends.quantized.engine
    torch.backends.quantized.engine = engine  # read when weights are packed; a packed weight remembers its engine
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # deprecated in favour of a package that has no GRU
            whole = quantize(nn.Sequential(module), {type(module)}, dtype=torch.qint8)
    finally:
        torch.backends.quantized.engine = before
    return whole[0]
