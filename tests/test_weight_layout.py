"""Where weights lie in a file: a reader written from docs/format.md alone, number by number, for every format."""

import struct
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pytest
from programs import Builder

import grulet
from grulet import format as grulet_format

BITS = {"f32": 32, "f16": 16, "int8": 8, "int4": 4.25}
INTEGERS = ("int8", "int4")
PANELS = {"gru": (3,), "lstm": (3, 1), "rnn": (1,), "dense": (1,)}  # sets of rows
BIASES = {"gru": 4, "lstm": 4, "rnn": 1, "dense": 1}

Weights = dict[tuple[int, int, int], float]  # (set, unit, input) -> weight


def activations(weights: str) -> str:
    """What goes with weights of a format."""
    return "int16" if weights in INTEGERS else "f32"


def up(n: int, to: int) -> int:
    """``n`` rounded up to a multiple of ``to``."""
    return -(-n // to) * to


def number(data: bytes, kind: str, at: int) -> float:
    """One number, by its letter in `struct`."""
    return float(struct.unpack_from(f"<{kind}", data, at)[0])


# ---- blocks ---------------------------------------------------------------------------------------------------------


@dataclass
class Panel:
    """``sets`` sets of rows of a matrix, from ``first`` on, and where its parts lie in the operator's data."""

    matrix: int
    first: int
    sets: int
    inputs: int
    weights: int = 0
    scales: int = 0
    row_sums: int = 0
    multipliers: int = 0


@dataclass
class Block:
    """Panels of ``width`` stored rows of an operator of some kind, from ``start`` to ``end``."""

    weights: str
    kind: str
    inputs: tuple[int, ...]  # of the matrices
    width: int
    start: int
    end: int = 0
    panels: list[Panel] = field(default_factory=list)

    def __post_init__(self) -> None:
        at, sets = self.start, sum(PANELS[self.kind])
        for m, n in enumerate(self.inputs):
            for p, count in enumerate(PANELS[self.kind]):
                self.panels.append(Panel(m, sum(PANELS[self.kind][:p]), count, n, at))
                stored = {"f32": 4 * up(n, 4), "f16": 2 * up(n, 4), "int8": up(n, 4), "int4": up(n, 8) // 2}
                at += up(stored[self.weights] * self.width * count, 64)
        if self.weights in INTEGERS:
            for panel in self.panels:
                panel.scales = at + 4 * (panel.matrix * sets + panel.first) * self.width
            at += 4 * len(self.inputs) * sets * self.width
        at += 4 * BIASES[self.kind] * self.width
        if self.weights in INTEGERS:
            for panel in self.panels:
                panel.row_sums = at
                at += 4 * up(panel.inputs, 512) // 512 * panel.sets * self.width
        if self.weights == "int4":
            for panel in self.panels:
                panel.multipliers = at
                at += up(panel.inputs, 32) // 32 * panel.sets * self.width
        self.end = up(at, 64)

    def stored(self, data: bytes, panel: Panel, s: int, row: int, i: int) -> float:
        """A weight as it is in the panel."""
        if self.weights == "int4":
            byte = data[panel.weights + ((i // 8 * panel.sets + s) * self.width + row) * 4 + i % 4]
            return (byte >> 4 if i // 4 % 2 else byte & 15) - 8
        if self.weights == "int8":
            return number(data, "b", panel.weights + ((i // 4 * panel.sets + s) * self.width + row) * 4 + i % 4)
        at = ((i // 4 * panel.sets + s) * 4 + i % 4) * self.width + row
        size, kind = {"f32": (4, "f"), "f16": (2, "e")}[self.weights]
        return number(data, kind, panel.weights + size * at)

    def row(self, data: bytes, panel: Panel, s: int, row: int) -> Iterator[float]:
        """What the weights of a row mean; the row sums are checked on the way."""
        sums = [0.0] * (up(panel.inputs, 512) // 512)
        for i in range(panel.inputs):
            value = self.stored(data, panel, s, row, i)
            if self.weights == "int4":
                value *= number(data, "b", panel.multipliers + (i // 32 * panel.sets + s) * self.width + row)
            sums[i // 512] += value
            if self.weights in INTEGERS:
                value *= number(data, "f", panel.scales + 4 * (s * self.width + row))
            yield value
        for span, total in enumerate(sums if self.weights in INTEGERS else []):
            assert total == number(data, "i", panel.row_sums + 4 * ((span * panel.sets + s) * self.width + row))


def as_specified(data: bytes, weights: str, kind: str, units: int, inputs: tuple[int, ...]) -> list[Weights]:
    """The matrices of an operator."""
    found: list[Weights] = [{} for _ in inputs]
    at = 0
    for first in range(0, units, 16):
        block = Block(weights, kind, inputs, min(16, up(units - first, 4)), at)
        at = block.end
        for panel in block.panels:
            for s, row in np.ndindex(panel.sets, min(16, units - first)):
                for i, value in enumerate(block.row(data, panel, s, row)):
                    found[panel.matrix][panel.first + s, first + row, i] = value
    assert at == len(data)
    return found


def meaning(matrix: Any) -> Any:
    """What the weights of a program stand for, in float64: products of two or three short numbers, so exact."""
    values = matrix.values.astype(np.float64)
    for i in range(values.shape[2]):
        values[:, :, i] *= 1 if matrix.multipliers is None else matrix.multipliers[:, :, i // 32]
    return values if matrix.scale is None else values * matrix.scale.astype(np.float64)[:, :, None]


@pytest.mark.parametrize(("inputs", "units"), [(70, 19), (3, 36), (5, 1), (32, 16), (33, 7)])
@pytest.mark.parametrize("kind", PANELS)
@pytest.mark.parametrize("weights", BITS)
def test_blocks(weights: str, kind: str, inputs: int, units: int) -> None:
    """Every weight of every matrix is where the specification says."""
    builder = Builder(3, weights, activations(weights))
    x = builder.input("input", inputs)
    builder.output("output", builder.dense(x, units) if kind == "dense" else builder.cell(kind, x, units))
    op = builder.program().operators[0]
    widths = (inputs,) if kind == "dense" else (inputs, units)
    found = as_specified(grulet_format.weight_data(op), weights, kind, units, widths)
    for matrix, weights_found in zip(op.matrices, found, strict=True):
        assert weights_found == dict(np.ndenumerate(meaning(matrix)))


@pytest.mark.parametrize("weights", BITS)
def test_a_block_of_several_spans(weights: str) -> None:
    """More than 512 inputs: a second row sum, and multipliers of 33 groups."""
    builder = Builder(5, weights, activations(weights))
    builder.output("output", builder.dense(builder.input("input", 1030), 3))
    op = builder.program().operators[0]
    found = as_specified(grulet_format.weight_data(op), weights, "dense", 3, (1030,))
    assert found == [dict(np.ndenumerate(meaning(op.matrices[0])))]


@pytest.mark.parametrize(("weights", "block"), [("f32", 20224), ("f16", 10240), ("int8", 6016), ("int4", 3712)])
def test_size_of_the_example(weights: str, block: int) -> None:
    """The GRU of 40 inputs and 64 units that docs/format.md computes; a step reads so many bytes."""
    builder = Builder(0, weights, activations(weights))
    builder.output("output", builder.gru(builder.input("input", 40), 64))
    model = grulet.load(grulet_format.write(builder.program()))
    assert model.weight_bytes == model.ops[0].weight_bytes == 4 * block
    assert model.ops[0].weight_bits == BITS[weights]
    assert f" {weights:<7} {BITS[weights]:>4g} {activations(weights)} " in model.describe()


# ---- tables of embeddings -------------------------------------------------------------------------------------------


@pytest.mark.parametrize("width", [1, 5, 32, 37, 65])
@pytest.mark.parametrize("weights", BITS)
def test_tables(weights: str, width: int) -> None:
    """Rows of an embedding, their multipliers and scales; a model says that a step reads three rows."""
    builder = Builder(4, weights, activations(weights))
    tokens = builder.input("tokens", 3, 11)
    builder.output("output", builder.embedding(tokens, width, style="mixed"))
    program = builder.program()
    table, data = program.operators[0].table, grulet_format.weight_data(program.operators[0])
    row = {"f32": 4 * width, "f16": 2 * width, "int8": width, "int4": up(width, 2) // 2}[weights]
    groups = up(width, 32) // 32 if weights == "int4" else 0
    multipliers = up(11 * row, 64)
    scales = multipliers + up(11 * groups, 64)
    for (r, i), value in np.ndenumerate(table.values):
        if weights == "int4":
            byte = data[r * row + i // 2]
            assert (byte >> 4 if i % 2 else byte & 15) - 8 == value
            assert number(data, "b", multipliers + r * groups + i // 32) == table.multipliers[r, i // 32]
        else:
            kind, size = {"f32": ("f", 4), "f16": ("e", 2), "int8": ("b", 1)}[weights]
            assert number(data, kind, r * row + size * i) == value
        if weights in INTEGERS:
            assert number(data, "f", scales + 4 * r) == table.scale[r]
    assert len(data) == (scales + 64 if weights in INTEGERS else scales)
    model = grulet.load(grulet_format.write(program))
    assert model.weight_bytes == model.ops[0].weight_bytes == 3 * row


# ---- what does not fit ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("value", [-9, 8, 127, -128])
@pytest.mark.parametrize("kind", ["gru", "embedding"])
def test_write_refuses_int4_weights_of_more_than_four_bits(kind: str, value: int) -> None:
    """A weight that does not fit would change its neighbour: the writer refuses it."""
    builder = Builder(1, "int4", "int16")
    source = builder.input("input", 3, 9 if kind == "embedding" else 0)
    builder.output("output", builder.embedding(source, 5) if kind == "embedding" else builder.gru(source, 5))
    program = builder.program()
    op = program.operators[0]
    (op.table if kind == "embedding" else op.recurrent_matrix).values.reshape(-1)[7] = value
    with pytest.raises(grulet.FormatError, match="int4 weights are -8 to 7"):
        grulet_format.write(program)
