"""The numpy oracle: docs/numerics.md as a program.

`Reference` runs a `.grulet` file with the bits of the C library, one float32 operation at a time, and shows what the
C library keeps to itself: the gates z, r and the candidate n of every step.  It is slow, and it is the definition.

With ``exact_activations=True`` it leaves out one thing, the rounding of activations to int16 or int8: the difference
between the two runs is the error that activation rounding costs.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from grulet import format as grulet_format
from grulet.errors import FrameError
from grulet.format import GROUP, LEVELS, SILENCE, SPAN, Activation, AnyOperator, Dense, Gru, Matrix, Program

Floats: TypeAlias = NDArray[np.float32]

_LARGEST = np.float32(3.40282347e38)
_FLUSH = np.float32(2.0**-64)
_MAGIC = np.float32(12582912.0)  # 1.5 * 2^23: adding it rounds to an integer, half to even
_LOG2_E = np.float32(1.44269504)
_LN_2 = np.float32(0.693147182)


# ---- functions ------------------------------------------------------------------------------------------------------


def _below(x: Floats, limit: float) -> Floats:
    """``x < limit ? x : limit``: a NaN gives the limit, as in the C code."""
    bound = np.float32(limit)
    return np.where(x < bound, x, bound)


def _above(x: Floats, limit: float) -> Floats:
    bound = np.float32(limit)
    return np.where(x > bound, x, bound)


def _exp2_parts(t: Floats) -> tuple[Floats, NDArray[np.uint32]]:
    """``(p, power)`` with 2^t = 2^k (1 + p ln 2) and ``power`` = k << 23 (tools/derive_exp2.py)."""
    shifted: Floats = t + _MAGIC
    f: Floats = t - (shifted - _MAGIC)
    f2 = f * f
    low = np.float32(3.465735912e-01) + f * np.float32(8.007489145e-02)
    high = np.float32(1.387606654e-02) + f * np.float32(1.931316336e-03)
    q = low + f2 * (high + f2 * np.float32(2.224400960e-04))
    power: NDArray[np.uint32] = shifted.view(np.uint32) << np.uint32(23)
    return f + f2 * q, power


def _times_power(x: Floats | np.float32, power: NDArray[np.uint32]) -> Floats:
    """``x`` 2^k, both normal; ``power`` is k << 23."""
    bits: NDArray[np.uint32] = x.view(np.uint32) + power
    return bits.view(np.float32)


def exp_negative(y: Floats) -> Floats:
    """e^y of float32 ``y`` <= 0; below -87 as at -87."""
    p, power = _exp2_parts(_above(y, -87.0) * _LOG2_E)
    return _times_power(np.float32(1.0) + p * _LN_2, power)


def sigmoid(x: Floats) -> Floats:
    """1 / (1 + e^-x) of float32 ``x``, in [0, 1]."""
    p, power = _exp2_parts(_above(_below(x, 87.0), -87.0) * -_LOG2_E)
    return _LOG2_E / (_LOG2_E + _times_power(_LOG2_E + p, power))


def tanh(x: Floats) -> Floats:
    """Hyperbolic tangent of float32 ``x``, in [-1, 1], odd."""
    bounded = _above(_below(x, 10.0), -10.0)
    one = np.float32(1.0)
    p, power = _exp2_parts(np.abs(bounded) * (np.float32(-2.0) * _LOG2_E))
    w = (one - _times_power(one, power)) - _times_power(_LN_2, power) * p
    return np.copysign(w / (np.float32(2.0) - w), bounded)


def finite(x: Floats) -> Floats:
    """Overflow becomes the largest float, a NaN the largest positive one."""
    return _above(_below(x, float(_LARGEST)), -float(_LARGEST))


def softmax(x: Floats) -> Floats:
    """Softmax over the vector; the sum runs in order."""
    e = exp_negative(x - x.max())
    total = np.float32(0.0)
    for value in e:
        total = np.float32(total + value)
    return e / total


def apply_function(x: Floats, function: str, alpha: float) -> Floats:
    """One of `grulet.format.FUNCTIONS`."""
    if function == "relu":
        return _above(x, 0.0)
    if function == "leaky_relu":
        return np.where(x < 0, finite(x * np.float32(alpha)), x)
    if function == "sigmoid":
        return sigmoid(x)
    if function == "tanh":
        return tanh(x)
    if function == "softmax":
        return softmax(x)
    return x


# ---- products -------------------------------------------------------------------------------------------------------


def quantize(x: Floats, levels: int, peak: float) -> tuple[NDArray[np.int32], np.float32]:
    """Levels of ``x`` in [-levels, levels] and the value of one level; ``peak`` 0: the frame's own magnitude."""
    top = np.float32(peak) if peak else np.abs(x).max()
    if top < SILENCE:
        return np.zeros(len(x), np.int32), np.float32(0.0)
    scaled = _above(_below(x * np.float32(np.float32(levels) / top), levels), -levels)
    return np.rint(scaled).astype(np.int32), top / np.float32(levels)


class _FloatProducts:
    """``matrix @ x`` for float32 weights (sets, units, inputs), in the order of docs/numerics.md.

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
    """``matrix @ levels`` for int8 weights: exact sums over spans of 512 inputs, as float32, added in order.

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


@dataclass
class Gates:
    """What a GRU layer computed: each (frames, units) float32."""

    z: Floats
    r: Floats
    n: Floats
    h: Floats


class Reference:
    """One stream of a model, in numpy.

    ``data``: the bytes of a `.grulet` file, or a `Program`.  ``state``: operator name -> hidden state (units,).
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
        matrices = [m for op in self.program.operators if not isinstance(op, Activation) for m in op.matrices]
        self._prepared = {id(matrix): _prepare(matrix) for matrix in matrices}
        self.reset()

    def reset(self) -> None:
        """Back to the model's initial state."""
        self.state = {op.name: op.initial_state.copy() for op in self.program.operators if isinstance(op, Gru)}

    def run(self, frames: Floats) -> Floats:
        """(T, in) float32 -> (T, out) float32; continues the stream."""
        return self.run_with_gates(frames)[0]

    def run_with_gates(self, frames: Floats) -> tuple[Floats, dict[str, Gates]]:
        """Like `run`, and the gates of every GRU layer by operator name."""
        frames = np.asarray(frames)
        width = self.program.input_width
        if frames.ndim != 2 or frames.shape[1] != width or frames.dtype != np.float32:
            raise FrameError(f"frames must be float32 (frames, {width}), not {frames.dtype} {frames.shape}")
        if not np.isfinite(frames).all():
            raise FrameError("the frames hold a NaN or an infinity")
        outputs = np.empty((len(frames), self.program.output_width), np.float32)
        shape = {name: (len(frames), len(h)) for name, h in self.state.items()}
        gates = {name: Gates(*(np.empty(size, np.float32) for _ in range(4))) for name, size in shape.items()}
        with np.errstate(over="ignore", invalid="ignore", under="ignore"):
            for t, frame in enumerate(frames):
                outputs[t] = self._step(frame, gates, t)
        return outputs, gates

    def _step(self, frame: Floats, gates: dict[str, Gates], t: int) -> Floats:
        subnormal = np.abs(frame) < np.float32(2.0**-126)
        frame = np.where(subnormal, np.float32(0.0), frame)
        values: dict[int, Floats] = {}
        for port in self.program.inputs:
            value = self.program.values[port.value]
            values[port.value] = frame[value.offset : value.offset + value.width]
        for op in self.program.operators:
            x = values[op.input]
            if self.observe is not None:
                self.observe(op, x)
            if isinstance(op, Gru):
                values[op.output] = self._gru(op, x, gates[op.name], t)
            elif isinstance(op, Dense):
                sums = self._products(op.matrix, x, op.activations, op.input_peak)[0]
                values[op.output] = apply_function(finite(sums + op.bias[0]), op.function, op.alpha)
            elif isinstance(op, Activation):
                values[op.output] = apply_function(x, op.function, op.alpha)
        return np.concatenate([values[port.value] for port in self.program.outputs])

    def _gru(self, op: Gru, x: Floats, gates: Gates, t: int) -> Floats:
        h = self.state[op.name]
        xz, xr, xn = self._products(op.input_matrix, x, op.activations, op.input_peak)
        hz, hr, hn = self._products(op.recurrent_matrix, h, op.activations, 1.0, level_in_scale=True)
        bz, br, bxn, bhn = op.bias
        z = sigmoid((xz + hz) + bz)
        r = sigmoid((xr + hr) + br)
        n = tanh((xn + bxn) + r * (hn + bhn))
        blended = n + z * (h - n)
        h = np.where(np.abs(blended) < _FLUSH, np.float32(0.0), blended)
        self.state[op.name] = h
        gates.z[t], gates.r[t], gates.n[t], gates.h[t] = z, r, n, h
        return h

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


def _prepare(matrix: Matrix) -> _FloatProducts | _IntegerProducts:
    if matrix.scale is None:
        return _FloatProducts(np.asarray(matrix.values, np.float32))
    return _IntegerProducts(np.asarray(matrix.values, np.int8), matrix.scale)
