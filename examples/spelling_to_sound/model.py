"""The network as two plain torch modules, each an embedding and a GRU of 256 units.

    encoder   letters of a word -> states; the last one is all that the decoder learns of the word
    decoder   the phoneme said last -> logits of the next, from the encoder's last state

``grulet export examples.spelling_to_sound.model:encoder -o encoder.grulet`` exports one.
"""

from __future__ import annotations

from collections.abc import Mapping

import torch
from examples.spelling_to_sound.alphabet import GRAPHEMES, PHONEMES
from examples.spelling_to_sound.checkpoint import weights
from torch import Tensor, nn

UNITS = 256


class Encoder(nn.Module):
    """Tokens of letters ``(batch, time)`` to states ``(batch, time, 256)``, from a zero state."""

    #: What the export copies into the model file: an input token is an index into this list.
    grulet_metadata = {"graphemes": GRAPHEMES}  # noqa: RUF012

    def __init__(self) -> None:
        super().__init__()
        self.embedding = nn.Embedding(len(GRAPHEMES), UNITS)
        self.gru = nn.GRU(UNITS, UNITS, batch_first=True)

    def forward(self, letters: Tensor) -> Tensor:
        """States after every letter."""
        states, _ = self.gru(self.embedding(letters))
        return states  # type: ignore[no-any-return]


class Decoder(nn.Module):
    """Tokens of phonemes ``(batch, time)``, the first ``<s>``, to logits ``(batch, time, 74)`` of the next ones."""

    #: An input token, and the number of a logit, is an index into this list.
    grulet_metadata = {"phonemes": PHONEMES}  # noqa: RUF012

    def __init__(self) -> None:
        super().__init__()
        self.embedding = nn.Embedding(len(PHONEMES), UNITS)
        self.gru = nn.GRU(UNITS, UNITS, batch_first=True)
        self.output = nn.Linear(UNITS, len(PHONEMES))

    def forward(self, phonemes: Tensor) -> Tensor:
        """Logits after every phoneme."""
        states, _ = self.gru(self.embedding(phonemes))
        return self.output(states)  # type: ignore[no-any-return]


def encoder() -> Encoder:
    """The trained encoder."""
    module = Encoder()
    _load(module, {"embedding.weight": "enc_emb"} | _gru_names("enc"))
    return module


def decoder() -> Decoder:
    """The trained decoder."""
    module = Decoder()
    names = {"embedding.weight": "dec_emb", "output.weight": "fc_w", "output.bias": "fc_b"}
    _load(module, names | _gru_names("dec"))
    return module


def _gru_names(half: str) -> dict[str, str]:
    """The checkpoint has torch's own gate order (r, z, n) and both of torch's biases."""
    parts = {"weight_ih": "w_ih", "weight_hh": "w_hh", "bias_ih": "b_ih", "bias_hh": "b_hh"}
    return {f"gru.{ours}_l0": f"{half}_{theirs}" for ours, theirs in parts.items()}


def _load(module: nn.Module, names: Mapping[str, str]) -> None:
    """Fill the module's parameters from the checkpoint (ours: theirs), and make it ready for inference."""
    arrays = weights()
    module.load_state_dict({ours: torch.from_numpy(arrays[theirs]) for ours, theirs in names.items()})
    module.eval()
