"""The only reader and writer of `.grulet` files (docs/format.md), in numpy.

`read(data)` gives a `Program` with plain matrices, `write(program)` gives the file's bytes; `write(read(data)) == data`
for every allowed file, because the format leaves no choice to the writer.  Opening a file to run it is the C library's
work (`grulet.load`); this module is for the exporter, the numpy oracle, `grulet inspect` and for explaining a refusal.
"""

from __future__ import annotations

import json
import struct
import zlib
from collections.abc import Callable
from typing import Any

import numpy as np

from grulet.errors import FormatError
from grulet.operators import (
    KINDS,
    NONE,
    Activation,
    Affine,
    AnyOperator,
    Binary,
    Cell,
    Concat,
    Dense,
    Depthwise,
    Embedding,
    FirstFrame,
    Floats,
    Gru,
    History,
    LayerNorm,
    Lstm,
    Matrix,
    Operator,
    Port,
    PRelu,
    Program,
    Rnn,
    Select,
    Slice,
    StateRead,
    StateWrite,
    Text,
    Value,
    state_floats,
)
from grulet.tables import ALIGN, HEADER, MAX_RECORDS, OP, PORT, STATE, VALUE, Tables, tables_of
from grulet.weights import (
    PANELS,
    QUANTIZED,
    Cursor,
    block_bytes,
    padded,
    read_blocks,
    read_table,
    round_up,
    table_bytes,
    to_bytes,
)

MAGIC = b"\x89GRULET\n"
VERSION = 1
MAX_WIDTH = 65536
MAX_FLOATS = 2**28  # of a stream's state
SILENCE = np.float32(2.0**-100)  # an input peak below this counts as silence

WEIGHTS = ("none", "f32", "int8", "int4", "f16")
ACTIVATIONS = ("f32", "int16", "int8")
LEVELS = {"int16": 32767, "int8": 127}
FUNCTIONS = (
    "none", "relu", "leaky_relu", "sigmoid", "tanh", "softmax", "clip", "elu", "hard_sigmoid", "softplus", "softsign",
    "thresholded_relu", "exp", "log", "sqrt", "abs", "reciprocal", "add", "sub", "mul", "div", "min", "max",
)  # fmt: skip
CLASSES = {number: kind for kind, (number, _) in KINDS.items()}


# ---- weights ---------------------------------------------------------------------------------------------------------


def weight_data(op: AnyOperator) -> bytes:
    """What an operator keeps in the data section, in the order in which a step reads it."""
    match op:
        case Cell() | Dense():
            return block_bytes(op)
        case Affine() | LayerNorm():
            return padded(to_bytes(op.scale) + to_bytes(op.shift))
        case PRelu():
            return padded(to_bytes(op.slopes))
        case Select():
            return padded(to_bytes(op.indices))
        case Depthwise():
            return padded(to_bytes(op.taps) + to_bytes(op.bias))
        case Embedding():
            return table_bytes(op.table, op.weights)
    return b""


# ---- writing --------------------------------------------------------------------------------------------------------


def _text(program: Program) -> bytes:
    names = [op.name for op in program.operators]
    for what, group in (("operators", names), ("inputs", program.inputs), ("outputs", program.outputs)):
        if len(set(getattr(item, "name", item) for item in group)) != len(group):
            raise FormatError(f"two {what} have the same name")
    text = {
        "exporter": program.text.exporter,
        "metadata": program.text.metadata,
        "operators": names,
        "source_sha256": program.text.source_sha256,
    }
    try:
        return json.dumps(text, sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False).encode()
    except (TypeError, ValueError) as error:
        raise FormatError(f"metadata must be plain JSON: {error}") from error


def _port(port: Port) -> bytes:
    name = port.name.encode()
    if not name or len(name) > 51 or b"\0" in name:
        raise FormatError(f"port name {port.name!r} must be 1 to 51 bytes of UTF-8 without NUL")
    return PORT.pack(port.value, int(port.tokens > 0), port.tokens, name)


def _parameter(op: AnyOperator) -> int:
    match op:
        case Activation():
            return op.size
        case Slice():
            return op.first
        case Embedding():
            return len(op.table.values)
        case LayerNorm():
            return len(op.scale)
        case History():
            return op.dilation
    return 0


def _beta(op: AnyOperator) -> float:
    return op.input_peak if isinstance(op, Cell | Dense) else getattr(op, "beta", 0.0)


def _op_record(program: Program, op: AnyOperator, state: int, data: int, data_bytes: int) -> bytes:
    return OP.pack(
        KINDS[type(op)][0], op.input, op.output, getattr(op, "second_input", NONE),
        WEIGHTS.index(getattr(op, "weights", "none")), ACTIVATIONS.index(getattr(op, "activations", "f32")),
        0 if op.input == NONE else program.width(op.input), program.width(op.output),
        FUNCTIONS.index(getattr(op, "function", "none")),
        op.epsilon if isinstance(op, LayerNorm) else getattr(op, "alpha", 0.0), _beta(op),
        state, data, data_bytes, _parameter(op), op.loop << 1 | op.reverse,
    )  # fmt: skip


def write(program: Program) -> bytes:
    """Bytes of the file.

    Raises `FormatError` for names, text and sizes that cannot be written; whether the program keeps the other rules of
    docs/format.md, opening the file tells.
    """
    text = _text(program)
    owners = [o for o, op in enumerate(program.operators) if state_floats(program, op)]
    tables = HEADER.size + PORT.size * (len(program.inputs) + len(program.outputs))
    tables += OP.size * len(program.operators) + STATE.size * len(owners) + VALUE.size * len(program.values)
    data_start = round_up(tables + len(text), ALIGN)

    data = bytearray()
    ops = []
    state_of = {o: s for s, o in enumerate(owners)}
    for o, op in enumerate(program.operators):
        weights = weight_data(op)
        state = state_of.get(op.reader if isinstance(op, StateWrite) else o, NONE)
        ops.append(_op_record(program, op, state, data_start + len(data) if weights else 0, len(weights)))
        data += weights
    states = []
    floats = 0
    for o in owners:
        op, width, initial = program.operators[o], state_floats(program, program.operators[o]), 0
        if floats + width > MAX_FLOATS:
            raise FormatError(f"the states up to that of '{op.name}' have {floats + width} floats; at most 2^28 can be")
        if isinstance(op, Cell | StateRead) and op.initial_state.any():
            initial = data_start + len(data)
            data += padded(to_bytes(op.initial_state))
        states.append(STATE.pack(o, floats, width, initial))
        floats += width

    file_bytes = data_start + len(data)
    if file_bytes > 0x7FFFFFFF:
        raise FormatError(f"the file would have {file_bytes} bytes; the format allows 2^31 - 1")
    counts = (len(program.inputs), len(program.outputs), len(program.values), len(ops), len(states))
    if max(counts) > MAX_RECORDS:
        raise FormatError(f"a table has {max(counts)} records; the format allows {MAX_RECORDS}")
    header = [MAGIC, VERSION, 0, file_bytes, *counts, program.arena_floats, floats, len(text), data_start]
    header += [len(data), 0]
    body = b"".join(map(_port, program.inputs + program.outputs)) + b"".join(ops) + b"".join(states)
    body += b"".join(VALUE.pack(value.offset, value.width) for value in program.values) + text
    rest = body + bytes(data_start - HEADER.size - len(body)) + bytes(data)
    header[2] = zlib.crc32(HEADER.pack(*header) + rest)
    return HEADER.pack(*header) + rest


# ---- reading --------------------------------------------------------------------------------------------------------
def check_envelope(data: memoryview) -> None:
    """Magic, version, size and checksum, in the order of docs/format.md; `FormatError` names what is wrong."""
    if len(data) == 0:
        raise FormatError("the file is empty; a .grulet file was expected")
    if len(data) < 12 or bytes(data[:8]) != MAGIC:
        raise FormatError(f"this is not a .grulet file: it starts with {bytes(data[:8])!r}, not {MAGIC!r}")
    version = struct.unpack_from("<I", data, 8)[0]
    if version != VERSION:
        raise FormatError(
            f"the file has format version {version}, this grulet reads version {VERSION}: "
            + ("update grulet, or export the model again" if version > VERSION else "export the model again")
        )
    size = struct.unpack_from("<I", data, 16)[0] if len(data) >= HEADER.size else HEADER.size
    if len(data) < size:
        raise FormatError(f"the file is truncated: {len(data)} bytes of {size}")
    if len(data) > size:
        raise FormatError(f"the file has {len(data) - size} trailing bytes behind its {size}")
    if zlib.crc32(data[16:], zlib.crc32(bytes(4), zlib.crc32(data[:12]))) != struct.unpack_from("<I", data, 12)[0]:
        raise FormatError("the file is damaged: its checksum does not match (copy or export it again)")


class _Record:
    """One operator's record, with its numbers given names."""

    def __init__(self, tables: Tables, o: int) -> None:
        (
            kind, self.input, self.output, self.second_input, weights, activations, self.inputs, self.units, function,
            self.alpha, self.beta, self.state, self.data, self.data_bytes, self.parameter, self.schedule,
        ) = tables.records[o]  # fmt: skip
        self.tables, self.name, self.where = tables, tables.names[o], f"operator {o} ({tables.names[o]!r})"
        values = len(tables.values)
        known = kind in CLASSES and weights < len(WEIGHTS) and activations < len(ACTIVATIONS)
        if not known or function >= len(FUNCTIONS) or self.output >= values or not 0 <= self.state <= NONE:
            raise FormatError(f"{self.where} has an unknown kind, format, function or value")
        self.kind = CLASSES[kind]
        self.weights, self.activations, self.function = WEIGHTS[weights], ACTIVATIONS[activations], FUNCTIONS[function]
        wrong_input = self.input != NONE if self.kind is StateRead else self.input >= values
        if wrong_input:
            raise FormatError(f"{self.where} has an unknown kind, format, function or value")
        inputs = 0 if self.kind is StateRead else tables.values[self.input][1]
        widths = self.units == tables.values[self.output][1] and self.inputs == inputs
        read = self.kind is StateRead or 0 < inputs <= MAX_WIDTH
        if not widths or not read or not 0 < self.units <= MAX_WIDTH:
            raise FormatError(f"{self.where} does not fit the widths of its values")
        if (self.weights == "none") == (self.kind in PANELS or self.kind is Embedding):
            raise FormatError(f"{self.where} has {self.weights} weights, which its kind does not allow")
        if (self.kind in PANELS and self.weights in QUANTIZED) != (self.activations in LEVELS):
            raise FormatError(f"{self.where} has {self.activations} activations, which do not go with its weights")
        if self.kind is History and self.units < 2 * self.inputs:
            raise FormatError(f"{self.where} looks back less than one frame")

    @property
    def state_record(self) -> tuple[int, ...]:
        """The record of the state it names: operator, offset, width, initial."""
        if self.state >= len(self.tables.states):
            raise FormatError(f"{self.where} names a state that does not exist")
        return self.tables.states[self.state]

    def initial(self, view: memoryview, *shape: int) -> Floats:
        """What its state starts from."""
        start = self.state_record[3]
        return Cursor(view[start:]).take("<f4", *shape).copy() if start else np.zeros(shape, np.float32)


def _fields(record: _Record, view: memoryview) -> tuple[Any, ...]:
    """The fields of an operator's class behind name, input and output, in its order."""
    units, inputs = record.units, record.inputs
    cursor = Cursor(view[record.data : record.data + record.data_bytes])

    def floats(*shape: int) -> Floats:
        return cursor.take("<f4", *shape).copy()

    def blocks_of(*widths: int) -> tuple[list[Matrix], Floats]:
        return read_blocks(cursor.data, record.kind, units, widths, record.weights)

    def cell(*state: int) -> tuple[Any, ...]:
        matrices, bias = blocks_of(inputs, units)
        return record.weights, record.activations, *matrices, bias, record.initial(view, *state), record.beta

    def dense() -> tuple[Any, ...]:
        (matrix,), bias = blocks_of(inputs)
        return record.weights, record.activations, matrix, bias, record.function, record.alpha, record.beta

    def embedding() -> tuple[Any, ...]:
        return record.weights, read_table(cursor.data, record.parameter, units // max(1, inputs), record.weights)

    made: dict[type[Operator], Callable[[], tuple[Any, ...]]] = {
        Gru: lambda: cell(units),
        Lstm: lambda: cell(2, units),
        Rnn: lambda: cell(units),
        Dense: dense,
        Activation: lambda: (record.function, record.alpha, record.beta, record.parameter),
        Binary: lambda: (record.second_input, record.function),
        Affine: lambda: (floats(units), floats(units)),
        PRelu: lambda: (floats(units),),
        Concat: lambda: (record.second_input,),
        Slice: lambda: (record.parameter,),
        Select: lambda: (cursor.take("<u4", units).astype(np.uint32),),
        Embedding: embedding,
        LayerNorm: lambda: (floats(record.parameter), floats(record.parameter), record.alpha),
        History: lambda: (units // max(1, inputs), record.parameter),
        Depthwise: lambda: (floats(inputs // units, units), floats(units)),
        StateRead: lambda: (record.initial(view, units),),
        StateWrite: lambda: (record.state_record[0],),
        FirstFrame: lambda: (),
    }
    return made[record.kind]()


def _operator(tables: Tables, o: int, view: memoryview) -> AnyOperator:
    record = _Record(tables, o)
    loop, reverse = record.schedule >> 1, bool(record.schedule & 1)
    made: AnyOperator = record.kind(  # type: ignore[assignment]
        record.name, record.input, record.output, *_fields(record, view), loop=loop, reverse=reverse
    )
    return made


def read(data: bytes | memoryview) -> Program:
    """A whole file.  Raises `FormatError` for bytes that `write` would not give for the same content."""
    view = memoryview(data).cast("B")
    check_envelope(view)
    tables = tables_of(view)
    operators = tuple(_operator(tables, o, view) for o in range(len(tables.records)))
    program = Program(
        tuple(Port(*port) for port in tables.inputs),
        tuple(Port(*port) for port in tables.outputs),
        tuple(Value(*value) for value in tables.values),
        operators,
        tables.arena_floats,
        Text(tables.exporter, tables.source_sha256, tables.metadata),
    )
    if write(program) != bytes(view):
        raise FormatError("the file breaks a rule of docs/format.md: holes, padding, order or unused fields")
    return program
