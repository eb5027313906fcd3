"""Nodes whose inputs are all constants: computed at conversion, by the ONNX project's own reference."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from onnx import NodeProto, TensorProto, helper
from onnx.reference import ReferenceEvaluator

from grulet_export.errors import Refusal
from grulet_export.onnx_reading.file import EXPORT_AGAIN, first_line
from grulet_export.onnx_reading.values import check_elements

Numbers = NDArray[Any]

#: Operators that make no more elements than they are given.
NOT_GROWING = frozenset(
    (
        *("Abs", "ArgMax", "ArgMin", "BatchNormalization", "Cast", "Ceil", "Concat", "Constant", "CumSum"),
        *("DequantizeLinear", "DynamicQuantizeLinear", "Elu", "Erf", "Exp", "Flatten", "Floor", "Identity", "IsInf"),
        *("IsNaN", "LeakyRelu", "Log", "Neg", "Not", "QuantizeLinear", "Reciprocal", "ReduceL1", "ReduceL2"),
        *("ReduceLogSum", "ReduceLogSumExp", "ReduceMax", "ReduceMean", "ReduceMin", "ReduceProd", "ReduceSum"),
        *("ReduceSumSquare", "Relu", "Reshape", "Round", "Sigmoid", "Sign", "Slice", "Softmax", "Softplus", "Split"),
        *("Sqrt", "Squeeze", "Tanh", "Transpose", "Trilu", "Unsqueeze", "Sin", "Cos"),
    )
)
#: Operators that broadcast their inputs.
BROADCASTING = frozenset(
    (
        *("Add", "And", "BitShift", "Clip", "Div", "Equal", "Greater", "GreaterOrEqual", "Less", "LessOrEqual", "Max"),
        *("Mean", "Min", "Mod", "Mul", "Or", "PRelu", "Pow", "Sub", "Sum", "Where", "Xor"),
    )
)


def _range(start: Numbers, limit: Numbers, step: Numbers) -> int:
    return math.ceil((float(limit) - float(start)) / float(step))


def _product(a: Numbers, b: Numbers, *rest: Numbers) -> int:
    inner = min(set(a.shape) & set(b.shape), default=1)  # they are multiplied along an axis of one size
    return (a.size // max(1, inner)) * (b.size // max(1, inner))


#: Operators that make more elements than they are given: at most this many.
GROWING: dict[str, Callable[..., int]] = {
    "Gemm": _product,
    "MatMul": _product,
    "NonZero": lambda x: x.size * max(1, x.ndim),
    "OneHot": lambda indices, depth, values: indices.size * int(depth.reshape(-1)[0]),
    "Range": _range,
}


def folds(operator: str) -> bool:
    """Return whether an operator is computed at conversion if all its inputs are constants."""
    return operator in NOT_GROWING or operator in BROADCASTING or operator in GROWING


def fold(node: NodeProto, opset: int, inputs: Sequence[Numbers | None]) -> list[Numbers]:
    """Return what a node of constants gives, one array per output; those without a name are empty."""
    arrays = [array for array in inputs if array is not None]
    try:
        check_elements(_largest(node.op_type, arrays))
        given = {name: array for name, array in zip(node.input, inputs, strict=True) if array is not None}
        results = iter(_evaluator(node, opset, given).run(None, given))
        return [np.asarray(next(results)) if name else np.zeros(0) for name in node.output]
    except Refusal:
        raise
    except Exception as error:  # the reference raises whatever numpy raises
        raise Refusal(f"it cannot be computed ({first_line(error)})", EXPORT_AGAIN) from error


def _evaluator(node: NodeProto, opset: int, given: dict[str, Numbers]) -> ReferenceEvaluator:
    inputs, outputs = (
        [helper.make_tensor_value_info(name, TensorProto.UNDEFINED, None) for name in names]
        for names in (given, filter(None, node.output))
    )
    graph = helper.make_graph([node], "fold", inputs, outputs)
    return ReferenceEvaluator(helper.make_model(graph, opset_imports=[helper.make_opsetid("", opset)]))


def _largest(operator: str, inputs: Sequence[Numbers]) -> int:
    """Return a bound of the elements of what an operator makes."""
    if operator in GROWING:
        return GROWING[operator](*inputs)
    if operator in BROADCASTING:
        return math.prod(np.broadcast_shapes(*[array.shape for array in inputs]))
    return sum(array.size for array in inputs)
