"""docs/accuracy.md and its picture, made wholly from the JSON: no figure or sentence on it is written by hand."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from benchmarks.accuracy.picture import save
from benchmarks.accuracy.variants import FLOAT, INT4, INT8, TRAINED, VARIANTS
from benchmarks.common import ROOT
from benchmarks.report.tables import bullets, table, three_digits

DOCS = ROOT / "docs" / "accuracy.md"
PICTURE = "pictures/accuracy.png"
#: The page beside it that has a section for the summary, between two comments.
GUIDE = "quantization.md"
SECTION_BEGIN, SECTION_END = "<!-- accuracy: begin -->", "<!-- accuracy: end -->"

HOW = """Each trained network is tested in float32 and in every format, in the C kernel, frame by frame as a device
runs it. *Lost* is how much worse the format is than float32, in the unit of the quality; a minus is a gain, which a
test set of this size gives by chance. Bytes are those of the file. Activations are int16 where nothing else is said.
Calibration and training see training data only, and settings were chosen without the test sets, with one exception:
how long int4 was trained for noise suppression was decided by held-out recordings, but after a first result on the
test. `python -m benchmarks.accuracy` repeats all of it and writes this page and its picture from
[benchmarks/results](../benchmarks/results/accuracy.json)."""

HEADINGS = ("task", "format", "quality", "lost", "KB", "of float32", "us per step")


def write(document: Mapping[str, Any], docs: Path) -> None:
    """Make the page, below its folder the picture, and the guide's section where a guide lies beside the page."""
    docs.parent.mkdir(parents=True, exist_ok=True)
    message = save(document, docs.parent / PICTURE)
    docs.write_text(page(document, message), encoding="utf-8")
    guide = docs.parent / GUIDE
    if guide.exists():
        guide.write_text(
            with_section(guide.read_text(encoding="utf-8"), summary(document, docs.name)), encoding="utf-8"
        )


def with_section(guide: str, section: str) -> str:
    """The guide's text with this between the two comments."""
    before, begin, rest = guide.partition(SECTION_BEGIN)
    _, end, after = rest.partition(SECTION_END)
    return f"{before}{begin}\n{section}\n{end}{after}" if end else guide


def summary(document: Mapping[str, Any], details: str) -> str:
    """Qualities and bytes in few lines: a row for each format, a column for each task; ``details`` is the page."""
    tasks = document["tasks"]
    headings = ["format", *(f"{title}: {facts['measure']} (KB)" for title, facts in tasks.items())]
    rows = [[name, *(_quality_and_bytes(facts, name) for facts in tasks.values())] for name in VARIANTS]
    return f"{table(headings, rows)}\n\nMicroseconds, how it was measured, and a picture: [{details}]({details})."


def _quality_and_bytes(facts: Mapping[str, Any], name: str) -> str:
    if name not in facts["variants"]:
        return "-"
    return f"{quality(facts, name)} ({facts['variants'][name]['file_bytes'] / 1e3:,.0f})"


def page(document: Mapping[str, Any], message: str) -> str:
    """The page; ``message`` is what the picture says."""
    parts = [
        "# Accuracy on real tasks",
        HOW,
        f"![{message}]({PICTURE})",
        quality_table(document),
        "## In short",
        bullets(verdicts(document)),
        "## The formats",
        bullets([f"**{name}**: {variant.note}" for name, variant in VARIANTS.items() if variant.note]),
        "## The tasks",
        bullets([f"**{title}**: {facts['about']}" for title, facts in document["tasks"].items()]),
        machine(document),
    ]
    return "\n\n".join(parts) + "\n"


def quality_table(document: Mapping[str, Any]) -> str:
    """One row for each task and format."""
    rows = []
    for title, facts in document["tasks"].items():
        reference = facts["variants"][FLOAT]["file_bytes"]
        steps = document.get("timing", {}).get("steps", {}).get(title, {})
        for name, found in facts["variants"].items():
            rows.append(
                [
                    title if name == FLOAT else "",
                    name,
                    quality(facts, name),
                    "" if name == FLOAT else signed(lost(facts, name), facts["digits"]),
                    f"{found['file_bytes'] / 1e3:,.0f}",
                    f"{found['file_bytes'] / reference:.2f}",
                    three_digits(steps.get(name)),
                ]
            )
    return table(HEADINGS, rows, 2)


def quality(facts: Mapping[str, Any], name: str) -> str:
    """A figure with its unit."""
    return f"{facts['variants'][name]['quality']:.{facts['digits']}f} {facts['unit']}"


def lost(facts: Mapping[str, Any], name: str) -> float:
    """How much worse than float32, in the unit of the quality."""
    change = facts["variants"][name]["quality"] - facts["variants"][FLOAT]["quality"]
    return float(-change if facts["more_is_better"] else change)


def signed(value: float, digits: int) -> str:
    """A loss; nothing has no sign."""
    return f"{round(value, digits) + 0.0:.{digits}f}"


def verdicts(document: Mapping[str, Any]) -> list[str]:
    """What was wanted of int8 and of trained int4, and what came."""
    lines = []
    for title, facts in document["tasks"].items():
        wanted = [(INT8, "int8_limit"), ("int8, calibrated", "int8_limit"), (INT4, None), (TRAINED, "int4_limit")]
        said = []
        for name, limit in wanted:
            if name not in facts["variants"]:
                said.append(f"{name}: not measured ({facts['absent'][name]})")
                continue
            loss = lost(facts, name)
            text = f"{name} {'gains' if loss < 0 else 'loses'} {signed(abs(loss), facts['digits'])}"
            if limit is not None:
                held = loss <= facts[limit] + 1e-9
                text += (
                    f" (at most {facts[limit]:g} was wanted)"
                    if held
                    else f" (**more than the {facts[limit]:g} wanted**)"
                )
            said.append(text)
        lines.append(f"{title}, {facts['measure']} in {facts['unit']}: {'; '.join(said)}.")
    return lines


def machine(document: Mapping[str, Any]) -> str:
    """Where and when."""
    rows = [
        [title, facts["date"], facts["machine"]["cpu"], facts["machine"]["isa"], three_digits(facts["seconds"])]
        for title, facts in document["tasks"].items()
    ]
    if "timing" in document:
        timing = document["timing"]
        rows.append(["microseconds", timing["date"], timing["machine"]["cpu"], timing["isa"], "-"])
    lines = [
        "## The machine",
        "Qualities do not depend on it: a file gives the same bits on every CPU. Times do.",
        table(["", "measured", "CPU", "kernel", "seconds"], rows, 4),
    ]
    if "timing" in document:
        load = document["timing"]["machine"]["load_before"]
        lines.append(
            f"A step is the C call alone ({document['timing']['compiler']}), one thread, pinned; median of "
            f"{document['timing']['passes']} processes. Load before it: {load:.2f} (1 is one busy CPU)."
            if load is not None
            else f"A step is the C call alone ({document['timing']['compiler']}), one thread, pinned."
        )
    return "\n\n".join(lines)
