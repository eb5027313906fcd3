"""Arguments that several commands take."""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from grulet.errors import FrameError


def positive(text: str) -> int:
    """Argparse type: a whole number of at least 1."""
    try:
        number = int(text)
    except ValueError:
        number = 0
    if number < 1:
        raise argparse.ArgumentTypeError(f"a whole number of at least 1 was expected, not {text!r}")
    return number


def read_frames(path: str) -> NDArray[np.float32]:
    """Read (frames, inputs) float32 of a .npy file; `FrameError` says what is wrong with any other."""
    try:
        frames = np.load(Path(path), allow_pickle=False)
    except OSError as error:
        raise FrameError(f"{path}: {error.strerror or error}") from error
    except (ValueError, EOFError) as error:
        raise FrameError(f"{path}: not a .npy file of numbers: {error}") from error
    if not isinstance(frames, np.ndarray) or frames.ndim != 2 or frames.dtype != np.float32:
        found = f"{frames.dtype} {frames.shape}" if isinstance(frames, np.ndarray) else type(frames).__name__
        raise FrameError(f"{path}: float32 (frames, inputs) was expected, not {found}")
    return frames
