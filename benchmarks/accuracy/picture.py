"""One picture: quality against bytes against microseconds, a panel for each task."""

from __future__ import annotations

import itertools
from collections.abc import Mapping
from pathlib import Path
from typing import Any, TypeAlias

from benchmarks.accuracy.variants import FLOAT, TRAINED
from benchmarks.report.style import DPI, plain_numbers
from benchmarks.report.tables import three_digits

SIZE = (12.0, 9.5)
#: By the first word of a format; a mark's area is the time of a step.
COLOURS = {"float32": "#8f2400", "float16": "#8a6d1d", "int8": "#d1400b", "int4": "#0072b2", "mixed": "#7b5cb8"}
#: Area of the slowest format's mark of a task, in points squared.
LARGEST_MARK = 1500.0
#: Room for a character and a line of names, in pixels.
CHARACTER, LINE = 6.8, 15.0

Box: TypeAlias = tuple[float, float, float, float]


def message(document: Mapping[str, Any]) -> str:
    """What the picture shows, as its title."""
    shares = [
        facts["variants"][TRAINED]["file_bytes"] / facts["variants"][FLOAT]["file_bytes"]
        for facts in document["tasks"].values()
        if TRAINED in facts["variants"]
    ]
    if not shares:
        return "Quality, bytes and time of a step"
    return (
        f"What {100 * min(shares):.0f} to {100 * max(shares):.0f} % of the bytes keep: "
        "quality, bytes and time of a step on real tasks"
    )


def save(document: Mapping[str, Any], path: Path) -> str:
    """Draw it; returns its message."""
    import matplotlib as mpl

    mpl.use("Agg")
    from matplotlib import pyplot

    title = message(document)
    tasks = document["tasks"]
    rows = max(1, -(-len(tasks) // 2))
    figure, axes = pyplot.subplots(
        rows, 2, figsize=(SIZE[0], SIZE[1] * rows / 2), dpi=DPI, layout="constrained", squeeze=False
    )
    figure.suptitle(f"{title}\nthe larger a mark, the slower a step (us beside it); better is up and left", fontsize=12)
    for axis, (task, facts) in zip(axes.flat, tasks.items(), strict=False):
        _panel(axis, task, facts, document.get("timing", {}).get("steps", {}).get(task, {}))
    for axis in list(axes.flat)[len(tasks) :]:
        axis.set_axis_off()
    figure.canvas.draw()  # now the axes have their places
    figure.set_layout_engine("none")
    for axis, (task, facts) in zip(axes.flat, tasks.items(), strict=False):
        _names(axis, facts["variants"], document.get("timing", {}).get("steps", {}).get(task, {}))
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path)
    pyplot.close(figure)
    return title


def _panel(axis: Any, task: str, facts: Mapping[str, Any], steps: Mapping[str, float]) -> None:
    variants = facts["variants"]
    slowest = max(steps.values(), default=1.0)
    qualities = [found["quality"] for found in variants.values()]
    span = max(max(qualities) - min(qualities), 2 * facts["int8_limit"])
    reference = variants[FLOAT]["quality"]
    axis.axhline(reference, color="#999999", linewidth=0.8, linestyle="--")
    for name, found in variants.items():
        colour = COLOURS[name.split(",")[0]]
        kilobytes = found["file_bytes"] / 1e3
        area = LARGEST_MARK * steps.get(name, slowest / 8) / slowest
        axis.scatter(kilobytes, found["quality"], s=area, color=colour, alpha=0.35, linewidth=0)
        axis.scatter(kilobytes, found["quality"], s=14, color=colour, marker="*" if name == TRAINED else "o", zorder=3)
    axis.set_xscale("log")
    low, high = min(qualities) - 0.35 * span, max(qualities) + 0.25 * span
    axis.set_ylim((low, high) if facts["more_is_better"] else (high, low))
    smallest, largest = (limit(found["file_bytes"] for found in variants.values()) / 1e3 for limit in (min, max))
    axis.set_xlim(smallest / 1.5, largest * 2.0)
    ticks = [
        found["file_bytes"] / 1e3 for name, found in variants.items() if name in (FLOAT, "float16", "int8", "int4")
    ]
    axis.set_xticks(ticks)
    axis.minorticks_off()
    plain_numbers(axis.xaxis)
    axis.xaxis.set_major_formatter(lambda value, _: f"{value:,.0f}")
    axis.set_xlabel("KB of file")
    axis.set_ylabel(f"{facts['measure']}, {facts['unit']}")
    axis.set_title(task, loc="left", weight="bold")
    axis.spines[["top", "right"]].set_visible(False)
    axis.grid(alpha=0.2)


def _names(axis: Any, variants: Mapping[str, Any], steps: Mapping[str, float]) -> None:
    """A name beside each mark, as near as there is room; a thin line leads to it.  Call it when the axes stand."""
    marks = {
        name: axis.transData.transform((found["file_bytes"] / 1e3, found["quality"]))
        for name, found in variants.items()
    }
    left, right = axis.get_window_extent().x0, axis.get_window_extent().x1
    taken = [(x - 8.0, y - 8.0, x + 8.0, y + 8.0) for x, y in marks.values()]
    for name, (x, y) in marks.items():
        text = f"{name}, {three_digits(steps[name])} us" if name in steps else name
        width = CHARACTER * len(text)
        for line, side in itertools.product(sorted(range(-12, 13), key=abs), (1, -1)):
            start = x + 14.0 if side > 0 else x - 14.0 - width
            box = (start, y + LINE * (line - 0.5), start + width, y + LINE * (line + 0.5))
            if left < box[0] and box[2] < right + 40.0 and not any(_overlap(box, other) for other in taken):
                break
        taken.append(box)
        axis.annotate(
            text,
            xy=(x, y),
            xycoords="figure pixels",
            xytext=(box[0], (box[1] + box[3]) / 2),
            textcoords="figure pixels",
            fontsize=8,
            color=COLOURS[name.split(",")[0]],
            va="center",
            arrowprops={
                "arrowstyle": "-",
                "color": "#999999",
                "linewidth": 0.5,
                "shrinkB": 3,
                "relpos": (side < 0, 0.5),
            },
        )


def _overlap(one: Box, other: Box) -> bool:
    """Whether two boxes (left, bottom, right, top) share a point."""
    return one[0] < other[2] and other[0] < one[2] and one[1] < other[3] and other[1] < one[3]
