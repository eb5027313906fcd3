"""The demo as one picture: what was said, what was heard, how sure, and how long it took."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import matplotlib as mpl
import numpy as np
from clips import Samples
from numpy.typing import NDArray

from grulet.audio import LogMel

mpl.use("Agg")
from matplotlib import pyplot as plt

if TYPE_CHECKING:
    from evaluate import Heard

RIGHT, WRONG, TRUTH = "#1b7837", "#c51b28", "#2166ac"
COLOURS = ("#1b7837", "#d95f02", "#7570b3")


def draw(
    path: str,
    samples: Samples,
    front: LogMel,
    probability: NDArray[np.float64],
    heard: list[Heard],
    times: Mapping[str, NDArray[np.int64]],
) -> None:
    """Write the picture to ``path``; ``probability`` (T, 11), ``times`` nanoseconds of every step by contestant."""
    figure, (wave, heat, latency) = plt.subplots(
        3, 1, figsize=(12, 9.5), height_ratios=(1.15, 1.35, 1.2), layout="constrained"
    )
    _wave(wave, samples, front, heard)
    _heat(heat, front, probability, heard)
    heat.sharex(wave)
    _latency(latency, front, times)
    figure.savefig(path, dpi=100)
    plt.close(figure)


def _wave(axes: Any, samples: Samples, front: LogMel, heard: list[Heard]) -> None:
    seconds = np.arange(len(samples)) / front.sample_rate
    top = float(np.abs(samples).max())
    axes.plot(seconds, samples, color="#555555", linewidth=0.35)
    for entry in heard:
        if entry.said is not None:
            axes.axvspan(entry.said.start, entry.said.end, color=TRUTH, alpha=0.13, linewidth=0)
            middle = (entry.said.start + entry.said.end) / 2
            axes.text(middle, top * 1.22, str(entry.said.label), color=TRUTH, ha="center", fontsize=15, weight="bold")
        if entry.event is not None:
            colour = RIGHT if entry.is_right else WRONG
            axes.plot([entry.event.end] * 2, [-top * 1.05, top * 1.05], color=colour, linewidth=1.2)
            label = str(entry.event.label)
            axes.text(entry.event.end, -top * 1.5, label, color=colour, ha="center", fontsize=15, weight="bold")
    axes.set(xlim=(0, seconds[-1]), ylim=(-top * 1.75, top * 1.75))
    axes.set_yticks([-top * 1.37, top * 1.37], ["heard", "said"], fontsize=11)
    for label, colour in zip(axes.get_yticklabels(), (RIGHT, TRUTH), strict=True):
        label.set_color(colour)
    axes.tick_params(axis="y", length=0)
    axes.set_title("Spoken digits over kitchen noise, streamed through the C kernel", loc="left", weight="bold")
    axes.tick_params(labelbottom=False)


def _heat(axes: Any, front: LogMel, probability: NDArray[np.float64], heard: list[Heard]) -> None:
    hop, window = front.hop_seconds, front.window_seconds
    digits = probability[:, :10].T
    # A frame's answer is known when its window has ended.
    axes.imshow(
        digits,
        aspect="auto",
        origin="lower",
        cmap="Greys",
        vmin=0,
        vmax=1,
        interpolation="nearest",
        extent=(window, window + hop * digits.shape[1], -0.5, 9.5),
    )
    for entry in heard:
        if entry.said is not None:
            start, end = entry.said.start, entry.said.end
            axes.plot(
                [start, end, end, start, start],
                entry.said.label + np.array([-0.5, -0.5, 0.5, 0.5, -0.5]),
                color=TRUTH,
                linewidth=1.4,
            )
    axes.set(yticks=range(10), ylabel="digit", xlabel="seconds")
    axes.set_title("probability of each digit (black: 1), the truth framed in blue", loc="left", fontsize=11)


def _latency(axes: Any, front: LogMel, times: Mapping[str, NDArray[np.int64]]) -> None:
    budget = front.hop_seconds * 1e6
    fastest = min(float(sample.min()) for sample in times.values()) / 1e3
    edges = np.geomspace(fastest * 0.8, budget * 1.3, 220)
    lanes = 1.12 + 0.3 * np.arange(len(times))[::-1]
    for (name, sample), colour, lane in zip(times.items(), COLOURS, lanes, strict=True):
        micros = sample / 1e3
        p50, p999 = np.percentile(micros, [50, 99.9])
        share = np.histogram(micros, edges)[0] / len(micros)
        height = share / share.max()
        axes.fill_between(edges[:-1], height, step="post", color=colour, alpha=0.75, linewidth=0)
        axes.plot([p50, p999], [lane, lane], color=colour, linewidth=2)
        axes.plot([p50], [lane], marker="o", color=colour)
        axes.plot([p999], [lane], marker="|", color=colour, markersize=11)
        text = f"{name}: median {p50:.1f} us, 99.9 % within {p999:.0f} us"
        axes.text(p50, lane + 0.06, text, color=colour, va="bottom", fontsize=10.5)
    axes.axvline(budget, color=WRONG, linewidth=1.5)
    axes.text(budget * 0.97, 0.5, "the next frame\ncomes: 10 ms", color=WRONG, ha="right", va="center", fontsize=10.5)
    axes.set(xscale="log", xlim=(edges[0], edges[-1]), ylim=(0, 2.05), yticks=[], xlabel="microseconds per frame")
    axes.set_title("latency of one frame: dot the median, bar to the 99.9th percentile", loc="left", fontsize=11)
