"""Recurrent layers that are none of the common ones, spelled out between the state of the frame before and the next.

The products with the frame stand in front of the loop, once for all gates, so that a block of frames reads their
weights once.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from grulet_export.graph import Activation, Affine, Array, Binary, Dense, Slice, StateRead, StateWrite
from grulet_export.onnx_reading.handlers.gate_functions import GateFunction
from grulet_export.onnx_reading.program import Program


@dataclass(frozen=True)
class Layer:
    """One direction of one layer, its gates in ONNX's order: z r h, i o f c."""

    name: str
    frames: str  # the value it reads
    reverse: bool
    input_weights: Array  # (gates, units, inputs)
    recurrent_weights: Array  # (gates, units, units)
    input_bias: Array  # (gates, units)
    recurrent_bias: Array  # (gates, units)
    peepholes: Array | None  # (3, units): i o f
    functions: tuple[GateFunction, ...]
    clip: float  # of what goes into the functions; 0: none
    reset_first: bool  # GRU: the reset gate before the product (linear_before_reset = 0)
    coupled: bool  # LSTM: the forget gate is 1 - the input gate (input_forget)
    initial: dict[str, Array]  # (units,) by state, "h" and "c"
    previous: dict[str, str]  # values that stand for the states, where the graph computes them
    state_names: dict[str, str]  # by state, each of one state of the graph only

    @property
    def units(self) -> int:
        """Return the size of a state."""
        return int(self.recurrent_weights.shape[1])


@dataclass(frozen=True)
class _Speller:
    """Adds nodes named after a layer."""

    program: Program
    layer: Layer

    def dense(self, what: str, value: str, weights: Array, bias: Array, bounded: bool = False) -> str:
        """Return the products of some gates, (gates, units, inputs), one behind the other."""
        rows = weights.reshape(-1, weights.shape[-1])
        return self.program.emit(
            Dense,
            self._name(what),
            [value],
            weights=rows,
            bias=bias.reshape(-1),
            input_range=1.0 if bounded else 0.0,
        )

    def gates(self, what: str, value: str, first: int, count: int = 1) -> str:
        """Return some of the gates that lie one behind the other."""
        units = self.layer.units
        if self.program.widths[value] == count * units:
            return value
        return self.program.emit(Slice, self._name(what), [value], first=first * units, width=count * units)

    def binary(self, what: str, function: str, left: str, right: str) -> str:
        """Return a function of two values."""
        return self.program.emit(Binary, self._name(what), [left, right], function=function)

    def scaled(self, what: str, value: str, scale: Array | float, shift: float = 0.0) -> str:
        """Return ``value * scale + shift``."""
        width = self.program.widths[value]
        numbers = {"scale": np.broadcast_to(scale, width), "shift": np.full(width, shift)}
        return self.program.emit(Affine, self._name(what), [value], **numbers)

    def clipped(self, what: str, value: str, function: GateFunction) -> str:
        """Return a function of a sum, which may have to be clipped before."""
        if self.layer.clip:
            value = self._activation(f"{what}.clip", value, "clip", -self.layer.clip, self.layer.clip)
        return self.function(what, value, function)

    def function(self, what: str, value: str, function: GateFunction) -> str:
        """Return a function of a value."""
        match function.name:
            case "affine":
                return self.scaled(what, value, function.alpha, function.beta)
            case "scaledtanh":
                tanh = self._activation(f"{what}.tanh", self.scaled(f"{what}.in", value, function.beta), "tanh")
                return self.scaled(what, tanh, function.alpha)
        name = {"hardsigmoid": "hard_sigmoid", "leakyrelu": "leaky_relu", "thresholdedrelu": "thresholded_relu"}
        return self._activation(what, value, name.get(function.name, function.name), function.alpha, function.beta)

    def read(self, state: str) -> str:
        """Return a state of the frame before."""
        if state in self.layer.previous:
            return self.layer.previous[state]
        return self.program.emit(
            StateRead,
            self._name(f"{state}.before"),
            [],
            state=self.layer.state_names[state],
            initial=self.layer.initial[state],
            reverse=self.layer.reverse,
        )

    def write(self, state: str, value: str) -> str:
        """Keep a state for the next frame."""
        if state in self.layer.previous:
            return value
        return self.program.emit(StateWrite, self._name(state), [value], state=self.layer.state_names[state])

    def _activation(self, what: str, value: str, function: str, alpha: float = 0.0, beta: float = 0.0) -> str:
        return self.program.emit(
            Activation, self._name(what), [value], function=function, alpha=float(alpha), beta=float(beta)
        )

    def _name(self, what: str) -> str:
        return f"{self.layer.name}.{what}"


def spelled_gru(program: Program, layer: Layer) -> dict[str, str]:
    """Return the new state of a GRU: ``h' = n + z * (h - n)``."""
    spell, (gate, candidate) = _Speller(program, layer), layer.functions
    start = float(np.abs(layer.initial["h"]).max()) <= 1 and not layer.previous
    bounded = start and gate.is_share and candidate.is_bounded
    recurrent, bias = layer.recurrent_weights, layer.recurrent_bias
    x = spell.dense("input", layer.frames, layer.input_weights, layer.input_bias)
    h = spell.read("h")
    looked_at = slice(2) if layer.reset_first else slice(3)
    products = spell.dense("recurrent", h, recurrent[looked_at], bias[looked_at], bounded)
    sums = spell.binary("gates.sum", "add", spell.gates("x.gates", x, 0, 2), spell.gates("h.gates", products, 0, 2))
    gates = spell.clipped("gates", sums, gate)
    update, reset = spell.gates("update", gates, 0), spell.gates("reset", gates, 1)
    if layer.reset_first:
        kept = spell.binary("kept", "mul", reset, h)
        product = spell.dense("recurrent.candidate", kept, recurrent[2:], bias[2:], bounded and gate.is_bounded)
    else:
        product = spell.binary("kept", "mul", reset, spell.gates("h.candidate", products, 2))
    total = spell.binary("candidate.sum", "add", spell.gates("x.candidate", x, 2), product)
    new = spell.clipped("candidate", total, candidate)
    step = spell.binary("step", "mul", update, spell.binary("difference", "sub", h, new))
    return {"h": spell.write("h", spell.binary("blend", "add", new, step))}


def spelled_lstm(program: Program, layer: Layer) -> dict[str, str]:
    """Return the new states of an LSTM: ``c' = f * c + i * g``, ``h' = o * function(c')``; c' is not clipped."""
    spell, (gate, candidate, output) = _Speller(program, layer), layer.functions
    start = float(np.abs(layer.initial["h"]).max()) <= 1 and not layer.previous
    bounded = start and gate.is_bounded and output.is_bounded
    x = spell.dense("input", layer.frames, layer.input_weights, layer.input_bias)
    h, c = spell.read("h"), spell.read("c")
    products = spell.dense("recurrent", h, layer.recurrent_weights, layer.recurrent_bias, bounded)
    sums = spell.binary("sums", "add", x, products)

    def gated(what: str, place: int, peephole: int, cell: str) -> str:
        total = spell.gates(f"{what}.sum", sums, place)
        if layer.peepholes is not None:
            peek = spell.scaled(f"{what}.peephole", cell, layer.peepholes[peephole])
            total = spell.binary(f"{what}.total", "add", total, peek)
        return spell.clipped(what, total, gate)

    enter = gated("input_gate", 0, 0, c)
    forget = spell.scaled("forget_gate", enter, -1.0, 1.0) if layer.coupled else gated("forget_gate", 2, 2, c)
    new = spell.clipped("candidate", spell.gates("candidate.sum", sums, 3), candidate)
    kept, added = spell.binary("kept", "mul", forget, c), spell.binary("added", "mul", enter, new)
    cell = spell.write("c", spell.binary("cell", "add", kept, added))
    leave = gated("output_gate", 1, 1, cell)
    return {"h": spell.write("h", spell.binary("out", "mul", leave, spell.function("seen", cell, output))), "c": cell}


def spelled_rnn(program: Program, layer: Layer) -> dict[str, str]:
    """Return the new state of an RNN: ``h' = function(W x + R h + b)``."""
    spell, (function,) = _Speller(program, layer), layer.functions
    bounded = function.is_bounded and float(np.abs(layer.initial["h"]).max()) <= 1 and not layer.previous
    x = spell.dense("input", layer.frames, layer.input_weights, layer.input_bias)
    products = spell.dense("recurrent", spell.read("h"), layer.recurrent_weights, layer.recurrent_bias, bounded)
    return {"h": spell.write("h", spell.clipped("out", spell.binary("sum", "add", x, products), function))}
