"""From logits per frame to answers: which digit a clip holds, and which digits a stream says, and when."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

Vector: TypeAlias = NDArray[np.float64]

#: Classes 0 to 9 are the digits; the last one is "nothing".
DIGITS = 10


def probabilities(logits: NDArray[np.floating]) -> Vector:
    """Softmax over the last axis."""
    wide = np.asarray(logits, np.float64)
    exponentials = np.exp(wide - wide.max(axis=-1, keepdims=True))
    result: Vector = exponentials / exponentials.sum(axis=-1, keepdims=True)
    return result


def evidence(logits: NDArray[np.floating]) -> Vector:
    """Evidence ``(10,)`` for each digit in a clip of logits ``(T, 11)``: its probability summed over the frames."""
    result: Vector = probabilities(logits)[:, :DIGITS].sum(axis=0)
    return result


def classify(logits: NDArray[np.floating]) -> int:
    """The digit of a clip that is known to hold exactly one: the digit with the most evidence."""
    return int(evidence(logits).argmax())


@dataclass(frozen=True)
class Event:
    """A digit that was heard. Times are seconds from the first sample of the stream."""

    label: int
    start: float  # when the word was noticed
    end: float  # when it was announced: the last sample that was needed
    confidence: float  # the digit's share of the evidence so far, 0 to 1


class DigitDetector:
    """Turns a stream of logits into events, one frame at a time.

    A word opens when the probability that any digit is being said, smoothed, rises above ``open_at``, and closes
    when it falls below ``close_at``. While it is open every digit gathers evidence, its probability times the
    frame's duration. As soon as the best digit leads the second by ``announce_after`` seconds it is announced, once;
    the next digit can only be announced after the word has closed. A word that closes before anything leads is
    dropped.
    """

    def __init__(
        self,
        hop_seconds: float = 0.010,
        window_seconds: float = 0.025,
        open_at: float = 0.5,
        close_at: float = 0.3,
        announce_after: float = 0.10,
        smoothing_seconds: float = 0.03,
    ) -> None:
        self.hop_seconds = hop_seconds
        self.window_seconds = window_seconds
        self.open_at = open_at
        self.close_at = close_at
        self.announce_after = announce_after
        self._keep = float(np.exp(-hop_seconds / smoothing_seconds))
        self.reset()

    def reset(self) -> None:
        """Forget everything: the next frame is the first of a new stream."""
        self._frame = 0
        self._speech = 0.0  # the smoothed probability that any digit is being said
        self._is_open = False
        self._is_announced = False
        self._start = 0.0
        self._evidence = np.zeros(DIGITS)

    def step(self, logits: NDArray[np.floating]) -> Event | None:
        """Take the logits ``(11,)`` of the next frame; give the digit that this frame decided, if any."""
        frame_start = self._frame * self.hop_seconds
        self._frame += 1
        probability = probabilities(logits)[:DIGITS]
        self._speech += (1.0 - self._keep) * (float(probability.sum()) - self._speech)
        if not self._is_open and self._speech > self.open_at:
            self._is_open, self._is_announced = True, False
            self._start = frame_start
            self._evidence[:] = 0.0
        elif self._is_open and self._speech < self.close_at:
            self._is_open = False
        if not self._is_open or self._is_announced:
            return None
        self._evidence += probability * self.hop_seconds
        second, best = np.partition(self._evidence, DIGITS - 2)[-2:]
        if best - second < self.announce_after:
            return None
        self._is_announced = True
        return Event(
            label=int(self._evidence.argmax()),
            start=self._start,
            end=frame_start + self.window_seconds,
            confidence=float(best / self._evidence.sum()),
        )
