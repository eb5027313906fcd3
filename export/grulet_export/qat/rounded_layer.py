"""What layers that round have in common: their formats, and the grids of their matrices."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor, nn

from grulet_export.qat.rounding import Rounded, round_weights
from grulet_export.quantization.grids import ACTIVATIONS, INTEGERS, WEIGHTS, Grid, find_grid
from grulet_export.quantization.settings import check_choice

#: The parts of a grid that are buffers.
_PARTS = ("scale", "multipliers")


def check_formats(weights: str, activations: str) -> None:
    """Raise `GruletError` for formats that do not exist."""
    check_choice("weights", weights, WEIGHTS)
    check_choice("activations", activations, ACTIVATIONS)


class RoundedLayer(nn.Module):
    """What the three layers share: the formats, and the grid of every matrix, kept in buffers.

    The grid of ``weight_ih_l0`` is ``weight_ih_l0_scale`` (rows,), and of int4 ``weight_ih_l0_multipliers`` (rows,
    groups of 32 inputs) besides.  It stays as it is until `refit`.
    """

    weight_format: str
    activation_format: str  # f32 where the weights are floats

    def round_as(self, weights: str, activations: str) -> None:
        """Take on formats, and fit the grids of the weights as they are now; raises `GruletError`."""
        check_formats(weights, activations)
        for buffer in self._grid_buffers():
            delattr(self, buffer)
        self.weight_format = weights
        self.activation_format = activations if weights in INTEGERS else "f32"
        self.refit()

    def refit(self) -> None:
        """Fit every matrix's grid anew to the weights as they are now."""
        for name in self.matrix_names():
            weight = getattr(self, name)
            grid = find_grid(weight.detach().float().cpu().numpy()[None], self.weight_format)
            for part, array in zip(_PARTS, (grid.scale, grid.multipliers), strict=True):
                if array is None:
                    continue
                found = torch.tensor(array[0], device=weight.device)
                if f"{name}_{part}" in self._buffers:
                    getattr(self, f"{name}_{part}").copy_(found)  # in place: others may hold it
                else:
                    self.register_buffer(f"{name}_{part}", found)

    def matrix_names(self) -> Iterator[str]:
        """The names of the parameters that are rounded."""
        return (name for name, _ in self.named_parameters() if name.startswith("weight"))

    def grid(self, name: str) -> Grid:
        """The grid of a matrix, as one set."""
        return Grid(self.weight_format, **{k: part[None].cpu().numpy() for k, part in self._grid_parts(name).items()})

    def rounded(self, name: str) -> Rounded:
        """A matrix as it takes part in products."""
        weight = getattr(self, name)
        if weight.dtype != torch.float32:
            raise TypeError(f"{name} is {weight.dtype}: quantization-aware training takes float32 weights")
        exact = not self.training
        return round_weights(weight, self.weight_format, self.activation_format, **self._grid_parts(name), exact=exact)

    def extra_repr(self) -> str:
        """What torch says of the layer, and the formats."""
        return f"{super().extra_repr()}, weights={self.weight_format}, activations={self.activation_format}"

    def _grid_parts(self, name: str) -> dict[str, Tensor]:
        """What there is of a matrix's scale and multipliers; nothing of a format of floats."""
        return {part: getattr(self, f"{name}_{part}") for part in _PARTS if f"{name}_{part}" in self._buffers}

    def _grid_buffers(self) -> list[str]:
        """The names of all buffers with grids."""
        return [f"{name}_{part}" for name in self.matrix_names() for part in self._grid_parts(name)]

    def _load_from_state_dict(
        self, state_dict: dict[str, Any], prefix: str, metadata: dict[str, Any], strict: bool, missing: list[str],
        unexpected: list[str], errors: list[str],
    ) -> None:  # fmt: skip
        """Load the weights of a float layer, too: their grids are then fitted."""
        super()._load_from_state_dict(state_dict, prefix, metadata, strict, missing, unexpected, errors)
        grids = {f"{prefix}{buffer}" for buffer in self._grid_buffers()}
        if grids and grids.isdisjoint(state_dict):
            missing[:] = [key for key in missing if key not in grids]
            self.refit()
