"""The pictures of the report.  Titles stand in the page; a picture has labels, axes with units, and nothing else."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from grulet_export.graph import Array
from grulet_export.quality.drawing import (
    ACTIVATIONS,
    FLOAT,
    LINES,
    MARK,
    MUTED,
    PAPER,
    QUANTIZED,
    WEIGHTS,
    svg,
)
from grulet_export.quality.result import Drift, OperatorLoss, Quality, TradeOff, WorstFrame, WorstRow

WIDTH = 6.0  # inches
#: Inches of a picture that takes the whole width, on a screen and on a phone: the letters stay as large as the others.
FORMS = {"screen": (2 * WIDTH, 3.0), "phone": (WIDTH, 2.8)}
MOST_OPERATORS = 12
LONGEST_NAME = 22
EXCERPT = 40  # frames before the one that is shown
MOST_DOTS = 24  # elements of an output that are drawn one by one
_ROW = 0.62  # inches: an operator
_FLAT_DB = 24.0  # an axis of decibels shows at least so many, so that what is flat looks flat
_QUIET_DB = -160.0  # stands for no error at all


def shares(operators: Sequence[OperatorLoss]) -> str:
    """Error power that each operator causes alone: weights and activations."""
    shown = sorted((op for op in operators if op.share), key=lambda op: -(op.share or 0.0))[:MOST_OPERATORS]

    def draw(figure: Any) -> None:
        axes = figure.subplots()
        top = 100 * max(op.share or 0.0 for op in shown)
        for place, op in enumerate(shown):
            share = 100 * (op.share or 0.0)
            weights = share * (1.0 if op.from_weights is None else op.from_weights)
            axes.barh(place, weights, color=WEIGHTS, height=0.62)
            axes.barh(place, share - weights, left=weights, color=ACTIVATIONS, height=0.62)
            axes.text(share + top * 0.015, place, f"{share:.0f}%, alone {_db(op.alone_db)}", va="center", fontsize=9.5)
        axes.set(
            xlim=(0, top * 1.42), ylim=(len(shown) - 0.45, -0.55), xlabel="share of the error power at the output, %"
        )
        axes.set_xticks([tick for tick in axes.get_xticks() if tick <= 100])
        axes.set_yticks(range(len(shown)), [f"{_short(op.name)}\n{op.formats}" for op in shown], fontsize=9.5)
        axes.tick_params(axis="both", length=0)
        axes.spines["bottom"].set_visible(False)

    text = ", ".join(f"{op.name} {op.share:.0%}" for op in shown)
    return svg("shares", f"Share of the error of every operator: {text}", (WIDTH, 0.9 + _ROW * len(shown)), draw)


def gates(operators: Sequence[OperatorLoss]) -> str:
    """SNR of every operator's output and gates."""
    shown = [op for op in operators if op.snr_db is not None or any(op.gates.values())]
    if len(shown) > MOST_OPERATORS:
        costly = sorted(shown, key=lambda op: -(op.share or 0.0))[:MOST_OPERATORS]
        shown = [op for op in shown if op in costly]
    values = [v for op in shown for v in (op.snr_db, *op.gates.values()) if v is not None]

    def draw(figure: Any) -> None:
        axes = figure.subplots()
        low, high = min(values), max(values)
        middle, reach = (low + high) / 2, max(high - low, _FLAT_DB / 2) / 2
        for place, op in enumerate(shown):
            found = [(gate, value) for gate, value in op.gates.items() if value is not None]
            points = [value for _, value in found] or [op.snr_db or 0.0]
            axes.plot([min(points), max(points)], [place, place], color=LINES, linewidth=3, solid_capstyle="round")
            for gate, value, step in _stacked(found, reach * 0.09):
                height = place + 0.31 * step
                axes.plot(value, height, "o", markersize=15, color=_gate_colour(gate), markeredgecolor=PAPER)
                axes.text(
                    value, height, gate, color=PAPER, ha="center", va="center_baseline", fontsize=9.5, weight="bold"
                )
            if not found and op.snr_db is not None:
                axes.plot(op.snr_db, place, "D", markersize=8, color=WEIGHTS)
        axes.set(
            xlim=(middle - reach * 1.25, middle + reach * 1.25),
            ylim=(len(shown) - 0.4, -0.6),
            xlabel="SNR against the float model, dB (right is better)",
        )
        axes.set_yticks(range(len(shown)), [_short(op.name) for op in shown], fontsize=9.5)
        axes.tick_params(axis="both", length=0)
        axes.grid(axis="x")
        axes.spines["left"].set_visible(False)

    text = ", ".join(f"{op.name} {_db(op.snr_db)}" for op in shown)
    return svg("gates", f"SNR of every gate: {text}", (WIDTH, 0.9 + _ROW * len(shown)), draw)


def _stacked(gates: Sequence[tuple[str, float]], near: float) -> list[tuple[str, float, float]]:
    """Gates from left to right, and how far up or down (in steps) each goes to make room for those that are near."""
    groups: list[list[tuple[str, float]]] = []
    for gate, value in sorted(gates, key=lambda pair: pair[1]):
        if groups and value - groups[-1][-1][1] < near:
            groups[-1].append((gate, value))
        else:
            groups.append([(gate, value)])
    return [
        (gate, value, place - (len(group) - 1) / 2) for group in groups for place, (gate, value) in enumerate(group)
    ]


def _gate_colour(gate: str) -> str:
    """States stand out from what makes them."""
    return QUANTIZED if gate in "hc" else WEIGHTS


def over_time(drift: Drift, form: str) -> str:
    """The error of every window, and of every quarter of the run; ``form``: one of `FORMS`."""

    def draw(figure: Any) -> None:
        axes = figure.subplots()
        errors, quarters = (_decibels(values) for values in (drift.errors, drift.quarters))
        frames = (np.arange(len(errors)) + 0.5) * drift.window
        axes.plot(frames, errors, color=FLOAT, linewidth=1.0)
        end = len(errors) * drift.window
        low, high = float(errors.min()), float(errors.max())
        middle, reach = (low + high) / 2, max(high - low, _FLAT_DB) / 2 * 1.25
        for number, level in enumerate(quarters):
            tested = number in (1, 3)
            left, right = end * number / 4, end * (number + 1) / 4
            axes.plot([left, right], [level, level], color=QUANTIZED, linewidth=3.2 if tested else 1.4)
            if tested:
                name = "second quarter" if number == 1 else "last quarter"
                text = f"{name}\n{level:.1f} dB".replace("-", "\N{MINUS SIGN}")
                place = (left + right) / 2, high + reach * 0.06
                axes.text(*place, text, color=QUANTIZED, ha="center", va="bottom", fontsize=10.5, weight="bold")
        axes.set(xlim=(0, end), ylim=(middle - reach, middle + reach), xlabel="frame", ylabel="error, dB re output")
        axes.xaxis.set_major_formatter(lambda value, _: f"{value:,.0f}")
        axes.tick_params(axis="both", length=0)
        axes.grid(axis="y")
        axes.spines["left"].set_visible(False)

    return svg(f"time-{form}", "Error over time; the thick lines are its quarters", FORMS[form], draw)


def _decibels(ratios: Sequence[float]) -> Any:
    values = np.asarray(ratios)
    return np.where(values > 0, 20 * np.log10(np.maximum(values, 1e-30)), _QUIET_DB)


def worst_frame(number: int, frame: WorstFrame, excerpt: Array, labels: Sequence[str] | None) -> str:
    """What went in before a bad frame, and what came out of both models.  ``excerpt`` (frames, in), this one last."""

    def draw(figure: Any) -> None:
        left, right, difference = _frame_axes(figure)
        length = len(excerpt)
        left.imshow(excerpt.T, aspect="auto", origin="lower", cmap="cividis", interpolation="nearest",
                    extent=(-length + 0.5, 0.5, -0.5, excerpt.shape[1] - 0.5))  # fmt: skip
        left.set(xlabel="frames before", yticks=[])
        exact, rounded = (np.asarray(values) for values in (frame.float_values, frame.quantized_values))
        places = np.arange(len(exact))
        if len(places) <= MOST_DOTS:
            right.vlines(places, 0, exact, color=LINES, linewidth=1)
            right.plot(places, exact, "o", markersize=9, markerfacecolor="none", color=FLOAT, label="float")
            right.plot(places, rounded, "o", markersize=4, color=QUANTIZED, label="quantized")
        else:
            right.plot(places, exact, color=FLOAT, linewidth=3, label="float")
            right.plot(places, rounded, color=QUANTIZED, linewidth=1, label="quantized")
        difference.bar(places, rounded - exact, color=QUANTIZED, width=0.7)
        if labels is not None and len(places) <= MOST_DOTS:
            difference.set_xticks(places, [label if len(label) < 4 else f"{label[:2]}." for label in labels])
        if number == 0:
            right.legend(loc="lower right", bbox_to_anchor=(1, 1), ncols=2, frameon=False, fontsize=9, borderaxespad=0,
                         handletextpad=0.2, columnspacing=0.8)  # fmt: skip

    return svg(f"frame{number}", f"Frame {frame.index:,}: float and quantized output", (WIDTH, 2.6), draw)


def _frame_axes(figure: Any) -> tuple[Any, Any, Any]:
    """Input on the left; on the right the output and, below it, its error."""
    # Ten pictures of one form: a layout that fits each of them would take most of the report's time.
    figure.set_layout_engine(None)
    places = figure.subplot_mosaic(
        [["input", "output"], ["input", "error"]],
        width_ratios=(1, 1.5),
        height_ratios=(2, 1),
        gridspec_kw={"left": 0.02, "right": 0.99, "top": 0.91, "bottom": 0.17, "wspace": 0.22, "hspace": 0.42},
    )
    for name, axes in places.items():
        axes.set_title(name, fontsize=9.5, color=MUTED, loc="left", pad=4)
        axes.tick_params(length=0, labelsize=9)
        axes.spines["bottom"].set_visible(False)
        if name == "input":
            axes.spines["left"].set_visible(False)
        else:
            axes.axhline(0, color=LINES, linewidth=0.8)
            axes.margins(x=0.03, y=0.12)
            axes.locator_params(axis="y", nbins=4 if name == "output" else 3)
    places["output"].sharex(places["error"])
    places["output"].tick_params(labelbottom=False)
    return places["input"], places["output"], places["error"]


def row_histogram(number: int, row: WorstRow) -> str:
    """The weights of a row, the values its format allows, and those it uses."""

    def draw(figure: Any) -> None:
        weights, comb = figure.subplots(2, 1, sharex=True, height_ratios=(2.4, 1))
        span = [*row.weights, *row.rounded]
        edges = np.linspace(min(span), max(span), 41)
        weights.hist(row.weights, bins=edges, color=FLOAT)
        weights.set(ylabel="weights")
        weights.tick_params(length=0)
        comb.vlines(row.levels, 0.08, 0.46, color=MUTED, linewidth=0.5 if len(row.levels) > 100 else 1.0)
        comb.vlines(sorted(set(row.rounded)), 0.54, 0.95, color=QUANTIZED, linewidth=1.0)
        comb.set_yticks([0.27, 0.75], ["grid" if row.levels else "", "in use"], fontsize=9)
        comb.set(ylim=(0, 1), xlabel="value of a weight")
        comb.tick_params(length=0)
        for side in ("left", "bottom"):
            comb.spines[side].set_visible(False)

    return svg(f"row{number}", f"Weights of unit {row.unit} of {row.operator}", (WIDTH, 2.5), draw)


def trade_off(points: Sequence[TradeOff], quality: Quality, form: str) -> str:
    """Loss against size, for every choice that was tried; ``form``: one of `FORMS`."""

    def draw(figure: Any) -> None:
        axes = figure.subplots()
        sizes, losses = [point.file_bytes / 1e3 for point in points], [point.snr_db for point in points]
        axes.plot(sizes, losses, "o-", color=WEIGHTS, markersize=5, linewidth=1.4)
        for place in {0, len(points) - 1}:
            axes.annotate(points[place].formats, (sizes[place], losses[place]), xytext=(6, -12), fontsize=9,
                          textcoords="offset points", color=MUTED, ha="right" if place else "left")  # fmt: skip
        snr = quality.worst_output.snr_db
        if snr is not None:
            size = quality.file_bytes / 1e3
            axes.plot(size, snr, "*", color=MARK, markersize=15, zorder=4)
            axes.annotate(
                "this file", (size, snr), xytext=(9, 4), textcoords="offset points", color=MARK, weight="bold"
            )
        axes.margins(0.12)
        axes.set(xlabel="file, kB", ylabel="SNR of the output, dB")
        axes.tick_params(length=0)
        axes.grid(color=LINES)

    return svg(f"tradeoff-{form}", "SNR of the output against the size of the file", FORMS[form], draw)


def _db(value: float | None) -> str:
    return "-" if value is None else f"{value:.1f} dB"


def _short(name: str) -> str:
    return name if len(name) <= LONGEST_NAME else f"{name[: LONGEST_NAME - 3]}..."
