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
from numpy.typing import NDArray

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
    initial_state,
    state_floats,
)
from grulet.tables import ALIGN, HEADER, MAX_RECORDS, OP, PORT, STATE, VALUE, Tables, tables_of

MAGIC = b"\x89GRULET\n"
VERSION = 1
BLOCK_ROWS = 16
GROUP = 4  # inputs
SPAN = 512  # inputs whose integer products are summed exactly in int32
MAX_WIDTH = 65536
SILENCE = np.float32(2.0**-100)  # an input peak below this counts as silence

WEIGHTS = ("none", "f32", "int8")
ACTIVATIONS = ("f32", "int16", "int8")
LEVELS = {"int16": 32767, "int8": 127}
FUNCTIONS = (
    "none", "relu", "leaky_relu", "sigmoid", "tanh", "softmax", "clip", "elu", "hard_sigmoid", "softplus", "softsign",
    "thresholded_relu", "exp", "log", "sqrt", "abs", "reciprocal", "add", "sub", "mul", "div", "min", "max",
)  # fmt: skip
CLASSES = {number: kind for kind, (number, _) in KINDS.items()}

#: How the sets of rows of an operator with blocks of weights lie: sets of one panel each, and rows of biases.
PANELS: dict[type[Operator], tuple[tuple[int, ...], int]] = {
    Gru: ((3,), 4),
    Lstm: ((3, 1), 4),
    Rnn: ((1,), 1),
    Dense: ((1,), 1),
}


# ---- weight blocks ------------------------------------------------------------------------------------------------


def _round_up(n: int, to: int) -> int:
    return (n + to - 1) // to * to


def blocks(units: int) -> list[tuple[int, int]]:
    """(first row, stored width) of every block: 16 rows, the last rounded up to a multiple of 4."""
    return [(row, min(BLOCK_ROWS, _round_up(units - row, GROUP))) for row in range(0, units, BLOCK_ROWS)]


def _rows(array: NDArray[Any], first: int, width: int) -> NDArray[Any]:
    """Rows ``first .. first + width`` of axis 1, zero-padded."""
    part = array[:, first : first + width]
    padding = [(0, 0)] * array.ndim
    padding[1] = (0, width - part.shape[1])
    return np.pad(part, padding)


def _bytes(array: NDArray[Any]) -> bytes:
    """Little-endian, whatever this machine is."""
    return array.astype(array.dtype.newbyteorder("<"), copy=False).tobytes()


def _padded(data: bytes) -> bytes:
    return data + bytes(-len(data) % ALIGN)


def _by_panel(array: NDArray[Any], sets: tuple[int, ...]) -> list[NDArray[Any]]:
    """Axis 0, the sets, cut into those of each panel."""
    return np.split(array, np.cumsum(sets)[:-1])


def _panel(rows: NDArray[Any], quantized: bool) -> bytes:
    """int8: [group][set][row][4 inputs]; float32: [group][set][4 inputs][row]; zero-padded to 64 bytes."""
    sets, width, inputs = rows.shape
    rows = np.pad(rows, ((0, 0), (0, 0), (0, -inputs % GROUP)))
    grouped = rows.reshape(sets, width, -1, GROUP)
    return _padded(_bytes(grouped.transpose((2, 0, 1, 3) if quantized else (2, 0, 3, 1))))


def _row_sums(rows: NDArray[Any]) -> bytes:
    """int32 [span][set][row]: sums of the weights of each span of 512 inputs."""
    spans = [rows[:, :, at : at + SPAN].sum(axis=2, dtype=np.int32) for at in range(0, rows.shape[2], SPAN)]
    return _bytes(np.stack(spans))


def _block(op: Cell | Dense, first: int, width: int) -> bytes:
    """Panels, scales, biases, row sums of ``width`` rows; zero-padded to 64 bytes."""
    sets, _ = PANELS[type(op)]
    panels = [part for matrix in op.matrices for part in _by_panel(_rows(matrix.values, first, width), sets)]
    scales = [_rows(matrix.scale, first, width) for matrix in op.matrices if matrix.scale is not None]
    parts = [_panel(rows, bool(scales)) for rows in panels]
    parts += map(_bytes, scales)
    parts.append(_bytes(_rows(op.bias, first, width)))
    parts += [_row_sums(rows) for rows in panels if scales]
    return _padded(b"".join(parts))


def weight_data(op: AnyOperator) -> bytes:
    """What an operator keeps in the data section, in the order in which a step reads it."""
    match op:
        case Cell() | Dense():
            return b"".join(_block(op, first, width) for first, width in blocks(op.bias.shape[1]))
        case Affine() | LayerNorm():
            return _padded(_bytes(op.scale) + _bytes(op.shift))
        case PRelu():
            return _padded(_bytes(op.slopes))
        case Select():
            return _padded(_bytes(op.indices))
        case Depthwise():
            return _padded(_bytes(op.taps) + _bytes(op.bias))
        case Embedding():
            scale = b"" if op.table.scale is None else _padded(_bytes(op.table.scale))
            return _padded(_bytes(op.table.values)) + scale
    return b""


class _Cursor:
    """Reads arrays off the data of an operator."""

    def __init__(self, data: memoryview) -> None:
        self.data = data
        self.at = 0

    def take(self, dtype: str, *shape: int) -> NDArray[Any]:
        count = int(np.prod(shape, dtype=np.int64))
        size = count * np.dtype(dtype).itemsize
        if self.at + size > len(self.data):
            raise FormatError("the weights of an operator end outside the data section")
        array = np.frombuffer(self.data, dtype, count, self.at).reshape(shape)
        self.at += size
        return array

    def align(self) -> None:
        self.at = _round_up(self.at, ALIGN)


def _read_panel(cursor: _Cursor, sets: int, width: int, inputs: int, quantized: bool) -> NDArray[Any]:
    groups = _round_up(inputs, GROUP) // GROUP
    if quantized:
        panel = cursor.take("i1", groups, sets, width, GROUP).transpose(1, 2, 0, 3)
    else:
        panel = cursor.take("<f4", groups, sets, GROUP, width).transpose(1, 3, 0, 2)
    cursor.align()
    return panel.reshape(sets, width, groups * GROUP)[:, :, :inputs]


def _read_blocks(
    data: memoryview, kind: type[Operator], units: int, inputs: tuple[int, ...], quantized: bool
) -> tuple[list[Matrix], Floats]:
    """Undo `_block`: matrices and biases of an operator whose matrices have the given numbers of inputs."""
    panels, biases = PANELS[kind]
    sets = sum(panels)
    cursor = _Cursor(data)
    values: list[list[NDArray[Any]]] = [[] for _ in inputs]
    scales: list[list[NDArray[Any]]] = [[] for _ in inputs]
    bias: list[NDArray[Any]] = []
    for _, width in blocks(units):
        for m, n in enumerate(inputs):
            values[m].append(np.concatenate([_read_panel(cursor, part, width, n, quantized) for part in panels]))
        if quantized:
            for m in range(len(inputs)):
                scales[m].append(cursor.take("<f4", sets, width))
        bias.append(cursor.take("<f4", biases, width))
        if quantized:
            for n in inputs:
                cursor.take("<i4", _round_up(n, SPAN) // SPAN, sets, width)
        cursor.align()
    matrices = [
        Matrix(
            np.ascontiguousarray(np.concatenate(values[m], axis=1)[:, :units]),
            np.ascontiguousarray(np.concatenate(scales[m], axis=1)[:, :units]) if quantized else None,
        )
        for m in range(len(inputs))
    ]
    return matrices, np.ascontiguousarray(np.concatenate(bias, axis=1)[:, :units])


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
    data_start = _round_up(tables + len(text), ALIGN)

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
        values = initial_state(program, program.operators[o])
        initial = 0
        if values.any():
            initial = data_start + len(data)
            data += _padded(_bytes(values))
        states.append(STATE.pack(o, floats, len(values), initial))
        floats += len(values)

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
        if self.kind is not StateRead and self.input >= values:
            raise FormatError(f"{self.where} has an unknown kind, format, function or value")
        inputs = 0 if self.kind is StateRead else tables.values[self.input][1]
        widths = self.units == tables.values[self.output][1] and self.inputs == inputs
        read = self.kind is StateRead or 0 < inputs <= MAX_WIDTH
        if not widths or not read or not 0 < self.units <= MAX_WIDTH:
            raise FormatError(f"{self.where} does not fit the widths of its values")
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
        return _Cursor(view[start:]).take("<f4", *shape).copy() if start else np.zeros(shape, np.float32)


def _fields(record: _Record, view: memoryview) -> tuple[Any, ...]:
    """The fields of an operator's class behind name, input and output, in its order."""
    units, inputs = record.units, record.inputs
    cursor = _Cursor(view[record.data : record.data + record.data_bytes])

    def floats(*shape: int) -> Floats:
        return cursor.take("<f4", *shape).copy()

    def blocks_of(*widths: int) -> tuple[list[Matrix], Floats]:
        return _read_blocks(cursor.data, record.kind, units, widths, record.weights == "int8")

    def cell(*state: int) -> tuple[Any, ...]:
        matrices, bias = blocks_of(inputs, units)
        return record.weights, record.activations, *matrices, bias, record.initial(view, *state), record.beta

    def dense() -> tuple[Any, ...]:
        (matrix,), bias = blocks_of(inputs)
        return record.weights, record.activations, matrix, bias, record.function, record.alpha, record.beta

    def embedding() -> tuple[Any, ...]:
        quantized, rows, width = record.weights == "int8", record.parameter, units // max(1, inputs)
        values = cursor.take("i1" if quantized else "<f4", rows, width).copy()
        cursor.align()
        return record.weights, Matrix(values, floats(rows) if quantized else None)

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
