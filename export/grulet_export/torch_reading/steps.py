"""Modules that are one step of a recurrence: which inputs are states, and cells as the layers they are a step of."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from torch import Tensor, nn

from grulet_export.errors import Refusal
from grulet_export.onnx_reading.layout import Imported
from grulet_export.torch_reading.parts import with_parts

#: Every cell, and the layer that it is one step of.
CELLS: Mapping[type[nn.Module], Callable[..., nn.RNNBase]] = {
    nn.GRUCell: nn.GRU,
    nn.LSTMCell: nn.LSTM,
    nn.RNNCell: nn.RNN,
}


def has_cells(module: nn.Module) -> bool:
    """Whether a module has nn.GRUCell or the like."""
    return any(isinstance(part, tuple(CELLS)) for part in module.modules())


def paired(
    inputs: Sequence[str], example: Sequence[Tensor], outputs: Sequence[str], returned: Sequence[Tensor]
) -> dict[str, str]:
    """Pair the last inputs of one step with its last outputs, as many as have equal shapes, but for the first input."""
    pairs: list[tuple[str, str]] = []
    ends = zip(
        zip(inputs[:0:-1], example[:0:-1], strict=True), zip(outputs[::-1], returned[::-1], strict=True), strict=False
    )
    for (state, given), (output, tensor) in ends:
        if given.shape != tensor.shape:
            break
        pairs.append((state, output))
    if not pairs:
        raise Refusal(
            "it is one step of a recurrence, but no state goes in and out",
            "return the new state: forward(x, h) -> (y, h)",
        )
    return dict(reversed(pairs))


class Twice(nn.Module):
    """A step that returns nothing but its new states: once as its answers, once as its states."""

    def __init__(self, module: nn.Module) -> None:
        super().__init__()
        self.module = module

    def forward(self, *inputs: Tensor) -> Any:
        """What the module returns, twice."""
        returned = self.module(*inputs)
        return returned, returned


def with_layers(module: nn.Module) -> nn.Module:
    """Return a copy whose cells are layers over one frame, which exporters write as one operator."""
    return with_parts(module, lambda path, part: _OneFrame(part) if type(part) in CELLS else None)


class _OneFrame(nn.Module):
    """A layer in a cell's place."""

    def __init__(self, cell: Any) -> None:
        super().__init__()
        options = {"nonlinearity": cell.nonlinearity} if isinstance(cell, nn.RNNCell) else {}
        self.layer = CELLS[type(cell)](cell.input_size, cell.hidden_size, bias=cell.bias, **options)
        self.layer.load_state_dict({f"{name}_l0": parameter for name, parameter in cell.state_dict().items()})

    def forward(self, x: Tensor, state: Any) -> Any:
        """(batch, inputs) and the cell's state -> its new state."""
        if isinstance(state, tuple):
            _, (h, c) = self.layer(x[None], (state[0][None], state[1][None]))
            return h[0], c[0]
        return self.layer(x[None], state[None])[1][0]


def carries(imported: Imported, states: Mapping[str, str]) -> bool:
    """Whether a file was read with just these states, none of them spelled out."""
    return {name: state.output for name, state in imported.layout.states.items()} == dict(states)
