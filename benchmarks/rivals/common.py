"""What all rivals share: the layer's weights as arrays, and what a rival says of itself."""

from __future__ import annotations

import importlib.metadata
from abc import ABC, abstractmethod
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray
from torch import nn

Array = NDArray[np.float32]

#: torch's order of the gates: reset, update, new.
TORCH_ORDER = "rzn"


@dataclass(frozen=True)
class LayerWeights:
    """One GRU layer: copies, so that no rival can change the layer for the next.

    Gates are stacked as rows: ``input_weights`` (3 * units, inputs), ``recurrent_weights`` (3 * units, units),
    ``input_bias`` and ``recurrent_bias`` (3 * units,).
    """

    input_weights: Array
    recurrent_weights: Array
    input_bias: Array
    recurrent_bias: Array

    @classmethod
    def of(cls, layer: nn.GRU) -> LayerWeights:
        """Gates in torch's order; ValueError for anything but one forward layer with bias."""
        if layer.num_layers != 1 or layer.bidirectional or not layer.bias:
            raise ValueError(f"rivals run one forward GRU layer with bias, not {layer}")
        arrays = {name: value.detach().float().cpu().numpy().copy() for name, value in layer.named_parameters()}
        return cls(arrays["weight_ih_l0"], arrays["weight_hh_l0"], arrays["bias_ih_l0"], arrays["bias_hh_l0"])

    @property
    def inputs(self) -> int:
        """Values of one frame."""
        return int(self.input_weights.shape[1])

    @property
    def units(self) -> int:
        """Values of the state."""
        return int(self.recurrent_weights.shape[1])

    def in_order(self, order: str) -> LayerWeights:
        """The same layer with its gates in another order, such as "zrn"; call it on torch's order only."""
        rows = np.concatenate([np.arange(self.units) + TORCH_ORDER.index(gate) * self.units for gate in order])
        return LayerWeights(
            self.input_weights[rows], self.recurrent_weights[rows], self.input_bias[rows], self.recurrent_bias[rows]
        )

    def four_biases(self) -> Array:
        """(4 * units,): both biases of the first two gates as a sum, then the new gate's two, input's first."""
        split = 2 * self.units
        sums = self.input_bias[:split] + self.recurrent_bias[:split]
        return np.concatenate([sums, self.input_bias[split:], self.recurrent_bias[split:]])


class Rival(ABC):
    """A way to run a GRU layer.  Made from ``(layer, folder)``; ``folder`` takes the files that it needs.

    A rival imports its package when it is made, so that a missing package costs that one rival only.
    """

    #: For tables and keys: package and weights.
    title: ClassVar[str]
    #: What the weights are stored as: "f32", "int8" or "int4".
    weights: ClassVar[str]
    #: What pip calls the package that runs it.
    package: ClassVar[str]
    #: How it is run, for readers who want to repeat it.
    settings: ClassVar[str]

    @classmethod
    def version(cls) -> str:
        """Installed version of the package."""
        return importlib.metadata.version(cls.package)


class StepRival(Rival):
    """Takes one step at a time and carries the state, which begins as zeros: of one stream, or of many together."""

    def __init__(self, layer: nn.GRU, folder: Path, streams: int | None = None) -> None:
        self.layer = LayerWeights.of(layer)
        #: Rows of every matrix that the rival is given: None is one stream, whose frames have no axis for it.
        self.batch = 1 if streams is None else streams
        self.answer_shape = (self.layer.units,) if streams is None else (streams, self.layer.units)
        self.prepare(folder)

    @abstractmethod
    def prepare(self, folder: Path) -> None:
        """Build and load the model for ``self.layer`` and ``self.batch``."""

    @abstractmethod
    def step(self, frame: Array) -> Array:
        """One float32 frame (inputs,) -> new state (units,), which the rival does not write again, nor may the caller.

        Shapes are not checked: this is what is timed.
        """

    def step_many(self, frames: Array) -> Array:
        """The next float32 frame of every stream (streams, inputs) -> (streams, units), as `step`."""
        return self.step(frames)


class SequenceRival(Rival):
    """Runs a whole recording in one call, from a state of zeros."""

    def __init__(self, layer: nn.GRU, folder: Path) -> None:
        self.layer = LayerWeights.of(layer)
        self.prepare(folder)

    @abstractmethod
    def prepare(self, folder: Path) -> None:
        """Build and load the model for ``self.layer``."""

    @abstractmethod
    def run(self, frames: Array) -> Array:
        """Contiguous float32 (frames, inputs) -> states (frames, units)."""
