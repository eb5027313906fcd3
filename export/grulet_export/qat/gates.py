"""sigmoid and tanh with the bits of the file's kernels: docs/numerics.md, and `grulet.functions`, in torch.

torch's own functions are off by a rounding here and there.  That is no error worth training against, but with 8-bit
activations one rounding in a hundred thousand moves a state to the next level, and two runs part by a level there.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

_MAGIC = 12582912.0  # 1.5 * 2^23: adding it rounds to an integer, half to even
_LOG2_E = 1.44269504
_LN_2 = 0.693147182
_NUMERATOR = torch.tensor(_LOG2_E)  # torch takes a number over a tensor as number * (1 / tensor): two roundings


def of(*, exact: bool) -> tuple[Callable[[Tensor], Tensor], Callable[[Tensor], Tensor]]:
    """Return sigmoid and tanh: the kernels', or torch's, which take a tenth of the time."""
    return (sigmoid, tanh) if exact else (torch.sigmoid, torch.tanh)


def _exp2_parts(t: Tensor) -> tuple[Tensor, Tensor]:
    """``(p, power)`` with 2^t = power (1 + p ln 2), ``power`` a power of two."""
    whole = (t + _MAGIC) - _MAGIC
    f = t - whole
    f2 = f * f
    low = f * 8.007489145e-02 + 3.465735912e-01
    high = f * 1.931316336e-03 + 1.387606654e-02
    p = f + f2 * (low + f2 * (high + f2 * 2.224400960e-04))
    return p, ((whole.to(torch.int32) + 127) << 23).view(torch.float32)


def sigmoid(x: Tensor) -> Tensor:
    """1 / (1 + e^-x), elementwise, of float32."""
    p, power = _exp2_parts(x.clamp(-87.0, 87.0) * -_LOG2_E)
    return _NUMERATOR / ((p + _LOG2_E) * power + _LOG2_E)


def tanh(x: Tensor) -> Tensor:
    """Hyperbolic tangent, elementwise, of float32."""
    bounded = x.clamp(-10.0, 10.0)
    p, power = _exp2_parts(bounded.abs() * (-2.0 * _LOG2_E))
    w = (1.0 - power) - (power * _LN_2) * p
    return torch.copysign(w / (2.0 - w), bounded)
