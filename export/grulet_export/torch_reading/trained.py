"""Layers that were trained with their rounding (`grulet_export.qat`): as torch's layers, and their grids."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from torch import nn

from grulet_export.graph import Array, Graph
from grulet_export.qat.layers import GRU, LSTM, Linear
from grulet_export.qat.rounded_layer import RoundedLayer
from grulet_export.quantization.grids import Grid
from grulet_export.quantization.node import TrainedNode, matrices_of
from grulet_export.quantization.settings import weighted
from grulet_export.torch_reading.parts import with_parts

#: Each layer, torch's own, and the order in which the graph has the gates of torch's rows.
_KINDS: Mapping[type[RoundedLayer], tuple[type[nn.Module], tuple[int, ...]]] = {
    GRU: (nn.GRU, (1, 0, 2)),  # r z n to z r n
    LSTM: (nn.LSTM, (0, 1, 2, 3)),
    Linear: (nn.Linear, (0,)),
}


@dataclass(frozen=True)
class TrainedLayer:
    """One layer and direction of a module: its rounded weights, and how the file is to keep them."""

    name: str
    weights: tuple[Array, ...]  # as `matrices_of` gives those of a node
    node: TrainedNode


def with_rounded_weights(module: nn.Module) -> tuple[nn.Module, tuple[TrainedLayer, ...]]:
    """Return a copy with torch's layers, which hold the rounded weights; the module itself if it has none of ours."""
    if not any(isinstance(part, RoundedLayer) for part in module.modules()):
        return module, ()
    found: list[TrainedLayer] = []

    def float_layer(path: str, part: nn.Module) -> nn.Module | None:
        if isinstance(part, RoundedLayer):
            found.extend(_trained(path, part))
            return _float_layer(part)
        return None

    return with_parts(module, float_layer), tuple(found)


def trained_nodes(graph: Graph, layers: Sequence[TrainedLayer]) -> tuple[dict[str, TrainedNode], tuple[str, ...]]:
    """Return the nodes that are one of the layers, by name, and a note on every layer that is none of the nodes.

    They are told by their weights, since names may change on the way through ONNX.
    """
    nodes: dict[str, TrainedNode] = {}
    placed: set[str] = set()
    for node in weighted(graph):
        same = [layer for layer in layers if _key(layer.weights) == _key(matrices_of(node))]
        if same:
            layer = min(same, key=lambda layer: layer.name != node.name)
            nodes[node.name] = layer.node
            placed.add(layer.name)
    notes = (
        f"'{layer.name}' was trained with its rounding, but the graph has no such weights: it takes no part in the "
        "answers, or was changed on the way"
        for layer in layers
        if layer.name not in placed
    )
    return nodes, tuple(notes)


def _key(matrices: Sequence[Array]) -> tuple[tuple[tuple[int, ...], bytes], ...]:
    return tuple((matrix.shape, (matrix + np.float32(0)).tobytes()) for matrix in matrices)  # -0 as 0


def _trained(path: str, part: RoundedLayer) -> list[TrainedLayer]:
    """The layers and directions of one module."""
    if isinstance(part, Linear):
        return [_layer(path, part, ("weight",))]
    assert isinstance(part, nn.RNNBase)
    directions = {"": "", "_reverse": ".reverse"} if part.bidirectional else {"": ""}
    return [
        _layer(f"{path}.layer{layer}{where}", part, (f"weight_ih_l{layer}{suffix}", f"weight_hh_l{layer}{suffix}"))
        for layer in range(part.num_layers)
        for suffix, where in directions.items()
    ]


def _layer(name: str, part: RoundedLayer, matrices: tuple[str, ...]) -> TrainedLayer:
    _, order = _KINDS[type(part)]

    def in_order(rows: NDArray[Any]) -> NDArray[Any]:
        """(rows, ...) -> (gates, units, ...), in the graph's order."""
        return np.ascontiguousarray(rows.reshape(len(order), -1, *rows.shape[1:])[list(order)])

    values = tuple(in_order(part.rounded(matrix).values.detach().cpu().numpy()) for matrix in matrices)
    grids = []
    for matrix in matrices:
        grid = part.grid(matrix)
        scale = None if grid.scale is None else in_order(grid.scale[0])
        multipliers = None if grid.multipliers is None else in_order(grid.multipliers[0])
        grids.append(Grid(grid.weights, scale, multipliers))
    return TrainedLayer(name, values, TrainedNode(tuple(grids), part.activation_format))


def _float_layer(part: RoundedLayer) -> nn.Module:
    """Make of a layer, which is a copy already, torch's own with rounded weights."""
    layer: nn.Module = part
    matrices = {name: part.rounded(name).values.detach() for name in part.matrix_names()}
    for name in list(part.state_dict()):
        if name in part._buffers:
            delattr(part, name)
    layer.__class__, _ = _KINDS[type(part)]
    for name, values in matrices.items():
        layer.get_parameter(name).data = values
    return layer.requires_grad_(False)
