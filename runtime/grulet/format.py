"""The only reader and writer of `.grulet` files (docs/format.md), in numpy.

`read(data)` gives a `Program` with plain matrices, `write(program)` gives the file's bytes; `write(read(data)) == data`
for every allowed file, because the format leaves no choice to the writer.  Opening a file to run it is the C library's
work (`grulet.load`); this module is for the exporter, the numpy oracle, `grulet inspect` and for explaining a refusal.
"""

from __future__ import annotations

import json
import struct
import zlib
from dataclasses import dataclass, field
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from grulet.errors import FormatError
from grulet.tables import ALIGN, HEADER, MAX_RECORDS, OP, PORT, STATE, VALUE, Tables, tables_of

MAGIC = b"\x89GRULET\n"
VERSION = 1
BLOCK_ROWS = 16
GROUP = 4  # inputs
SPAN = 512  # inputs whose integer products are summed exactly in int32
MAX_WIDTH = 65536
SILENCE = np.float32(2.0**-100)  # an input peak below this counts as silence
NONE = 0xFFFFFFFF

WEIGHTS = ("none", "f32", "int8")
ACTIVATIONS = ("f32", "int16", "int8")
LEVELS = {"int16": 32767, "int8": 127}
FUNCTIONS = ("none", "relu", "leaky_relu", "sigmoid", "tanh", "softmax")
KINDS = {1: "gru", 2: "dense", 3: "activation"}

Floats: TypeAlias = NDArray[np.float32]


@dataclass(frozen=True)
class Value:
    """A float32 vector of ``width`` elements at ``offset`` (in elements) of the frame's arena."""

    offset: int
    width: int


@dataclass(frozen=True)
class Port:
    """A named input or output: a slice of the model's input or output vector."""

    name: str
    value: int


@dataclass(frozen=True)
class Matrix:
    """Weights of one operand.

    ``values``: (sets, units, inputs), float32, or int8 in [-127, 127] with ``scale`` (sets, units) float32; an int8
    weight means ``values * scale``, where a recurrent matrix's scale already holds the level of the hidden state
    (1 / 32767 or 1 / 127).
    """

    values: NDArray[np.float32] | NDArray[np.int8]
    scale: Floats | None = None


@dataclass(frozen=True)
class Operator:
    """What all operators have: a name for humans, an input value and an output value (indices)."""

    name: str
    input: int
    output: int


@dataclass(frozen=True)
class Gru(Operator):
    """A GRU layer, linear_before_reset=1, gates z, r, n.

    ``bias`` (4, units): z (input and recurrent bias added), r (likewise), n's input bias, n's recurrent bias.
    ``input_peak``: the static range of a quantized input, 0 for each frame's own largest magnitude.
    """

    weights: str
    activations: str
    input_matrix: Matrix
    recurrent_matrix: Matrix
    bias: Floats
    initial_state: Floats
    input_peak: float = 0.0

    @property
    def matrices(self) -> tuple[Matrix, ...]:
        """The operator's matrices, in the order of the file."""
        return self.input_matrix, self.recurrent_matrix


@dataclass(frozen=True)
class Dense(Operator):
    """``function(matrix @ x + bias)``; ``bias`` (1, units), ``matrix.values`` (1, units, inputs)."""

    weights: str
    activations: str
    matrix: Matrix
    bias: Floats
    function: str = "none"
    alpha: float = 0.0
    input_peak: float = 0.0

    @property
    def matrices(self) -> tuple[Matrix, ...]:
        """The operator's matrices, in the order of the file."""
        return (self.matrix,)


@dataclass(frozen=True)
class Activation(Operator):
    """A function applied to a vector."""

    function: str
    alpha: float = 0.0


AnyOperator: TypeAlias = Gru | Dense | Activation


@dataclass(frozen=True)
class Text:
    """What humans read: JSON at the end of the tables."""

    exporter: str
    source_sha256: str
    metadata: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Program:
    """A whole file."""

    inputs: tuple[Port, ...]
    outputs: tuple[Port, ...]
    values: tuple[Value, ...]
    operators: tuple[AnyOperator, ...]
    arena_floats: int
    text: Text

    def width(self, value: int) -> int:
        """Elements of a value."""
        return self.values[value].width

    @property
    def input_width(self) -> int:
        """Elements of the input vector of a frame."""
        return sum(self.width(port.value) for port in self.inputs)

    @property
    def output_width(self) -> int:
        """Elements of the output vector of a frame."""
        return sum(self.width(port.value) for port in self.outputs)


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


def _panel(matrix: Matrix, first: int, width: int) -> bytes:
    """int8: [group][set][row][4 inputs]; float32: [group][set][4 inputs][row]; zero-padded to 64 bytes."""
    rows = _rows(matrix.values, first, width)
    sets, _, inputs = rows.shape
    rows = np.pad(rows, ((0, 0), (0, 0), (0, -inputs % GROUP)))
    grouped = rows.reshape(sets, width, -1, GROUP)
    order = (2, 0, 3, 1) if matrix.scale is None else (2, 0, 1, 3)
    return _padded(_bytes(grouped.transpose(order)))


def _row_sums(matrix: Matrix, first: int, width: int) -> bytes:
    """int32 [span][set][row]: sums of the weights of each span of 512 inputs."""
    rows = _rows(matrix.values, first, width).astype(np.int32)
    spans = [rows[:, :, at : at + SPAN].sum(axis=2, dtype=np.int32) for at in range(0, rows.shape[2], SPAN)]
    return _bytes(np.stack(spans))


def _block(op: Gru | Dense, first: int, width: int) -> bytes:
    """Panels, scales, biases, row sums of ``width`` rows; zero-padded to 64 bytes."""
    matrices = op.matrices
    parts = [_panel(matrix, first, width) for matrix in matrices]
    quantized = [matrix for matrix in matrices if matrix.scale is not None]
    parts += [_bytes(_rows(matrix.scale, first, width)) for matrix in quantized if matrix.scale is not None]
    parts.append(_bytes(_rows(op.bias, first, width)))
    parts += [_row_sums(matrix, first, width) for matrix in quantized]
    return _padded(b"".join(parts))


def weight_data(op: AnyOperator) -> bytes:
    """All blocks of an operator, in the order in which a step reads them."""
    if isinstance(op, Activation):
        return b""
    return b"".join(_block(op, first, width) for first, width in blocks(op.bias.shape[1]))


class _Cursor:
    """Reads arrays off a block."""

    def __init__(self, data: memoryview) -> None:
        self.data = data
        self.at = 0

    def take(self, dtype: str, *shape: int) -> NDArray[Any]:
        count = int(np.prod(shape))
        size = count * np.dtype(dtype).itemsize
        if self.at + size > len(self.data):
            raise FormatError("the weights of an operator end outside the data section")
        array = np.frombuffer(self.data, dtype, count, self.at).reshape(shape)
        self.at += size
        return array

    def align(self) -> None:
        self.at = _round_up(self.at, ALIGN)


def _read_weights(
    data: memoryview, sets: int, biases: int, units: int, inputs: tuple[int, ...], quantized: bool
) -> tuple[list[Matrix], Floats]:
    """Undo `weight_data`: matrices and biases of an operator whose matrices have the given numbers of inputs."""
    cursor = _Cursor(data)
    values: list[list[NDArray[Any]]] = [[] for _ in inputs]
    scales: list[list[NDArray[Any]]] = [[] for _ in inputs]
    bias: list[NDArray[Any]] = []
    for _, width in blocks(units):
        for m, n in enumerate(inputs):
            groups = _round_up(n, GROUP) // GROUP
            if quantized:
                panel = cursor.take("i1", groups, sets, width, GROUP).transpose(1, 2, 0, 3)
            else:
                panel = cursor.take("<f4", groups, sets, GROUP, width).transpose(1, 3, 0, 2)
            values[m].append(panel.reshape(sets, width, groups * GROUP)[:, :, :n])
            cursor.align()
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
    return PORT.pack(port.value, 0, 0, name)


def _op_record(program: Program, op: AnyOperator, state: int, data: int, data_bytes: int) -> bytes:
    kind = {Gru: 1, Dense: 2, Activation: 3}[type(op)]
    weights = "none" if isinstance(op, Activation) else op.weights
    activations = "f32" if isinstance(op, Activation) else op.activations
    function = "none" if isinstance(op, Gru) else op.function
    return OP.pack(
        kind, op.input, op.output, NONE, WEIGHTS.index(weights), ACTIVATIONS.index(activations),
        program.width(op.input), program.width(op.output), FUNCTIONS.index(function),
        0.0 if isinstance(op, Gru) else op.alpha, 0.0 if isinstance(op, Activation) else op.input_peak,
        state, data, data_bytes, 0, 0,
    )  # fmt: skip


def write(program: Program) -> bytes:
    """Bytes of the file.

    Raises `FormatError` for names, text and sizes that cannot be written; whether the program keeps the other rules of
    docs/format.md, opening the file tells.
    """
    text = _text(program)
    gru_layers = [(o, op) for o, op in enumerate(program.operators) if isinstance(op, Gru)]
    tables = HEADER.size + PORT.size * (len(program.inputs) + len(program.outputs))
    tables += OP.size * len(program.operators) + STATE.size * len(gru_layers) + VALUE.size * len(program.values)
    data_start = _round_up(tables + len(text), ALIGN)

    data = bytearray()
    ops = []
    state_of = {o: s for s, (o, _) in enumerate(gru_layers)}
    for o, op in enumerate(program.operators):
        weights = weight_data(op)
        ops.append(
            _op_record(program, op, state_of.get(o, NONE), data_start + len(data) if weights else 0, len(weights))
        )
        data += weights
    states = []
    state_floats = 0
    for o, op in gru_layers:
        initial = 0
        if op.initial_state.any():
            initial = data_start + len(data)
            data += _padded(_bytes(op.initial_state))
        states.append(STATE.pack(o, state_floats, len(op.initial_state), initial))
        state_floats += len(op.initial_state)

    file_bytes = data_start + len(data)
    if file_bytes > 0x7FFFFFFF:
        raise FormatError(f"the file would have {file_bytes} bytes; the format allows 2^31 - 1")
    counts = (len(program.inputs), len(program.outputs), len(program.values), len(ops), len(states))
    if max(counts) > MAX_RECORDS:
        raise FormatError(f"a table has {max(counts)} records; the format allows {MAX_RECORDS}")
    header = [MAGIC, VERSION, 0, file_bytes, *counts, program.arena_floats, state_floats, len(text), data_start]
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


def _operator(tables: Tables, o: int, view: memoryview) -> AnyOperator:
    record, name = tables.records[o], tables.names[o]
    kind, source, target, _, weights, activations, inputs, units, function, alpha, peak, state, data, size = record[:14]
    in_range = kind in KINDS and weights < len(WEIGHTS) and activations < len(ACTIVATIONS)
    if not in_range or function >= len(FUNCTIONS) or max(source, target) >= len(tables.values):
        raise FormatError(f"operator {o} ({name!r}) has an unknown kind, format, function or value")
    if (
        inputs != tables.values[source][1]
        or units != tables.values[target][1]
        or not (0 < units <= MAX_WIDTH and 0 < inputs <= MAX_WIDTH)
    ):
        raise FormatError(f"operator {o} ({name!r}) does not fit the widths of its values")
    if KINDS[kind] == "activation":
        return Activation(name, source, target, FUNCTIONS[function], alpha)
    quantized = WEIGHTS[weights] == "int8"
    part = view[data : data + size]
    formats = (WEIGHTS[weights], ACTIVATIONS[activations])
    if KINDS[kind] == "dense":
        (matrix,), bias = _read_weights(part, 1, 1, units, (inputs,), quantized)
        return Dense(name, source, target, *formats, matrix, bias, FUNCTIONS[function], alpha, peak)
    matrices, bias = _read_weights(part, 3, 4, units, (inputs, units), quantized)
    if state >= len(tables.states):
        raise FormatError(f"operator {o} ({name!r}) names a state that does not exist")
    initial = np.zeros(units, np.float32)
    if tables.states[state][3]:
        initial = _Cursor(view[tables.states[state][3] :]).take("<f4", units).copy()
    return Gru(name, source, target, *formats, matrices[0], matrices[1], bias, initial, peak)


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
