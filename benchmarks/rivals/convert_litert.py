"""Write one GRU layer as three .tflite files: float32, int8 and int4 weights.  Called by with_litert.py.

    python benchmarks/rivals/convert_litert.py LAYER.npz STREAMS F32.tflite INT8.tflite INT4.tflite

LAYER.npz holds input_weights (3 * units, inputs), recurrent_weights (3 * units, units) and biases (4 * units,): gates
reset, update, new; the new gate's two biases apart.  Inputs of the files are a frame (streams, inputs) and a state
(streams, units), their output is the new state.
"""

from __future__ import annotations

import sys
from pathlib import Path

import litert_torch
import numpy as np
import torch
from ai_edge_quantizer import quantizer, recipe
from numpy.typing import NDArray
from torch import Tensor, nn


class Cell(nn.Module):
    """A GRU cell as three Linear layers: of the ways to write it, the one that LiteRT ran fastest, by a few percent."""

    def __init__(
        self, input_weights: NDArray[np.float32], recurrent_weights: NDArray[np.float32], biases: NDArray[np.float32]
    ) -> None:
        super().__init__()
        units = recurrent_weights.shape[1]
        gates = np.concatenate([input_weights[: 2 * units], recurrent_weights[: 2 * units]], axis=1)
        self.gates = linear(gates, biases[: 2 * units])
        self.new_input = linear(input_weights[2 * units :], biases[2 * units : 3 * units])
        self.new_state = linear(recurrent_weights[2 * units :], biases[3 * units :])

    def forward(self, frame: Tensor, state: Tensor) -> Tensor:
        """(streams, inputs), (streams, units) -> (streams, units)."""
        gates = torch.sigmoid(self.gates(torch.cat([frame, state], dim=-1)))
        reset, update = gates.chunk(2, dim=-1)
        new = torch.tanh(self.new_input(frame) + reset * self.new_state(state))
        return new + update * (state - new)


def linear(weights: NDArray[np.float32], bias: NDArray[np.float32]) -> nn.Linear:
    """A Linear layer with these weights (outputs, inputs)."""
    layer = nn.Linear(weights.shape[1], weights.shape[0])
    layer.load_state_dict({"weight": torch.from_numpy(weights), "bias": torch.from_numpy(bias)})
    return layer


def main(source: str, streams: str, float_path: str, *quantized_paths: str) -> None:
    """Convert, then quantize the converted file."""
    with np.load(source) as arrays:
        cell = Cell(**arrays).eval()
        shapes = [(int(streams), arrays[name].shape[1]) for name in ("input_weights", "recurrent_weights")]
    litert_torch.convert(cell, tuple(torch.zeros(shape) for shape in shapes)).export(float_path)
    recipes = recipe.dynamic_wi8_afp32(), recipe.dynamic_wi4_afp32()
    for path, chosen in zip(quantized_paths, recipes, strict=True):
        Path(path).unlink(missing_ok=True)  # the quantizer writes over no file
        quantizer.Quantizer(float_path, chosen).quantize().export_model(path)


if __name__ == "__main__":
    main(*sys.argv[1:])
