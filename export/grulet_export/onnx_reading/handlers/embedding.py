"""Tables that tokens are looked up in."""

from __future__ import annotations

from dataclasses import replace

from grulet_export.errors import Refusal
from grulet_export.graph import Embedding
from grulet_export.onnx_reading.file import EXPORT_AGAIN, finite
from grulet_export.onnx_reading.program import Program
from grulet_export.onnx_reading.values import Fill, Signal


def look_up(program: Program, table: Fill | Signal, tokens: Signal, place: int, name: str) -> Signal:
    """Return the rows of a table, ``table.take(tokens, place)``."""
    if not isinstance(table, Fill) or not tokens.tokens:
        raise Refusal(
            "it picks with indices that are computed from frames", "look tokens of an input up in a constant table"
        )
    if place != 0 or not all(isinstance(axis, int) for axis in table.axes):
        raise Refusal("it picks along another axis than the first of its table", "hold one row for each token")
    if not table.numbers.size:
        raise Refusal("its table is empty", EXPORT_AGAIN)
    rows = len(table.numbers)
    numbers = finite(table.numbers, "its table").reshape(rows, -1)
    for value in tokens.values:
        program.tokens[value] = min(rows, program.tokens.get(value, rows))
    plain = replace(tokens, tokens=False)
    value = program.emit(Embedding, name, [program.vector(plain, f"{name}.tokens")], table=numbers)
    return program.signal(value, (*tokens.axes, *table.axes[1:]), plain)
