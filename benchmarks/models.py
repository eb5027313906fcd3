"""The layers that are measured, as torch modules and as `.grulet` files."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

import torch
from torch import nn

import grulet
from grulet_export import export


@dataclass(frozen=True)
class Format:
    """What weights are stored as, and what they multiply."""

    weights: str
    activations: str

    @property
    def title(self) -> str:
        """For tables and keys."""
        return self.weights if self.activations == "f32" else f"{self.weights} x {self.activations}"


INT8, INT8_INT16, F32 = FORMATS = (Format("int8", "int8"), Format("int8", "int16"), Format("f32", "f32"))
#: What some rival has as well.
RIVALLED_FORMATS = (*FORMATS, Format("int4", "int8"), Format("int4", "int16"))
ALL_FORMATS = (*RIVALLED_FORMATS, Format("f16", "f32"))


Layer = TypeVar("Layer")
CELLS: dict[str, Callable[[int, int], nn.RNNBase]] = {"gru": nn.GRU, "lstm": nn.LSTM, "rnn": nn.RNN}


def random_layer(kind: Callable[[int, int], Layer], size: int) -> Layer:
    """One layer with ``size`` inputs and units and torch's own random weights: the same in every benchmark."""
    torch.manual_seed(0)
    return kind(size, size)


def layer_of(size: int) -> nn.GRU:
    """The GRU that rivals run too."""
    return random_layer(nn.GRU, size)


def file_of(size: int, form: Format, folder: Path, cell: str = "gru") -> Path:
    """A layer of one of `CELLS` as a `.grulet` file, made once for a folder."""
    path = folder / f"{cell}.{size}.{form.weights}.{form.activations}.grulet"
    if not path.exists():
        activations = form.activations if form.activations != "f32" else "int16"  # float weights have no choice to make
        export(random_layer(CELLS[cell], size), path, weights=form.weights, activations=activations, frames=20)
    return path


def models_of(size: int, folder: Path, formats: tuple[Format, ...] = FORMATS) -> dict[Format, grulet.Model]:
    """That layer in every one of the formats."""
    return {form: grulet.load(file_of(size, form, folder)) for form in formats}
