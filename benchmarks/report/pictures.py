"""Pictures of the page: each is drawn from the results and says what it shows in its title."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from benchmarks.common import Document
from benchmarks.report.c_level import arithmetic_limits
from benchmarks.report.style import (
    COLOURS,
    LIMIT_COLOUR,
    MARKERS,
    OUR_SHADES,
    contestant_style,
    label_ends,
    limit_style,
    new_figure,
    plain_numbers,
)
from benchmarks.report.tables import factor, span, three_digits
from benchmarks.report.verdicts import best, comparisons, contestants_of, ours_chosen, picture_size

Results = dict[str, Document]

#: Panels: what they are called, and whose weights they show.
PANELS = (("int8 and int4 weights", ("int8", "int4")), ("float32 weights", ("f32",)))


def shown(results: dict[str, Any], weights: tuple[str, ...]) -> dict[str, dict[str, Any]]:
    """Our ticks and all rivals of a panel."""
    return {
        name: facts
        for name, facts in results["contestants"].items()
        if facts.get("weights") in weights and (facts["kind"] == "rival" or facts.get("call") == "tick")
    }


def short(name: str) -> str:
    """Without the call, which the picture's text says."""
    return name.removesuffix(", tick")


def latency_by_size(results: Results) -> tuple[Any, str]:
    """p50 against size, both axes logarithmic, the floor drawn in."""
    sizes = results["latency"]["results"]["sizes"]
    factors = [item.ahead for item in comparisons(results["latency"]) if item.ahead is not None]
    title = f"One frame from Python: grulet is {span(factors)} times as fast as the best rival" if factors else (
        "One frame from Python: grulet and the time of merely reading the weights"
    )  # fmt: skip
    figure, panels = new_figure(title, 2)
    for axis, (heading, weights) in zip(panels, PANELS, strict=True):
        for name in dict.fromkeys(name for part in sizes.values() for name in shown(part, weights)):
            found = [(int(size), part["contestants"].get(name)) for size, part in sizes.items()]
            points = [(size, facts["p50"]) for size, facts in found if facts is not None]
            facts = next(facts for _, facts in found if facts is not None)
            axis.plot(*zip(*points, strict=True), **contestant_style(name, facts))
        floor = [(int(size), part["contestants"][f"read {weights[0]}"]["p50"]) for size, part in sizes.items()]
        axis.plot(*zip(*floor, strict=True), **limit_style())
        sized_axis(axis, [int(size) for size in sizes], heading)
        axis.set_yscale("log")
        plain_numbers(axis.yaxis)
    low = min(axis.get_ylim()[0] for axis in panels)
    high = max(axis.get_ylim()[1] for axis in panels)
    for axis in panels:
        axis.set_ylim(low, high)
    panels[0].set_ylabel("microseconds of one frame, p50")
    name_ends(panels, sizes)
    return figure, title


def name_ends(panels: list[Any], sizes: dict[str, Any]) -> None:
    """Names at the ends of the lines, once the axes stand."""
    size, part = list(sizes.items())[-1]
    for axis, (_, weights) in zip(panels, PANELS, strict=True):
        ends = [
            (float(size), facts["p50"], short(name), contestant_style(name, facts)["color"])
            for name, facts in shown(part, weights).items()
        ]
        ends.append(
            (float(size), part["contestants"][f"read {weights[0]}"]["p50"], "reading the weights", LIMIT_COLOUR)
        )
        label_ends(axis, ends)


def sized_axis(axis: Any, sizes: list[int], heading: str) -> None:
    """The axis of sizes: each named, none between."""
    axis.set_title(heading, fontsize=10.5)
    axis.set_xscale("log", base=2)
    axis.set_xticks(sizes, [str(size) for size in sizes])
    axis.minorticks_off()
    axis.set_xlabel("inputs = units of one GRU layer")
    axis.grid(alpha=0.25, which="major")


def latency_distribution(results: Results) -> tuple[Any, str]:
    """How many calls are slower than a time."""
    latency = results["latency"]["results"]
    size = picture_size(latency)
    part = latency["sizes"][size]
    slower = [1.0 - share for share in latency["quantiles"][:-1]]
    title = f"One frame at {size} units: how rarely is a call slow?{tail_message(part)}"
    figure, panels = new_figure(title, 2)
    for axis, (heading, weights) in zip(panels, PANELS, strict=True):
        for name, facts in shown(part, weights).items():
            style = contestant_style(name, facts)
            axis.plot(*survivors(facts, slower), **(style | {"marker": ""}), label=short(name))
        floor = part["contestants"][f"read {weights[0]}"]
        axis.plot(*survivors(floor, slower), **limit_style(), label="reading the weights")
        axis.set_title(heading, fontsize=10.5)
        axis.set_xscale("log")
        axis.set_yscale("log")
        axis.set_ylim(5e-5, 1.3)
        axis.set_yticks(
            [1, 0.5, 0.1, 0.01, 0.001, 0.0001], ["all", "half", "1 in 10", "1 in 100", "1 in 1,000", "1 in 10,000"]
        )
        axis.yaxis.minorticks_off()
        plain_numbers(axis.xaxis, between=3)
        axis.tick_params("x", labelsize=8.5)
        axis.set_xlabel("microseconds")
        axis.grid(alpha=0.25)
        axis.legend(fontsize=8.5, frameon=False, loc="center left", bbox_to_anchor=(1.0, 0.5))
    panels[0].set_ylabel("share of calls that take longer")
    return figure, title


def survivors(facts: dict[str, Any], slower: list[float]) -> tuple[list[float], list[float]]:
    """Times, and which share of the calls took longer: as far as there were calls enough to say so."""
    shares = [share for share in slower if share * facts["steps"] >= 1.0]
    return facts["quantiles"][: len(shares)], shares


def tail_message(part: dict[str, Any]) -> str:
    """Our p99.9 against the best rival's median."""
    name, median = best(contestants_of(part, "rival"), "int8")
    ours = part["contestants"].get("grulet int8 x int16, tick")
    if name is None or median is None or ours is None:
        return ""
    return f"\ngrulet int8 x int16: p99.9 {three_digits(ours['p999'])} us; {name}: p50 {three_digits(median)} us"


def read_limit(results: Results) -> tuple[Any, str]:
    """The C call over the floor."""
    isa, formats = next(iter(results["calls"]["results"]["kernels"].items()))
    largest = max(int(size) for sizes in formats.values() for size in sizes)
    at_largest = [sizes[str(largest)]["ratio"] for sizes in formats.values()]
    title = f"At {largest} units the C call takes {span(at_largest)} times the reading of its weights ({isa})"
    figure, (axis,) = new_figure(title, size=(8.5, 4.8))
    ends = []
    for form, sizes in formats.items():
        points = [(int(size), call["ratio"]) for size, call in sizes.items()]
        low, high = zip(*[call["ratios"] for call in sizes.values()], strict=True)
        x = [int(size) for size in sizes]
        axis.fill_between(x, low, high, color=OUR_SHADES[form], alpha=0.15, linewidth=0)
        axis.plot(*zip(*points, strict=True), color=OUR_SHADES[form], marker=MARKERS[form], linewidth=2)
        ends.append((*points[-1], f"{form}: {factor(points[-1][1])}", OUR_SHADES[form]))
    sized_axis(axis, x, "")
    axis.axhline(1.0, **limit_style())
    axis.set_yscale("log")
    ticks = [
        tick
        for tick in (0.5, 0.7, 1, 1.5, 2, 3, 4, 5, 7, 10, 15, 20, 30)
        if axis.get_ylim()[0] <= tick <= axis.get_ylim()[1]
    ]
    axis.set_yticks(ticks, [f"{tick:g}" for tick in ticks])
    axis.minorticks_off()
    axis.set_ylabel("time of a step / time of reading the weights")
    axis.annotate(
        "reading the weights, nothing else",
        (x[0], 1.0),
        (2, 4),
        textcoords="offset points",
        fontsize=8.5,
        color=LIMIT_COLOUR,
    )
    label_ends(axis, ends)
    return figure, title


def floors(results: Results) -> tuple[Any, str]:
    """A step, its floor and the reading of its weights, by size and format."""
    document = results["floors"]["results"]
    layers = document["layers"]
    ratios = [layer["step_over_floor"] for sizes in layers.values() for layer in sizes.values()]
    title = f"What holds the C call: a step takes {span(ratios)} times its floor ({document['isa']})"
    figure, panels = new_figure(title, len(layers), (13.0, 4.6))
    for axis, (form, sizes) in zip(panels, layers.items(), strict=True):
        x = [int(size) for size in sizes]
        lines = {
            "step": {"color": OUR_SHADES[form], "marker": MARKERS[form], "linewidth": 2.2},
            "floor": {"color": "black", "marker": "_", "linewidth": 1.2},
            "read": limit_style(),
        }
        for part, style in lines.items():
            axis.plot(x, [layer[f"{part}_us"] for layer in sizes.values()], **style)
        sized_axis(axis, x, form)
        axis.set_yscale("log")
        plain_numbers(axis.yaxis)
        last = list(sizes.values())[-1]
        names = {"step": "a step", "floor": "its floor", "read": "reading"}
        label_ends(axis, [(x[-1], last[f"{part}_us"], names[part], lines[part]["color"]) for part in lines])
    panels[0].set_ylabel("microseconds")
    return figure, title


def bars(axis: Any, contestants: dict[str, dict[str, Any]], key: str, limits: dict[str, float]) -> None:
    """Horizontal bars, fastest first, each with its figure; a tick at the least that arithmetic allows."""
    ordered = sorted(contestants.items(), key=lambda item: float(item[1][key]))
    for place, (name, facts) in enumerate(ordered):
        ours = facts["kind"] == "grulet"
        colour = OUR_SHADES[facts["format"]] if ours else COLOURS.get(name.split()[0], "#777777")
        axis.barh(place, facts[key], color=colour, height=0.72, alpha=1.0 if ours else 0.85)
        axis.annotate(
            three_digits(facts[key]),
            (facts[key], place),
            (3, 0),
            textcoords="offset points",
            va="center",
            fontsize=8.5,
            fontweight="bold" if ours else "normal",
        )
        if ours and facts["format"] in limits:
            axis.plot([limits[facts["format"]]] * 2, [place - 0.42, place + 0.42], color="black", linewidth=2)
    axis.set_yticks(range(len(ordered)), [name for name, _ in ordered], fontsize=8.5)
    for label, (_, facts) in zip(axis.get_yticklabels(), ordered, strict=True):
        label.set_fontweight("bold" if facts["kind"] == "grulet" else "normal")
    axis.invert_yaxis()
    axis.margins(x=0.14)
    axis.grid(alpha=0.25, axis="x")


def ahead_message(parts: dict[str, Any], key: str, call: str | None = None) -> str:
    """How far our int8 x int16 is ahead of the best rival with int8 or float32."""
    factors = []
    for part in parts.values():
        _, rival = best(contestants_of(part, "rival"), "int8", key)
        ours = ours_chosen(part, key, call).get("grulet int8 x int16")
        if rival is not None and ours is not None:
            factors.append(rival / ours[key])
    return f": grulet int8 x int16 {span(factors)} times as fast as the best rival" if factors else ""


def streams(results: Results) -> tuple[Any, str]:
    """Many streams in one step."""
    document = results["streams"]["results"]
    message = ahead_message(document["counts"], "us_per_stream_step", "pool.tick")
    title = f"Many streams, one step, {document['size']} units{message}"
    limits = {}
    if "results" in results.get("limits", {}):
        limits = arithmetic_limits(results["limits"]["results"], document["size"])
    figure, panels = new_figure(title, len(document["counts"]))
    for axis, (count, part) in zip(panels, document["counts"].items(), strict=True):
        ours = ours_chosen(part, "us_per_stream_step", "pool.tick")
        bars(axis, ours | contestants_of(part, "rival"), "us_per_stream_step", limits)
        axis.set_title(f"{count} streams", fontsize=10.5)
        mark = "\nblack: the least by this CPU's arithmetic" if limits else ""
        axis.set_xlabel(f"microseconds of each stream's frame{mark}")
    return figure, title


def sequence(results: Results) -> tuple[Any, str]:
    """A recording in one call."""
    document = results["sequence"]["results"]
    title = f"{document['frames']:,} frames in one call{ahead_message(document['sizes'], 'us_per_frame')}"
    figure, panels = new_figure(title, len(document["sizes"]), (13.0, 4.6))
    for axis, (size, part) in zip(panels, document["sizes"].items(), strict=True):
        bars(axis, ours_chosen(part, "us_per_frame") | contestants_of(part, "rival"), "us_per_frame", {})
        axis.set_title(f"{size} units", fontsize=10.5)
        axis.set_xlabel("microseconds of each frame")
    return figure, title


Draw = Callable[[Results], tuple[Any, str]]
#: Pictures of a section, by file name.
PICTURES: dict[str, dict[str, Draw]] = {
    "latency": {"latency-by-size": latency_by_size, "latency-distribution": latency_distribution},
    "calls": {"read-limit": read_limit},
    "floors": {"floors": floors},
    "streams": {"streams": streams},
    "sequence": {"sequence": sequence},
}


def save(draw: Draw, results: Results, path: Path) -> str:
    """Write a picture; gives its message."""
    from matplotlib import pyplot

    figure, title = draw(results)
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, metadata={"Software": None})  # the same results, the same bytes
    pyplot.close(figure)
    return title.replace("\n", "; ")
