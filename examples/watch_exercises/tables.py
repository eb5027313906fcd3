"""What `compare` measured as the Markdown table of the README."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

HEADINGS = ("", "weights", "file, KB", "us per step", "right answers, %", "of each two people, %")


def cells_table(document: Mapping[str, Any]) -> str:
    """One row for each cell and size; the accuracy is that of all answers to all people."""
    lines = [f"| {' | '.join(HEADINGS)} |", "| --- | ---: | ---: | ---: | ---: | ---: |"]
    for name, facts in document["accuracy"].items():
        time = document["timing"][name]
        folds = [facts["folds"][number] for number in sorted(facts["folds"])]
        cells = [
            name,
            f"{facts['weights']:,}",
            f"{time['file_bytes'] / 1e3:.1f}",
            f"{time['step_microseconds']:.2f}",
            f"{percent(sum(fold['right'] for fold in folds), sum(fold['answers'] for fold in folds)):.1f}",
            " / ".join(f"{percent(fold['right'], fold['answers']):.0f}" for fold in folds),
        ]
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines)


def percent(part: int, whole: int) -> float:
    """A share."""
    return 100.0 * part / whole
