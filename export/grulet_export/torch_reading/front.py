"""The torch front end: a module as ONNX, in one of two ways, and the module as a function from frames to answers.

`to_onnx` follows modules of layers and activations itself, and writes ONNX that is right by construction.  Any other
module goes through torch's own exporter (`exporter`).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any, TypeAlias

from torch import Tensor, nn

from grulet_export.errors import Refusal, UnsupportedGraph
from grulet_export.graph import Array, Graph
from grulet_export.onnx_reading.layout import Imported
from grulet_export.onnx_running.runner import OnnxRunner
from grulet_export.onnx_writing import STEP, write_onnx
from grulet_export.quantization.node import TrainedNode
from grulet_export.torch_reading.agreement import check_against_onnxruntime, run_torch
from grulet_export.torch_reading.exporter import export_by_torch
from grulet_export.torch_reading.quantized import dequantized
from grulet_export.torch_reading.signals import GIVE_EXAMPLE
from grulet_export.torch_reading.to_onnx import build_onnx, notes_of
from grulet_export.torch_reading.trained import TrainedLayer, trained_nodes, with_rounded_weights

Example: TypeAlias = Tensor | tuple[Tensor, ...]


@dataclass(frozen=True)
class TorchModel:
    """A module as ONNX.

    ``source``: the ONNX model for whole sequences (or for one step, if the module is one).  ``states``: which of its
    inputs takes what which output gave in the frame before, where that is not plain to see.  ``metadata``: as JSON.
    ``followed``: we wrote the ONNX ourselves, so that what its reader notes about it is no news.
    ``trained``: what training has settled of layers that were trained with their rounding.
    ``run(imported, frames)``: the module's own answers (T, out) to frames (T, in).
    """

    source: bytes
    states: Mapping[str, str]
    metadata: str
    notes: tuple[str, ...]
    followed: bool
    run: Callable[[Imported, Array], Array]
    trained: tuple[TrainedLayer, ...] = ()

    def notes_with(self, read: tuple[str, ...]) -> tuple[str, ...]:
        """Return the notes of the whole way; ``read``: those of the reader of the ONNX model."""
        return self.notes if self.followed else self.notes + read

    def trained_nodes(self, graph: Graph) -> tuple[dict[str, TrainedNode], tuple[str, ...]]:
        """Return what training has settled of the graph's nodes, and notes on layers that are none of them."""
        return trained_nodes(graph, self.trained)

    def step_form(self, graph: Graph) -> bytes:
        """Return the ONNX model for one frame, states in and out; raises `UnsupportedGraph` if there is none."""
        model, _ = write_onnx(graph, STEP, self.metadata)
        return bytes(model.SerializeToString(deterministic=True))


def torch_model(
    module: nn.Module,
    example: Example | None = None,
    metadata: Mapping[str, Any] | None = None,
    states: Mapping[str, str] | None = None,
) -> TorchModel:
    """Return the module, in evaluation mode, as ONNX.

    ``example``: one tensor for each input; the module's attribute ``grulet_example`` takes its place.  ``states``: name
    of an input -> name of an output, for a module that is one step.  Raises `UnsupportedGraph`, and `ExportMismatch`
    where torch and onnxruntime disagree.
    """
    if not isinstance(module, nn.Module):
        raise UnsupportedGraph("", type(module).__name__, "it is no torch.nn.Module", "give the module itself")
    notes = notes_of(module, metadata)
    given = _example(module, example)
    module, trained = with_rounded_weights(module)
    return replace(_exported(module, given, metadata, states, notes), trained=trained)


def _exported(
    module: nn.Module,
    given: tuple[Tensor, ...] | None,
    metadata: Mapping[str, Any] | None,
    states: Mapping[str, str] | None,
    notes: str,
) -> TorchModel:
    """Return a module of torch's own layers in one of the two ways."""
    kind = type(module).__name__
    module, quantized = dequantized(module)
    if states is None:
        try:
            return _followed(module, given, metadata, notes, quantized)
        except UnsupportedGraph as refused:
            if given is None:
                raise _with_hint(refused) from refused
    elif given is None:
        raise UnsupportedGraph("", kind, "states are for a module of one step, which needs an example", GIVE_EXAMPLE)
    try:
        exported = export_by_torch(module, given, states, notes)
    except Refusal as refusal:
        raise refusal.at("", kind) from refusal
    return TorchModel(
        exported.model,
        exported.states,
        notes,
        (*quantized, "The ONNX model was written by torch's own exporter."),
        False,
        lambda imported, frames: OnnxRunner(exported.model, imported, exported.session).run(frames),
    )


def _followed(
    module: nn.Module,
    example: tuple[Tensor, ...] | None,
    metadata: Mapping[str, Any] | None,
    notes: str,
    quantized: tuple[str, ...],
) -> TorchModel:
    """Return a module that `grulet_export.torch_reading.graph` can follow."""
    built = build_onnx(module, example, metadata)
    check_against_onnxruntime(module, built)
    source = built.sequence.SerializeToString(deterministic=True)
    return TorchModel(source, {}, notes, quantized, True, lambda imported, frames: run_torch(module, built, frames))


def _example(module: nn.Module, example: Example | None) -> tuple[Tensor, ...] | None:
    """Return the tensors of an example, that given or the module's own; None if there is none."""
    given = getattr(module, "grulet_example", None) if example is None else example
    if given is None:
        return None
    parts = given if isinstance(given, tuple) else (given,)
    if not parts or not all(isinstance(part, Tensor) for part in parts):
        reason = f"the example is no tensor or tuple of tensors ({type(given).__name__})"
        raise UnsupportedGraph("", type(module).__name__, reason, "give one tensor for each input")
    return parts


def _with_hint(refused: UnsupportedGraph) -> UnsupportedGraph:
    """Return the refusal of a module without an example, with the way that an example opens."""
    ways = [refused.remedy] if refused.remedy != GIVE_EXAMPLE else []
    remedy = "; or ".join([*ways, f"{GIVE_EXAMPLE}, and torch's own exporter is tried"])
    return UnsupportedGraph(refused.node, refused.operator, refused.reason, remedy)
