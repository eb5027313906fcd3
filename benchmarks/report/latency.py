"""The section on one frame from Python."""

from __future__ import annotations

from typing import Any

from benchmarks.common import Document
from benchmarks.report.tables import bullets, factor, listed, span, table, three_digits
from benchmarks.report.verdicts import Comparison, comparisons, contestants_of, picture_size

Results = dict[str, Document]


def section(results: Results) -> str:
    """Everything about `benchmarks.latency`."""
    latency = results["latency"]["results"]
    return "\n\n".join(
        [
            "## One frame, from Python",
            "One GRU layer with as many inputs as units, p50 of the whole Python call in microseconds. `tick` computes "
            "on the stream's own buffers; `step` takes a numpy frame and returns a new array, as every rival does. "
            "`reading` is the floor: reading the weights' bytes and nothing else, by such a call from Python. `ahead` "
            "is the best rival with such weights, or finer ones where those are faster, over our `tick`.",
            against_the_best(results["latency"]),
            "### Exceptions",
            exceptions(results["latency"], results.get("limits")),
            "### Everybody",
            "p50 in microseconds, the state carried from step to step." + fewer_steps(latency),
            everybody(latency),
            absent(latency["sizes"]),
            f"### Percentiles at {picture_size(latency)} units",
            "Microseconds. p99.9 and the worst call hold the machine's interruptions and, as everyone takes turns, the "
            "first call after others have filled the caches.",
            percentiles(latency),
        ]
    )


def against_the_best(document: Document) -> str:
    """The table that matters."""
    rows = [
        [
            str(item.size),
            item.form,
            three_digits(item.floor),
            f"**{three_digits(item.tick)}**",
            three_digits(item.step),
            item.rival or "none here",
            three_digits(item.rival_time),
            f"**{factor(item.ahead)}**" if item.ahead is not None else "-",
            f"{item.target:g}",
        ]
        for item in comparisons(document)
    ]
    headings = ["units", "format", "reading", "tick", "step", "best rival", "its p50", "ahead", "wanted"]
    lines = table(headings, rows, 2).splitlines()
    lines[1] = lines[1].replace("---: | ---: | ---: | ---: | ---: | ---:", "---: | ---: | ---: | --- | ---: | ---:", 1)
    return "\n".join(lines)


def exceptions(document: Document, limits: Document | None) -> str:
    """Where we are not as far ahead as we want to be, in sentences; and how far one can be."""
    all_of_them = list(comparisons(document))
    compared = [item for item in all_of_them if item.ahead is not None]
    reading = limits["results"]["read"] if limits else {}
    found = [item.exception + if_only_read(item, reading) for item in compared if item.exception]
    if not compared:
        return "No rival is installed here: nothing was compared."
    wanted = sorted({item.target for item in compared}, reverse=True)
    scale = f"Wanted: at least {listed([f'{value:g}' for value in wanted])} times as fast as the best rival, by size."
    if not found:
        return f"{scale} None: every size and format reaches it."
    return f"{scale} {len(found)} of {len(compared)} do not:\n\n{bullets(found)}"


def if_only_read(item: Comparison, reading: dict[str, Any]) -> str:
    """What is added to an exception: how far ahead one would be who reads the weights and does nothing else.

    ``reading``: by units and weights, of `benchmarks.limits`, which says what reading in turns, as steps do, is of
    reading forwards; that was measured beside the rival, too.
    """
    limit = reading.get(str(item.size), {}).get(item.weights)
    if limit is None or item.rival_time is None:
        return ""
    least = item.floor * limit["in_turns_us"] / limit["us"]
    return f"; merely reading the weights, forwards and backwards in turn, is ahead by {item.rival_time / least:.2f}"


def summary(document: Document) -> list[str]:
    """For the top of the page: how far ahead, by weights."""
    lines = []
    items = list(comparisons(document))
    for weights in dict.fromkeys(item.weights for item in items):
        factors = [item.ahead for item in items if item.weights == weights and item.ahead is not None]
        if factors:
            lines.append(
                f"One frame with {weights} weights, from Python: {span(factors)} times as fast as the best rival, over "
                "all sizes and formats."
            )
    return lines


def everybody(latency: dict[str, Any]) -> str:
    """p50 of every contestant at every size."""
    sizes = latency["sizes"]
    names = dict.fromkeys(name for size in sizes.values() for name in size["contestants"])

    def cell(size: str, name: str) -> str:
        contestant = sizes[size]["contestants"].get(name)
        return "-" if contestant is None else three_digits(contestant["p50"])

    return table(["units", *sizes], [[name, *(cell(size, name) for size in sizes)] for name in names])


def fewer_steps(latency: dict[str, Any]) -> str:
    """Sentences on how many steps there were, and who took fewer than the others."""
    lines = []
    for size, results in latency["sizes"].items():
        slow = [
            f"{name} {facts['steps']:,}"
            for name, facts in results["contestants"].items()
            if facts["steps"] < latency["steps"]
        ]
        if slow:
            lines.append(f"{size} units: {listed(slow)}")
    steps = f" {latency['steps']:,} steps of each"
    return (
        f"{steps}, but of the slow ones fewer, in rounds over the whole run:\n\n{bullets(lines)}"
        if lines
        else f"{steps}."
    )


def absent(parts: dict[str, Any]) -> str:
    """Who is not there and why; of several sizes or numbers of streams."""
    reasons: dict[str, str] = {}
    for part in parts.values():
        reasons |= part["absent"]
    if not reasons:
        return "No rival is absent."
    return "Absent:\n\n" + bullets([f"{title}: {reason}" for title, reason in reasons.items()])


def percentiles(latency: dict[str, Any]) -> str:
    """The distribution at one size as a table."""
    contestants = latency["sizes"][picture_size(latency)]["contestants"]
    columns = ("p50", "p99", "p999", "worst")
    rows = [[name, *(three_digits(facts[key]) for key in columns)] for name, facts in contestants.items()]
    return table(["contestant", "p50", "p99", "p99.9", "worst"], rows)


def settings(document: Document) -> str:
    """How every rival was run."""
    rivals: dict[str, dict[str, Any]] = {}
    for size in document["results"]["sizes"].values():
        rivals |= contestants_of(size, "rival")
    if not rivals:
        return "None was here."
    rows = [[name, facts["package"], facts["settings"]] for name, facts in rivals.items()]
    return table(["rival", "package", "settings"], rows, 3)
