"""torch's GRU, LSTM and Linear with the rounding of a `.grulet` file in their forward."""

from __future__ import annotations

from abc import abstractmethod
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.nn.utils.rnn import PackedSequence

from grulet_export.qat.recurrence import gru, lstm
from grulet_export.qat.rounded_layer import RoundedLayer


class Linear(RoundedLayer, nn.Linear):
    """`torch.nn.Linear` whose weights and inputs are rounded; ``weights``, ``activations``: their formats."""

    def __init__(self, *args: Any, weights: str = "int4", activations: str = "int16", **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.round_as(weights, activations)

    def forward(self, input: Tensor) -> Tensor:
        """(..., inputs) -> (..., units)."""
        with torch.autocast(input.device.type, enabled=False):
            product = self.rounded("weight").of_inputs(input.float())
            return product if self.bias is None else product + self.bias


class _Recurrent(RoundedLayer, nn.RNNBase):
    """What GRU and LSTM share: layers, directions, and torch's ways to give sequences and states."""

    def __init__(self, *args: Any, weights: str = "int4", activations: str = "int16", **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        if self.proj_size:
            raise ValueError("proj_size is not supported: a .grulet file has no projected states")
        self.round_as(weights, activations)

    def _run(self, input: Tensor, start: tuple[Tensor, ...]) -> tuple[Tensor, tuple[Tensor, ...]]:
        """Run all layers: (time, batch, inputs) and states (rows, batch, units) -> answers, and the last states."""
        suffixes = ["", "_reverse"] if self.bidirectional else [""]
        final: list[tuple[Tensor, ...]] = []
        for layer in range(self.num_layers):
            answers = []
            for suffix in suffixes:
                first = tuple(state[len(final)] for state in start)
                frames = input.flip(0) if suffix else input
                states, last = self._run_layer(frames, first, f"l{layer}{suffix}")
                answers.append(states.flip(0) if suffix else states)
                final.append(last)
            input = torch.cat(answers, dim=-1)
            if layer + 1 < self.num_layers:
                input = functional.dropout(input, self.dropout, self.training)
        return input, tuple(torch.stack(states) for states in zip(*final, strict=True))

    @abstractmethod
    def _run_layer(self, frames: Tensor, start: tuple[Tensor, ...], suffix: str) -> tuple[Tensor, tuple[Tensor, ...]]:
        """Run one layer in one direction: frames and first states -> the states of every frame, and the last."""

    def _biases(self, suffix: str) -> tuple[Tensor, Tensor]:
        """The input biases and the recurrent biases of a layer, zeros if it has none."""
        if self.bias:
            return getattr(self, f"bias_ih_{suffix}"), getattr(self, f"bias_hh_{suffix}")
        weight = getattr(self, f"weight_hh_{suffix}")
        return weight.new_zeros(len(weight)), weight.new_zeros(len(weight))

    def _sequences(self, input: Any, start: tuple[Tensor, ...] | None) -> tuple[Tensor, tuple[Tensor, ...]]:
        """Return the input as (time, batch, inputs) and the states as (rows, batch, units)."""
        if isinstance(input, PackedSequence):
            raise TypeError(
                "a PackedSequence is not supported: give padded sequences, and leave their ends out of the loss"
            )
        if input.dim() not in (2, 3):
            raise ValueError(f"{type(self).__name__} takes 2 or 3 axes, not {input.dim()}")
        if input.dim() == 2:
            input = input.unsqueeze(1)
            start = None if start is None else tuple(state.unsqueeze(1) for state in start)
        elif self.batch_first:
            input = input.transpose(0, 1)
        self.check_input(input, None)
        if not len(input):
            raise ValueError("the sequence has no frames")
        rows = self.num_layers * (2 if self.bidirectional else 1)
        expected = rows, input.shape[1], self.hidden_size
        if start is None:
            start = (input.new_zeros(expected),) * (2 if isinstance(self, nn.LSTM) else 1)
        for state in start:
            self.check_hidden_size(state, expected)
        return input.float(), tuple(state.float() for state in start)

    def _forward(self, input: Tensor, start: tuple[Tensor, ...] | None) -> tuple[Tensor, tuple[Tensor, ...]]:
        frames, start = self._sequences(input, start)
        with torch.autocast(frames.device.type, enabled=False):
            answers, final = self._run(frames, start)
        if input.dim() == 2:
            return answers.squeeze(1), tuple(state.squeeze(1) for state in final)
        return answers.transpose(0, 1) if self.batch_first else answers, final


class GRU(_Recurrent, nn.GRU):
    """`torch.nn.GRU` whose weights, inputs and hidden states are rounded; ``weights``, ``activations``: their formats.

    States handed in are to lie within [-1, 1], as those it gives do.  Gradients of gradients are not supported.
    """

    def forward(self, input: Tensor, hx: Tensor | None = None) -> tuple[Tensor, Tensor]:  # type: ignore[override]
        """Return what torch's layer returns: h of every frame, and the last h of every layer."""
        answers, (h,) = self._forward(input, None if hx is None else (hx,))
        return answers, h

    def _run_layer(self, frames: Tensor, start: tuple[Tensor, ...], suffix: str) -> tuple[Tensor, tuple[Tensor, ...]]:
        input_bias, recurrent_bias = self._biases(suffix)
        gates = 2 * self.hidden_size  # r and z, whose biases are added behind the sum of both products
        within = torch.cat([torch.zeros_like(input_bias[:gates]), input_bias[gates:]])
        behind = torch.cat([input_bias[:gates] + recurrent_bias[:gates], recurrent_bias[gates:]])
        inputs = self.rounded(f"weight_ih_{suffix}").of_inputs(frames) + within
        states = gru(inputs, start[0], behind, self.rounded(f"weight_hh_{suffix}"))
        return states, (states[-1],)


class LSTM(_Recurrent, nn.LSTM):
    """`torch.nn.LSTM` whose weights, inputs and hidden states are rounded; its cells c stay floats.  Else as `GRU`."""

    def forward(  # type: ignore[override]
        self, input: Tensor, hx: tuple[Tensor, Tensor] | None = None
    ) -> tuple[Tensor, tuple[Tensor, Tensor]]:
        """Return what torch's layer returns: h of every frame, and the last h and c of every layer."""
        answers, (h, c) = self._forward(input, hx)
        return answers, (h, c)

    def _run_layer(self, frames: Tensor, start: tuple[Tensor, ...], suffix: str) -> tuple[Tensor, tuple[Tensor, ...]]:
        input_bias, recurrent_bias = self._biases(suffix)
        inputs = self.rounded(f"weight_ih_{suffix}").of_inputs(frames)
        h, c = start
        states, cell = lstm(inputs, (h, c), input_bias + recurrent_bias, self.rounded(f"weight_hh_{suffix}"))
        return states, (states[-1], cell)
