"""The network: a GRU (or, to compare, an LSTM) and a linear layer, a plain torch module."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

import torch
from examples.watch_exercises.frames import FRAME_WIDTH, SAMPLES_PER_FRAME
from examples.watch_exercises.recordings import CHANNELS, EXERCISES, SAMPLE_RATE
from torch import Tensor, nn

CHECKPOINT = Path(__file__).with_name("exercises.pt")
CELLS = {"GRU": nn.GRU, "LSTM": nn.LSTM}
Cell = Literal["GRU", "LSTM"]


class WatchExercises(nn.Module):
    """Frames ``(batch, time, 24)``, four samples of six channels each, to logits ``(batch, time, 7)``."""

    #: What the export copies into the model file, so that the file says how to feed it and what it answers.
    grulet_metadata = {  # noqa: RUF012
        "labels": list(EXERCISES),
        "channels": list(CHANNELS),
        "sample_rate": SAMPLE_RATE,
        "samples_per_frame": SAMPLES_PER_FRAME,
    }

    def __init__(self, cell: Cell = "GRU", units: int = 64, dropout: float = 0.0) -> None:
        super().__init__()
        self.recurrent = CELLS[cell](FRAME_WIDTH, units, batch_first=True)
        self.dropout = nn.Dropout(dropout)
        self.output = nn.Linear(units, len(EXERCISES))
        self._initialize(units)

    def _initialize(self, units: int) -> None:
        """Orthogonal recurrent weights and Xavier input weights, gate by gate; a gate that remembers.

        In torch's order the second gate is the GRU's update gate and the LSTM's forget gate: either keeps the state
        where it is large.
        """
        for name, parameter in self.recurrent.named_parameters():
            with torch.no_grad():
                for gate in parameter.split(units):
                    if name.startswith("weight_hh"):
                        nn.init.orthogonal_(gate)
                    elif name.startswith("weight_ih"):
                        nn.init.xavier_uniform_(gate)
                    else:
                        gate.zero_()
                if name.startswith("bias_ih"):
                    parameter[units : 2 * units] = 1.0

    def forward(self, frames: Tensor) -> Tensor:
        """Logits of every frame, from a zero state."""
        states, _ = self.recurrent(frames)
        logits: Tensor = self.output(self.dropout(states))
        return logits

    @property
    def parameter_count(self) -> int:
        """Weights and biases."""
        return sum(parameter.numel() for parameter in self.parameters())


def load() -> WatchExercises:
    """The trained network, ready for inference."""
    model = WatchExercises()
    model.load_state_dict(torch.load(CHECKPOINT, map_location="cpu", weights_only=True))
    return model.eval()
