"""Nodes with weights, all seen in one way, and what becomes of one in the file."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from grulet.operators import Matrix
from grulet_export.graph import Array, Dense, Embedding, Gru, Lstm, Rnn
from grulet_export.quantization.grids import Grid

Cell: TypeAlias = Gru | Lstm | Rnn
Weighted: TypeAlias = Cell | Dense | Embedding


@dataclass(frozen=True)
class QuantizedNode:
    """The weights of a node as the file stores them."""

    weights: str
    activations: str  # f32 where the weights are floats
    input_peak: float  # the static range of the input; 0: each frame's own
    matrices: tuple[Matrix, ...]  # in the order of `matrices_of`
    bias: Array  # as `bias_of` gives it


@dataclass(frozen=True)
class TrainedNode:
    """What training has settled of a node (`grulet_export.qat`): the grids, on which its weights lie already."""

    grids: tuple[Grid, ...]  # of its matrices, in the order of `matrices_of`
    activations: str  # f32 where the weights are floats

    @property
    def weights(self) -> str:
        """The format of its weights."""
        return self.grids[0].weights


def matrices_of(node: Weighted) -> tuple[Array, ...]:
    """The matrices of a node, each (sets, units, inputs): a cell's input and recurrent weights, a layer's, a table."""
    match node:
        case Dense():
            return (node.weights[None],)
        case Embedding():
            return (node.table[None],)
    return node.input_weights, node.recurrent_weights


def bias_of(node: Weighted) -> Array:
    """(biases, units) as the file's operator has them; of an embedding (0, width)."""
    match node:
        case Gru():
            (bz, br, bxn), (hz, hr, bhn) = node.input_bias, node.recurrent_bias
            return np.stack([bz + hz, br + hr, bxn, bhn])
        case Dense():
            return node.bias[None]
        case Embedding():
            return np.zeros((0, node.table.shape[1]), np.float32)
    return node.bias


def in_biases(node: Weighted, matrix: int, values: NDArray[np.float64]) -> NDArray[np.float64]:
    """(sets, units), something about the products with a matrix -> (biases, units), the biases that they meet."""
    if isinstance(node, Gru):  # n has a bias for the input's product and one for the state's
        nothing = np.zeros_like(values[2])
        z, r, n = values
        return np.stack([z, r, n, nothing] if matrix == 0 else [z, r, nothing, n])
    return values


def with_weights(node: Weighted, matrices: tuple[Array, ...], bias: Array) -> Weighted:
    """Return the node with other weights, in the forms of `matrices_of` and `bias_of`."""
    match node:
        case Gru():
            z, r, n_input, n_recurrent = bias
            nothing = np.zeros_like(z)
            biases = np.stack([z, r, n_input]), np.stack([nothing, nothing, n_recurrent])
            return replace(
                node,
                input_weights=matrices[0],
                recurrent_weights=matrices[1],
                input_bias=biases[0],
                recurrent_bias=biases[1],
            )
        case Dense():
            return replace(node, weights=matrices[0][0], bias=bias[0])
        case Embedding():
            return replace(node, table=matrices[0][0])
    return replace(node, input_weights=matrices[0], recurrent_weights=matrices[1], bias=bias)


def in_floats(node: Weighted) -> QuantizedNode:
    """Return the node as it is: float32 weights."""
    matrices = tuple(Matrix(np.ascontiguousarray(values, np.float32)) for values in matrices_of(node))
    return QuantizedNode("f32", "f32", 0.0, matrices, np.ascontiguousarray(bias_of(node), np.float32))
