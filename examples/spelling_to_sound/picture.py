"""The evaluation as one picture: which phonemes go wrong, in float and in int8, and how long a word takes."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import matplotlib as mpl
import numpy as np
from examples.spelling_to_sound.error_rate import Dictionary, align, nearest, without_stress

mpl.use("Agg")
from matplotlib import pyplot as plt

if TYPE_CHECKING:
    from examples.spelling_to_sound.evaluate import Result, Said

WRONG, WRONG_STRESS = "#2166ac", "#92c5de"
#: By contestant; those of docs/benchmarks.md.
COLOURS = {
    "torch, float32": "#cc79a7",
    "onnxruntime, float32": "#009e73",
    "grulet, float32": "#8f2400",
    "grulet, int8 x int16": "#f28e2b",
    "grulet, int8 x int8": "#d1400b",
}
OTHER = "#444444"


def draw(path: str, results: Mapping[str, Result], dictionary: Dictionary) -> None:
    """Write the picture to ``path``; the first contestant is drawn as bars, the others as marks upon them."""
    figure, (errors, times) = plt.subplots(1, 2, figsize=(12, 7.5), width_ratios=(1.1, 1), layout="constrained")
    _errors(errors, results, dictionary)
    _times(times, results)
    figure.savefig(path, dpi=100)
    plt.close(figure)


def _errors(axes: Any, results: Mapping[str, Result], dictionary: Dictionary) -> None:
    first, *others = results
    total, wrong, wrong_stress = _counts(results[first].said, dictionary)
    order = sorted(total, key=lambda phoneme: (wrong[phoneme] + wrong_stress[phoneme]) / total[phoneme])
    share = np.array([100.0 * wrong[phoneme] / total[phoneme] for phoneme in order])
    stress = np.array([100.0 * wrong_stress[phoneme] / total[phoneme] for phoneme in order])
    axes.barh(order, share, color=WRONG, label=f"another phoneme or none ({first})")
    axes.barh(order, stress, left=share, color=WRONG_STRESS, label="right but for the stress")
    for name in others:
        if "int8" in name:  # float32 elsewhere says the same
            _, wrong, wrong_stress = _counts(results[name].said, dictionary)
            both = [100.0 * (wrong[phoneme] + wrong_stress[phoneme]) / total[phoneme] for phoneme in order]
            axes.plot(both, order, "|", color=COLOURS[name], markersize=9, markeredgewidth=2, label=f"both ({name})")
    axes.set(xlabel="% of the phoneme's occurrences in the references", ylim=(-0.7, len(order) - 0.3))
    axes.tick_params(axis="y", labelsize=8)
    axes.legend(loc="lower right", fontsize=9)
    axes.set_title("Which phonemes go wrong", loc="left", weight="bold")


def _counts(said: Said, dictionary: Dictionary) -> tuple[Counter[str], Counter[str], Counter[str]]:
    """By phoneme of the references, without stress: how often there, wrong, wrong in nothing but stress."""
    total: Counter[str] = Counter()
    wrong: Counter[str] = Counter()
    wrong_stress: Counter[str] = Counter()
    for word, phonemes in said.items():
        for one, other in align(phonemes, nearest(phonemes, dictionary[word])):
            if other is not None:
                (bare,) = without_stress([other])
                total[bare] += 1
                if one is None or without_stress([one]) != [bare]:
                    wrong[bare] += 1
                elif one != other:
                    wrong_stress[bare] += 1
    return total, wrong, wrong_stress


def _times(axes: Any, results: Mapping[str, Result]) -> None:
    lowest = min(float(result.nanoseconds.min()) for result in results.values()) / 1e6
    highest = max(result.latency.p999 for result in results.values()) / 1e3
    edges = np.geomspace(lowest * 0.8, highest * 1.5, 160)
    for lane, (name, result) in enumerate(reversed(list(results.items()))):
        colour = COLOURS.get(name, OTHER)
        counts = np.histogram(result.nanoseconds / 1e6, edges)[0]
        axes.fill_between(edges[:-1], lane, lane + 0.7 * counts / counts.max(), step="post", color=colour, linewidth=0)
        axes.text(edges[0] * 1.05, lane + 0.75, f"{name}: median {result.latency.p50 / 1e3:.2f} ms", color=colour)
    axes.set(xscale="log", ylim=(-0.05, len(results)), yticks=[], xlabel="ms of processor time per word")
    axes.set_xticks([0.1, 0.2, 0.5, 1, 2, 5, 10], ["0.1", "0.2", "0.5", "1", "2", "5", "10"])
    axes.set_xticks([], minor=True)
    axes.set_xlim(edges[0], edges[-1])
    axes.set_title("How long a word takes, one thread", loc="left", weight="bold")
