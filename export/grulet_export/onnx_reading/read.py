"""ONNX to `grulet_export.graph.Graph`: what the file means frame by frame, or why it means nothing we can run.

The nodes the outputs depend on are walked in order, each through its handler in `handlers`, under one reading of the
axes after the other (`readings`), until one has no contradiction.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from numpy.typing import NDArray
from onnx import ModelProto

from grulet_export import metadata
from grulet_export.errors import Refusal, UnsupportedGraph
from grulet_export.onnx_reading import file as onnx_file
from grulet_export.onnx_reading.axes import Frozen
from grulet_export.onnx_reading.contents import Contents
from grulet_export.onnx_reading.layout import Imported
from grulet_export.onnx_reading.readings import Reading, readings
from grulet_export.onnx_reading.walk import Stopped, Walk


def read_onnx(
    source: onnx_file.Source,
    *,
    constants: Mapping[str, NDArray[Any]] | None = None,
    states: Mapping[str, str] | None = None,
) -> Imported:
    """Return what an ONNX model means: a `ModelProto`, the bytes of a file, or its path.

    ``constants``: arrays for inputs of the file that are weights.  ``states``: name of an input -> name of the output
    that gives it for the next frame; they start from zeros.  The states of GRU, LSTM and RNN are found without.

    The whole-sequence and the one-frame form of a model give equal graphs, apart from the hash of their bytes.
    Raises `UnsupportedGraph` for all that grulet cannot run, also for bytes that are no ONNX file; `OSError` if the
    file cannot be read.
    """
    try:
        model, sha256 = onnx_file.load(source)
        onnx_file.check(model)
        texts = [entry.value for entry in model.metadata_props if entry.key == metadata.KEY]
        user_metadata = metadata.from_json(texts[0]) if texts else {}
        model = onnx_file.bound(onnx_file.inlined(model), constants or {})
        opset = onnx_file.check(model)
        contents = Contents(model, opset, _state_pairs(model, states or {}))
    except Refusal as refusal:
        raise refusal.at("", "ONNX file") from refusal
    imported = _first_that_fits(contents)
    return replace(
        imported,
        graph=replace(imported.graph, source_sha256=sha256, metadata=user_metadata),
        layout=replace(imported.layout, constants=dict(constants or {})),
    )


def _state_pairs(model: ModelProto, states: Mapping[str, str]) -> dict[str, str]:
    """Return output names by input name, checked."""
    names = {entry.name for entry in model.graph.input}, {entry.name for entry in model.graph.output}
    for pair in states.items():
        for name, known, kind in zip(pair, names, ("input", "output"), strict=True):
            if name not in known:
                raise Refusal(f"it has no {kind} '{name}' to be a state", f"name one of {', '.join(sorted(known))}")
    if len(set(states.values())) != len(states):
        raise Refusal("two states are given the same output", "give each its own")
    return dict(states)


def _first_that_fits(contents: Contents) -> Imported:
    """Return what the file means under the first reading that has no contradiction, or raise the best refusal."""
    furthest: Stopped | None = None
    for reading in readings(contents.frames):
        again: Reading | None = reading
        while again is not None:
            try:
                return Walk(contents, again).imported()
            except Stopped as stopped:
                again = _with_frozen_size(again, stopped.error.__cause__)
                if furthest is None or stopped.rank > furthest.rank:
                    furthest = stopped
    if furthest is None:
        raise UnsupportedGraph(
            "", "ONNX graph", "the sizes of its inputs do not go together", "name their open sizes alike (dim_param)"
        )
    raise furthest.error from furthest


def _with_frozen_size(reading: Reading, cause: BaseException | None) -> Reading | None:
    """Return the reading again with a size that the file leaves open, but needs."""
    if not isinstance(cause, Frozen):
        return None
    return replace(reading, extents={**reading.extents, cause.role: cause.size}, frozen=(*reading.frozen, cause.role))
