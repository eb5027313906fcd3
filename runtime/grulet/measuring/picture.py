"""The latency of a model as one picture: how long a frame takes, hot and in real time, and what its operators cost."""

from __future__ import annotations

import io
import warnings
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from grulet.files import write_whole
from grulet.measuring.histogram import Histogram, latency_of_json
from grulet.measuring.imported import Imported
from grulet.measuring.latency import Latency
from grulet.measuring.names import READ, REST, STEP, TICK, duration, kind
from grulet.measuring.operators import OperatorCost
from grulet.measuring.report import BenchReport, Times
from grulet.measuring.side_by_side import HERE

HOT, PACED, WHOLE, READS, DEADLINE, REMAINDER = "#1b7837", "#2166ac", "#7570b3", "#111111", "#c51b28", "#999999"
MOST_BARS = 12
LONGEST_NAME = 32
_IMPORTED = {"facecolor": "white", "hatch": "....", "linewidth": 1.0}  # distributions of other machines
_MARKERS = (("p50", "o"), ("p99", "D"), ("p999", "v"))


@dataclass(frozen=True)
class _Lane:
    """One distribution: its title, and the cost (us, p50) of merely reading the weights in the same state."""

    title: str
    latency: Latency
    shape: Times | Histogram  # nanoseconds of every call, or of another machine their counts
    read: float | None
    colour: str
    deadline: float | None = None  # us, where it is not that of this machine's frames
    imported: bool = False

    @property
    def ends(self) -> tuple[float, float]:
        """Shortest and longest, microseconds."""
        if isinstance(self.shape, Histogram):
            return float(self.shape.edges[0]), float(self.shape.edges[-1])
        return float(self.shape.min()) / 1e3, float(self.shape.max()) / 1e3

    def outline(self, edges: NDArray[np.float64]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Edges of bins, the given ones where every time is known, and the counts of calls, with a 0 at the end."""
        if isinstance(self.shape, Histogram):
            return self.shape.edges, np.array([*self.shape.counts, 0.0])
        return edges, np.array([*np.histogram(self.shape / 1e3, edges)[0], 0.0])


def draw(path: str, report: BenchReport) -> None:
    """Write the picture, in the format that the name's ending says."""
    from matplotlib import rc_context

    # Names are the model's and no formulas; a name whose letters the font lacks is drawn as boxes, without a word.
    with rc_context({"text.parse_math": False}), warnings.catch_warnings():
        warnings.filterwarnings("ignore", "Glyph .* missing from font")
        picture = io.BytesIO()
        _figure(report).savefig(picture, format=Path(path).suffix[1:].lower(), dpi=100)
    write_whole(path, picture.getvalue())


def _figure(report: BenchReport) -> Any:
    from matplotlib.figure import Figure  # not pyplot: no window, no state left behind

    lanes, bars = list(_lanes(report)), _bars(report)
    heights = (0.9 + 0.8 * len(lanes), 0.8 + 0.34 * len(bars))
    figure = Figure(figsize=(11, 0.9 + sum(heights)), layout="constrained")
    latency, operators = figure.subplots(2, 1, height_ratios=heights)
    figure.suptitle(
        f"{Path(report.model).name}: {report.weight_bytes:,} bytes of weights a frame", weight="bold", x=0.01, ha="left"
    )
    _draw_lanes(latency, lanes, report)
    _draw_bars(operators, bars, f" of {HERE}" if report.imported else "")
    machines = [report.machine] + [board.data["machine"] for board in report.imported]
    names = [f"{HERE}: ", *(f"{board.name}: " for board in report.imported)] if report.imported else [""]
    figure.supxlabel("\n".join(map(_machine, names, machines)), fontsize=8.5, color="#555555")
    return figure


def _machine(name: str, facts: dict[str, Any]) -> str:
    emulated = f", EMULATED ({facts['emulator']}): no times of a board" if facts["emulator"] else ""
    return f"{name}{facts['cpu']}, {facts['system']}, kernel {facts['isa']}, one thread{emulated}"


def _lanes(report: BenchReport) -> Iterator[_Lane]:
    """By state: this machine, its rivals, other machines; the read limit is that of our weights, beside our step."""
    names = {STEP: HERE if report.imported else STEP} | {name: name for name in report.rivals}
    separator = ": " if report.imported else ", "
    for name, title in names.items():
        yield _ours(f"{title}{separator}hot", report.hot[name], report.hot[READ] if name == STEP else None, HOT)
    yield from (_theirs(board, report, "microseconds", HOT, "hot") for board in report.imported)
    paced = [board for board in report.imported if "paced" in board.data]
    if report.paced is not None:
        times = report.paced.times
        for name, title in names.items():
            read = times[READ].compute if name == STEP else None
            yield _ours(f"{title}{separator}in real time", times[name].compute, read, PACED)
    yield from (_theirs(board, report, "compute_microseconds", PACED, "in real time") for board in paced)
    if report.paced is not None:
        yield _ours(f"{names[STEP]}{separator}due to answer", report.paced.times[STEP].answer, None, WHOLE)
    yield from (_theirs(board, report, "answer_microseconds", WHOLE, "due to answer") for board in paced)


def _ours(title: str, times: Times, read: Times | None, colour: str) -> _Lane:
    return _Lane(title, Latency.of(times), times, None if read is None else float(np.median(read)) / 1e3, colour)


def _theirs(board: Imported, report: BenchReport, key: str, colour: str, state: str) -> _Lane:
    """The step of another machine; ``key``: where its report has the times."""
    hot = key == "microseconds"
    steps = board.data[key] if hot else {name: c[key] for name, c in board.data["paced"]["contestants"].items()}
    period = None if hot else board.data["paced"]["period_seconds"] * 1e6
    known = report.paced is not None and report.paced.period / 1e3 == period
    title = f"{board.name}: {state}" + (", ANOTHER MODEL" if board.model_differs(report.model_crc32) else "")
    return _Lane(
        title,
        latency_of_json(steps[STEP]),
        Histogram.of_json(steps[STEP]["histogram"]),
        None if colour == WHOLE else steps[READ]["p50"],
        colour,
        deadline=None if known else period,
        imported=True,
    )


def _draw_lanes(axes: Any, lanes: list[_Lane], report: BenchReport) -> None:
    """Log scale: what matters spans from a hot step to the deadline."""
    from matplotlib.ticker import LogLocator, NullFormatter

    ends = [time for lane in lanes for time in (*lane.ends, lane.read, lane.deadline) if time]
    if report.paced:
        ends.append(report.paced.period / 1e3)
    bounds = np.geomspace(min(ends) * 0.7, max(ends) * 1.4, 240)
    labels = []
    for place, lane in enumerate(reversed(lanes)):
        latency = lane.latency
        edges, count = lane.outline(bounds)
        top = place + 0.72 * count / max(1, count.max())
        full, empty = {"color": lane.colour, "alpha": 0.55, "linewidth": 0}, {"edgecolor": lane.colour, **_IMPORTED}
        axes.fill_between(edges, place, top, step="post", **(empty if lane.imported else full))
        axes.axhline(place, color=lane.colour, linewidth=0.6)
        for name, marker in _MARKERS:
            value = getattr(latency, name)
            axes.plot([value], [place], marker=marker, color=lane.colour, markersize=7, clip_on=False, zorder=4)
        for time, colour, style in ((lane.read, READS, (0, (3, 1.5))), (lane.deadline, DEADLINE, "solid")):
            if time is not None:
                axes.plot([time, time], [place, place + 0.85], color=colour, linewidth=1.6, linestyle=style)
        labels.append(
            f"{lane.title}\np50 {_short(latency.p50)}, p99 {_short(latency.p99)}, p99.9 {_short(latency.p999)} us"
        )
    axes.plot([], [], color=READS, linestyle=(0, (3, 1.5)), label="merely reading the weights (p50)")
    for (_, marker), label in zip(_MARKERS, ("p50", "p99", "p99.9"), strict=True):
        axes.plot([], [], marker=marker, color="#555555", linestyle="none", label=label)
    if report.paced:
        period, ours = report.paced.period / 1e3, report.paced.times[STEP]
        label = f"deadline: {duration(period / 1e6)}, {ours.misses:,} of {len(ours.late):,} missed"
        axes.axvline(period, color=DEADLINE, linewidth=1.8, label=label)
    elif any(lane.deadline for lane in lanes):
        axes.plot([], [], color=DEADLINE, linewidth=1.6, label="deadline")
    axes.legend(loc="lower right", bbox_to_anchor=(1, 1), ncols=5, frameon=False, fontsize=9, borderaxespad=0.2)
    axes.set(xscale="log", xlim=(bounds[0], bounds[-1]), ylim=(-0.15, len(lanes)), xlabel="time of one frame")
    axes.set_yticks(np.arange(len(lanes)) + 0.3, labels, fontsize=9.5)
    axes.tick_params(axis="y", length=0)
    for label, lane in zip(axes.get_yticklabels(), reversed(lanes), strict=True):
        label.set_color(lane.colour)
    wide = bounds[-1] / bounds[0] > 50
    axes.xaxis.set_major_locator(LogLocator(subs=(1.0,) if wide else (1.0, 2.0, 5.0)))
    axes.xaxis.set_minor_formatter(NullFormatter())
    axes.xaxis.set_major_formatter(lambda value, _: duration(value / 1e6))
    axes.grid(axis="x", color="#dddddd", linewidth=0.6)
    axes.set_axisbelow(True)


def _short(value: float) -> str:
    return f"{value:.1f}" if value < 100 else f"{value:,.0f}"


@dataclass(frozen=True)
class _Bar:
    title: str
    microseconds: float
    share: float
    read: float
    colour: str


def _bars(report: BenchReport) -> list[_Bar]:
    """The operators in order, then the rest of a tick; of many, the small ones together."""
    largest = sorted(report.operators, key=lambda cost: cost.share)[-MOST_BARS:]
    shown = (
        report.operators if len(report.operators) <= MOST_BARS + 1 else [c for c in report.operators if c in largest]
    )
    small = [cost for cost in report.operators if cost not in shown]
    bars = [_Bar(_title(cost), cost.latency.p50, cost.share, _read(cost), HOT) for cost in shown]
    if small:
        micros, share, read = np.sum([(cost.latency.p50, cost.share, _read(cost)) for cost in small], axis=0)
        bars.append(_Bar(f"{len(small)} others", micros, share, read, HOT))
    return [*bars, _Bar(REST, report.rest, report.rest / report.hot_p50(TICK), 0.0, REMAINDER)]


def _title(cost: OperatorCost) -> str:
    name = cost.info.name if len(cost.info.name) <= LONGEST_NAME else f"{cost.info.name[: LONGEST_NAME - 3]}..."
    return f"{name}: {kind(cost.info)} {cost.info.inputs} \N{RIGHTWARDS ARROW} {cost.info.units}"


def _read(cost: OperatorCost) -> float:
    return cost.latency.p50 / cost.reads if cost.reads else 0.0


def _draw_bars(axes: Any, bars: list[_Bar], whose: str) -> None:
    places = np.arange(len(bars))
    lengths = [bar.microseconds for bar in bars]
    axes.barh(places, lengths, color=[bar.colour for bar in bars], alpha=0.55, height=0.72)
    reads = [bar.read for bar in bars]
    axes.barh(places, reads, facecolor="none", edgecolor=READS, hatch="////", height=0.72, linewidth=0.8)
    room = max(*lengths, *reads) * 1.18
    for place, bar in zip(places, bars, strict=True):
        text = (
            f"{_short(bar.microseconds) if bar.microseconds >= 10 else f'{bar.microseconds:.2f}'} us, {bar.share:.0%}"
        )
        axes.text(max(bar.microseconds, bar.read, 0) + room * 0.008, place, text, va="center", fontsize=9.5)
    axes.set(xlim=(min(0, *lengths), room), ylim=(len(bars) - 0.5, -0.5))
    axes.set_yticks(places, [bar.title for bar in bars], fontsize=9.5)
    axes.tick_params(axis="y", length=0)
    axes.set_xlabel(f"microseconds of each operator in a hot step{whose} (p50); hatched: merely reading its weights")
    for side in ("top", "right"):
        axes.spines[side].set_visible(False)
