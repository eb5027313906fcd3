"""The greedy loop: the encoder reads a word, then the decoder says one phoneme after another until it says the end."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

import numpy as np
from examples.spelling_to_sound.alphabet import END, PHONEMES, START, tokens_of
from numpy.typing import NDArray

#: The network ends a word by itself; this bounds the loop for one that does not. The longest of 3,000 words takes 14.
MOST_PHONEMES = 60


class Network(Protocol):
    """Encoder and decoder, whoever runs them."""

    #: Size of the files that hold the weights.
    file_bytes: int

    def encode(self, letters: Sequence[int]) -> None:
        """Read a whole word, from a zero state; the decoder then starts from the encoder's last state."""

    def decode(self, phoneme: int) -> NDArray[np.float32]:
        """Hear the phoneme said last; the logits (74,) of the next one, valid until the next call."""


def pronounce(network: Network, word: str) -> list[str]:
    """The phonemes of a word; `GruletError` if it is not spelled with letters."""
    network.encode(tokens_of(word))
    phoneme = START
    said: list[str] = []
    while len(said) < MOST_PHONEMES:
        phoneme = int(network.decode(phoneme).argmax())
        if phoneme == END:
            break
        said.append(PHONEMES[phoneme])
    return said
