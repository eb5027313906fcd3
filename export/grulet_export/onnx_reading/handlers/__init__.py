"""What each ONNX operator means frame by frame: the table from operator to handler.

A handler takes an `Operation` and returns what it writes, adding to the `Program` what has to run once per frame. It
raises `Refusal` for everything that would change the numbers or that needs more than one frame at a time.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from grulet_export.errors import Refusal
from grulet_export.onnx_reading.file import ONNX_DOMAINS
from grulet_export.onnx_reading.folding import fold, folds
from grulet_export.onnx_reading.handlers import (
    arithmetic,
    cells,
    convolution,
    cutting,
    functions,
    joining,
    moving,
    normalization,
    products,
    repeating,
)
from grulet_export.onnx_reading.handlers.refused import OTHER_DOMAINS, REASONS, RUNS
from grulet_export.onnx_reading.program import Handler, Program
from grulet_export.onnx_reading.values import Fill, Operation, Signal, Value, as_tensor, settle

HANDLERS: dict[str, Handler] = {
    **arithmetic.HANDLERS,
    **cells.HANDLERS,
    **convolution.HANDLERS,
    **cutting.HANDLERS,
    **functions.HANDLERS,
    **joining.HANDLERS,
    **moving.HANDLERS,
    **normalization.HANDLERS,
    **products.HANDLERS,
    **repeating.HANDLERS,
}


def run(program: Program, operation: Operation) -> Sequence[Value]:
    """Return what a node writes, adding to the program what it does once per frame."""
    node = operation.node
    if node.domain not in ONNX_DOMAINS:
        unknown = (f"it is of the operator domain '{node.domain}'", RUNS)
        raise Refusal(*OTHER_DOMAINS.get(node.op_type, unknown))
    arrays = [value for value in operation.inputs if value is None or isinstance(value, np.ndarray)]
    known = len(arrays) == len(operation.inputs) and not any(a is not None and a.dtype == object for a in arrays)
    if known and folds(node.op_type):
        return fold(node, operation.opset, arrays)
    if node.op_type in functions.HANDLERS and not any(isinstance(value, Signal) for value in operation.inputs):
        return _of_repeated(operation)
    handler = HANDLERS.get(node.op_type)
    if handler is None:
        raise Refusal(*REASONS.get(node.op_type, ("it is not an operator of a frame program", RUNS)))
    return [settle(value) for value in handler(program, operation)]


def _of_repeated(operation: Operation) -> Sequence[Value]:
    """Return a function of numbers that are repeated along time or batch."""
    first = operation.tensor()
    numbers = [None if value is None else as_tensor(value).numbers for value in operation.inputs]
    if any(array is not None and array.dtype == object for array in numbers):
        raise Refusal("it takes the function of a size", "export without functions of the number of frames")
    (result,) = fold(operation.node, operation.opset, numbers)
    return [Fill(result, first.axes)]
