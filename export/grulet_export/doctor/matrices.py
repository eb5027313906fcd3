"""The constant matrices of a graph, whatever the operator that multiplies by them, with a row for each result."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray
from onnx import NodeProto

from grulet_export.doctor.facts import GATES, Facts, attributes, input_of, operator_of

Numbers: TypeAlias = NDArray[Any]

#: Which inputs of an operator may be weights.
WEIGHT_INPUTS = {**dict.fromkeys(GATES, (1, 2)), "MatMul": (0, 1), "Gemm": (0, 1), "Conv": (1,)}


@dataclass(frozen=True)
class Matrix:
    """Constant weights of a node: (rows, inputs) floats; a row makes one number of the node's output."""

    node: NodeProto
    name: str
    rows: Numbers


def matrices(facts: Facts) -> Iterator[Matrix]:
    """Yield the constant matrices that vectors are multiplied by."""
    for node in facts.live:
        operator = operator_of(node)
        for place in WEIGHT_INPUTS.get(operator, ()):
            name = input_of(node, place)
            values = facts.constants.get(name)
            if values is not None and values.dtype.kind == "f" and values.ndim >= 2 and values.size:
                yield Matrix(node, name, _rows(node, operator, place, values))


def _rows(node: NodeProto, operator: str, place: int, values: Numbers) -> Numbers:
    if operator == "Conv":
        return values.reshape(len(values), -1)
    if operator in GATES:
        return values.reshape(-1, values.shape[-1])
    transposed = bool(operator == "Gemm" and attributes(node).get("transB" if place else "transA", 0))
    # A product sums over the columns of its first matrix and over the rows of its second one.
    if transposed != bool(place):
        values = np.swapaxes(values, -1, -2)
    return values.reshape(-1, values.shape[-1])
