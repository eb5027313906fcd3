"""The time loops of a GRU and an LSTM layer, with gradients worked out by hand.

A step of the forward costs some twenty small operations.  Backward, all that a step needs but the carried gradient is
known beforehand, for all frames at once: what is left of a step is one product of elements and one of matrices.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from grulet_export.qat import gates
from grulet_export.qat.rounding import Rounded


def gru(inputs: Tensor, start: Tensor, bias: Tensor, matrix: Rounded) -> Tensor:
    """Run a GRU layer over whole sequences.

    ``inputs`` (time, batch, 3 units): products with the frames, gates r z n, where n's input bias is added already;
    ``start`` (batch, units); ``bias`` (3 units,): r's and z's both biases added, n's recurrent one; ``matrix``
    (3 units, units).  Returns h of every frame, (time, batch, units).
    """
    states: Tensor = _Gru.apply(  # type: ignore[no-untyped-call]
        inputs, start, bias, matrix.values, matrix, torch.is_grad_enabled()
    )
    return states


def lstm(inputs: Tensor, start: tuple[Tensor, Tensor], bias: Tensor, matrix: Rounded) -> tuple[Tensor, Tensor]:
    """Run an LSTM layer over whole sequences.

    ``inputs`` (time, batch, 4 units): products with the frames, gates i f g o; ``start``: h and c, (batch, units) each;
    ``bias`` (4 units,): both biases added; ``matrix`` (4 units, units).  Returns h of every frame, (time, batch,
    units), and the last c, (batch, units).
    """
    states: tuple[Tensor, Tensor] = _Lstm.apply(  # type: ignore[no-untyped-call]
        inputs, *start, bias, matrix.values, matrix, torch.is_grad_enabled()
    )
    return states


class _Gru(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any, inputs: Tensor, start: Tensor, bias: Tensor, values: Tensor, matrix: Rounded, learns: bool
    ) -> Tensor:
        units, product, (sigmoid, tanh) = start.shape[-1], matrix.of_states(), gates.of(exact=matrix.exact)
        parts = [2 * units, units]  # r and z; n
        bias_rz, bias_n = torch.split(bias, parts)
        h = start
        kept: list[tuple[Tensor, ...]] = []  # r, z, n, and n's recurrent sum, of every frame
        states = [start]
        for input_rz, input_n in zip(*torch.split(inputs, parts, dim=-1), strict=True):
            from_rz, from_n = torch.split(product(h), parts, dim=-1)
            r, z = sigmoid((input_rz + from_rz).add_(bias_rz)).chunk(2, dim=-1)
            from_n = from_n + bias_n
            n = tanh(input_n + r * from_n)
            h = n + z * (h - n)
            states.append(h)
            if learns:
                kept.append((r, z, n, from_n))
        all_states = torch.stack(states)
        if learns:
            before, tensors = all_states[:-1], [torch.stack(of_frames) for of_frames in zip(*kept, strict=True)]
            ctx.save_for_backward(before, matrix.state(before), *tensors, values)
        return all_states[1:]

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, ...]:
        before, multiplied, r, z, n, from_n, values = ctx.saved_tensors
        # What a gradient of h' = n + z (h - n) is multiplied by on its way to the sums inside the gates' functions.
        to_n = (1 - z) * (1 - n * n)
        to_r, to_z, to_recurrent_n = to_n * from_n * r * (1 - r), (before - n) * z * (1 - z), to_n * r
        to_sums = torch.stack([to_r, to_z, to_recurrent_n], dim=2)
        states, sums = torch.empty_like(z), torch.empty_like(to_sums)
        carried = torch.zeros_like(z[0])
        for t in range(len(z) - 1, -1, -1):
            torch.add(gradient[t], carried, out=states[t])
            torch.mul(states[t].unsqueeze(1), to_sums[t], out=sums[t])
            carried = torch.addmm(states[t] * z[t], sums[t].flatten(1), values)
        sums = sums.flatten(2)
        return (
            torch.cat([sums[..., : 2 * z.shape[-1]], states * to_n], dim=-1),
            carried,
            sums.sum(dim=(0, 1)),
            sums.flatten(0, 1).T @ multiplied.flatten(0, 1),
            None,
            None,
        )


class _Lstm(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any,
        inputs: Tensor,
        start: Tensor,
        cell: Tensor,
        bias: Tensor,
        values: Tensor,
        matrix: Rounded,
        learns: bool,
    ) -> tuple[Tensor, Tensor]:
        h, c = start, cell
        product, (sigmoid, tanh) = matrix.of_states(), gates.of(exact=matrix.exact)
        kept: list[tuple[Tensor, ...]] = []  # the c before, the gates, and tanh(c), of every frame
        states = [start]
        for input in inputs:
            sums = (input + product(h)).add_(bias)
            activated = sigmoid(sums)
            i, f, g, o = activated.chunk(4, dim=-1)
            g.copy_(tanh(sums.chunk(4, dim=-1)[2]))
            before, c = c, f * c + i * g
            tanh_c = tanh(c)
            h = o * tanh_c
            states.append(h)
            if learns:
                kept.append((before, activated, tanh_c))
        all_states = torch.stack(states)
        if learns:
            tensors = [torch.stack(of_frames) for of_frames in zip(*kept, strict=True)]
            ctx.save_for_backward(matrix.state(all_states[:-1]), *tensors, values)
        return all_states[1:], c

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor, gradient_of_cell: Tensor) -> tuple[Tensor | None, ...]:
        multiplied, before, kept_gates, squashed, values = ctx.saved_tensors
        i, f, g, o = kept_gates.chunk(4, dim=-1)
        # What gradients of c' = f c + i g, and of h' = o tanh(c'), are multiplied by on their way to the gates' sums.
        cell_to_sums = torch.stack([g * i * (1 - i), before * f * (1 - f), i * (1 - g * g)], dim=2)
        state_to_o, state_to_cell = squashed * o * (1 - o), o * (1 - squashed * squashed)
        sums = torch.empty_like(kept_gates.unflatten(-1, (4, -1)))
        state, cell = torch.zeros_like(o[0]), gradient_of_cell
        for t in range(len(o) - 1, -1, -1):
            state = gradient[t] + state
            cell = torch.addcmul(cell, state, state_to_cell[t])
            torch.mul(cell.unsqueeze(1), cell_to_sums[t], out=sums[t, :, :3])
            torch.mul(state, state_to_o[t], out=sums[t, :, 3])
            state, cell = sums[t].flatten(1) @ values, cell * f[t]
        sums = sums.flatten(2)
        weights = sums.flatten(0, 1).T @ multiplied.flatten(0, 1)
        return sums, state, cell, sums.sum(dim=(0, 1)), weights, None, None
