"""Arguments that several commands take."""

from __future__ import annotations

import argparse
import re
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from grulet.errors import FrameError, GruletError


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


def frequency(text: str) -> float:
    """Argparse type: a clock such as ``168MHz``, ``1.8GHz`` or ``48000000`` (Hz)."""
    units = {"": 1.0, "hz": 1.0, "khz": 1e3, "mhz": 1e6, "ghz": 1e9}
    match = re.fullmatch(r"([0-9]+\.?[0-9]*|\.[0-9]+) ?([kmg]?hz|)", text.lower(), re.ASCII)
    hertz = float(match[1]) * units[match[2]] if match else 0.0
    if not 1e3 <= hertz <= 1e11:
        raise argparse.ArgumentTypeError(f"a clock from 1kHz to 100GHz was expected, such as 168MHz, not {text!r}")
    return hertz


def memory_size(text: str) -> int:
    """Argparse type: bytes, such as ``512K``, ``2M`` or ``65536``; K is 1024."""
    match = re.fullmatch(r"([0-9]{1,12})([km]?)(i?b)?", text.lower(), re.ASCII)
    size = int(match[1]) << {"": 0, "k": 10, "m": 20}[match[2]] if match else 0
    if size < 1:
        raise argparse.ArgumentTypeError(f"a number of bytes was expected, such as 512K, 2M or 65536, not {text!r}")
    return size


def picture(text: str) -> str:
    """Argparse type: the name of a picture, in a format that its ending names."""
    if Path(text).suffix.lower() not in (".png", ".svg", ".pdf"):
        raise argparse.ArgumentTypeError(f"the name of a .png, .svg or .pdf file was expected, not {text!r}")
    return text


def pairs(option: str, given: Sequence[str]) -> dict[str, str]:
    """What an option of the form LEFT=RIGHT was given, any number of times."""
    found: dict[str, str] = {}
    for text in given:
        left, separator, right = text.partition("=")
        if not separator or not left or not right:
            raise GruletError(f"{option} {text}: LEFT=RIGHT was expected, two names with = between them")
        if left in found:
            raise GruletError(f"{option}: '{left}' is given twice")
        found[left] = right
    return found


def read_array(path: str) -> NDArray[Any]:
    """Read the numbers of a .npy file; `FrameError` says what is wrong with any other."""
    try:
        array = np.load(Path(path), allow_pickle=False)
    except OSError as error:
        raise FrameError(f"{path}: {error.strerror or error}") from error
    except (ValueError, EOFError) as error:
        raise FrameError(f"{path}: not a .npy file of numbers: {error}") from error
    if not isinstance(array, np.ndarray):
        raise FrameError(f"{path}: not a .npy file, but an archive of several")
    return array


def read_frames(path: str) -> NDArray[np.float32]:
    """Read (frames, inputs) float32 of a .npy file; `FrameError` says what is wrong with any other."""
    frames = read_array(path)
    if frames.ndim != 2 or frames.dtype != np.float32:
        raise FrameError(f"{path}: float32 (frames, inputs) was expected, not {frames.dtype} {frames.shape}")
    return frames


def read_recordings(path: str) -> list[NDArray[np.float32]]:
    """Read the frames of a .npy file, or of all such files of a folder, by their names; each a recording of its own."""
    if not Path(path).is_dir():
        return [read_frames(path)]
    files = sorted(Path(path).glob("*.npy"))
    if not files:
        raise FrameError(f"{path}: no .npy file in this folder")
    return [read_frames(str(file)) for file in files]
