"""From the float weights of a graph to those of the file."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from grulet.errors import GruletError
from grulet.progress import progress
from grulet_export.graph import Embedding, Graph
from grulet_export.quantization.calibration import Calibration, seen
from grulet_export.quantization.compensation import Moments, compensated, mean_error
from grulet_export.quantization.grids import F16_LIMIT, INTEGERS, Grid, find_grid, round_to
from grulet_export.quantization.node import (
    QuantizedNode,
    TrainedNode,
    Weighted,
    bias_of,
    in_biases,
    in_floats,
    matrices_of,
)
from grulet_export.quantization.ranges import hidden_values, known_range
from grulet_export.quantization.settings import Settings, weighted


def quantize(graph: Graph, settings: Settings, calibration: Calibration | None = None) -> dict[str, QuantizedNode]:
    """Return node name -> its weights as the file stores them, for every node with weights.

    With a ``calibration``, nodes are quantized in the order in which they run, each on what it sees when those before
    it are quantized already.
    """
    settings.check(graph)
    hidden = hidden_values(graph)
    quantized: dict[str, QuantizedNode] = {}
    nodes = weighted(graph)
    with progress("quantize", len(nodes), "operators") as done:
        for count, node in enumerate(nodes, 1):
            compensates = calibration is not None and settings.compensates(node)
            moments = moments_seen(graph, quantized, node, calibration) if calibration and compensates else None
            quantized[node.name] = quantized_node(node, settings, hidden, moments)
            done(count)
    return quantized


def quantized_node(
    node: Weighted, settings: Settings, hidden: set[str], moments: Sequence[Moments] | None = None
) -> QuantizedNode:
    """Quantize one node by what its weights are and, given the ``moments``, by what its matrices see.

    ``hidden``: the values that are hidden states.
    """
    weights = settings.weights_of(node)
    check_weights(node, weights)
    if weights == "f32":
        return in_floats(node)
    if node.name in settings.trained:
        return _as_trained(node, settings.trained[node.name])
    matrices = matrices_of(node)
    grids = [find_grid(values, weights, settings.rounding or "fitted") for values in matrices]
    if moments is None or weights not in INTEGERS:
        rounded = [round_to(values, grid) for values, grid in zip(matrices, grids, strict=True)]
        return _placed(node, settings, hidden, grids, rounded, bias_of(node))
    each = [compensated(*of_one) for of_one in zip(matrices, grids, moments, strict=True)]
    bias = bias_of(node).astype(np.float64)
    for matrix, ((rounded_values, grid), seen_here) in enumerate(zip(each, moments, strict=True)):
        bias += in_biases(node, matrix, mean_error(matrices[matrix], grid.values(rounded_values), seen_here))
    return _placed(node, settings, hidden, [grid for _, grid in each], [values for values, _ in each], bias)


def moments_seen(
    graph: Graph, quantized: Mapping[str, QuantizedNode], node: Weighted, calibration: Calibration
) -> list[Moments]:
    """Return the moments of the inputs of a node's matrices, in the order of `matrices_of`."""
    frames = np.concatenate(list(seen(graph, quantized, node, calibration.recordings)))
    first = matrices_of(node)[0].shape[2]
    parts = frames[:, :first], frames[:, first:]
    return [Moments.of(part) for part, _ in zip(parts, matrices_of(node), strict=False)]


def _placed(
    node: Weighted,
    settings: Settings,
    hidden: set[str],
    grids: Sequence[Grid],
    rounded: Sequence[NDArray[Any]],
    bias: NDArray[Any],
) -> QuantizedNode:
    """Put rounded weights into the form of the file."""
    weights = settings.weights_of(node)
    activations = settings.activations if weights in INTEGERS and not isinstance(node, Embedding) else "f32"
    levels = None, settings.activations if weights in INTEGERS else None
    return QuantizedNode(
        weights,
        activations,
        0.0 if activations == "f32" else known_range(node, hidden, activations),
        tuple(grid.matrix(values, level) for grid, values, level in zip(grids, rounded, levels, strict=False)),
        np.ascontiguousarray(bias, np.float32),
    )


def _as_trained(node: Weighted, trained: TrainedNode) -> QuantizedNode:
    """Store a node's weights on the grids of their training, where they lie already; each frame has its own range."""
    levels = None, trained.activations if trained.weights in INTEGERS else None
    matrices = tuple(
        grid.matrix(round_to(values, grid), level)
        for grid, values, level in zip(trained.grids, matrices_of(node), levels, strict=False)
    )
    bias = np.ascontiguousarray(bias_of(node), np.float32)
    return QuantizedNode(trained.weights, trained.activations, 0.0, matrices, bias)


def check_weights(node: Weighted, weights: str) -> None:
    """Raise `GruletError` if the format cannot hold the node's weights."""
    largest = max(float(np.abs(values).max(initial=0)) for values in matrices_of(node))
    if weights == "f16" and largest > F16_LIMIT:
        raise GruletError(
            f"operator '{node.name}': its largest weight, {largest:.6g}, is more than f16 can hold ({F16_LIMIT:.0f}); "
            f"use --weights {node.name}=f32"
        )
