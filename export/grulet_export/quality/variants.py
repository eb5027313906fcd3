"""Programs between the float one and the quantized one: a single operator quantized, or its weights only."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from grulet.format import LEVELS
from grulet.operators import AnyOperator, Dense, Embedding, Gru, Lstm, Matrix, Program, Rnn
from grulet_export.graph import Array

#: Operators whose weights have a format.
Weighted: TypeAlias = Gru | Lstm | Rnn | Dense | Embedding


def weighted(program: Program) -> list[tuple[int, Weighted]]:
    """Operators with weights, and their places in the program."""
    return [(i, op) for i, op in enumerate(program.operators) if isinstance(op, Weighted)]


@dataclass(frozen=True)
class Weights:
    """A matrix of an operator: as the file has it, the values (..., inputs) it stands for, and a step of each row.

    ``step`` (...) float64 is None for floats; it does not hold the level of the hidden state.
    """

    matrix: Matrix
    values: Array
    step: NDArray[np.float64] | None

    @classmethod
    def of(cls, matrix: Matrix, level: int = 1) -> Weights:
        """``level``: what a recurrent matrix's scale is divided by."""
        if matrix.scale is None:
            return cls(matrix, np.asarray(matrix.values, np.float32), None)
        step = matrix.scale.astype(np.float64) * level
        return cls(matrix, (matrix.integers * step[..., None]).astype(np.float32), step)


def matrices(op: Weighted) -> dict[str, Weights]:
    """Return an operator's matrices by name: "input" and "recurrent", or the "table" of an embedding."""
    if isinstance(op, Embedding):
        return {"table": Weights.of(op.table)}
    if isinstance(op, Dense):
        return {"input": Weights.of(op.matrix)}
    level = LEVELS.get(op.activations, 1)
    return {"input": Weights.of(op.input_matrix), "recurrent": Weights.of(op.recurrent_matrix, level)}


def same_structure(a: Program, b: Program) -> bool:
    """Whether the programs differ in weights and formats only, so that an operator of one fits into the other."""
    return (
        [value.width for value in a.values] == [value.width for value in b.values]
        and (a.inputs, a.outputs) == (b.inputs, b.outputs)
        and [_wiring(op) for op in a.operators] == [_wiring(op) for op in b.operators]
    )


def _wiring(op: AnyOperator) -> tuple[object, ...]:
    return type(op), op.name, op.input, op.output, getattr(op, "second_input", None), op.loop, op.reverse


def with_operator(program: Program, index: int, op: AnyOperator) -> Program:
    """The program with another operator in one place."""
    operators = list(program.operators)
    operators[index] = op
    return replace(program, operators=tuple(operators))


def unrounded_activations(op: Weighted) -> Weighted:
    """The operator with its rounded weights as float32, so that nothing rounds what they multiply."""
    floats = {name: Matrix(weights.values) for name, weights in matrices(op).items()}
    if isinstance(op, Embedding):
        return replace(op, weights="f32", table=floats["table"])
    if isinstance(op, Dense):
        return replace(op, weights="f32", activations="f32", input_peak=0.0, matrix=floats["input"])
    return replace(
        op,
        weights="f32",
        activations="f32",
        input_peak=0.0,
        input_matrix=floats["input"],
        recurrent_matrix=floats["recurrent"],
    )
