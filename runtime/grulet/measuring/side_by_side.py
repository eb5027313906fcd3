"""The report of this machine and those of others, as one table."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from grulet.measuring.histogram import latency_of_json
from grulet.measuring.imported import Imported
from grulet.measuring.latency import HEADINGS, Latency
from grulet.measuring.names import NOTHING, READ, STEP, TICK, duration, printable

HERE = "this machine"
_LONGEST_ROW = 34

Report = dict[str, Any]


def side_by_side(here: Report, others: Sequence[Imported]) -> list[str]:
    """Lines of the table: row by row every machine; then for each machine what the rows cannot say."""
    reports = {HERE: here} | {other.name: other.data for other in others}
    width = max(map(len, reports))
    lines = [
        "Side by side: microseconds; ratio: p50 over that of this machine",
        f"{'':<{_LONGEST_ROW}} {'':<{width}} {HEADINGS} {'jitter':>9} {'ratio':>7}",
    ]
    rows = {name: dict(_rows(report)) for name, report in reports.items()}
    # Rows of this machine first, in its order; then what only others have.
    for row in dict.fromkeys(row for found in rows.values() for row in found):
        title = _shortened(row)
        for name, found in rows.items():
            if row in found:
                latency, mine = found[row], rows[HERE].get(row)
                ratio = f"{latency.p50 / mine.p50:>7.2f}" if mine and mine.p50 else ""
                line = f"{title:<{_LONGEST_ROW}} {name:<{width}} {latency.row()} {latency.jitter:>9.2f} {ratio}"
                lines.append(line.rstrip())
                title = ""
    compared = {other.name: [_compared(here, other)] for other in others}
    for name, report in reports.items():
        first, *more = [*_notes(report), *compared.get(name, [])]
        lines += [f"{name}: {first}", *(f"    {note}" for note in more)]
    return lines


def _rows(report: Report) -> Iterator[tuple[str, Latency]]:
    """What can be compared, in the order of a report."""
    for name in (NOTHING, READ, TICK, STEP):
        if name in report["microseconds"]:
            yield f"{name}, hot", latency_of_json(report["microseconds"][name])
    for operator in report["operators"]:
        yield f"operator {operator['name']}", latency_of_json(operator["microseconds"])
    if "paced" in report:
        contestants = report["paced"]["contestants"]
        yield f"{READ}, in real time", latency_of_json(contestants[READ]["compute_microseconds"])
        for title, part in (("in real time", "compute"), ("begun late", "late"), ("due to answer", "answer")):
            yield f"{STEP}, {title}", latency_of_json(contestants[STEP][f"{part}_microseconds"])


def _shortened(text: str) -> str:
    text = printable(text)
    return text if len(text) <= _LONGEST_ROW else f"{text[: _LONGEST_ROW - 3]}..."


def _notes(report: Report) -> Iterator[str]:
    facts = report["machine"]
    pinned = "not pinned" if facts["pinned_to_cpu"] is None else f"CPU {facts['pinned_to_cpu']}"
    yield f"{facts['cpu']}, {facts['system']}, kernel {facts['isa']}, {pinned}, {facts['scheduler']}"
    yield f"called from Python {facts['python']}" if facts["python"] else "called from C"
    if "paced" in report:
        paced, ours = report["paced"], report["paced"]["contestants"][STEP]
        yield (
            f"{ours['deadline_misses']:,} of {ours['compute_microseconds']['steps']:,} deadlines of "
            f"{duration(paced['period_seconds'])} missed"
        )
    if facts["emulator"]:
        yield f"UNDER AN EMULATOR ({facts['emulator']}): its times mean nothing"


def _compared(here: Report, other: Imported) -> str:
    """Whether it is the same model, and whether it gave the same answers."""
    if differs := other.model_differs(here["model_crc32"]):
        return differs
    mine, its = here["answers"], other.data["answers"]
    if (mine["frames"], mine["inputs_crc32"]) != (its["frames"], its["inputs_crc32"]):
        return "the same model, measured on other frames: answers cannot be compared"
    if mine["outputs_crc32"] != its["outputs_crc32"]:
        return "the same model and frames but OTHER ANSWERS: that must not be; please report it"
    return f"the same model, and the same answers to {mine['frames']} frames, bit for bit"
