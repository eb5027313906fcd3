"""The sections on many frames in one call: of many streams, of one recording."""

from __future__ import annotations

from typing import Any

from benchmarks.common import Document
from benchmarks.report.c_level import arithmetic_limits
from benchmarks.report.latency import absent
from benchmarks.report.tables import bullets, factor, table, three_digits
from benchmarks.report.verdicts import best, contestants_of, ours_chosen

Results = dict[str, Document]


def contestant_table(parts: dict[str, Any], key: str, unit: str) -> str:
    """Every contestant's figure in every part."""
    names = dict.fromkeys(name for part in parts.values() for name in part["contestants"])

    def cell(part: str, name: str) -> str:
        contestant = parts[part]["contestants"].get(name)
        return "-" if contestant is None else three_digits(contestant[key])

    headings = ["contestant", *(f"{part} {unit}" for part in parts)]
    return table(headings, [[name, *(cell(part, name) for part in parts)] for name in names])


def ahead_table(parts: dict[str, Any], key: str, unit: str, call: str | None = None) -> str:
    """Our call of every format, the fastest unless named, against the best rival with such weights, or finer ones."""
    rows = []
    for part, results in parts.items():
        for facts in ours_chosen(results, key, call).values():
            detail = facts["call"] if "call" in facts else f"block {facts['block']}"
            rival, rival_time = best(contestants_of(results, "rival"), facts["weights"], key)
            ahead = None if rival_time is None else rival_time / facts[key]
            ours = three_digits(facts[key])
            rows.append(
                [part, facts["format"], detail, rival or "none here", ours, three_digits(rival_time), factor(ahead)]
            )
    return table([unit, "format", "our call", "best rival", "ours, us", "its us", "ahead"], rows, 4)


def behind(parts: dict[str, Any], key: str, unit: str, call: str | None = None) -> str:
    """Where a rival is faster, in sentences."""
    lines = []
    for part, results in parts.items():
        for name, facts in ours_chosen(results, key, call).items():
            rival, rival_time = best(contestants_of(results, "rival"), facts["weights"], key)
            if rival_time is not None and rival_time < facts[key]:
                lines.append(
                    f"{part} {unit}, {name}: {three_digits(facts[key])} us against {three_digits(rival_time)} us of "
                    f"{rival}: **slower**, by a factor of {factor(facts[key] / rival_time)}"
                )
    return f"Exceptions:\n\n{bullets(lines)}" if lines else "No rival that is here is faster."


def streams_section(results: Results) -> str:
    """Many streams in one step."""
    streams = results["streams"]["results"]
    size = streams["size"]
    limit = ""
    if "results" in results.get("limits", {}):
        arithmetic = arithmetic_limits(results["limits"]["results"], size)
        limit = " At least, by this CPU's arithmetic: " + ", ".join(
            f"{name} {three_digits(value)}" for name, value in arithmetic.items()
        )
        limit += "."
    return "\n\n".join(
        [
            "## Many streams in one step",
            f"One GRU layer, {size} inputs and units; microseconds for each stream's frame, from Python (p50 of the "
            f"call over the number of streams).{limit}",
            ahead_table(streams["counts"], "us_per_stream_step", "streams", "pool.tick"),
            behind(streams["counts"], "us_per_stream_step", "streams", "pool.tick"),
            contestant_table(streams["counts"], "us_per_stream_step", "streams"),
            absent(streams["counts"]),
        ]
    )


def sequence_section(results: Results) -> str:
    """A recording in one call."""
    sequence = results["sequence"]["results"]
    return "\n\n".join(
        [
            "## A whole recording in one call",
            f"One GRU layer, {sequence['frames']:,} frames; microseconds for each frame, from Python (p50 of the call "
            "over the number of frames).",
            ahead_table(sequence["sizes"], "us_per_frame", "units"),
            behind(sequence["sizes"], "us_per_frame", "units"),
            contestant_table(sequence["sizes"], "us_per_frame", "units"),
            absent(sequence["sizes"]),
        ]
    )
