"""The network: two GRU layers of 64 units and one linear layer, a plain torch module."""

from __future__ import annotations

from pathlib import Path

import torch
from torch import Tensor, nn

from grulet.audio import LogMel

LABELS = ["0", "1", "2", "3", "4", "5", "6", "7", "8", "9", "nothing"]

#: Frames of 25 ms, one every 10 ms. Shift and scale give the training streams about zero mean and unit deviation.
AUDIO = LogMel(
    sample_rate=8000,
    window=200,
    hop=80,
    fft=256,
    bands=32,
    low_hz=100.0,
    high_hz=3800.0,
    floor=1e-7,
    shift=8.0,
    scale=0.2,
)

CHECKPOINT = Path(__file__).with_name("digits.pt")


class SpokenDigits(nn.Module):
    """Log-mel frames ``(batch, time, bands)`` to logits ``(batch, time, 11)``: ten digits and "nothing"."""

    #: What the export copies into the model file, so that the file says how to feed it and what it answers.
    grulet_metadata = {"audio": AUDIO.metadata(), "labels": LABELS}  # noqa: RUF012

    def __init__(self, units: int = 64, dropout: float = 0.0) -> None:
        super().__init__()
        self.gru = nn.GRU(AUDIO.bands, units, num_layers=2, batch_first=True, dropout=dropout)
        self.output = nn.Linear(units, len(LABELS))
        self._initialize()

    def _initialize(self) -> None:
        """Orthogonal recurrent weights and Xavier input weights, gate by gate; an update gate that remembers."""
        units = self.gru.hidden_size
        for name, parameter in self.gru.named_parameters():
            with torch.no_grad():
                for gate in parameter.split(units):  # type: ignore[no-untyped-call]
                    if name.startswith("weight_hh"):
                        nn.init.orthogonal_(gate)
                    elif name.startswith("weight_ih"):
                        nn.init.xavier_uniform_(gate)
                    else:
                        gate.zero_()
                if name.startswith("bias_ih"):
                    parameter[units : 2 * units] = 1.0  # torch's gate order is r, z, n
        nn.init.xavier_uniform_(self.output.weight)
        nn.init.zeros_(self.output.bias)

    def forward(self, frames: Tensor) -> Tensor:
        """Logits of every frame, from a zero state."""
        states, _ = self.gru(frames)
        logits: Tensor = self.output(states)
        return logits


def load(checkpoint_path: str | Path | None = None) -> SpokenDigits:
    """The trained network, ready for inference; by default from the checkpoint beside this file."""
    model = SpokenDigits()
    model.load_state_dict(torch.load(checkpoint_path or CHECKPOINT, map_location="cpu", weights_only=True))
    return model.eval()
