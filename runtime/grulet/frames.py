"""Frames to try a model on where no recording is at hand."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
from numpy.typing import NDArray


def random_frames(ports: Iterable[tuple[int, int]], count: int, seed: int = 0) -> NDArray[np.float32]:
    """(count, in) float32: standard normal numbers, and where an input takes tokens, any of them.

    ``ports``: (elements, tokens) of every input, tokens 0 for numbers.
    """
    ports = list(ports)
    random = np.random.default_rng(seed)
    frames = random.standard_normal((count, sum(width for width, _ in ports)), np.float32)
    at = 0
    for width, tokens in ports:
        if tokens:
            frames[:, at : at + width] = random.integers(0, tokens, (count, width))
        at += width
    return frames
