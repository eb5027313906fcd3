"""What all pictures share: one colour for one contestant, whatever the picture."""

from __future__ import annotations

import textwrap
from collections.abc import Iterable
from typing import Any

#: By the first word of a title: colours that also differ for most who see few of them.
COLOURS = {
    "grulet": "#d1400b",
    "LiteRT": "#0072b2",
    "onnxruntime": "#009e73",
    "torch": "#cc79a7",
    "OpenVINO": "#7b5cb8",
    "ncnn": "#8a6d1d",
}
#: Our formats: shades of one colour.
OUR_SHADES = {
    "int8 x int8": "#d1400b",
    "int8 x int16": "#f28e2b",
    "f32": "#8f2400",
    "int4 x int8": "#b0872a",
    "int4 x int16": "#e3b505",
    "f16": "#5c3a21",
}
LIMIT_COLOUR = "#444444"
MARKERS = {
    "int8 x int8": "o",
    "int8 x int16": "D",
    "f32": "s",
    "int8": "o",
    "int4": "v",
    "int4 x int8": "v",
    "int4 x int16": "^",
    "f16": "p",
}
SIZE = (11.0, 5.2)
DPI = 110


def contestant_style(title: str, facts: dict[str, Any]) -> dict[str, Any]:
    """Colour, marker and line of a contestant."""
    if facts["kind"] == "grulet":
        form = facts["format"]
        return {"color": OUR_SHADES[form], "marker": MARKERS[form], "linewidth": 2.6, "markersize": 6, "zorder": 5}
    family = title.split()[0]
    return {
        "color": COLOURS.get(family, "#777777"),
        "marker": MARKERS[facts["weights"]],
        "linestyle": ":" if facts["weights"] == "int4" else "-",
        "linewidth": 1.3,
        "markersize": 4,
        "zorder": 3,
    }


def limit_style() -> dict[str, Any]:
    """The floor."""
    return {"color": LIMIT_COLOUR, "linestyle": "--", "linewidth": 1.6, "zorder": 4}


def new_figure(title: str, panels: int = 1, size: tuple[float, float] = SIZE) -> tuple[Any, list[Any]]:
    """A figure with its message as the title, and its panels."""
    import matplotlib as mpl

    mpl.use("Agg")
    from matplotlib import pyplot

    figure, axes = pyplot.subplots(1, panels, figsize=size, dpi=DPI, layout="constrained", squeeze=False)
    lines = [part for line in title.split("\n") for part in balanced(line, int(size[0] * 8.8))]
    figure.suptitle("\n".join(lines), fontsize=13, fontweight="bold")
    for axis in axes[0]:
        axis.spines[["top", "right"]].set_visible(False)
    return figure, list(axes[0])


def balanced(text: str, width: int) -> list[str]:
    """Lines of at most ``width`` characters, of about the same length."""
    count = -(-len(text) // width)
    return textwrap.wrap(text, min(width, len(text) // count + 8))


def plain_numbers(axis: Any, between: int | None = None) -> None:
    """Figures as people write them: powers of ten and, if the axis has few of them, ``between`` times those."""
    from matplotlib.ticker import FuncFormatter, LogLocator, NullFormatter

    if between is not None:
        axis.set_major_locator(LogLocator(subs=(1, between)))
    axis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:,g}"))
    axis.set_minor_formatter(NullFormatter())


def label_ends(axis: Any, ends: Iterable[tuple[float, float, str, str]]) -> None:
    """Write (x, y, text, colour) at the right ends of lines, apart from each other where they would overlap.

    Call it when the limits of the axes are final.
    """
    from matplotlib.transforms import blended_transform_factory

    figure = axis.get_figure()
    figure.canvas.draw()
    ordered = sorted(ends, key=lambda end: end[1])
    pixels = [float(axis.transData.transform((x, y))[1]) for x, y, _, _ in ordered]
    for (x, y, text, colour), pixel in zip(ordered, apart(pixels, 11.0 * figure.dpi / 72), strict=True):
        axis.annotate(
            text,
            xy=(x, y),
            xytext=(1.06, axis.transAxes.inverted().transform((0, pixel))[1]),
            textcoords=blended_transform_factory(axis.transAxes, axis.transAxes),
            color=colour,
            fontsize=8.5,
            va="center",
            annotation_clip=False,
            arrowprops={"arrowstyle": "-", "color": colour, "linewidth": 0.6, "relpos": (0, 0.5), "shrinkB": 4},
        )


def apart(places: list[float], least: float) -> list[float]:
    """Ascending places moved as little as need be until neighbours are ``least`` apart."""
    groups: list[list[float]] = []  # of places that touch: spread evenly around their middle
    for place in places:
        groups.append([place])
        while len(groups) > 1 and top(groups[-2], least) + least > bottom(groups[-1], least):
            last = groups.pop()
            groups[-1] += last
    return [bottom(group, least) + least * number for group in groups for number in range(len(group))]


def bottom(group: list[float], least: float) -> float:
    """Place of a group's first member."""
    return sum(group) / len(group) - least * (len(group) - 1) / 2


def top(group: list[float], least: float) -> float:
    """Place of a group's last member."""
    return bottom(group, least) + least * (len(group) - 1)
