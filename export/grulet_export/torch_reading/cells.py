"""nn.GRU, nn.LSTM and nn.RNN as nodes: every layer and direction a cell of its own."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, TypeAlias

import numpy as np
from torch import nn

from grulet_export.errors import Refusal
from grulet_export.graph import Array, Concat, Gru, Lstm, Node, Rnn
from grulet_export.torch_reading.signals import (
    Builder,
    FinalState,
    Signal,
    StateOrigin,
    Width,
    Zeros,
    array_of,
    frames_of,
    takes,
)

#: (gate weights of the input, of the state, biases of the input, of the state) in torch's order of gates.
_Parameters: TypeAlias = tuple[Array, Array, Array, Array]


def _gru(name: str, source: str, target: str, parameters: _Parameters, reverse: bool) -> Node:
    """torch has the gates r z n, we z r n."""
    weights, recurrent, input_bias, recurrent_bias = (np.ascontiguousarray(array[[1, 0, 2]]) for array in parameters)
    start = np.zeros(input_bias.shape[1], np.float32)
    return Gru(name, (source,), target, weights, recurrent, input_bias, recurrent_bias, start, reverse)


def _lstm(name: str, source: str, target: str, parameters: _Parameters, reverse: bool) -> Node:
    weights, recurrent, input_bias, recurrent_bias = parameters
    bias = input_bias + recurrent_bias
    return Lstm(name, (source,), target, weights, recurrent, bias, np.zeros((2, bias.shape[1]), np.float32), reverse)


def _rnn(name: str, source: str, target: str, parameters: _Parameters, reverse: bool) -> Node:
    weights, recurrent, input_bias, recurrent_bias = parameters
    bias = input_bias + recurrent_bias
    return Rnn(name, (source,), target, weights, recurrent, bias, np.zeros(bias.shape[1], np.float32), reverse)


#: How to make a node of each layer, the number of its gates, and of its states.
_KINDS: Mapping[type[nn.RNNBase], tuple[Callable[..., Node], int, int]] = {
    nn.GRU: (_gru, 3, 1),
    nn.LSTM: (_lstm, 4, 2),
    nn.RNN: (_rnn, 1, 1),
}


def recurrent(builder: Builder, name: str, module: nn.RNNBase, input: Any, hx: Any = None) -> tuple[Signal, Any]:
    """Add the layers of one module; return (y, h_n), where an LSTM's h_n is (h_n, c_n)."""
    frames = frames_of(input)
    make, gates, states = next(made for kind, made in _KINDS.items() if isinstance(module, kind))
    _refuse(builder, module, hx)
    builder.batch_first = module.batch_first
    takes(frames, module.input_size)
    units = module.hidden_size

    def parameters(suffix: str) -> _Parameters:
        """Return the parameters of a layer in one direction, (gates, units, ...) each."""
        weights = [
            array_of(getattr(module, f"weight_{part}_{suffix}"), f"weight_{part}_{suffix}") for part in ("ih", "hh")
        ]
        if module.bias:
            weights += [
                array_of(getattr(module, f"bias_{part}_{suffix}"), f"bias_{part}_{suffix}") for part in ("ih", "hh")
            ]
        else:
            weights += [np.zeros(gates * units, np.float32)] * 2
        w, r, b, c = (array.reshape(gates, units, *array.shape[1:]) for array in weights)
        return w, r, b, c

    for layer in range(module.num_layers):  # dropout between the layers is for training alone
        for part in range(states):
            row = layer * (1 + module.bidirectional)
            builder.origins.append(StateOrigin(name, builder.calls[name], row, part))
        where = f"{name}.layer{layer}"
        source = frames.value
        node = make(where, source, builder.fresh(), parameters(f"l{layer}"), False)
        frames = builder.add(node, Width(units))
        if module.bidirectional:
            node = make(f"{where}.reverse", source, builder.fresh(), parameters(f"l{layer}_reverse"), True)
            backwards = builder.add(node, Width(units))
            both = Concat(f"{where}.both", (frames.value, backwards.value), builder.fresh())
            frames = builder.add(both, Width(2 * units))
    return frames, (FinalState(), FinalState()) if states == 2 else FinalState()


def _refuse(builder: Builder, module: nn.RNNBase, hx: Any) -> None:
    """Refuse what is no ordinary layer that starts from zeros."""
    if module.proj_size:
        raise Refusal("it projects its state (proj_size)", "train it without proj_size")
    if isinstance(module, nn.RNN) and module.nonlinearity != "tanh":
        raise Refusal(f"its nonlinearity is {module.nonlinearity}", "use tanh")
    starts = hx if isinstance(hx, tuple) else (hx,)
    if not all(start is None or isinstance(start, Zeros) for start in starts):
        raise Refusal("it is given an initial state", "leave it out: a stream starts from zeros and keeps its state")
    if builder.batch_first not in (None, module.batch_first):
        raise Refusal(
            f"its batch_first is {module.batch_first}, unlike that of a layer before it, so one of them takes "
            "sequences for frames",
            "give all layers the same batch_first",
        )
