"""Weights and activations rounded as the kernels round them, with gradients that pass straight through.

What a weight or an activation is rounded to is flat almost everywhere, so its true gradient is 0.  Training takes the
gradient of the rounded product as that of the number before rounding, and 0 for weights beyond the ends of their grid:
moving them further out would change nothing.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from grulet.format import LEVELS, SILENCE
from grulet.operators import WEIGHT_GROUP
from grulet.weights import SPAN
from grulet_export.quantization.grids import RANGES

#: Levels that fit one factor of an exact product; 16-bit levels are taken apart into their two bytes.
_ONE_BYTE = LEVELS["int8"]


@dataclass(frozen=True)
class Rounded:
    """A matrix ready for products.

    ``values`` (rows, inputs): the rounded weights, from which gradients go back to the weights.  Of a format that
    rounds activations, too: ``integers`` (rows, inputs), whole numbers, of which the kernels make their products,
    ``scale`` (rows,), and ``levels`` of the activations, 32767 or 127.

    ``exact``: products have the kernels' bits; else they differ in the order of their sums, and take half the time.
    """

    values: Tensor
    exact: bool
    integers: Tensor | None = None
    scale: Tensor | None = None
    levels: int = 0

    def of_inputs(self, x: Tensor) -> Tensor:
        """(..., inputs) -> (..., rows), every vector rounded by its own largest magnitude; differentiable."""
        if self.integers is None:
            return x @ self.values.T
        product: Tensor = _InputProduct.apply(x, self.values, self)  # type: ignore[no-untyped-call]
        return product

    def of_states(self) -> Callable[[Tensor], Tensor]:
        """Return a function of h (batch, inputs) within [-1, 1], rounded by its fixed scale; not differentiable."""
        if self.exact and self.integers is not None and self.scale is not None:
            integers, levels, scale = self.integers, self.levels, self.scale / self.levels
            return lambda h: _exact((h * levels).round_(), integers, levels).mul_(scale)
        values = self.values.detach().T
        return lambda h: self.state(h) @ values

    def state(self, h: Tensor) -> Tensor:
        """What the products of a state are made with: ``h``, rounded where the format rounds activations."""
        return (h * self.levels).round_().mul_(1 / self.levels) if self.levels else h


def round_weights(
    weight: Tensor,
    weights: str,
    activations: str,
    scale: Tensor | None = None,
    multipliers: Tensor | None = None,
    *,
    exact: bool,
) -> Rounded:
    """Round a matrix (rows, inputs) to its grid, for products that are ``exact`` or quick.

    ``scale`` (rows,) of int8 and int4, ``multipliers`` (rows, groups of 32 inputs) of int4: as in
    `grulet_export.quantization.grids.Grid`.
    """
    if scale is None:
        values = _ThroughHalf.apply(weight) if weights == "f16" else weight  # type: ignore[no-untyped-call]
        return Rounded(values, exact)
    factors = torch.ones_like(weight[:, :1])
    if multipliers is not None:
        factors = multipliers.float().repeat_interleave(WEIGHT_GROUP, dim=1)[:, : weight.shape[1]]
    values, integers = _ToGrid.apply(weight, scale[:, None], factors, RANGES[weights])  # type: ignore[no-untyped-call]
    return Rounded(values, exact, integers, scale, LEVELS[activations])


class _ToGrid(torch.autograd.Function):
    """Weights (rows, inputs), scale (rows, 1), multipliers (rows, inputs or 1) -> rounded weights, whole numbers."""

    @staticmethod
    def forward(
        ctx: Any, weight: Tensor, scale: Tensor, multipliers: Tensor, limits: tuple[int, int]
    ) -> tuple[Tensor, Tensor]:
        steps = scale * multipliers
        # Where all is 0, whatever the weight, everything but 0 lies outside the grid.
        nearest = (weight / torch.where(steps == 0, float(SILENCE), steps)).round_()
        quantized = nearest.clamp(*limits)
        integers = quantized * multipliers
        ctx.save_for_backward(nearest == quantized)
        ctx.mark_non_differentiable(integers)
        return integers * scale, integers

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor, _: Tensor) -> tuple[Tensor | None, ...]:
        (inside,) = ctx.saved_tensors
        return gradient * inside, None, None, None


class _ThroughHalf(torch.autograd.Function):
    """Numbers as IEEE half precision keeps them."""

    @staticmethod
    def forward(ctx: Any, weight: Tensor) -> Tensor:
        return weight.half().float()

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> Tensor:
        return gradient


class _InputProduct(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, values: Tensor, matrix: Rounded) -> Tensor:
        assert matrix.integers is not None
        assert matrix.scale is not None
        levels = matrix.levels
        peak = x.abs().amax(dim=-1, keepdim=True)
        silent = peak < float(SILENCE)
        most = torch.full_like(peak, levels)  # torch takes a number over a tensor as number * (1 / tensor)
        per_level = torch.where(silent, 0.0, most / torch.where(silent, 1.0, peak))
        quantized = (x * per_level).clamp_(-levels, levels).round_()
        level = torch.where(silent, 0.0, peak / most)
        rounded = quantized * level
        ctx.save_for_backward(rounded, values)
        if not matrix.exact:
            return rounded @ values.T
        sums = _exact(quantized.flatten(0, -2), matrix.integers, levels).mul_(matrix.scale)
        return sums.view(*x.shape[:-1], -1).mul_(level)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, ...]:
        x, values = ctx.saved_tensors
        return (
            gradient @ values if ctx.needs_input_grad[0] else None,
            gradient.flatten(0, -2).T @ x.flatten(0, -2) if ctx.needs_input_grad[1] else None,
            None,
        )


def _exact(quantized: Tensor, integers: Tensor, levels: int) -> Tensor:
    """(vectors, inputs) levels, (rows, inputs) whole numbers -> (vectors, rows): the sums of the numerics contract.

    A float holds every whole number up to 2^24, so that a float product of bytes is exact over a span of 512 inputs
    (127 * 255 * 512 < 2^24), in any order, and 256 * high + low is rounded once: as the exact sum is.
    """
    total: Tensor | None = None
    for at in range(0, integers.shape[1], SPAN):
        span, factors = quantized[:, at : at + SPAN], integers[:, at : at + SPAN].T
        if levels > _ONE_BYTE:
            high = (span * (1 / 256)).floor_()
            upper, lower = (torch.cat([high, span.sub(high, alpha=256)]) @ factors).chunk(2)
            sums = lower.add(upper, alpha=256)
        else:
            sums = span @ factors
        total = sums if total is None else total + sums
    assert total is not None
    return total
