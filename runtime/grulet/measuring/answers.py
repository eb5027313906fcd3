"""Frames that every machine can make for itself, and what a model answers: the same bits everywhere.

A board has no numpy, so the numbers come from a few integer operations on the number of an element; grulet-bench
(programs/) does the same in C.  The checksums of two reports then show whether two machines computed the same.
"""

from __future__ import annotations

import zlib
from collections.abc import Iterable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from grulet.model import Model

#: Few, so that frames take little of the caches: in an app each comes from the same buffer.
FRAMES = 64


def frames_of(ports: Iterable[tuple[int, int]], count: int = FRAMES) -> NDArray[np.float32]:
    """(count, in) float32: numbers from -2 to 2, and where an input takes tokens, any of them.

    ``ports``: (elements, tokens) of every input, tokens 0 for numbers.
    """
    tokens = np.concatenate([np.full(width, tokens) for width, tokens in ports])
    bits = _mixed(np.arange(count * len(tokens), dtype=np.uint32)).reshape(count, -1)
    numbers = (bits >> 8).astype(np.float32) * np.float32(2.0**-22) - np.float32(2)
    return np.where(tokens, bits % np.maximum(tokens, 1), numbers).astype(np.float32)


def answers(model: Model, frames: NDArray[np.float32]) -> dict[str, Any]:
    """Run the frames from the initial state on; checksums of their bytes and of the answers' bytes."""
    outputs = model.stream(block=1).run_vector(frames)
    return {
        "frames": len(frames),
        "inputs_crc32": f"{zlib.crc32(frames.tobytes()):08x}",
        "outputs_crc32": f"{zlib.crc32(outputs.tobytes()):08x}",
    }


def _mixed(numbers: NDArray[np.uint32]) -> NDArray[np.uint32]:
    """Numbers without a pattern, from 0, 1, 2, ...: the finish of MurmurHash3."""
    mixed = numbers + np.uint32(0x9E3779B9)
    mixed = (mixed ^ (mixed >> np.uint32(16))) * np.uint32(0x85EBCA6B)
    mixed = (mixed ^ (mixed >> np.uint32(13))) * np.uint32(0xC2B2AE35)
    return mixed ^ (mixed >> np.uint32(16))
