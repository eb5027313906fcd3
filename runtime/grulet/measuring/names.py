"""What the rows of a report are called, and how times and operators are written for people."""

from __future__ import annotations

from grulet.parts import OperatorInfo

NOTHING = "a call of nothing"
READ = "reading the weights"
TICK = "grulet tick (held buffers)"
STEP = "grulet step"
REST = "the call, the frame in, the answer out"


def duration(seconds: float) -> str:
    """For people: 10 ms."""
    for unit, size in (("s", 1.0), ("ms", 1e-3)):
        if seconds >= size:
            return f"{seconds / size:g} {unit}"
    return f"{seconds / 1e-6:g} us"


def kind(info: OperatorInfo) -> str:
    """For people: dense + relu."""
    if info.kind == "activation":
        return info.function
    return info.kind if info.function == "none" else f"{info.kind} + {info.function}"


def printable(text: str) -> str:
    """The text without what would move a terminal's cursor."""
    return "".join(letter if letter.isprintable() else "?" for letter in text)
