"""How weights lie in a file (docs/format.md, "Weights"), both ways: blocks of rows, their panels, tables of embeddings.

Formats are called as in a file: f32, f16, int8, int4.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from grulet.errors import FormatError
from grulet.operators import WEIGHT_GROUP, Cell, Dense, Floats, Gru, Lstm, Matrix, Operator, Rnn
from grulet.tables import ALIGN

BLOCK_ROWS = 16
GROUP = 4  # inputs
SPAN = 512  # inputs whose integer products are summed exactly in int32

#: What one element of a panel or a table is; of int4, two weights.
STORED = {"f32": "<f4", "f16": "<f2", "int8": "i1", "int4": "u1"}
#: Weights that are integers, with a scale for each row: they multiply int16 or int8 activations.
QUANTIZED = ("int8", "int4")

#: How the sets of rows of an operator with blocks of weights lie: sets of one panel each, and rows of biases.
PANELS: dict[type[Operator], tuple[tuple[int, ...], int]] = {
    Gru: ((3,), 4),
    Lstm: ((3, 1), 4),
    Rnn: ((1,), 1),
    Dense: ((1,), 1),
}


# ---- bytes ----------------------------------------------------------------------------------------------------------


def round_up(n: int, to: int) -> int:
    """The smallest multiple of ``to`` that is at least ``n``."""
    return (n + to - 1) // to * to


def to_bytes(array: NDArray[Any]) -> bytes:
    """Little-endian, whatever this machine is."""
    return array.astype(array.dtype.newbyteorder("<"), copy=False).tobytes()


def padded(data: bytes) -> bytes:
    """Zeros behind, up to a multiple of 64 bytes."""
    return data + bytes(-len(data) % ALIGN)


class Cursor:
    """Reads arrays off the data of an operator."""

    def __init__(self, data: memoryview) -> None:
        self.data = data
        self.at = 0

    def take(self, dtype: str, *shape: int) -> NDArray[Any]:
        """The next array."""
        count = int(np.prod(shape, dtype=np.int64))
        size = count * np.dtype(dtype).itemsize
        if self.at + size > len(self.data):
            raise FormatError("the weights of an operator end outside the data section")
        array = np.frombuffer(self.data, dtype, count, self.at).reshape(shape)
        self.at += size
        return array

    def align(self) -> None:
        """Skip to the next multiple of 64 bytes."""
        self.at = round_up(self.at, ALIGN)


# ---- two weights in a byte ------------------------------------------------------------------------------------------


def _to_nibbles(values: NDArray[np.int8], run: int) -> NDArray[np.uint8]:
    """int4 weights + 8, two a byte: of 2 ``run`` columns the first ``run`` low, the others high; missing ones are 0."""
    if values.size and (values.min() < -8 or values.max() > 7):
        raise FormatError(f"int4 weights are -8 to 7, not {values.min()} to {values.max()}")
    missing = [(0, 0)] * (values.ndim - 1) + [(0, -values.shape[-1] % (2 * run))]
    pairs = (np.pad(values, missing) + 8).astype(np.uint8).reshape(*values.shape[:-1], -1, 2, run)
    return np.asarray(pairs[..., 0, :] | pairs[..., 1, :] << 4, np.uint8).reshape(*values.shape[:-1], -1)


def _from_nibbles(data: NDArray[np.uint8], run: int) -> NDArray[np.int8]:
    """Undo `_to_nibbles`, missing columns included."""
    runs = data.reshape(*data.shape[:-1], -1, 1, run)
    pairs = np.concatenate([runs & 15, runs >> 4], axis=-2)
    return pairs.reshape(*data.shape[:-1], -1).astype(np.int8) - np.int8(8)


# ---- blocks ---------------------------------------------------------------------------------------------------------


def blocks(units: int) -> list[tuple[int, int]]:
    """(first row, stored width) of every block: 16 rows, the last rounded up to a multiple of 4."""
    return [(row, min(BLOCK_ROWS, round_up(units - row, GROUP))) for row in range(0, units, BLOCK_ROWS)]


def _rows(array: NDArray[Any], first: int, width: int) -> NDArray[Any]:
    """Rows ``first .. first + width`` of axis 1, zero-padded."""
    part = array[:, first : first + width]
    padding = [(0, 0)] * array.ndim
    padding[1] = (0, width - part.shape[1])
    return np.pad(part, padding)


def _by_panel(array: NDArray[Any], sets: tuple[int, ...]) -> list[NDArray[Any]]:
    """Axis 0, the sets, cut into those of each panel."""
    return np.split(array, np.cumsum(sets)[:-1])


def _panel(rows: NDArray[Any], weights: str) -> bytes:
    """Integers: [group][set][row][4 inputs]; floats: [group][set][4 inputs][row]; zero-padded to 64 bytes."""
    stored = _to_nibbles(rows, GROUP) if weights == "int4" else rows
    sets, width, columns = stored.shape
    stored = np.pad(stored, ((0, 0), (0, 0), (0, -columns % GROUP)))
    grouped = stored.reshape(sets, width, -1, GROUP)
    return padded(to_bytes(grouped.transpose((2, 0, 1, 3) if weights in QUANTIZED else (2, 0, 3, 1))))


def _read_panel(cursor: Cursor, weights: str, sets: int, width: int, inputs: int) -> NDArray[Any]:
    """Undo `_panel`: (sets, width, inputs)."""
    groups = -(-inputs // (2 * GROUP if weights == "int4" else GROUP))
    if weights in QUANTIZED:
        panel = cursor.take(STORED[weights], groups, sets, width, GROUP).transpose(1, 2, 0, 3)
    else:
        panel = cursor.take(STORED[weights], groups, sets, GROUP, width).transpose(1, 3, 0, 2)
    cursor.align()
    stored = panel.reshape(sets, width, groups * GROUP)
    return (_from_nibbles(stored, GROUP) if weights == "int4" else stored)[:, :, :inputs]


def _row_sums(rows: NDArray[np.int8]) -> bytes:
    """int32 [span][set][row]: sums of the weights of each span of 512 inputs."""
    spans = [rows[:, :, at : at + SPAN].sum(axis=2, dtype=np.int32) for at in range(0, rows.shape[2], SPAN)]
    return to_bytes(np.stack(spans))


def _block(op: Cell | Dense, first: int, width: int) -> bytes:
    """Panels, scales, biases, row sums, multipliers of ``width`` rows; zero-padded to 64 bytes."""
    sets, _ = PANELS[type(op)]

    def panels(arrays: list[NDArray[Any]]) -> list[NDArray[Any]]:
        return [part for array in arrays for part in _by_panel(_rows(array, first, width), sets)]

    parts = [_panel(rows, op.weights) for rows in panels([matrix.values for matrix in op.matrices])]
    parts += [to_bytes(_rows(matrix.scale, first, width)) for matrix in op.matrices if matrix.scale is not None]
    parts.append(to_bytes(_rows(op.bias, first, width)))
    if op.weights in QUANTIZED:
        parts += map(_row_sums, panels([matrix.integers for matrix in op.matrices]))
    multipliers = [matrix.multipliers for matrix in op.matrices if matrix.multipliers is not None]
    parts += [to_bytes(part.transpose(2, 0, 1)) for part in panels(multipliers)]
    return padded(b"".join(parts))


def block_bytes(op: Cell | Dense) -> bytes:
    """All blocks of an operator."""
    return b"".join(_block(op, first, width) for first, width in blocks(op.bias.shape[1]))


def read_blocks(
    data: memoryview, kind: type[Operator], units: int, inputs: tuple[int, ...], weights: str
) -> tuple[list[Matrix], Floats]:
    """Undo `block_bytes`: matrices and biases of an operator whose matrices have the given numbers of inputs."""
    panels, biases = PANELS[kind]
    sets = sum(panels)
    cursor = Cursor(data)
    values: list[list[NDArray[Any]]] = [[] for _ in inputs]
    scales: list[list[NDArray[Any]]] = [[] for _ in inputs]
    multipliers: list[list[NDArray[Any]]] = [[] for _ in inputs]
    bias: list[NDArray[Any]] = []
    for _, width in blocks(units):
        for m, n in enumerate(inputs):
            values[m].append(np.concatenate([_read_panel(cursor, weights, part, width, n) for part in panels]))
        if weights in QUANTIZED:
            for m in range(len(inputs)):
                scales[m].append(cursor.take("<f4", sets, width))
        bias.append(cursor.take("<f4", biases, width))
        if weights in QUANTIZED:
            for n in inputs:
                cursor.take("<i4", -(-n // SPAN), sets, width)  # row sums, which follow from the weights
        if weights == "int4":
            for m, n in enumerate(inputs):
                taken = [cursor.take("i1", -(-n // WEIGHT_GROUP), part, width) for part in panels]
                multipliers[m].append(np.concatenate([part.transpose(1, 2, 0) for part in taken]))
        cursor.align()

    def joined(parts: list[NDArray[Any]]) -> Any:
        return np.ascontiguousarray(np.concatenate(parts, axis=1)[:, :units]) if parts else None

    matrices = [Matrix(*map(joined, parts)) for parts in zip(values, scales, multipliers, strict=True)]
    return matrices, joined(bias)


# ---- tables of embeddings -------------------------------------------------------------------------------------------


def table_bytes(table: Matrix, weights: str) -> bytes:
    """Rows, multipliers, scales: what the format has of them, each zero-padded to 64 bytes."""
    rows = _to_nibbles(np.asarray(table.values, np.int8), 1) if weights == "int4" else table.values
    parts = [part for part in (rows, table.multipliers, table.scale) if part is not None]
    return b"".join(padded(to_bytes(part)) for part in parts)


def read_table(data: memoryview, rows: int, width: int, weights: str) -> Matrix:
    """Undo `table_bytes`."""
    cursor = Cursor(data)

    def take(dtype: str, *shape: int) -> NDArray[Any]:
        array = cursor.take(dtype, *shape).copy()
        cursor.align()
        return array

    if weights == "int4":
        values = _from_nibbles(take("u1", rows, -(-width // 2)), 1)[:, :width].copy()
        multipliers = take("i1", rows, -(-width // WEIGHT_GROUP))
        return Matrix(values, take("<f4", rows), multipliers)
    values = take(STORED[weights], rows, width)
    return Matrix(values, take("<f4", rows) if weights in QUANTIZED else None)


def row_bytes(width: int, weights: str) -> int:
    """Bytes of one row of a table, without its scale and multipliers."""
    return -(-width // 2) if weights == "int4" else width * np.dtype(STORED[weights]).itemsize
