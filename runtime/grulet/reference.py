"""The numpy oracle: docs/numerics.md as a program.

`Reference` runs a `.grulet` file with the bits of the C library, one float32 operation at a time, and shows what the
C library keeps to itself: the gates of every step.  It is slow, and it is the definition.

With ``exact_activations=True`` it leaves out one thing, the rounding of activations to int16 or int8: the difference
between the two runs is the error that activation rounding costs.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from grulet import format as grulet_format
from grulet.errors import FrameError
from grulet.format import LEVELS, SILENCE
from grulet.functions import above, affine, apply_binary, apply_function, below, finite, layer_norm, sigmoid, tanh
from grulet.operators import (
    Activation,
    Affine,
    AnyOperator,
    Binary,
    Cell,
    Concat,
    Dense,
    Depthwise,
    Embedding,
    FirstFrame,
    Gru,
    History,
    LayerNorm,
    Lstm,
    Matrix,
    PRelu,
    Program,
    Rnn,
    Select,
    Slice,
    StateRead,
    StateWrite,
    initial_state,
    state_floats,
)
from grulet.weights import GROUP, SPAN

Floats: TypeAlias = NDArray[np.float32]

_FLUSH = np.float32(2.0**-64)


# ---- products -------------------------------------------------------------------------------------------------------


def quantize(x: Floats, levels: int, peak: float) -> tuple[NDArray[np.int32], np.float32]:
    """Levels of ``x`` in [-levels, levels] and the value of one level; ``peak`` 0: the frame's own magnitude."""
    top = np.float32(peak) if peak else np.abs(x).max()
    if top < SILENCE:
        return np.zeros(len(x), np.int32), np.float32(0.0)
    scaled = above(below(x * np.float32(np.float32(levels) / top), levels), -levels)
    return np.rint(scaled).astype(np.int32), top / np.float32(levels)


class _FloatProducts:
    """``matrix @ x`` for f32 and f16 weights (sets, units, inputs), in the order of docs/numerics.md.

    Four partial sums, input i in sum i mod 4, each in order; then (s0 + s1) + (s2 + s3).
    """

    def __init__(self, matrix: Floats) -> None:
        self._shape = matrix.shape[:2]
        self._pad = -matrix.shape[2] % GROUP
        padded = np.pad(matrix, ((0, 0), (0, 0), (0, self._pad)))
        self._groups = np.ascontiguousarray(padded.reshape(*self._shape, -1, GROUP).transpose(2, 3, 0, 1))

    def __call__(self, x: Floats) -> Floats:
        factors = np.pad(x, (0, self._pad)).reshape(-1, GROUP)[:, :, None, None]
        partial = np.zeros((GROUP, *self._shape), np.float32)
        for products in self._groups * factors:
            partial += products
        s0, s1, s2, s3 = partial
        return np.asarray((s0 + s1) + (s2 + s3), np.float32)


class _IntegerProducts:
    """``matrix @ levels`` for int8 and int4 weights: exact sums over spans of 512 inputs, as float32, added in order.

    float64 holds each sum exactly (below 2^53), so numpy's matrix product, in any order, is exact.
    """

    def __init__(self, matrix: NDArray[np.int8], scale: Floats) -> None:
        self.scale = scale
        self._spans = [matrix[:, :, at : at + SPAN].astype(np.float64) for at in range(0, matrix.shape[2], SPAN)]

    def __call__(self, levels: NDArray[np.int32]) -> Floats:
        exact = [
            (span @ levels[i * SPAN : (i + 1) * SPAN].astype(np.float64)).astype(np.float32)
            for i, span in enumerate(self._spans)
        ]
        total = exact[0]
        for later in exact[1:]:
            total = total + later
        return total

    def unrounded(self, x: Floats) -> NDArray[np.float64]:
        """The product with float activations, in float64."""
        return np.concatenate(self._spans, axis=2) @ x.astype(np.float64)


# ---- operators ------------------------------------------------------------------------------------------------------


#: The gates of every step of every recurrent layer: operator name -> gate -> (frames, units) float32.
Gates: TypeAlias = dict[str, dict[str, Floats]]

_GATES: dict[type[Cell], str] = {Gru: "zrnh", Lstm: "ifgoch", Rnn: "h"}


def _flushed(h: Floats) -> Floats:
    return np.where(np.abs(h) < _FLUSH, np.float32(0.0), h)


class Reference:
    """One stream of a model, in numpy.

    ``data``: the bytes of a `.grulet` file, or a `Program`.  ``state``: operator name -> its state as in the file.
    ``observe(operator, x)`` is called with the input vector of every operator of every frame.
    """

    def __init__(
        self,
        data: bytes | Program,
        *,
        exact_activations: bool = False,
        observe: Callable[[AnyOperator, Floats], None] | None = None,
    ) -> None:
        self.observe = observe
        self.program = data if isinstance(data, Program) else grulet_format.read(data)
        self.exact_activations = exact_activations
        matrices = [m for op in self.program.operators if isinstance(op, Cell | Dense) for m in op.matrices]
        self._prepared = {id(matrix): _prepare(matrix) for matrix in matrices}
        self._gates: Gates = {}
        self.reset()

    def reset(self) -> None:
        """Back to the model's initial state."""
        self.state = {
            op.name: initial_state(self.program, op).copy()
            for op in self.program.operators
            if state_floats(self.program, op)
        }

    def run(self, frames: Floats) -> Floats:
        """(T, in) float32 -> (T, out) float32; continues the stream.

        A model with reversed layers takes ``frames`` as one whole sequence, from its initial state.
        """
        return self.run_with_gates(frames)[0]

    def run_with_gates(self, frames: Floats) -> tuple[Floats, Gates]:
        """Like `run`, and the gates of every recurrent layer: GRU z, r, n, h; LSTM i, f, g, o, c, h; RNN h."""
        frames = np.asarray(frames)
        width = self.program.input_width
        if frames.ndim != 2 or frames.shape[1] != width or frames.dtype != np.float32:
            raise FrameError(f"frames must be float32 (frames, {width}), not {frames.dtype} {frames.shape}")
        if not np.isfinite(frames).all():
            raise FrameError("the frames hold a NaN or an infinity")
        self._check_tokens(frames)
        if self.program.needs_sequence:
            self.reset()
        outputs = np.empty((len(frames), self.program.output_width), np.float32)
        cells = [op for op in self.program.operators if isinstance(op, Cell)]
        units = {op.name: op.bias.shape[1] for op in cells}
        gates = {
            op.name: {gate: np.empty((len(frames), units[op.name]), np.float32) for gate in _GATES[type(op)]}
            for op in cells
        }
        self._gates = gates
        with np.errstate(over="ignore", invalid="ignore", under="ignore", divide="ignore"):
            arenas = [self._inputs(frame) for frame in frames]
            for group in self._groups():
                order = range(len(frames))
                for t in reversed(order) if group[0].reverse else order:
                    for op in group:
                        arenas[t][op.output] = self._operator(op, arenas, t)
            for t, values in enumerate(arenas):
                outputs[t] = np.concatenate([values[port.value] for port in self.program.outputs])
        return outputs, gates

    def _check_tokens(self, frames: Floats) -> None:
        at = 0
        for port in self.program.inputs:
            part = frames[:, at : at + self.program.width(port.value)]
            at += part.shape[1]
            if port.tokens and not ((part >= 0) & (part < port.tokens) & (part == np.floor(part))).all():
                raise FrameError(f"input '{port.name}' holds a number that is no token: 0 to {port.tokens - 1}")

    def _inputs(self, frame: Floats) -> dict[int, Floats]:
        subnormal = np.abs(frame) < np.float32(2.0**-126)
        frame = np.where(subnormal, np.float32(0.0), frame)
        values: dict[int, Floats] = {}
        for port in self.program.inputs:
            value = self.program.values[port.value]
            values[port.value] = frame[value.offset : value.offset + value.width]
        return values

    def _groups(self) -> list[list[AnyOperator]]:
        """Operators that run together frame by frame: those of a loop, or one alone."""
        groups: list[list[AnyOperator]] = []
        for op in self.program.operators:
            if op.loop and groups and groups[-1][0].loop == op.loop:
                groups[-1].append(op)
            else:
                groups.append([op])
        return groups

    def _operator(self, op: AnyOperator, arenas: list[dict[int, Floats]], t: int) -> Floats:
        """The output of one operator in frame ``t``."""
        values = arenas[t]
        if isinstance(op, StateRead):
            return self.state[op.name]
        x = values[op.input]
        if self.observe is not None:
            self.observe(op, x)
        match op:
            case Gru():
                return self._gru(op, x, t)
            case Lstm():
                return self._lstm(op, x, t)
            case Rnn():
                return self._rnn(op, x, t)
            case Dense():
                sums = self._products(op.matrix, x, op.activations, op.input_peak)[0]
                return apply_function(finite(sums + op.bias[0]), op.function, op.alpha)
            case Activation():
                return apply_function(x, op.function, op.alpha, op.beta, op.size)
            case Binary():
                return apply_binary(x, values[op.second_input], op.function)
            case Affine():
                return affine(x, op.scale, op.shift)
            case PRelu():
                return np.where(x < 0, finite(x * op.slopes), x)
            case Concat():
                return np.concatenate([x, values[op.second_input]])
            case Slice():
                return x[op.first : op.first + self.program.width(op.output)]
            case Select():
                return x[op.indices]
            case Embedding():
                return _embedded(op, x)
            case LayerNorm():
                return layer_norm(x, op.scale, op.shift, op.epsilon)
            case History():
                return self._history(op, x)
            case Depthwise():
                products = op.taps * x.reshape(op.taps.shape)
                total = products[0]
                for later in products[1:]:
                    total = total + later
                return finite(total + op.bias)
            case StateWrite():
                self.state[self.program.operators[op.reader].name] = x
                return x
            case FirstFrame():
                return arenas[0][op.input]

    def _gate_inputs(self, op: Cell, x: Floats, h: Floats) -> tuple[Floats, Floats]:
        """Products with the input and with the hidden state, (sets, units) each."""
        return (
            self._products(op.input_matrix, x, op.activations, op.input_peak),
            self._products(op.recurrent_matrix, h, op.activations, 1.0, level_in_scale=True),
        )

    def _keep(self, op: Cell, t: int, **gates: Floats) -> None:
        for name, values in gates.items():
            self._gates[op.name][name][t] = values

    def _gru(self, op: Gru, x: Floats, t: int) -> Floats:
        h = self.state[op.name]
        (xz, xr, xn), (hz, hr, hn) = self._gate_inputs(op, x, h)
        bz, br, bxn, bhn = op.bias
        z = sigmoid((xz + hz) + bz)
        r = sigmoid((xr + hr) + br)
        n = tanh((xn + bxn) + r * (hn + bhn))
        h = _flushed(n + z * (h - n))
        self.state[op.name] = h
        self._keep(op, t, z=z, r=r, n=n, h=h)
        return h

    def _lstm(self, op: Lstm, x: Floats, t: int) -> Floats:
        h, c = self.state[op.name].reshape(2, -1)
        from_x, from_h = self._gate_inputs(op, x, h)
        total = (from_x + from_h) + op.bias
        i, f, g, o = sigmoid(total[0]), sigmoid(total[1]), tanh(total[2]), sigmoid(total[3])
        c = _flushed(f * c + i * g)
        h = _flushed(o * tanh(c))
        self.state[op.name] = np.concatenate([h, c])
        self._keep(op, t, i=i, f=f, g=g, o=o, c=c, h=h)
        return h

    def _rnn(self, op: Rnn, x: Floats, t: int) -> Floats:
        from_x, from_h = self._gate_inputs(op, x, self.state[op.name])
        h = _flushed(tanh((from_x[0] + from_h[0]) + op.bias[0]))
        self.state[op.name] = h
        self._keep(op, t, h=h)
        return h

    def _history(self, op: History, x: Floats) -> Floats:
        state = self.state[op.name].copy()
        position, ring = int(state[0]), state[1:].reshape(-1, len(x))
        slots = [(position - (op.taps - 1 - tap) * op.dilation) % len(ring) for tap in range(op.taps - 1)]
        answer = np.concatenate([*ring[slots], x])
        ring[position] = x
        state[0] = (position + 1) % len(ring)
        self.state[op.name] = state
        return answer

    def _products(
        self, matrix: Matrix, x: Floats, activations: str, peak: float, *, level_in_scale: bool = False
    ) -> Floats:
        """``matrix @ x`` as the operator's formats say, (sets, units) float32."""
        products = self._prepared[id(matrix)]
        if isinstance(products, _FloatProducts):
            return products(x)
        levels = LEVELS[activations]
        if self.exact_activations:
            return np.asarray(products.unrounded(x) * products.scale * (levels if level_in_scale else 1), np.float32)
        quantized, level = quantize(x, levels, peak)
        sums = products(quantized) * products.scale
        return sums if level_in_scale else sums * level


def _embedded(op: Embedding, tokens: Floats) -> Floats:
    rows, table = tokens.astype(np.int64), op.table
    if table.scale is None:
        return table.values[rows].astype(np.float32).reshape(-1)
    multipliers = None if table.multipliers is None else table.multipliers[rows]
    integers = Matrix(table.values[rows], None, multipliers).integers
    return (integers.astype(np.float32) * table.scale[rows, None]).reshape(-1)


def _prepare(matrix: Matrix) -> _FloatProducts | _IntegerProducts:
    if matrix.scale is None:
        return _FloatProducts(np.asarray(matrix.values, np.float32))
    return _IntegerProducts(matrix.integers, matrix.scale)
