"""What a model tells about its inputs, outputs and operators.

A module of its own because making dataclasses is slow and running a model does not need them.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Port:
    """A named part of the input or output vector: elements ``offset`` to ``offset + width``.

    ``tokens``: 0, or every element of this input must be a whole number from 0 to ``tokens`` - 1.
    """

    name: str
    offset: int
    width: int
    tokens: int = 0

    @property
    def slice(self) -> slice:
        """For indexing the vector: ``y[port.slice]``."""
        return slice(self.offset, self.offset + self.width)


@dataclass(frozen=True)
class OperatorInfo:
    """One operator, in execution order."""

    name: str
    kind: str  # gru, lstm, rnn, dense, ...: `grulet.operators.KINDS`
    inputs: int
    units: int
    weights: str  # none, f32, int8, int4, f16
    activations: str  # f32, int16, int8
    function: str  # none, relu, ...
    weight_bytes: int  # that one step reads; of an embedding only the rows it looks up
    parameter: int = 0  # by kind: rows of an embedding, size of a layer norm, ...

    @property
    def weight_bits(self) -> float:
        """Bits of a weight in the file, of int4 with its share of a multiplier; scales and padding are not counted."""
        return {"none": 0.0, "f32": 32.0, "f16": 16.0, "int8": 8.0, "int4": 4.25}[self.weights]

    @property
    def parameters(self) -> int:
        """Trained numbers: weights, and biases as torch counts them (a recurrent layer has two per gate and unit)."""
        gates = {"gru": 3, "lstm": 4, "rnn": 1}.get(self.kind, 0)
        if gates:
            return gates * self.units * (self.inputs + self.units + 2)
        return {
            "dense": self.units * (self.inputs + 1),
            "depthwise": self.inputs + self.units,
            "embedding": self.parameter * self.units // max(1, self.inputs),
            "layer_norm": 2 * self.parameter,
            "affine": 2 * self.units,
            "prelu": self.units,
        }.get(self.kind, 0)
