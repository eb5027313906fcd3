"""The functions of docs/numerics.md in numpy: exp, sigmoid, tanh and their kin from + - * / alone, in float32.

Every function takes and gives float32 arrays, with the bits of the C library.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

Floats: TypeAlias = NDArray[np.float32]

_LARGEST = np.float32(3.40282347e38)
_SMALLEST = np.float32(2.0**-126)  # normal
_MAGIC = np.float32(12582912.0)  # 1.5 * 2^23: adding it rounds to an integer, half to even
_LOG2_E = np.float32(1.44269504)
_LN_2 = np.float32(0.693147182)
_ONE = np.float32(1.0)


def below(x: Floats, limit: float) -> Floats:
    """``x < limit ? x : limit``: a NaN gives the limit, as in the C code."""
    bound = np.float32(limit)
    return np.where(x < bound, x, bound)


def above(x: Floats, limit: float) -> Floats:
    """``x > limit ? x : limit``."""
    bound = np.float32(limit)
    return np.where(x > bound, x, bound)


def finite(x: Floats) -> Floats:
    """Overflow becomes the largest float, a NaN the largest positive one."""
    return above(below(x, float(_LARGEST)), -float(_LARGEST))


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


def exp(x: Floats) -> Floats:
    """e^x; below -87 as at -87, above 88.375 as at 88.375."""
    p, power = _exp2_parts(above(below(x, 88.375), -87.0) * _LOG2_E)
    return _times_power(_ONE + p * _LN_2, power)


def sigmoid(x: Floats) -> Floats:
    """1 / (1 + e^-x), in [0, 1]."""
    p, power = _exp2_parts(above(below(x, 87.0), -87.0) * -_LOG2_E)
    return _LOG2_E / (_LOG2_E + _times_power(_LOG2_E + p, power))


def tanh(x: Floats) -> Floats:
    """Hyperbolic tangent, in [-1, 1], odd."""
    bounded = above(below(x, 10.0), -10.0)
    p, power = _exp2_parts(np.abs(bounded) * (np.float32(-2.0) * _LOG2_E))
    w = (_ONE - _times_power(_ONE, power)) - _times_power(_LN_2, power) * p
    return np.copysign(w / (np.float32(2.0) - w), bounded)


def softmax(x: Floats) -> Floats:
    """Softmax over the vector; the sum runs in order."""
    e = exp(x - x.max())
    total = np.float32(0.0)
    for value in e:
        total = np.float32(total + value)
    return e / total


def log(x: Floats) -> Floats:
    """Natural logarithm; below the smallest normal number as there."""
    bits = above(x, float(_SMALLEST)).view(np.int32)
    e: NDArray[np.int32] = (bits - np.int32(0x3F3504F3)) >> np.int32(23)
    m: Floats = (bits - (e << np.int32(23))).view(np.float32)
    s = (m - _ONE) / (m + _ONE)
    s2 = s * s
    q = np.float32(0.222222224) * s2 + np.float32(0.285714298)
    q = (q * s2 + np.float32(0.4)) * s2 + np.float32(0.666666687)
    r = (s + s) + (s * s2) * q
    k = e.astype(np.float32)
    answer: Floats = (r + k * np.float32(-2.12194440e-4)) + k * np.float32(0.693359375)
    return answer


def sqrt(x: Floats) -> Floats:
    """Square root by three steps of Heron's rule from a guess; 0 below the smallest normal number."""
    positive = np.where(x < _SMALLEST, _ONE, x)
    guess: NDArray[np.uint32] = (positive.view(np.uint32) >> np.uint32(1)) + np.uint32(0x1FBD1DF5)
    y: Floats = guess.view(np.float32)
    for _ in range(3):
        y = np.float32(0.5) * np.asarray(y + positive / y, np.float32)
    return np.where(x < _SMALLEST, np.float32(0.0), y)


def _elu(x: Floats, alpha: np.float32) -> Floats:
    p, power = _exp2_parts(above(below(x, 0.0), -87.0) * _LOG2_E)
    minus_one = _times_power(_LN_2, power) * p - (_ONE - _times_power(_ONE, power))
    return np.where(x < 0, finite(alpha * minus_one), x)


def _softplus(x: Floats) -> Floats:
    return above(x, 0.0) + log(_ONE + exp(-np.abs(x)))


#: By name; ``alpha`` and ``beta`` are float32.
_FUNCTIONS: dict[str, Callable[[Floats, np.float32, np.float32], Floats]] = {
    "none": lambda x, alpha, beta: x,
    "relu": lambda x, alpha, beta: above(x, 0.0),
    "leaky_relu": lambda x, alpha, beta: np.where(x < 0, finite(x * alpha), x),
    "sigmoid": lambda x, alpha, beta: sigmoid(x),
    "tanh": lambda x, alpha, beta: tanh(x),
    "clip": lambda x, alpha, beta: above(below(x, float(beta)), float(alpha)),
    "elu": lambda x, alpha, beta: _elu(x, alpha),
    "hard_sigmoid": lambda x, alpha, beta: above(below(x * alpha + beta, 1.0), 0.0),
    "softplus": lambda x, alpha, beta: _softplus(x),
    "softsign": lambda x, alpha, beta: np.asarray(x / (_ONE + np.abs(x)), np.float32),
    "thresholded_relu": lambda x, alpha, beta: np.where(x > alpha, x, np.float32(0.0)),
    "exp": lambda x, alpha, beta: exp(x),
    "log": lambda x, alpha, beta: log(x),
    "sqrt": lambda x, alpha, beta: sqrt(x),
    "abs": lambda x, alpha, beta: np.abs(x),
    "reciprocal": lambda x, alpha, beta: finite(_ONE / x),
}

_BINARY: dict[str, Callable[[Floats, Floats], Floats]] = {
    "add": lambda a, b: finite(a + b),
    "sub": lambda a, b: finite(a - b),
    "mul": lambda a, b: finite(a * b),
    "div": lambda a, b: finite(a / b),
    "min": lambda a, b: np.where(a < b, a, b),
    "max": lambda a, b: np.where(a > b, a, b),
}


def apply_function(x: Floats, function: str, alpha: float = 0.0, beta: float = 0.0, size: int = 0) -> Floats:
    """One of the functions of one vector; softmax over parts of ``size`` elements, 0: over the whole."""
    if function == "softmax":
        return np.concatenate([softmax(part) for part in x.reshape(-1, size or len(x))])
    return _FUNCTIONS[function](x, np.float32(alpha), np.float32(beta))


def apply_binary(a: Floats, b: Floats, function: str) -> Floats:
    """One of the functions of two vectors."""
    return _BINARY[function](a, b)


def affine(x: Floats, scale: Floats, shift: Floats) -> Floats:
    """``x * scale + shift``."""
    return finite(x * scale + shift)


def _total(x: Floats) -> Floats:
    """(1,) the sum: sixteen partial sums, element i in sum i mod 16, in order; then halves onto halves."""
    partial: Floats = np.zeros(16, np.float32)
    for row in np.pad(x, (0, -len(x) % 16)).reshape(-1, 16):
        partial = partial + row
    for width in (8, 4, 2, 1):
        partial = partial[:width] + partial[width:]
    return partial


def layer_norm(x: Floats, scale: Floats, shift: Floats, epsilon: float) -> Floats:
    """Every part of ``len(scale)`` elements to mean 0 and variance 1, times ``scale`` plus ``shift``."""
    parts = []
    for part in x.reshape(-1, len(scale)):
        n = np.float32(len(part))
        d: Floats = part - finite(_total(part) / n)
        variance: Floats = finite(_total(d * d) / n) + np.float32(epsilon)
        inverse: Floats = _ONE / sqrt(finite(variance))
        parts.append(finite((d * inverse) * scale + shift))
    return np.concatenate(parts)
