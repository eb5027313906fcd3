"""NSNet2 as a torch module with the weights of its ONNX file, so that it can be trained on."""

from __future__ import annotations

from typing import Any

import onnx
import torch
from onnx import ModelProto, numpy_helper
from torch import Tensor, nn

#: The layers behind the GRUs: numbers in the sequence, and the matrices' names in the file.
OUTPUT_LAYERS = {0: "215", 2: "216", 4: "217"}
INPUT_MATRIX = "172"


class Nsnet2(nn.Module):
    """Features ``(batch, time, bins)`` to gains ``(batch, time, bins)``, 0 to 1."""

    def __init__(self, bins: int, units: int, hidden: int) -> None:
        super().__init__()
        self.fc_in = nn.Linear(bins, units)
        self.gru = nn.GRU(units, units, num_layers=2, batch_first=True)
        self.fc_out = nn.Sequential(
            nn.Linear(units, hidden), nn.ReLU(), nn.Linear(hidden, hidden), nn.ReLU(), nn.Linear(hidden, bins)
        )

    def forward(self, features: Tensor) -> Tensor:
        """Gains of every frame, from a zero state."""
        states, _ = self.gru(torch.relu(self.fc_in(features)))
        gains: Tensor = torch.sigmoid(self.fc_out(states))
        return gains


def from_onnx(model: ModelProto) -> Nsnet2:
    """The module of the ONNX file, ready for inference."""
    arrays = {tensor.name: torch.from_numpy(numpy_helper.to_array(tensor).copy()) for tensor in model.graph.initializer}
    weights: dict[str, Tensor] = {
        "fc_in.weight": arrays[INPUT_MATRIX].T,
        "fc_in.bias": arrays["fc_in.0.bias"],
    }
    for number, matrix in OUTPUT_LAYERS.items():
        weights[f"fc_out.{number}.weight"] = arrays[matrix].T
        weights[f"fc_out.{number}.bias"] = arrays[f"fc_out.{number}.bias"]
    cells = [node for node in model.graph.node if node.op_type == "GRU"]
    for layer, node in enumerate(cells):
        weights |= _layer(layer, *(arrays[name][0] for name in node.input[1:4]))
    units = arrays[cells[0].input[2]].shape[2]
    module = Nsnet2(bins=len(arrays[INPUT_MATRIX]), units=units, hidden=arrays[OUTPUT_LAYERS[0]].shape[1])
    module.load_state_dict({name: tensor.contiguous() for name, tensor in weights.items()})
    return module.eval()


def _layer(layer: int, inputs: Tensor, recurrent: Tensor, biases: Tensor) -> dict[str, Tensor]:
    """One GRU of ONNX, whose gates are z, r, h, as torch's r, z, n."""

    def in_order(rows: Tensor) -> Tensor:
        update, reset, candidate = rows.chunk(3)
        return torch.cat((reset, update, candidate))

    input_bias, recurrent_bias = biases.chunk(2)
    return {
        f"gru.weight_ih_l{layer}": in_order(inputs),
        f"gru.weight_hh_l{layer}": in_order(recurrent),
        f"gru.bias_ih_l{layer}": in_order(input_bias),
        f"gru.bias_hh_l{layer}": in_order(recurrent_bias),
    }


def load(path: Any) -> Nsnet2:
    """The module of the ONNX file at a path."""
    return from_onnx(onnx.load(path))
