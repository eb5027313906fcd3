"""The tables of a `.grulet` file: all that opening a model needs of it besides the C library's checks.

The part of `grulet.format` that every start of a device pays for, so it is kept light: the rest of that module, with
its dataclasses and weights, takes ten times as long to import.
"""

from __future__ import annotations

import json
import struct
from typing import Any, NamedTuple

from grulet.errors import FormatError

ALIGN = 64  # bytes: blocks and panels
MAX_RECORDS = 1024

HEADER = struct.Struct("<8s14I")
PORT = struct.Struct("<3I52s")
OP = struct.Struct("<9I2f5I")
STATE = struct.Struct("<4I")
VALUE = struct.Struct("<2I")


class Tables(NamedTuple):
    """Header and tables, as plain numbers and strings."""

    inputs: tuple[tuple[str, int, int], ...]  # name, value, tokens
    outputs: tuple[tuple[str, int, int], ...]
    values: tuple[tuple[int, int], ...]  # offset, width
    records: tuple[tuple[Any, ...], ...]  # of the operators
    states: tuple[tuple[int, ...], ...]
    arena_floats: int
    state_floats: int
    data_start: int
    data_bytes: int
    names: tuple[str, ...]  # of the operators
    exporter: str
    source_sha256: str
    metadata: dict[str, Any]


def _text_of(data: bytes, ops: int) -> tuple[tuple[str, ...], str, str, dict[str, Any]]:
    """Operator names, exporter, hash of the source, metadata."""
    try:
        text = json.loads(data)
        names, metadata = text["operators"], text["metadata"]
        exporter, source = text["exporter"], text["source_sha256"]
    except (ValueError, KeyError, TypeError, RecursionError) as error:
        raise FormatError(f"the file's text is not the JSON that docs/format.md describes: {error!r}") from error
    strings = isinstance(names, list) and all(isinstance(name, str) for name in [*names, exporter, source])
    if not strings or len(names) != ops or not isinstance(metadata, dict):
        raise FormatError("the file's text does not name every operator, the exporter and the source")
    return tuple(names), exporter, source, metadata


def tables_of(view: memoryview) -> Tables:
    """Header and tables of bytes that passed `grulet.format.check_envelope` or the C library.

    Bounds are checked again; the rules of the format are the C library's to enforce.
    """
    fields = HEADER.unpack_from(view)
    inputs, outputs, values, ops, states, arena_floats, state_floats, text_bytes, data_start, data_bytes, _ = fields[4:]
    at = HEADER.size
    end = at + PORT.size * (inputs + outputs) + OP.size * ops + STATE.size * states + VALUE.size * values
    if max(inputs, outputs, values, ops, states) > MAX_RECORDS or -(-(end + text_bytes) // ALIGN) * ALIGN != data_start:
        raise FormatError("the tables do not end where the header says")
    if data_start + data_bytes != len(view):
        raise FormatError("the data section does not end with the file")
    ports = [PORT.unpack_from(view, at + i * PORT.size) for i in range(inputs + outputs)]
    at += PORT.size * (inputs + outputs)
    records = tuple(OP.unpack_from(view, at + i * OP.size) for i in range(ops))
    at += OP.size * ops
    state_records = tuple(STATE.unpack_from(view, at + i * STATE.size) for i in range(states))
    at += STATE.size * states
    value_records = tuple(VALUE.unpack_from(view, at + i * VALUE.size) for i in range(values))
    try:
        named = tuple((name.partition(b"\0")[0].decode(), value, limit) for value, _, limit, name in ports)
    except UnicodeDecodeError as error:
        raise FormatError(f"a port name is not UTF-8: {error}") from error
    if any(value >= values for _, value, _ in named):
        raise FormatError("a port names a value that does not exist")
    return Tables(
        named[:inputs], named[inputs:], value_records, records, state_records,
        arena_floats, state_floats, data_start, data_bytes, *_text_of(bytes(view[end : end + text_bytes]), ops),
    )  # fmt: skip
