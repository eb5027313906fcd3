"""Products with constant matrices, and sums over features."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

import numpy as np

from grulet_export.errors import Refusal
from grulet_export.graph import Array, Dense
from grulet_export.onnx_reading import axes as onnx_axes
from grulet_export.onnx_reading.axes import BATCH, TIME, Misread
from grulet_export.onnx_reading.file import EXPORT_AGAIN
from grulet_export.onnx_reading.handlers.pieces import activation, binary
from grulet_export.onnx_reading.program import Handler, Program
from grulet_export.onnx_reading.sizes import settled
from grulet_export.onnx_reading.values import Fill, Operation, Signal, Value

#: A matrix that multiplies parts of a frame is stored once for each part, at most so often.
MOST_PARTS = 64

LAST_AXIS = "multiply the features, on the last axis, with a constant matrix: frames @ weights"


def dense(program: Program, name: str, signal: Signal, weights: Array, bias: Array | None = None) -> Signal:
    """Return ``weights @ x + bias`` of the last axis; with more axes of features, once for each of their elements."""
    signal = program.frames(signal)
    units, inputs = weights.shape
    if not signal.axes or signal.axes[-1] != inputs:
        raise Misread(f"its weights take {inputs} features of {onnx_axes.described(signal.axes)}", LAST_AXIS)
    bias = np.zeros(units, np.float32) if bias is None else bias
    rows = signal.numbers.reshape(-1, inputs)
    if len(rows) > MOST_PARTS:
        raise Refusal(
            f"it multiplies {len(rows)} parts of a frame with the same matrix", f"use at most {MOST_PARTS} parts"
        )
    values = tuple(
        program.emit(
            Dense,
            name,
            [program.gathered(signal.values, row, f"{name}.part" if len(rows) > 1 else signal.moved_by or name)],
            weights=weights,
            bias=bias,
        )
        for row in rows
    )
    axes = (*signal.axes[:-1], units)
    numbers = np.arange(len(rows) * units).reshape(onnx_axes.shape(axes))
    return Signal(numbers, axes, values, **program.joined(axes, signal))


def _mat_mul(program: Program, operation: Operation) -> Sequence[Value]:
    left, right = operation.tensor(0), operation.tensor(1)
    if isinstance(left, Signal) and isinstance(right, Signal):
        raise Refusal(
            "it multiplies two tensors that are both computed from inputs, as attention does",
            "use a recurrent layer or a causal convolution to look back; weights that are an input are bound with "
            "--constant",
        )
    if isinstance(left, Signal):
        return [dense(program, operation.name, left, _matrix(operation, 1, len(left.axes)).T)]
    if isinstance(right, Signal) and len(right.axes) > 1:
        # weights @ x is (x.T @ weights.T).T
        order = [*range(len(right.axes) - 2), len(right.axes) - 1, len(right.axes) - 2]
        turned = onnx_axes.transpose(right, order)
        if not isinstance(turned.axes[-1], int):
            raise Refusal("it mixes frames or streams: its weights are on the left", LAST_AXIS)
        product = dense(program, operation.name, turned, _matrix(operation, 0, len(right.axes)))
        return [onnx_axes.transpose(product, order)]
    if isinstance(left, Fill) and isinstance(right, Fill):
        return [_repeated_product(left, right)]
    raise Refusal("it multiplies a constant with a single axis", LAST_AXIS)


def _repeated_product(left: Fill, right: Fill) -> Fill:
    """Return the product of constants of which the left one is repeated along time or batch."""
    if len(right.axes) != 2 or not left.axes or left.axes[-1] != right.axes[0]:
        raise Refusal("it multiplies constants that are repeated over frames", "fold the constants when exporting")
    return Fill(left.numbers @ right.numbers, (*left.axes[:-1], right.axes[1]))


def _matrix(operation: Operation, index: int, rank: int) -> Array:
    """Return a constant input that has, but for axes of size 1 in front, two axes."""
    weights = operation.weights(index, "weights")
    if weights.ndim < 2 or weights.ndim > max(2, rank) or math.prod(weights.shape[:-2]) != 1 or 0 in weights.shape:
        raise Refusal(f"the shape of its weights is {weights.shape}", "use one matrix (inputs, units) for all frames")
    return weights.reshape(weights.shape[-2:])


def _gemm(program: Program, operation: Operation) -> Sequence[Value]:
    frames = operation.tensor(0)
    if not isinstance(frames, Signal) or isinstance(operation.given(1), Signal):
        raise Refusal("its first input is a constant, or its weights are computed", LAST_AXIS)
    if len(frames.axes) != 2:
        raise Refusal(f"its input has {len(frames.axes)} axes", "Gemm takes (frames, features)")
    if operation.attributes.get("transA", 0):
        frames = onnx_axes.transpose(frames, [1, 0])
    weights = _matrix(operation, 1, 2)
    weights = weights if operation.attributes.get("transB", 0) else weights.T
    alpha, beta = np.float32(operation.number("alpha", 1.0)), np.float32(operation.number("beta", 1.0))
    bias = np.zeros(len(weights), np.float32)
    if operation.given(2) is not None:
        given = operation.weights(2, "bias")
        if given.size not in (1, len(weights)) or given.size != max(given.shape[-1:], default=1):
            raise Refusal(
                f"the shape of its bias is {given.shape}, not ({len(weights)},)", "use one bias for all frames"
            )
        bias = np.broadcast_to(beta * given.reshape(-1), len(weights))
    return [dense(program, operation.name, frames, alpha * weights, bias)]


# Sums over features --------------------------------------------------------------------------------------------------


def _sums(program: Program, operation: Operation, signal: Signal, average: bool) -> Signal:
    """Return the sums, or means, over axes of features, as an exact product."""
    which = _axes(operation, len(signal.axes))
    check_features(signal, which)
    order = [place for place in range(len(signal.axes)) if place not in which] + which
    moved = onnx_axes.transpose(signal, order)
    kept = moved.axes[: len(moved.axes) - len(which)]
    count = math.prod(onnx_axes.shape(moved.axes[len(kept) :]))
    parts = signal.numbers.size // count
    share = np.repeat(np.eye(parts), count, axis=1) / (count if average else 1)
    value = program.emit(
        Dense,
        operation.name,
        [program.vector(moved, operation.name)],
        weights=share,
        bias=np.zeros(parts),
        exact=True,
    )
    result = program.signal(value, kept, signal)
    return onnx_axes.unsqueeze(result, which) if operation.attributes.get("keepdims", 1) else result


def check_features(signal: Signal, which: Sequence[int]) -> None:
    """Refuse sums over time or batch."""
    for place in which:
        axis = signal.axes[place]
        if isinstance(axis, tuple) and TIME in axis:
            raise Refusal(
                "it sums or averages over time, so no frame has an answer before the last",
                "take the last frame of a recurrent layer (its Y_h), which sums up what it has seen",
            )
        if isinstance(axis, tuple):
            raise Refusal(f"it sums over {BATCH}, so streams depend on each other", "reduce features only")


def _axes(operation: Operation, rank: int) -> list[int]:
    axes = operation.integers(1, "axes")
    if not axes:
        if operation.attributes.get("noop_with_empty_axes", 0):
            return []
        axes = list(range(rank))
    return onnx_axes.positions(axes, rank)


def _reduce(compose: Callable[[Program, Operation, Signal], Signal]) -> Handler:
    """Return the handler of a sum over features; the product of sizes is computed now."""

    def handle(program: Program, operation: Operation) -> Sequence[Value]:
        tensor = operation.tensor()
        if isinstance(tensor, Fill):
            return [_product_of_sizes(operation, tensor)]
        return [compose(program, operation, program.frames(tensor))]

    return handle


def _product_of_sizes(operation: Operation, tensor: Fill) -> Fill:
    if operation.node.op_type != "ReduceProd" or not all(isinstance(axis, int) for axis in tensor.axes):
        raise Refusal("its input is a constant that is repeated over frames", "fold the constants when exporting")
    which = tuple(_axes(operation, len(tensor.axes)))
    keep = bool(operation.attributes.get("keepdims", 1))
    numbers = settled(np.asarray(np.prod(tensor.numbers, axis=which, keepdims=keep)))
    return Fill(numbers, numbers.shape)


def _no_product(program: Program, operation: Operation, x: Signal) -> Signal:
    raise Refusal("it multiplies all numbers of a frame", EXPORT_AGAIN)


def _sum_of_squares(program: Program, operation: Operation, x: Signal) -> Signal:
    return _sums(program, operation, binary(program, operation.name, "mul", x, x), average=False)


def _length(program: Program, operation: Operation, x: Signal) -> Signal:
    return activation(program, operation.name, _sum_of_squares(program, operation, x), "sqrt")


HANDLERS: dict[str, Handler] = {
    "Gemm": _gemm,
    "MatMul": _mat_mul,
    "ReduceL1": _reduce(
        lambda program, operation, x: _sums(program, operation, activation(program, operation.name, x, "abs"), False)
    ),
    "ReduceL2": _reduce(_length),
    "ReduceMean": _reduce(lambda program, operation, x: _sums(program, operation, x, average=True)),
    "ReduceProd": _reduce(_no_product),
    "ReduceSum": _reduce(lambda program, operation, x: _sums(program, operation, x, average=False)),
    "ReduceSumSquare": _reduce(_sum_of_squares),
}
