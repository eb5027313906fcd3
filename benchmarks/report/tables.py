"""Markdown tables and numbers for people."""

from __future__ import annotations

from collections.abc import Sequence


def table(headings: Sequence[str], rows: Sequence[Sequence[str]], words: int = 1) -> str:
    """A table whose first ``words`` columns are words and the others numbers, which go to the right."""
    marks = ["---" if i < words else "---:" for i in range(len(headings))]
    return "\n".join(f"| {' | '.join(cells)} |" for cells in (headings, marks, *rows))


def three_digits(value: float | None) -> str:
    """A figure that was measured: more digits are noise; a dash where there is none."""
    if value is None:
        return "-"
    if abs(value) >= 100:
        return f"{value:,.0f}"
    return f"{value:.1f}" if abs(value) >= 10 else f"{value:.2f}" if abs(value) >= 0.1 else f"{value:.3f}"


def factor(value: float | None) -> str:
    """A ratio."""
    return "-" if value is None else f"{value:.2f}" if value < 9.95 else f"{value:.0f}"


def span(values: Sequence[float]) -> str:
    """Smallest to largest factor."""
    low, high = factor(min(values)), factor(max(values))
    return low if low == high else f"{low} to {high}"


def listed(names: Sequence[str]) -> str:
    """A, B and C."""
    return " and ".join(part for part in (", ".join(names[:-1]), *names[-1:]) if part)


def bullets(lines: Sequence[str]) -> str:
    """A list."""
    return "\n".join(f"- {line}" for line in lines)


def mebibytes(count: float) -> str:
    """Bytes of something large."""
    return f"{three_digits(count / 2**20)} MiB"


def kibibytes(count: float) -> str:
    """Bytes of something small."""
    return f"{three_digits(count / 2**10)} KiB"
