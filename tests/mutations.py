"""Hostile files with a right checksum: one small edit of a good file for every rule of the format.

The record layouts stand here a third time (docs/format.md, grulet.format, grulet_impl.h) on purpose: a field that moves
must break a test.
"""

from __future__ import annotations

import json
import struct
import zlib
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from programs import Builder

from grulet import format as grulet_format
from grulet.format import Activation, Port, Program, Text, Value

NONE = 0xFFFFFFFF
FIELDS = {
    "header": (
        *("magic_low", "magic_high", "version", "crc32", "file_bytes", "inputs", "outputs", "values", "ops", "states"),
        *("arena_floats", "state_floats", "text_bytes", "data", "data_bytes", "reserved"),
    ),
    "port": ("value", "kind", "limit"),  # and 52 bytes of name
    "op": (
        *("kind", "input", "output", "second_input", "weights", "activations", "inputs", "units", "function"),
        *("alpha", "beta", "state", "data", "data_bytes", "parameter", "schedule"),
    ),
    "state": ("op", "offset", "width", "initial"),
    "value": ("offset", "width"),
}
SIZES = {"header": 64, "port": 64, "op": 64, "state": 16, "value": 8}


class HostileFile:
    """The bytes of a file with named fields."""

    def __init__(self, data: bytes) -> None:
        self.data = bytearray(data)

    def start(self, table: str, record: int) -> int:
        """Byte offset of a record; tables lie in a fixed order behind the header."""
        if table == "header":
            return 0
        at = 64
        for name, count in (
            ("port", self.get("header", 0, "inputs") + self.get("header", 0, "outputs")),
            ("op", self.get("header", 0, "ops")),
            ("state", self.get("header", 0, "states")),
            ("value", self.get("header", 0, "values")),
        ):
            if name == table:
                return at + record * SIZES[table]
            at += count * SIZES[name]
        return at  # the text

    def _field(self, table: str, record: int, name: str) -> int:
        return self.start(table, record) + 4 * FIELDS[table].index(name)

    def get(self, table: str, record: int, name: str) -> int:
        """A field as an unsigned integer."""
        return int(struct.unpack_from("<I", self.data, self._field(table, record, name))[0])

    def set(self, table: str, record: int, name: str, value: int | float) -> None:
        """Set a field; a Python float is stored as float32."""
        kind = "<f" if isinstance(value, float) else "<I"
        struct.pack_into(kind, self.data, self._field(table, record, name), value)

    def add(self, table: str, record: int, name: str, amount: int) -> None:
        """Add to a field."""
        self.set(table, record, name, (self.get(table, record, name) + amount) % 2**32)

    def swap(self, table: str, one: int, other: int) -> None:
        """Exchange two records."""
        a, b, size = self.start(table, one), self.start(table, other), SIZES[table]
        self.data[a : a + size], self.data[b : b + size] = self.data[b : b + size], self.data[a : a + size]

    def insert(self, at: int, data: bytes) -> None:
        """Insert bytes, leaving every field as it is but the file's size."""
        self.data[at:at] = data
        self.set("header", 0, "file_bytes", len(self.data))

    def op_data(self, op: int) -> int:
        """Byte offset of an operator's weights."""
        return self.get("op", op, "data")

    def sealed(self) -> bytes:
        """Return the file with a right checksum."""
        self.set("header", 0, "crc32", 0)
        self.set("header", 0, "crc32", zlib.crc32(self.data))
        return bytes(self.data)


class Parts:
    """A file taken apart into records, for edits that add or remove some; `built` puts it together."""

    def __init__(self, file: HostileFile) -> None:
        self.header = bytes(file.data[: SIZES["header"]])
        self.counts = {"port": file.get("header", 0, "inputs") + file.get("header", 0, "outputs")}
        self.counts |= {name: file.get("header", 0, f"{name}s") for name in ("op", "state", "value")}
        if sum(self.counts.values()) > 5000:
            raise ValueError("an earlier edit has broken the counts")
        self.records = {
            table: [bytes(file.data[at : at + SIZES[table]]) for at in self._starts(file, table)]
            for table in self.counts
        }
        text = file.start("text", 0)
        self.text = bytes(file.data[text : text + file.get("header", 0, "text_bytes")])
        self.start = file.get("header", 0, "data")
        self.data = bytes(file.data[self.start :])

    def _starts(self, file: HostileFile, table: str) -> list[int]:
        return [file.start(table, i) for i in range(self.counts[table])]

    def add(self, table: str, like: int, **fields: int | float) -> None:
        """Append a copy of a record with other fields."""
        record = bytearray(self.records[table][like])
        for name, value in fields.items():
            kind = "<f" if isinstance(value, float) else "<I"
            struct.pack_into(kind, record, 4 * FIELDS[table].index(name), value)
        self.records[table].append(bytes(record))

    def built(self) -> HostileFile:
        """Put the parts together: counts, sizes and offsets right, everything else as it was."""
        tables = b"".join(record for records in self.records.values() for record in records)
        start = -(-(len(self.header) + len(tables) + len(self.text)) // 64) * 64
        padding = bytes(start - len(self.header) - len(tables) - len(self.text))
        file = HostileFile(self.header + tables + self.text + padding + self.data)
        inputs = file.get("header", 0, "inputs")
        file.set("header", 0, "outputs", len(self.records["port"]) - inputs)
        for table in ("op", "state", "value"):
            file.set("header", 0, f"{table}s", len(self.records[table]))
        file.set("header", 0, "data", start)
        file.set("header", 0, "data_bytes", len(self.data))
        file.set("header", 0, "file_bytes", len(file.data))
        file.set("header", 0, "text_bytes", len(self.text))
        for table, field in (("op", "data"), ("state", "initial")):
            for i in range(len(self.records[table])):
                if file.get(table, i, field):
                    file.add(table, i, field, start - self.start)
        return file


# ---- the file that is edited ----------------------------------------------------------------------------------------

# Operators and values of `base_program`, by what they are.
INT8_GRU, F32_GRU, HEAD, FUNCTION = 0, 1, 2, 3
LEFT, RIGHT, H_INT8, H_F32, SCORES, SQUASHED = range(6)
GRU_INPUTS, GRU_UNITS = 5, 3  # of INT8_GRU: one block of 4 stored rows


def base_program() -> Program:
    """Every kind of record: two inputs, an int8 and a float layer with initial states, an int8 head, a function."""
    builder = Builder(5, "int8", "int16")
    left, right = builder.input("left", GRU_INPUTS), builder.input("right", 2)
    h = builder.gru(left, GRU_UNITS, initial=True)
    builder.weights, builder.activations = "f32", "f32"
    h = builder.gru(h, 2, initial=True)
    builder.weights, builder.activations = "int8", "int8"
    scores = builder.dense(h, 3, "leaky_relu", alpha=0.125, peak=1.0)
    squashed = builder.activation(right, "tanh")
    builder.output("scores", scores)
    builder.output("squashed", squashed)
    return builder.program()


def base_file() -> bytes:
    """Return `base_program` as a file."""
    return grulet_format.write(base_program())


# Where the parts of INT8_GRU's one block of four stored rows lie (docs/format.md).
X_PANEL = 0  # [2 groups][3 sets][4 rows][4 inputs] int8: 96 bytes, padded to 128
H_PANEL = 128  # [1 group][3][4][4]: 48, padded to 64
X_SCALE = 192  # [3][4] float32
H_SCALE = 240
BIAS = 288  # [4][4] float32
X_ROW_SUMS = 352  # [1 span][3][4] int32
H_ROW_SUMS = 400
INT8_GRU_END = 448
# F32_GRU's one block of four stored rows.
F32_X_PANEL = 0  # [1 group][3][4 inputs][4 rows] float32
F32_H_PANEL = 192
F32_BIAS = 384  # [4][4]
F32_GRU_END = 448
# HEAD's.
HEAD_PANEL, HEAD_SCALE, HEAD_BIAS, HEAD_ROW_SUMS, HEAD_END = 0, 64, 80, 96, 128

Edit = Callable[[HostileFile], None]


@dataclass(frozen=True)
class Mutation:
    """An edit that breaks one rule, and the status the C library must answer.

    ``rule``: its number in docs/format.md, "Forbidden"; 0 for what is checked before.
    """

    rule: int
    edit: Edit
    status: str = "GRULET_FORBIDDEN"


def _set(table: str, record: int, name: str, value: int | float) -> Edit:
    return lambda file: file.set(table, record, name, value)


def _add(table: str, record: int, name: str, amount: int) -> Edit:
    return lambda file: file.add(table, record, name, amount)


def _data_of(table: str, record: int, name: str, op: int) -> Edit:
    """Point a field at the weights of an operator."""
    return lambda file: file.set(table, record, name, file.op_data(op))


def _all(*edits: Edit) -> Edit:
    def edit(file: HostileFile) -> None:
        for one in edits:
            one(file)

    return edit


def _bytes(op: int, at: int, data: bytes) -> Edit:
    """Overwrite bytes of an operator's weights."""

    def edit(file: HostileFile) -> None:
        start = file.op_data(op) + at
        file.data[start : start + len(data)] = data

    return edit


def _float(op: int, at: int, value: float) -> Edit:
    return _bytes(op, at, struct.pack("<f", value))


def _weight_and_sum(op: int, at: int, weight: int, sum_at: int) -> Edit:
    """Overwrite an int8 weight and correct its row sum: only the weight itself can be at fault."""

    def edit(file: HostileFile) -> None:
        start = file.op_data(op)
        old = struct.unpack_from("<b", file.data, start + at)[0]
        total = struct.unpack_from("<i", file.data, start + sum_at)[0]
        struct.pack_into("<b", file.data, start + at, weight)
        struct.pack_into("<i", file.data, start + sum_at, total + weight - old)

    return edit


def _int4_row(weights_at: int, sum_at: int, multiplier_at: int, multiplier: int) -> Edit:
    """Four weights of 0 (in the low nibbles; none in the high ones), their row sum, and any multiplier for them."""
    return _all(
        _bytes(0, weights_at, b"\x88" * 4),
        _bytes(0, sum_at, bytes(4)),
        _bytes(0, multiplier_at, bytes([multiplier % 256])),
    )


def _initial(state: int, value: float, at: int = 0) -> Edit:
    def edit(file: HostileFile) -> None:
        struct.pack_into("<f", file.data, file.get("state", state, "initial") + 4 * at, value)

    return edit


def _name(port: int, name: bytes) -> Edit:
    def edit(file: HostileFile) -> None:
        start = file.start("port", port) + 12
        file.data[start : start + 52] = name.ljust(52, b"\0")

    return edit


def _insert_data(at: Callable[[HostileFile], int], size: int, *follow: tuple[str, int]) -> Edit:
    """Insert zeros into the data section; what lies behind moves, and the offsets in ``follow`` with it."""

    def edit(file: HostileFile) -> None:
        place = at(file)
        file.add("header", 0, "data_bytes", size)
        for table, record in follow:
            file.add(table, record, "data" if table == "op" else "initial", size)
        file.insert(place, bytes(size))

    return edit


def _move_data(size: int) -> Edit:
    """64 more bytes between tables and data, all offsets following: a hole."""

    def edit(file: HostileFile) -> None:
        place = file.get("header", 0, "data")
        for op in (INT8_GRU, F32_GRU, HEAD):
            file.add("op", op, "data", size)
        for state in (0, 1):
            file.add("state", state, "initial", size)
        file.add("header", 0, "data", size)
        file.insert(place, bytes(size))

    return edit


def _swap_initials(file: HostileFile) -> None:
    a, b = file.get("state", 0, "initial"), file.get("state", 1, "initial")
    file.set("state", 0, "initial", b)
    file.set("state", 1, "initial", a)


def _swap_weights(file: HostileFile) -> None:
    """Two blocks of the same size exchanged: right weights in the wrong order."""
    a, b = file.op_data(INT8_GRU), file.op_data(F32_GRU)
    left, right = file.data[a : a + INT8_GRU_END], file.data[b : b + F32_GRU_END]
    file.data[a : a + INT8_GRU_END], file.data[b : b + F32_GRU_END] = right, left
    file.set("op", INT8_GRU, "data", b)
    file.set("op", F32_GRU, "data", a)


def _place(value: int, offset: int) -> Edit:
    """Move a value in the arena, whose size follows."""

    def edit(file: HostileFile) -> None:
        file.set("value", value, "offset", offset)
        values = range(file.get("header", 0, "values"))
        ends = [file.get("value", v, "offset") + file.get("value", v, "width") for v in values]
        file.set("header", 0, "arena_floats", max(ends))

    return edit


def _same_room(one: int, other: int, shift: int = 0) -> Edit:
    return lambda file: _place(one, file.get("value", other, "offset") + shift)(file)


def _read_before_written(file: HostileFile) -> None:
    file.swap("op", INT8_GRU, F32_GRU)
    file.set("state", 0, "op", F32_GRU)
    file.set("state", 1, "op", INT8_GRU)


def _both_name_state_0(file: HostileFile) -> None:
    file.set("op", F32_GRU, "state", 0)


def _rebuilt(change: Callable[[Parts], None], *edits: Edit) -> Edit:
    """Change the records, put the file together again, then edit fields."""

    def edit(file: HostileFile) -> None:
        parts = Parts(file)
        change(parts)
        file.data[:] = parts.built().data
        _all(*edits)(file)

    return edit


def _other_file(program: Callable[[], Program], *edits: Edit) -> Edit:
    """Another file instead of the base file."""

    def edit(file: HostileFile) -> None:
        file.data[:] = grulet_format.write(program())
        _all(*edits)(file)

    return edit


def _functions(widths: tuple[int, ...], flow: tuple[tuple[int, int], ...], outputs: tuple[int, ...]) -> Program:
    """Two inputs, then functions from value to value."""
    values = tuple(Value(sum(widths[:v]), width) for v, width in enumerate(widths))
    operators = tuple(Activation(f"relu_{i}", source, target, "relu") for i, (source, target) in enumerate(flow))
    ports = tuple(Port(f"output_{i}", value) for i, value in enumerate(outputs))
    inputs = (Port("a", 0), Port("b", 1))
    return Program(inputs, ports, values, operators, sum(widths), Text("tests", "", {}))


def _many_values(parts: Parts) -> None:
    """1025 values: functions of the second input, one behind the other."""
    for v in range(6, 1025):
        parts.add("value", SQUASHED, offset=5 + 2 * v)
        parts.add("op", FUNCTION, output=v)
    names = json.dumps([f"{o}" for o in range(4 + 1019)]).replace(" ", "")
    parts.text = parts.text.replace(b'["gru_0","gru_1","dense_2","activation_3"]', names.encode())


def _one_layer_without_state(file: HostileFile) -> None:
    """A GRU that names no state, and no state record: nothing for the two to disagree about."""
    _other_file(_one_layer, _rebuilt(lambda parts: parts.records["state"].clear()))(file)
    file.set("op", 0, "state", NONE)
    file.set("header", 0, "state_floats", 0)


def _one_layer() -> Program:
    builder = Builder(2, "f32", "f32")
    builder.output("state", builder.gru(builder.input("input", 2), 3))
    return builder.program()


def _two_layers() -> Program:
    builder = Builder(2, "f32", "f32")
    builder.output("state", builder.gru(builder.gru(builder.input("input", 3), 3), 3))
    return builder.program()


def _wide(inputs: int, units: int, weights: str = "int8") -> Program:
    builder = Builder(3, weights, "f32" if weights == "f16" else "int8")
    builder.output("output", builder.dense(builder.input("input", inputs), units))
    return builder.program()


def _without_data(size: int) -> Edit:
    """Drop the end of the data section; the records that need it stay."""

    def edit(file: HostileFile) -> None:
        parts = Parts(file)
        parts.data = parts.data[: len(parts.data) - size]
        file.data[:] = parts.built().data

    return edit


def _text_edit(change: Callable[[bytes], bytes]) -> Edit:
    """Replace the text by one of the same length."""

    def edit(file: HostileFile) -> None:
        at, size = file.start("text", 0), file.get("header", 0, "text_bytes")
        text = change(bytes(file.data[at : at + size]))
        file.data[at : at + size] = text.ljust(size)[:size]

    return edit


def _json(**changes: object) -> Callable[[bytes], bytes]:
    return lambda text: json.dumps({**json.loads(text), **changes}, separators=(",", ":")).encode()


# name -> mutation.  Every rule has at least one.
MUTATIONS: dict[str, Mutation] = {
    # header
    "magic": Mutation(0, _set("header", 0, "magic_low", 0), "GRULET_NOT_A_MODEL"),
    "version-2": Mutation(0, _set("header", 0, "version", 2), "GRULET_WRONG_VERSION"),
    "version-0": Mutation(0, _set("header", 0, "version", 0), "GRULET_WRONG_VERSION"),
    "version-huge": Mutation(0, _set("header", 0, "version", NONE), "GRULET_WRONG_VERSION"),
    "trailing-byte": Mutation(0, lambda f: f.data.extend(b"\0"), "GRULET_WRONG_SIZE"),
    "file-bytes-less": Mutation(0, _add("header", 0, "file_bytes", -64), "GRULET_WRONG_SIZE"),
    "file-bytes-more": Mutation(0, _add("header", 0, "file_bytes", 64), "GRULET_WRONG_SIZE"),
    "file-bytes-huge": Mutation(0, _set("header", 0, "file_bytes", NONE), "GRULET_WRONG_SIZE"),
    "no-inputs": Mutation(1, _set("header", 0, "inputs", 0)),
    "no-outputs": Mutation(1, _set("header", 0, "outputs", 0)),
    "no-output-ports": Mutation(1, _other_file(lambda: _functions((2, 2, 2), ((0, 2),), ()))),
    "1025-output-ports": Mutation(1, _rebuilt(lambda parts: [parts.add("port", 2) for _ in range(1023)] and None)),
    "1025-values-in-place": Mutation(1, _rebuilt(_many_values, _set("header", 0, "arena_floats", 2055))),
    "inputs-more-than-values": Mutation(1, _set("header", 0, "values", 1)),
    "reserved-header": Mutation(1, _set("header", 0, "reserved", 1)),
    "text-longer": Mutation(3, _add("header", 0, "text_bytes", 64)),
    "text-overflows": Mutation(3, _set("header", 0, "text_bytes", NONE)),
    "data-start-more": Mutation(3, _add("header", 0, "data", 64)),
    "data-start-less": Mutation(3, _add("header", 0, "data", -64)),
    "data-bytes-less": Mutation(3, _add("header", 0, "data_bytes", -64)),
    "data-bytes-wrap": Mutation(3, _set("header", 0, "data_bytes", NONE - 63)),
    "arena-too-small": Mutation(4, _add("header", 0, "arena_floats", -1)),
    "arena-larger": Mutation(4, _add("header", 0, "arena_floats", 1)),
    "arena-with-unused-room": Mutation(4, _place(SQUASHED, 100)),
    "arena-huge": Mutation(2, _set("header", 0, "arena_floats", 2**28 + 1)),
    "arena-wraps": Mutation(2, _set("header", 0, "arena_floats", NONE)),
    "state-floats-less": Mutation(15, _add("header", 0, "state_floats", -1)),
    "state-floats-more": Mutation(15, _add("header", 0, "state_floats", 1)),
    "state-floats-huge": Mutation(15, _set("header", 0, "state_floats", NONE)),
    **{
        f"{count}-{kind}": Mutation(1, _set("header", 0, count, value))
        for count in ("inputs", "outputs", "values", "ops", "states")
        for kind, value in (("1025", 1025), ("2^26", 2**26), ("2^32-1", NONE))
    },
    **{
        f"one-{kind}-{count}": Mutation(3, _add("header", 0, count, amount))
        for count in ("outputs", "values", "ops", "states")
        for kind, amount in (("more", 1), ("less", -1))
    },
    # ports and values
    "port-value-outside": Mutation(5, _set("port", 2, "value", 6)),
    "port-value-none": Mutation(5, _set("port", 3, "value", NONE)),
    "input-ports-swapped": Mutation(6, lambda f: f.swap("port", 0, 1)),
    "input-port-twice": Mutation(6, _set("port", 1, "value", 0)),
    "port-kind": Mutation(5, _set("port", 0, "kind", 1)),
    "output-port-kind": Mutation(5, _set("port", 2, "kind", NONE)),
    "port-limit": Mutation(5, _set("port", 1, "limit", 1)),
    "port-name-empty": Mutation(5, _name(0, b"")),
    "port-name-without-nul": Mutation(5, _name(3, b"x" * 52)),
    "port-name-behind-nul": Mutation(5, _name(1, b"right\0x")),
    "port-name-last-byte": Mutation(5, _name(2, b"scores".ljust(51, b"\0") + b"x")),
    "value-width-0": Mutation(4, _set("value", SQUASHED, "width", 0)),
    "value-width-0-everywhere": Mutation(4, _other_file(lambda: _functions((2, 0, 2, 0), ((0, 2), (1, 3)), (2, 3)))),
    "value-width-65537-everywhere": Mutation(4, _other_file(lambda: _functions((2, 65537, 65537), ((1, 2),), (2,)))),
    "value-width-65537": Mutation(4,
        _all(_set("value", SQUASHED, "width", 65537), _same_room(SQUASHED, SQUASHED)),
    ),
    "value-width-huge": Mutation(4, _set("value", SCORES, "width", NONE)),
    "input-width-0": Mutation(4, _set("value", LEFT, "width", 0)),
    "no-weights-per-row": Mutation(4, _all(_set("value", LEFT, "width", 0), _set("op", INT8_GRU, "inputs", 0))
    ),
    "weights-per-row-huge": Mutation(4,
        _all(_set("value", LEFT, "width", NONE), _set("op", INT8_GRU, "inputs", NONE)),
    ),
    "value-offset-outside": Mutation(4, _add("value", SQUASHED, "offset", 1)),
    "value-offset-huge": Mutation(4, _set("value", H_INT8, "offset", NONE)),
    "value-offset-wraps": Mutation(4, _set("value", H_INT8, "offset", NONE - 1)),
    "inputs-not-first": Mutation(6, _set("value", LEFT, "offset", 1)),
    "inputs-with-a-hole": Mutation(6, _add("value", RIGHT, "offset", 1)),
    "inputs-overlap": Mutation(6, _add("value", RIGHT, "offset", -1)),
    # operators
    **{
        f"op-kind-{kind}": Mutation(7, _set("op", INT8_GRU, "kind", kind)) for kind in (0, 2, 3, 19, NONE)
    },
    "dense-as-gru": Mutation(7, _set("op", HEAD, "kind", 1)),
    "activation-as-dense": Mutation(7, _set("op", FUNCTION, "kind", 2)),
    "op-input-outside": Mutation(8, _set("op", HEAD, "input", 6)),
    "op-input-none": Mutation(8, _set("op", HEAD, "input", NONE)),
    "op-output-none": Mutation(8, _set("op", HEAD, "output", NONE)),
    "op-output-outside": Mutation(8, _set("op", HEAD, "output", 6)),
    "op-second-input": Mutation(8, _set("op", FUNCTION, "second_input", LEFT)),
    "op-inputs-wrong": Mutation(8, _add("op", INT8_GRU, "inputs", 1)),
    "op-inputs-huge": Mutation(8, _set("op", INT8_GRU, "inputs", NONE)),
    "op-units-wrong": Mutation(8, _add("op", INT8_GRU, "units", 1)),
    "op-inputs-in-the-same-group": Mutation(8, _set("op", HEAD, "inputs", 3)),
    "op-units-in-the-same-block": Mutation(8, _set("op", HEAD, "units", 4)),
    "op-units-0": Mutation(8, _set("op", HEAD, "units", 0)),
    "weights-unknown": Mutation(7, _set("op", INT8_GRU, "weights", 5)),
    "weights-unknown-else-right": Mutation(
        7,
        _all(
            _bytes(HEAD, 0, bytes(HEAD_END)),
            *(_set("op", HEAD, name, value) for name, value in (("weights", 5), ("activations", 0), ("beta", 0))),
        ),
    ),
    "weights-unknown-gru": Mutation(
        7,
        _other_file(
            _one_layer,
            lambda file: file.data.__setitem__(slice(file.op_data(0), None), bytes(len(file.data) - file.op_data(0))),
            _without_data(448 - 192),
            _all(_set("op", 0, "weights", 5), _set("op", 0, "data_bytes", 192)),
        ),
    ),
    "weights-none-gru": Mutation(
        7,
        _other_file(
            _one_layer,
            _without_data(448),
            *(_set("op", 0, name, 0) for name in ("weights", "data", "data_bytes")),
        ),
    ),
    "weights-none": Mutation(7, _set("op", INT8_GRU, "weights", 0)),
    "weights-none-dense": Mutation(7, _set("op", HEAD, "weights", 0)),
    "weights-as-f32": Mutation(10, _set("op", INT8_GRU, "weights", 1)),
    "activation-with-weights": Mutation(
        7,
        _other_file(
            lambda: _functions((2, 2, 2), ((0, 2),), (2,)),
            lambda file: file.set("op", 0, "data", file.get("header", 0, "data")),
            _rebuilt(lambda parts: setattr(parts, "data", bytes(128))),
            _all(_set("op", 0, "weights", 1), _set("op", 0, "data_bytes", 128)),
        ),
    ),
    "weights-of-activation": Mutation(7, _set("op", FUNCTION, "weights", 1)),
    "activations-unknown": Mutation(10, _set("op", INT8_GRU, "activations", 3)),
    "activations-f32-of-int8": Mutation(10, _set("op", INT8_GRU, "activations", 0)),
    "activations-int8-of-f32": Mutation(10, _set("op", F32_GRU, "activations", 2)),
    "activations-of-activation": Mutation(10, _set("op", FUNCTION, "activations", 1)),
    "function-unknown": Mutation(7, _set("op", HEAD, "function", 23)),
    "function-unknown-else-right": Mutation(7, _all(_set("op", FUNCTION, "function", 23))),
    "function-not-of-dense": Mutation(7, _all(_set("op", HEAD, "function", 9), _set("op", HEAD, "alpha", 0.0))),
    "function-huge": Mutation(7, _set("op", HEAD, "function", NONE)),
    "function-of-gru": Mutation(7, _set("op", INT8_GRU, "function", 1)),
    "function-none": Mutation(7, _set("op", FUNCTION, "function", 0)),
    "alpha-nan": Mutation(9, _set("op", HEAD, "alpha", float("nan"))),
    "alpha-inf": Mutation(9, _set("op", HEAD, "alpha", float("inf"))),
    "alpha-unused": Mutation(9, _set("op", FUNCTION, "alpha", 0.5)),
    "alpha-of-gru": Mutation(9, _set("op", INT8_GRU, "alpha", 1.0)),
    "peak-nan": Mutation(9, _set("op", HEAD, "beta", float("nan"))),
    "peak-inf": Mutation(9, _set("op", HEAD, "beta", float("inf"))),
    "peak-negative": Mutation(10, _set("op", HEAD, "beta", -1.0)),
    "peak-silent": Mutation(10, _set("op", HEAD, "beta", 2.0**-101)),
    "peak-subnormal": Mutation(10, _set("op", HEAD, "beta", 1)),
    "peak-of-f32": Mutation(9, _set("op", F32_GRU, "beta", 1.0)),
    "peak-of-activation": Mutation(9, _set("op", FUNCTION, "beta", 1.0)),
    "parameter-of-gru": Mutation(11, _set("op", INT8_GRU, "parameter", 1)),
    "parameter-of-tanh": Mutation(11, _set("op", FUNCTION, "parameter", 1)),
    "schedule-huge": Mutation(20, _set("op", FUNCTION, "schedule", NONE)),
    "activation-changes-width": Mutation(
        8, _all(_set("op", FUNCTION, "input", LEFT), _set("op", FUNCTION, "inputs", 5))
    ),
    # data flow
    "output-is-input": Mutation(12,
        _all(_set("op", FUNCTION, "output", RIGHT), _set("port", 3, "value", RIGHT)),
    ),
    "output-is-dead-input": Mutation(12, _other_file(lambda: _functions((2, 2), ((0, 1),), (0,)))),
    "written-twice-and-dead": Mutation(12, _other_file(lambda: _functions((2, 2, 2), ((0, 2), (1, 2)), (0,)))),
    "never-written-nor-read": Mutation(12, _other_file(lambda: _functions((2, 2, 2, 2), ((0, 2),), (2,)))),
    "never-written-but-an-output": Mutation(12, _other_file(lambda: _functions((2, 2, 2, 2), ((0, 2),), (2, 3)))),
    "written-twice": Mutation(12, _all(_set("op", FUNCTION, "output", H_F32), _set("port", 3, "value", H_F32))
    ),
    "never-written": Mutation(12, _all(_set("op", FUNCTION, "output", H_F32), _set("op", FUNCTION, "input", H_F32))
    ),
    "read-before-written": Mutation(12, _read_before_written),
    "reads-itself": Mutation(12, _all(_set("op", FUNCTION, "input", SQUASHED))
    ),
    "overlap-own-input": Mutation(13, _same_room(SQUASHED, RIGHT)),
    "overlap-live-value": Mutation(13, _same_room(H_F32, H_INT8, 1)),
    "overlap-output": Mutation(13, _same_room(SQUASHED, SCORES, 2)),
    "overlap-input-read-later": Mutation(13, _same_room(H_F32, RIGHT)),
    # states
    "state-of-no-op": Mutation(14, _set("state", 0, "op", 4)),
    "state-of-op-none": Mutation(14, _set("state", 0, "op", NONE)),
    "state-of-other-op": Mutation(14, _set("state", 0, "op", F32_GRU)),
    "state-of-dense": Mutation(14, _set("state", 1, "op", HEAD)),
    "state-of-nobody": Mutation(
        14,
        _rebuilt(
            lambda parts: parts.add("state", 0, offset=5, width=3, initial=0), _set("header", 0, "state_floats", 8)
        ),
    ),
    "state-shared-alone": Mutation(
        14,
        _other_file(
            _two_layers,
            _rebuilt(lambda parts: parts.records["state"].pop() and None),
            _all(_set("op", 1, "state", 0), _set("header", 0, "state_floats", 3)),
        ),
    ),
    "op-state-none-alone": Mutation(11, _one_layer_without_state),
    "dense-with-own-state": Mutation(
        11,
        _rebuilt(
            lambda parts: parts.add("state", 0, op=HEAD, offset=5, width=3, initial=0),
            _all(_set("op", HEAD, "state", 2), _set("header", 0, "state_floats", 8)),
        ),
    ),
    "activation-with-own-state": Mutation(
        11,
        _rebuilt(
            lambda parts: parts.add("state", 0, op=FUNCTION, offset=5, width=2, initial=0),
            _all(_set("op", FUNCTION, "state", 2), _set("header", 0, "state_floats", 7)),
        ),
    ),
    "op-state-outside": Mutation(11, _set("op", INT8_GRU, "state", 2)),
    "op-state-none": Mutation(11, _set("op", INT8_GRU, "state", NONE)),
    "op-state-shared": Mutation(14, _both_name_state_0),
    "dense-with-state": Mutation(11, _set("op", HEAD, "state", 0)),
    "activation-with-state": Mutation(11, _set("op", FUNCTION, "state", 1)),
    "state-offset": Mutation(15, _add("state", 1, "offset", 1)),
    "states-overlap": Mutation(15, _set("state", 1, "offset", 0)),
    "state-width": Mutation(15, _add("state", 1, "width", 1)),
    "state-width-last": Mutation(15, _all(_add("state", 1, "width", 1), _add("header", 0, "state_floats", 1))),
    "state-width-huge": Mutation(15, _set("state", 0, "width", NONE)),
    "initial-above-1": Mutation(19, _initial(0, 1.0000001, 2)),
    "initial-below-1": Mutation(19, _initial(1, -2.0)),
    "initial-nan": Mutation(19, _initial(0, float("nan"))),
    "initial-inf": Mutation(19, _initial(1, float("inf"), 1)),
    "initial-padding": Mutation(18, _initial(0, 0.5, 3)),
    "initial-in-weights": Mutation(16, _data_of("state", 0, "initial", INT8_GRU)),
    "initial-in-tables": Mutation(16, _set("state", 0, "initial", 64)),
    "initial-outside": Mutation(16, _add("state", 1, "initial", 64)),
    "initial-odd": Mutation(16, _add("state", 1, "initial", 2)),
    "initials-swapped": Mutation(16, _swap_initials),
    "initial-unused": Mutation(16, _set("state", 1, "initial", 0)),
    # data
    "op-data-more": Mutation(16, _add("op", HEAD, "data", 64)),
    "op-data-less": Mutation(16, _add("op", HEAD, "data", -64)),
    "op-data-0": Mutation(16, _set("op", INT8_GRU, "data", 0)),
    "op-data-huge": Mutation(16, _set("op", INT8_GRU, "data", NONE - 63)),
    "op-data-shared": Mutation(16, _data_of("op", F32_GRU, "data", INT8_GRU)),
    "op-data-of-activation": Mutation(16, _data_of("op", FUNCTION, "data", INT8_GRU)),
    "op-data-bytes-more": Mutation(16, _add("op", INT8_GRU, "data_bytes", 64)),
    "op-data-bytes-less": Mutation(16, _add("op", INT8_GRU, "data_bytes", -64)),
    "op-data-bytes-huge": Mutation(16, _set("op", HEAD, "data_bytes", NONE)),
    "weights-swapped": Mutation(16, _swap_weights),
    "hole-before-data": Mutation(3, _move_data(64)),
    "hole-between-weights": Mutation(16,
        _insert_data(lambda f: f.op_data(HEAD), 64, ("op", HEAD), ("state", 0), ("state", 1)),
    ),
    "hole-before-initial": Mutation(16,
        _insert_data(lambda f: f.get("state", 0, "initial"), 64, ("state", 0), ("state", 1)),
    ),
    "hole-at-end": Mutation(16, _insert_data(lambda f: len(f.data), 64)),
    "initial-missing": Mutation(16, _without_data(64)),
    "weights-missing": Mutation(16, _other_file(lambda: _wide(65536, 12), _without_data(12 * 65536 + 192))),
    "data-beyond-the-file": Mutation(3, _all(_without_data(64), _add("header", 0, "data_bytes", 64))),
    # padding
    "text-padding": Mutation(18, lambda f: f.data.__setitem__(f.get("header", 0, "data") - 1, 32)),
    "panel-padding-row": Mutation(18, _weight_and_sum(INT8_GRU, X_PANEL + 12, 1, X_ROW_SUMS + 12)),
    "panel-padding-input": Mutation(18, _weight_and_sum(INT8_GRU, X_PANEL + 49, -1, X_ROW_SUMS)),
    "panel-padding-recurrent": Mutation(18, _weight_and_sum(INT8_GRU, H_PANEL + 3, 1, H_ROW_SUMS)),
    "panel-padding-head": Mutation(18, _weight_and_sum(HEAD, HEAD_PANEL + 2, 1, HEAD_ROW_SUMS)),
    "panel-end": Mutation(18, _bytes(INT8_GRU, X_PANEL + 96, b"\1")),
    "panel-end-recurrent": Mutation(18, _bytes(INT8_GRU, H_PANEL + 63, b"\1")),
    "panel-end-head": Mutation(18, _bytes(HEAD, HEAD_PANEL + 16, b"\1")),
    "f32-padding-row": Mutation(18, _float(F32_GRU, F32_X_PANEL + 8, 1.0)),
    "f32-padding-input": Mutation(18, _float(F32_GRU, F32_X_PANEL + 48, 1.0)),
    "f32-padding-minus-zero": Mutation(18, _float(F32_GRU, F32_H_PANEL + 32, -0.0)),
    "scale-padding": Mutation(18, _float(INT8_GRU, X_SCALE + 12, 1.0)),
    "scale-padding-recurrent": Mutation(18, _float(INT8_GRU, H_SCALE + 44, 1.0)),
    "bias-padding": Mutation(18, _float(INT8_GRU, BIAS + 12, 1.0)),
    "bias-padding-f32": Mutation(18, _float(F32_GRU, F32_BIAS + 56, 1.0)),
    "bias-padding-head": Mutation(18, _float(HEAD, HEAD_BIAS + 12, 1.0)),
    "block-end": Mutation(18, _bytes(HEAD, HEAD_END - 1, b"\1")),
    # numbers
    "weight-128": Mutation(17, _weight_and_sum(INT8_GRU, X_PANEL, -128, X_ROW_SUMS)),
    "weight-128-recurrent": Mutation(17, _weight_and_sum(INT8_GRU, H_PANEL + 2, -128, H_ROW_SUMS)),
    "weight-128-head": Mutation(17, _weight_and_sum(HEAD, HEAD_PANEL + 8, -128, HEAD_ROW_SUMS + 8)),
    "weight-changed": Mutation(17, _bytes(INT8_GRU, X_PANEL + 1, b"\x01")),
    "weight-128-full-block": Mutation(
        17, _other_file(lambda: _wide(4, 17), _weight_and_sum(0, 60, -128, 64 + 64 + 64 + 60))
    ),
    "f16-weight-inf-full-block": Mutation(18, _other_file(lambda: _wide(4, 17, "f16"), _bytes(0, 126, b"\0\x7c"))),
    "int4-multiplier-16-full-block": Mutation(
        17, _other_file(lambda: _wide(4, 17, "int4"), _int4_row(60, 252, 271, 16))
    ),
    "int4-multiplier-16-last-group": Mutation(
        17, _other_file(lambda: _wide(513, 2, "int4"), _int4_row(1028, 1140, 1217, 16))
    ),
    "int4-row-sum-second-span": Mutation(
        17, _other_file(lambda: _wide(513, 2, "int4"), _bytes(0, 1140, b"\x7f\x7f"))
    ),
    "row-sum-second-span": Mutation(17, _other_file(lambda: _wide(513, 2), _bytes(0, 2112 + 32 + 16, b"\x7f\x7f"))),
    "row-sum": Mutation(17, _bytes(INT8_GRU, X_ROW_SUMS, b"\x7f\x7f\x7f\x7f")),
    "row-sum-recurrent": Mutation(17, _bytes(INT8_GRU, H_ROW_SUMS + 36, b"\x7f\x7f")),
    "row-sum-of-padding": Mutation(17, _bytes(INT8_GRU, X_ROW_SUMS + 12, b"\x01")),
    "row-sum-head": Mutation(17, _bytes(HEAD, HEAD_ROW_SUMS + 4, b"\x7f\x7f")),
    **{
        f"{name}-{kind}": Mutation(18, _float(op, at, value))
        for name, op, at in (
            ("scale", INT8_GRU, X_SCALE),
            ("scale-recurrent", INT8_GRU, H_SCALE + 40),
            ("scale-of-padding", INT8_GRU, X_SCALE + 12),
            ("scale-head", HEAD, HEAD_SCALE + 8),
        )
        for kind, value in (
            ("nan", float("nan")),
            ("inf", float("inf")),
            ("negative", -1e-30),
            ("above-2^64", float(np.nextafter(np.float32(2**64), np.float32(np.inf)))),
        )
    },
    **{
        f"{name}-{kind}": Mutation(18, _float(op, at, value))
        for name, op, at in (
            ("bias", INT8_GRU, BIAS),
            ("bias-of-padding", INT8_GRU, BIAS + 60),
            ("bias-f32", F32_GRU, F32_BIAS + 20),
            ("bias-head", HEAD, HEAD_BIAS),
            ("f32-weight", F32_GRU, F32_X_PANEL),
            ("f32-weight-recurrent", F32_GRU, F32_H_PANEL + 4),
            ("f32-weight-of-padding", F32_GRU, F32_H_PANEL - 4),
        )
        for kind, value in (("nan", float("nan")), ("inf", float("-inf")))
    },
}  # fmt: skip

# The C library never reads the text: Python's reader refuses these, the C library opens them.
TEXT_MUTATIONS: dict[str, Edit] = {
    "text-not-json": _text_edit(lambda text: b"hello"),
    "text-not-utf8": _text_edit(lambda text: b"\xff" + text[1:]),
    "text-not-an-object": _text_edit(lambda text: b"[1,2]"),
    "text-no-operators": _text_edit(lambda text: text.replace(b'"operators"', b'"operatorz"')),
    "text-operator-missing": _text_edit(_json(operators=["a", "b", "c"])),
    "text-operator-no-string": _text_edit(_json(operators=["a", "b", "c", 4])),
    "text-metadata-a-list": _text_edit(_json(metadata=[])),
    "text-exporter-a-number": _text_edit(_json(exporter=1)),
    "text-deep": _text_edit(lambda text: b"[" * len(text)),
    "port-name-not-utf8": _name(0, b"\xff\xfe"),
}


def _swap_states(file: HostileFile) -> None:
    """Two states exchanged, each with its operator and its place in the data: as good, but not what a writer does."""
    file.swap("state", 0, 1)
    file.set("op", INT8_GRU, "state", 1)
    file.set("op", F32_GRU, "state", 0)
    file.set("state", 0, "offset", 0)
    file.set("state", 1, "offset", 2)
    _swap_initials(file)
    at, size = file.get("state", 0, "initial"), 64
    first, second = file.data[at : at + size], file.data[at + size : at + 2 * size]
    file.data[at : at + 2 * size] = second + first


def _zero_initial(file: HostileFile) -> None:
    at = file.get("state", 0, "initial")
    file.data[at : at + 64] = bytes(64)


# Only a writer is bound by these: the file opens, and `grulet.format.read` refuses it.
WRITER_MUTATIONS: dict[str, Edit] = {
    "states-in-another-order": _swap_states,
    "initial-state-of-zeros": _zero_initial,
    "equal-port-names": _name(1, b"left"),
    "equal-operator-names": _text_edit(lambda text: text.replace(b"gru_1", b"gru_0")),
    "text-with-a-space": _text_edit(lambda text: text.replace(b'"tests",', b'"test", ')),
}


def hostile(name: str) -> bytes:
    """Return the base file after one mutation, checksum right."""
    file = HostileFile(base_file())
    (MUTATIONS[name].edit if name in MUTATIONS else {**TEXT_MUTATIONS, **WRITER_MUTATIONS}[name])(file)
    return file.sealed()
