"""A session as one picture: what the watch felt, what the network made of it, and what was really done."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import matplotlib as mpl
import numpy as np
from examples.watch_exercises.answers import probabilities
from examples.watch_exercises.frames import FRAMES_PER_SECOND, SAMPLES_PER_FRAME, Session
from examples.watch_exercises.recordings import CHANNELS, EXERCISES, SAMPLE_RATE

mpl.use("Agg")
from matplotlib import pyplot as plt

if TYPE_CHECKING:
    from examples.watch_exercises.__main__ import Streamed

TRUTH, RIGHT, WRONG = "#2166ac", "#1b7837", "#c51b28"
AXIS_COLOURS = ("#d95f02", "#1b9e77", "#7570b3")


def draw(path: Path, session: Session, streamed: Streamed) -> None:
    """Write the picture to ``path``."""
    figure, (acceleration, turning, heat) = plt.subplots(
        3, 1, figsize=(12, 8), height_ratios=(1, 1, 1.6), sharex=True, layout="constrained"
    )
    _signals(acceleration, session, slice(0, 3), "acceleration, g")
    _signals(turning, session, slice(3, 6), "rate of turn, rad/s")
    _heat(heat, session, streamed)
    title = f"A session of subject {session.subject}, whom the network has never met"
    figure.suptitle(title, weight="bold", fontsize=14, x=0.01, ha="left")
    figure.savefig(path, dpi=80)
    plt.close(figure)


def _signals(axes: Any, session: Session, channels: slice, label: str) -> None:
    samples = session.frames.reshape(-1, len(CHANNELS))
    seconds = np.arange(len(samples)) / SAMPLE_RATE
    for name, colour, values in zip(CHANNELS[channels], AXIS_COLOURS, samples.T[channels], strict=True):
        axes.plot(seconds, values, color=colour, linewidth=0.4, label=name[1])
    for part in session.parts:
        axes.axvline(part.start / FRAMES_PER_SECOND, color="#999999", linewidth=0.6)
    axes.set(ylabel=label, xlim=(0, seconds[-1]))
    for line in axes.legend(loc="upper right", ncols=3, fontsize=8).get_lines():
        line.set_linewidth(2.0)  # those of the signals are too thin for a legend


def _heat(axes: Any, session: Session, streamed: Streamed) -> None:
    end = len(session.frames) / FRAMES_PER_SECOND
    axes.imshow(
        probabilities(streamed.logits).T,
        aspect="auto",
        origin="lower",
        cmap="Greys",
        vmin=0,
        vmax=1,
        interpolation="nearest",
        extent=(0, end, -0.5, len(EXERCISES) - 0.5),
    )
    for exercise, part in zip(session.exercises, session.parts, strict=True):
        start, stop = part.start / FRAMES_PER_SECOND, part.stop / FRAMES_PER_SECOND
        low, high = exercise - 0.5, exercise + 0.5
        axes.plot([start, stop, stop, start, start], [low, low, high, high, low], color=TRUTH, linewidth=1.6)
    seconds = np.arange(1, len(streamed.shown) + 1) / FRAMES_PER_SECOND
    done = session.truth
    for colour, chosen in ((RIGHT, streamed.shown == done), (WRONG, streamed.shown != done)):
        axes.plot(seconds[chosen], streamed.shown[chosen], ".", color=colour, markersize=2.5)
    axes.set_yticks(range(len(EXERCISES)), EXERCISES)
    axes.set(xlabel="seconds", xlim=(0, end))
    axes.set_title(
        f"probability of each exercise (black: 1), the truth framed in blue, dots: what is shown, looking back 4 s; a "
        f"frame is {SAMPLES_PER_FRAME} samples",
        loc="left",
        fontsize=10,
    )
