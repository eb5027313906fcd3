"""Nodes that compute one vector from the vectors of the same frame."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, TypeAlias

import numpy as np

from grulet_export.graph import (
    Activation,
    Affine,
    Binary,
    Concat,
    Dense,
    Depthwise,
    Embedding,
    LayerNorm,
    Node,
    PRelu,
    Select,
    Slice,
)
from grulet_export.onnx_writing.parts import Writer

#: (writer, node, its source tensors, its target tensor)
NodeWriter: TypeAlias = Callable[[Writer, Any, list[str], str], None]

_WIDTH = 2  # the axis of a vector's elements in (time, batch, width)

#: Functions of one vector as ONNX operators, and the names of the attributes that take alpha and beta.
_FUNCTIONS: dict[str, tuple[str, tuple[str, ...]]] = {
    "relu": ("Relu", ()),
    "leaky_relu": ("LeakyRelu", ("alpha",)),
    "sigmoid": ("Sigmoid", ()),
    "tanh": ("Tanh", ()),
    "elu": ("Elu", ("alpha",)),
    "hard_sigmoid": ("HardSigmoid", ("alpha", "beta")),
    "softplus": ("Softplus", ()),
    "softsign": ("Softsign", ()),
    "thresholded_relu": ("ThresholdedRelu", ("alpha",)),
    "exp": ("Exp", ()),
    "log": ("Log", ()),
    "sqrt": ("Sqrt", ()),
    "abs": ("Abs", ()),
    "reciprocal": ("Reciprocal", ()),
}


def _dense(writer: Writer, node: Dense, sources: list[str], target: str) -> None:
    weights = writer.constant(f"{node.name}.weight", node.weights.T)
    if not node.bias.any():
        writer.node("MatMul", node.name, [*sources, weights], [target])
        return
    product = writer.tensor_names.unique(f"{node.name}.product")
    writer.node("MatMul", node.name, [*sources, weights], [product])
    bias = writer.constant(f"{node.name}.bias", node.bias)
    writer.part("Add", f"{node.name}.add", [product, bias], target)


def _depthwise(writer: Writer, node: Depthwise, sources: list[str], target: str) -> None:
    weights = writer.constant(f"{node.name}.weight", node.weights.reshape(-1))
    weighted = writer.part("Mul", f"{node.name}.mul", [*sources, weights])
    apart = _apart(writer, node.name, weighted, node.weights.shape[1])
    total = writer.tensor_names.unique(f"{node.name}.total")
    writer.node("ReduceSum", node.name, [apart], [total], axes=[_WIDTH], keepdims=0)
    writer.part("Add", f"{node.name}.add", [total, writer.constant(f"{node.name}.bias", node.bias)], target)


def _activation(writer: Writer, node: Activation, sources: list[str], target: str) -> None:
    if node.function == "softmax":
        _in_parts(writer, node, sources[0], target, "Softmax", [], node.size, axis=-1)
        return
    if node.function == "clip":
        limits = {"min": node.alpha, "max": node.beta}
        ends = [writer.constant(f"{node.name}.{end}", np.asarray(x, np.float32)) for end, x in limits.items()]
        writer.node("Clip", node.name, [*sources, *ends], [target])
        return
    operator, parameters = _FUNCTIONS[node.function]
    writer.node(operator, node.name, sources, [target], **{name: getattr(node, name) for name in parameters})


def _prelu(writer: Writer, node: PRelu, sources: list[str], target: str) -> None:
    writer.node("PRelu", node.name, [*sources, writer.constant(f"{node.name}.slope", node.slopes)], [target])


def _binary(writer: Writer, node: Binary, sources: list[str], target: str) -> None:
    writer.node(node.function.capitalize(), node.name, sources, [target])


def _affine(writer: Writer, node: Affine, sources: list[str], target: str) -> None:
    """Write what is needed of it: a product, a sum, both, or the input as it is."""
    scale, shift = writer.constant(f"{node.name}.scale", node.scale), writer.constant(f"{node.name}.shift", node.shift)
    if (node.scale == 1).all():
        writer.node("Add", node.name, [*sources, shift], [target])
    elif not node.shift.any():
        writer.node("Mul", node.name, [*sources, scale], [target])
    else:
        product = writer.tensor_names.unique(f"{node.name}.product")
        writer.node("Mul", node.name, [*sources, scale], [product])
        writer.part("Add", f"{node.name}.add", [product, shift], target)


def _concat(writer: Writer, node: Concat, sources: list[str], target: str) -> None:
    writer.node("Concat", node.name, sources, [target], axis=_WIDTH)


def _slice(writer: Writer, node: Slice, sources: list[str], target: str) -> None:
    ends = [
        writer.integers(f"{node.name}.{end}", x) for end, x in (("first", node.first), ("end", node.first + node.width))
    ]
    writer.node("Slice", node.name, [*sources, *ends], [target], axes=[_WIDTH])


def _select(writer: Writer, node: Select, sources: list[str], target: str) -> None:
    writer.node(
        "Gather", node.name, [*sources, writer.integers(f"{node.name}.indices", *node.indices)], [target], axis=_WIDTH
    )


def _embedding(writer: Writer, node: Embedding, sources: list[str], target: str) -> None:
    table = writer.constant(f"{node.name}.table", node.table)
    if node.inputs[0] in writer.tokens and writer.widths[node.inputs[0]] == 1:  # the tokens are (time, batch)
        writer.node("Gather", node.name, [table, *sources], [target], axis=0)
        return
    rows = writer.tensor_names.unique(f"{node.name}.rows")
    writer.node("Gather", node.name, [table, *sources], [rows], axis=0)
    _together(writer, node.name, rows, target)


def _layer_norm(writer: Writer, node: LayerNorm, sources: list[str], target: str) -> None:
    parameters = [writer.constant(f"{node.name}.scale", node.scale), writer.constant(f"{node.name}.shift", node.shift)]
    options = {"axis": -1, "epsilon": node.epsilon}
    _in_parts(writer, node, sources[0], target, "LayerNormalization", parameters, node.size, **options)


def _in_parts(
    writer: Writer, node: Node, source: str, target: str, operator: str, more: list[str], size: int, **attributes: Any
) -> None:
    """Add an operator over the last axis, for every part of ``size`` elements by itself (0: the whole vector)."""
    if size in (0, writer.widths[node.inputs[0]]):
        writer.node(operator, node.name, [source, *more], [target], **attributes)
        return
    apart = _apart(writer, node.name, source, size)
    answers = writer.tensor_names.unique(f"{node.name}.parts")
    writer.node(operator, node.name, [apart, *more], [answers], **attributes)
    _together(writer, node.name, answers, target)


def _apart(writer: Writer, name: str, source: str, size: int) -> str:
    """(time, batch, width) to (time, batch, width / size, size)."""
    shape = writer.integers(f"{name}.apart.shape", 0, 0, -1, size)
    return writer.part("Reshape", f"{name}.apart", [source, shape])


def _together(writer: Writer, name: str, source: str, target: str) -> None:
    """(time, batch, parts, size) to (time, batch, parts * size)."""
    writer.part("Reshape", f"{name}.together", [source, writer.integers(f"{name}.together.shape", 0, 0, -1)], target)


WRITERS: Mapping[type[Node], NodeWriter] = {
    Dense: _dense,
    Depthwise: _depthwise,
    Activation: _activation,
    PRelu: _prelu,
    Binary: _binary,
    Affine: _affine,
    Concat: _concat,
    Slice: _slice,
    Select: _select,
    Embedding: _embedding,
    LayerNorm: _layer_norm,
}
