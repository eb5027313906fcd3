"""From logits per frame to what the watch shows: the exercise with the most evidence in the last four seconds."""

from __future__ import annotations

from collections import deque

import numpy as np
from examples.watch_exercises.frames import FRAMES_PER_SECOND
from numpy.typing import NDArray

#: How far back an answer looks, in frames: 4 s.
MEMORY = round(4.0 * FRAMES_PER_SECOND)


def probabilities(logits: NDArray[np.floating]) -> NDArray[np.float64]:
    """Softmax over the last axis."""
    wide = np.asarray(logits, np.float64)
    exponentials = np.exp(wide - wide.max(axis=-1, keepdims=True))
    result: NDArray[np.float64] = exponentials / exponentials.sum(axis=-1, keepdims=True)
    return result


class Display:
    """The answer after every frame of a stream."""

    def __init__(self) -> None:
        self._last: deque[NDArray[np.float64]] = deque(maxlen=MEMORY)

    def step(self, logits: NDArray[np.floating]) -> tuple[int, float]:
        """Take the logits (7,) of the next frame; the exercise shown and its mean probability, 0 to 1."""
        self._last.append(probabilities(logits))
        mean = np.mean(self._last, axis=0)
        return int(mean.argmax()), float(mean.max())


def shown(logits: NDArray[np.floating]) -> NDArray[np.intp]:
    """The answers (T,) of a `Display` over the logits (T, 7) of a whole stream."""
    sums = np.cumsum(probabilities(logits), axis=0)
    sums[MEMORY:] -= sums[:-MEMORY].copy()
    answers: NDArray[np.intp] = sums.argmax(axis=1)
    return answers
