"""torch modules to ONNX, right by construction.

torch's own exporter has written GRU layers with wrong numbers, silently. Here the module becomes a
`grulet_export.graph.Graph` (`graph`), and that is written as ONNX (onnx_writing); `agreement` compares.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from onnx import ModelProto
from torch import Tensor, nn

from grulet_export import metadata as metadata_json
from grulet_export.errors import Refusal
from grulet_export.graph import needs_sequence
from grulet_export.onnx_writing import BATCH_FIRST, STEP, TIME_FIRST, State, write_onnx
from grulet_export.torch_reading.graph import Traced, trace


@dataclass(frozen=True)
class TorchExport:
    """One module as two ONNX models with equal inputs, outputs and states, by name.

    ``sequence`` takes whole sequences: (batch, time, width) or, where the module's GRUs are not batch_first,
    (time, batch, width); batch and time are free. ``step`` takes one frame, (1, width); None where a layer goes from
    the last frame to the first. Tokens are int64, without the last axis. Both take the states of every forward layer,
    (1, batch, units), behind the inputs, and give the new ones behind the outputs; in ``step`` batch is 1.
    ``traced`` is what they were made from.
    """

    sequence: ModelProto
    step: ModelProto | None
    states: tuple[State, ...]
    traced: Traced

    @property
    def models(self) -> dict[str, ModelProto]:
        """The models by name."""
        return {"sequence": self.sequence} | ({} if self.step is None else {"step": self.step})

    @property
    def state_names(self) -> tuple[tuple[str, str], ...]:
        """The names of every state as input and as output: ``feeds[input] = results[output]`` between two frames."""
        return tuple((state.input, state.output) for state in self.states)


def build_onnx(
    module: nn.Module,
    example: Tensor | tuple[Tensor, ...] | None = None,
    metadata: Mapping[str, Any] | None = None,
) -> TorchExport:
    """Return the module, in evaluation mode, as ONNX; the same module gives the same bytes.

    ``example`` holds one tensor per input, shape (..., width); only its width is looked at, and it is needed only
    where no layer tells it. ``metadata``, over the module's own ``grulet_metadata``, go into both models.
    Raises `UnsupportedGraph` for a module that `trace` cannot follow.
    """
    traced = trace(module, example)
    text = notes_of(module, metadata)
    sequence, states = write_onnx(traced.graph, BATCH_FIRST if traced.batch_first else TIME_FIRST, text)
    step = None if needs_sequence(traced.graph) else write_onnx(traced.graph, STEP, text)[0]
    return TorchExport(sequence, step, states, traced)


def notes_of(module: nn.Module, metadata: Mapping[str, Any] | None) -> str:
    """Return the metadata of an export as JSON: the module's own ``grulet_metadata``, and over them those given."""
    notes: dict[str, Any] = {}
    try:
        for given in (getattr(module, "grulet_metadata", {}), metadata or {}):
            if not isinstance(given, Mapping):
                raise Refusal(f"the metadata are a {type(given).__name__}", metadata_json.REMEDY)
            notes.update(given)
        return metadata_json.to_json(notes)
    except Refusal as refusal:
        raise refusal.at("grulet_metadata", type(module).__name__) from refusal
