"""What exporters write in several nodes though it is one function, put right before the nodes are walked."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray
from onnx import GraphProto, NodeProto, TensorProto

from grulet_export.onnx_reading import file as onnx_file

#: From here on softplus(x) is x in float32, but for a rounding.
LARGE = 15.0


def simplify(graph: GraphProto) -> None:
    """Replace, in place, ``x > threshold ? x : softplus(x)`` by ``softplus(x)``, which it equals."""
    makers = {name: node for node in graph.node for name in node.output}
    initializers = {tensor.name: tensor for tensor in graph.initializer}
    for node in graph.node:
        if node.op_type == "Where" and _is_softplus(node, makers, initializers):
            node.op_type = "Identity"
            del node.input[:2]  # what remains is softplus(x)


def _is_softplus(choice: NodeProto, makers: Mapping[str, NodeProto], initializers: Mapping[str, TensorProto]) -> bool:
    condition, large, small = choice.input
    greater, softplus = makers.get(condition), makers.get(small)
    if greater is None or softplus is None or (greater.op_type, softplus.op_type) != ("Greater", "Softplus"):
        return False
    threshold = _constant(greater.input[1], makers, initializers)
    same = greater.input[0] == large == softplus.input[0]
    return same and threshold is not None and threshold.size == 1 and float(threshold.reshape(-1)[0]) >= LARGE


def _constant(
    name: str, makers: Mapping[str, NodeProto], initializers: Mapping[str, TensorProto]
) -> NDArray[np.generic] | None:
    """Return a number that is stored in the file; exporters cast it, to the type that it has."""
    node = makers.get(name)
    while node is not None and node.op_type in ("Cast", "CastLike", "Identity"):
        name = node.input[0]
        node = makers.get(name)
    if node is not None and node.op_type == "Constant" and node.attribute[0].name == "value":
        return np.asarray(onnx_file.array(node.attribute[0].t))
    return np.asarray(onnx_file.array(initializers[name])) if name in initializers else None
