"""Nodes that several families of operators are spelled with."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np

from grulet_export.graph import Activation, Affine, Binary
from grulet_export.onnx_reading import axes as onnx_axes
from grulet_export.onnx_reading.program import Program
from grulet_export.onnx_reading.values import Fill, Operation, Signal, Value


def activation(
    program: Program, name: str, signal: Signal, function: str, alpha: float = 0.0, beta: float = 0.0
) -> Signal:
    """Return a function of every feature."""
    value = program.emit(Activation, name, [program.vector(signal, name)], function=function, alpha=alpha, beta=beta)
    return program.signal(value, signal.axes, signal)


def affine(program: Program, name: str, signal: Signal, scale: Any, shift: Any) -> Signal:
    """Return ``signal * scale + shift``; the numbers are one for all features or one for each."""
    size = signal.numbers.size
    scale, shift = (np.broadcast_to(np.asarray(item, np.float64), size) for item in (scale, shift))
    value = program.emit(Affine, name, [program.vector(signal, name)], scale=scale, shift=shift)
    return program.signal(value, signal.axes, signal)


def binary(program: Program, name: str, function: str, left: Signal, right: Signal) -> Signal:
    """Return a function of two signals, features repeated where one of them has fewer."""
    axes = onnx_axes.broadcast_axes([left.axes, right.axes])
    sides = [program.vector(onnx_axes.broadcast(side, axes), name) for side in (left, right)]
    return program.signal(program.emit(Binary, name, sides, function=function), axes, left, right)


def moved(tensor: Fill | Signal, operation: Operation) -> Value:
    """Return a tensor whose numbers were moved, with the name of the node that did it."""
    return replace(tensor, moved_by=operation.name) if isinstance(tensor, Signal) else tensor
