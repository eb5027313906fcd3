"""What a forward passes on while `graph` follows it, and what the handlers of its calls share."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from grulet_export.errors import Refusal
from grulet_export.graph import Array, Node

RUNS = (
    "grulet follows nn.GRU, nn.LSTM, nn.RNN, nn.Linear, nn.Embedding, nn.LayerNorm, activations, sums and products of "
    "signals, once per frame"
)
GIVE_EXAMPLE = "give an example (example=, or the module's attribute grulet_example)"
EVERY_FRAME = "return y, one vector per frame, and pick from the answers of the stream"


@dataclass(frozen=True)
class StateOrigin:
    """Where one state of a recurrent layer lives in the module.

    ``module`` is the path of the nn.GRU, nn.LSTM or nn.RNN, ``call`` counts its calls within one forward, ``row`` is
    the place in its h_0 (layers * directions, batch, units), and ``part`` is 0 for h, 1 for an LSTM's c.
    """

    module: str
    call: int
    row: int
    part: int


@dataclass
class Width:
    """The width of a signal; unknown until the first layer that says so."""

    size: int | None = None

    @property
    def known(self) -> int:
        """The width of a signal that must be known by now."""
        if self.size is None:
            raise Refusal("the width of what it reads is unknown", GIVE_EXAMPLE)
        return self.size


@dataclass(frozen=True)
class Signal:
    """One vector per frame. A signal and an activation of it share their width."""

    value: str
    width: Width


class FinalState:
    """The h_n of a layer: a stream has it, but no frame can read it."""


class Zeros:
    """A tensor of zeros, whatever its shape: the state a stream starts from anyway."""


@dataclass
class Builder:
    """What is known while the calls are looked at one by one."""

    root: nn.Module
    nodes: list[Node] = field(default_factory=list)
    origins: list[StateOrigin] = field(default_factory=list)  # of the states of nodes, in order
    inputs: set[str] = field(default_factory=set)  # the values of the forward's arguments
    tokens: dict[str, int] = field(default_factory=dict)  # rows of the table that an input's tokens are looked up in
    calls: Counter[str] = field(default_factory=Counter)  # of every module so far, by path
    batch_first: bool | None = None
    shared: bool = False  # whether the input of the call now looked at has other readers

    def fresh(self) -> str:
        """Return the name of the next node's value; it cannot be the name of an input."""
        return f"node {len(self.nodes)}"

    def add(self, node: Node, width: Width) -> Signal:
        """Add the next node and return its output."""
        self.nodes.append(node)
        return Signal(node.output, width)


def input_value(argument: str) -> str:
    """Return the name of the value that an argument of the forward holds."""
    return f"input {argument}"


def frames_of(value: Any) -> Signal:
    """Return an argument that must be one vector per frame."""
    match value:
        case Signal():
            return value
        case FinalState():
            raise Refusal("it uses the final state (h_n), which a stream has only after its last frame", EVERY_FRAME)
        case tuple():
            raise Refusal("it takes the pair (y, h_n) that a GRU returns", "take y: y, _ = gru(x)")
    raise Refusal("its input is not computed from frames", RUNS)


def takes(frames: Signal, width: int) -> None:
    """Note that a signal has this width, or refuse it for having another."""
    if frames.width.size not in (None, width):
        raise Refusal(f"it takes {width} features, but is given {frames.width.size}", "make the widths agree")
    frames.width.size = width


def array_of(tensor: Any, what: str) -> Array:
    """Return a copy of a parameter, which must be finite float32."""
    if not isinstance(tensor, Tensor):
        raise Refusal(f"its {what} is not a tensor of the module", "make it a parameter or a buffer")
    if tensor.dtype != torch.float32:
        kind = str(tensor.dtype).removeprefix("torch.")
        raise Refusal(f"its {what} is {kind}", "convert the module to float32: module.float()")
    if tensor.is_meta:
        raise Refusal(f"its {what} has no numbers (device meta)", "load the weights first")
    array: Array = tensor.detach().cpu().contiguous().numpy().copy()
    if not np.isfinite(array).all():
        raise Refusal(f"its {what} holds NaN or infinity", "look into the training: such weights give no answer")
    return array
