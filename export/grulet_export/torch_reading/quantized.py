"""Modules that torch quantized (`torch.ao.quantization.quantize_dynamic`), back to float modules of equal structure."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from torch import Tensor, nn

from grulet_export.errors import UnsupportedGraph
from grulet_export.torch_reading.parts import with_parts

# Known by name: torch has announced that these packages will go.
_QUANTIZED = "torch.ao.nn.quantized."
_DYNAMIC = "torch.ao.nn.quantized.dynamic."

_LAYERS = {"GRU": nn.GRU, "LSTM": nn.LSTM}
_CELLS = {"GRUCell": nn.GRUCell, "LSTMCell": nn.LSTMCell, "RNNCell": nn.RNNCell}


def dequantized(module: nn.Module) -> tuple[nn.Module, tuple[str, ...]]:
    """Return a copy in float32 and a note that says so; the module itself, and no note, if torch quantized none of it.

    Raises `UnsupportedGraph` for quantized layers that are not of the dynamic kind.
    """
    if not any(_is_quantized(part) for part in module.modules()):
        return module, ()
    paths: list[str] = []

    def float_part(path: str, part: nn.Module) -> nn.Module | None:
        if not _is_quantized(part):
            return None
        paths.append(f"'{path}'" if path else "the module")
        return _float_layer(part, path).train(part.training)

    answer = with_parts(module, float_part)
    return answer, (f"What torch had quantized ({', '.join(paths)}) was taken back to float32 first.",)


def _is_quantized(module: nn.Module) -> bool:
    return type(module).__module__.startswith(_QUANTIZED)


def _float_layer(module: Any, path: str) -> nn.Module:
    """Return the float layer of a quantized one; torch quantizes no recurrent layer without biases."""
    kind = type(module).__name__
    dynamic = type(module).__module__.startswith(_DYNAMIC)
    if dynamic and kind == "Linear":
        bias = {} if module.bias() is None else {"bias": module.bias()}
        linear = nn.Linear(module.in_features, module.out_features, bias=bool(bias))
        return _loaded(linear, {"weight": module.weight()} | bias)
    if dynamic and kind in _LAYERS:
        names = ("input_size", "hidden_size", "num_layers", "batch_first", "dropout", "bidirectional")
        layer = _LAYERS[kind](**{name: getattr(module, name) for name in names})
        return _loaded(layer, module.get_weight() | module.get_bias())
    if dynamic and kind in _CELLS:
        return _loaded(_CELLS[kind](module.input_size, module.hidden_size), module.get_weight() | module.get_bias())
    raise UnsupportedGraph(
        path,
        kind,
        "torch quantized it in a way that grulet cannot undo",
        "give the float module: grulet quantizes itself",
    )


def _loaded(layer: nn.Module, parameters: Mapping[str, Tensor]) -> nn.Module:
    layer.load_state_dict({name: _floats(tensor) for name, tensor in parameters.items()})
    return layer.requires_grad_(False)


def _floats(tensor: Tensor) -> Tensor:
    return (tensor.dequantize() if tensor.is_quantized else tensor).detach().float()
