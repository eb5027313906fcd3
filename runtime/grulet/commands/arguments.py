"""Arguments that several commands take."""

from __future__ import annotations

import argparse
import re
from collections.abc import Callable
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


def whole(least: int, most: int) -> Callable[[str], int]:
    """Argparse type: a whole number from ``least`` to ``most``."""

    def number(text: str) -> int:
        # The length bounds the work: int() of a million digits takes long.
        if re.fullmatch(r"[0-9]{1,18}", text) is None or not least <= int(text) <= most:
            raise argparse.ArgumentTypeError(f"a whole number from {least:,} to {most:,} was expected, not {text!r}")
        return int(text)

    return number


def period(text: str) -> int:
    """Argparse type: a time such as ``10ms``, ``500us``, ``1s`` or ``0.01`` (seconds); nanoseconds."""
    units = {"": 1.0, "s": 1.0, "ms": 1e-3, "us": 1e-6}
    match = re.fullmatch(r"([0-9]+\.?[0-9]*|\.[0-9]+) ?(s|ms|us|)", text, re.ASCII)
    seconds = float(match[1]) * units[match[2]] if match else 0.0
    if not 1e-6 <= seconds <= 60:
        raise argparse.ArgumentTypeError(
            f"a time from 1us to 60s was expected, such as 10ms, 500us, 1s or 0.01 (seconds), not {text!r}"
        )
    return round(seconds * 1e9)


def picture(text: str) -> str:
    """Argparse type: the name of a picture, in a format that its ending names."""
    if Path(text).suffix.lower() not in (".png", ".svg", ".pdf"):
        raise argparse.ArgumentTypeError(f"the name of a .png, .svg or .pdf file was expected, not {text!r}")
    return text


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
