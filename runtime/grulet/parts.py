"""What a model tells about its inputs, outputs and operators.

A module of its own because making dataclasses is slow and running a model does not need them.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Port:
    """A named part of the input or output vector: elements ``offset`` to ``offset + width``."""

    name: str
    offset: int
    width: int

    @property
    def slice(self) -> slice:
        """For indexing the vector: ``y[port.slice]``."""
        return slice(self.offset, self.offset + self.width)


@dataclass(frozen=True)
class OperatorInfo:
    """One operator, in execution order."""

    name: str
    kind: str  # gru, dense, activation
    inputs: int
    units: int
    weights: str  # none, f32, int8
    activations: str  # f32, int16, int8
    function: str  # none, relu, ...
    weight_bytes: int

    @property
    def parameters(self) -> int:
        """Trained numbers: weights, and biases as torch counts them (a GRU has two per gate and unit)."""
        if self.kind == "gru":
            return 3 * self.units * (self.inputs + self.units + 2)
        return self.units * (self.inputs + 1) if self.kind == "dense" else 0
