"""The network on grulet: two files, two streams, and the state handed from one to the other.  Needs numpy and cffi."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

import grulet

HERE = Path(__file__).parent
ENCODER, DECODER = "encoder.grulet", "decoder.grulet"

#: The name of the GRU in both files.
GRU = "gru.layer0"


class Streams:
    """Encoder and decoder as streams; a `greedy.Network`."""

    def __init__(self, encoder: grulet.Model, decoder: grulet.Model) -> None:
        self.file_bytes = encoder.file_bytes + decoder.file_bytes
        self._encoder = encoder.stream()
        self._decoder = decoder.stream()

    def encode(self, letters: Sequence[int]) -> None:
        """The encoder runs over the letters; the decoder's GRU takes over the state the encoder's ends in."""
        self._encoder.reset()
        self._encoder.run(np.array(letters, np.float32)[:, None])
        self._decoder.set_hidden(GRU, self._encoder.hidden(GRU))

    def decode(self, phoneme: int) -> NDArray[np.float32]:
        """One step of the decoder, on the stream's own buffers."""
        self._decoder.input[0] = phoneme
        self._decoder.tick()
        return self._decoder.output


def load(folder: Path = HERE) -> Streams:
    """The two files of a folder; by default those beside this module."""
    return Streams(grulet.load(folder / ENCODER), grulet.load(folder / DECODER))
