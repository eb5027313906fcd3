"""Constants of a graph: what is stored in it, and what little operators make of that before any frame arrives.

torch's newer exporter writes the weights of a recurrent layer as Slice, Concat and Unsqueeze over its parameters.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray
from onnx import AttributeProto, GraphProto, ModelProto, NodeProto, TensorProto, helper, numpy_helper
from onnx.reference import ReferenceEvaluator

Constants: TypeAlias = dict[str, NDArray[Any]]

#: Operators whose result is no larger than what they read, so that folding cannot be made to fill the memory.
FOLDED = ("Identity", "Transpose", "Slice", "Concat", "Unsqueeze", "Squeeze", "Reshape", "Split", "Cast")

#: Bytes of folded constants for a byte of stored ones; only Concat of a Concat, over and over, would come near.
MOST_GROWTH = 16


def stored(graph: GraphProto) -> Constants:
    """Return the initializers and the values of the Constant nodes, by name."""
    found = {tensor.name: numpy_helper.to_array(tensor) for tensor in graph.initializer}
    for node in graph.node:
        if node.op_type == "Constant" and len(node.attribute) == 1:
            value = _value(node.attribute[0])
            if value is not None:
                found[node.output[0]] = value
    return found


def fold(model: ModelProto, nodes: Iterable[NodeProto], constants: Constants) -> Constants:
    """Return ``constants`` and what the `FOLDED` among ``nodes``, which are in order, make of them."""
    found = dict(constants)
    left = MOST_GROWTH * (1024 + sum(array.nbytes for array in constants.values()))
    for node in nodes:
        reads = [name for name in node.input if name]
        if node.domain or node.op_type not in FOLDED or not all(name in found for name in reads):
            continue
        left -= sum(found[name].nbytes for name in reads)
        if left < 0:
            break
        results = _evaluate(model, node, {name: found[name] for name in reads})
        found.update(zip(node.output, results, strict=False))
    return found


def _evaluate(model: ModelProto, node: NodeProto, inputs: Constants) -> list[NDArray[Any]]:
    """Run one node; nothing if it cannot be run, since what is wrong with it is not ours to say."""
    graph = helper.make_graph(
        [node],
        "constant",
        [helper.make_tensor_value_info(name, TensorProto.UNDEFINED, None) for name in inputs],
        [helper.make_tensor_value_info(name, TensorProto.UNDEFINED, None) for name in node.output if name],
    )
    try:
        results = ReferenceEvaluator(helper.make_model(graph, opset_imports=model.opset_import)).run(None, inputs)
    except Exception:  # each operator of the reference has its own errors
        return []
    return list(results)


def _value(entry: AttributeProto) -> NDArray[Any] | None:
    """Return what a Constant node holds; None for text and for sparse tensors."""
    if entry.name == "value":
        return numpy_helper.to_array(entry.t)
    if entry.name in ("value_float", "value_floats"):
        return np.asarray(helper.get_attribute_value(entry), np.float32)
    if entry.name in ("value_int", "value_ints"):
        return np.asarray(helper.get_attribute_value(entry), np.int64)
    return None
