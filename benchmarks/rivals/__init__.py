"""Every way that pip can install to run one GRU layer on one thread, each at its best settings: for benchmarks.

Of one layer, `torch.nn.GRU` with one forward layer and bias:

- `rivals`: one frame at a time, ``step(x)``: (inputs,) -> (units,);
- `stream_rivals`: the next frame of many streams, ``step_many(X)``: (streams, inputs) -> (streams, units);
- `sequence_rivals`: a whole recording, ``run(X)``: (frames, inputs) -> (frames, units).

All arrays are float32.  No rival has to be there: a missing package (requirements-bench.txt) or a failed conversion
leaves a reason in the second answer.  ``python -m benchmarks.rivals`` holds all of them against torch.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TypeVar

from torch import nn

from .common import Array, LayerWeights, Rival, SequenceRival, StepRival
from .with_litert import LiteRtFloat, LiteRtInt4, LiteRtInt8
from .with_ncnn import NcnnFloat, NcnnInt8, NcnnInt8Sequence, NcnnSequence
from .with_onnxruntime import OnnxFloat, OnnxFloatCell, OnnxInt8, OnnxSequence
from .with_openvino import OpenVinoFloat, OpenVinoSequence
from .with_torch import TorchFloat, TorchInt8, TorchInt8Sequence, TorchSequence

__all__ = ["Array", "Rival", "SequenceRival", "StepRival", "rivals", "sequence_rivals", "stream_rivals"]

AnyRival = TypeVar("AnyRival", bound=Rival)

_WITH_STREAMS: tuple[type[StepRival], ...] = (
    OnnxInt8,
    TorchFloat,
    TorchInt8,
    LiteRtFloat,
    LiteRtInt8,
    LiteRtInt4,
    OpenVinoFloat,
)
STEP_RIVALS: tuple[type[StepRival], ...] = (OnnxFloat, *_WITH_STREAMS, NcnnFloat, NcnnInt8)
STREAM_RIVALS: tuple[type[StepRival], ...] = (OnnxFloatCell, *_WITH_STREAMS)
SEQUENCE_RIVALS: tuple[type[SequenceRival], ...] = (
    OnnxSequence,
    TorchSequence,
    TorchInt8Sequence,
    OpenVinoSequence,
    NcnnSequence,
    NcnnInt8Sequence,
)

_NO_BATCH = "its GRU layer takes one stream"
_NO_LOOP = "no loop over frames: a recording comes out as one copy of the cell for each frame"
WITHOUT_STREAMS = {NcnnFloat.title: _NO_BATCH, NcnnInt8.title: _NO_BATCH}
WITHOUT_SEQUENCES = {
    OnnxInt8.title: "its GRU operator, the one with a loop over frames, has no int8 form",
    LiteRtFloat.title: _NO_LOOP,
    LiteRtInt8.title: _NO_LOOP,
    LiteRtInt4.title: _NO_LOOP,
}


def rivals(layer: nn.GRU, folder: Path) -> tuple[list[StepRival], dict[str, str]]:
    """Rivals for one frame at a time, and why the others are absent by title.

    ``folder`` is made if need be and takes their files; ValueError for a layer that is not one forward layer with bias.
    """
    return _made(STEP_RIVALS, lambda kind: kind(layer, folder), layer, folder)


def stream_rivals(layer: nn.GRU, streams: int, folder: Path) -> tuple[list[StepRival], dict[str, str]]:
    """Rivals for the next frame of ``streams`` streams, and why the others are absent; errors as `rivals`."""
    if streams < 1:
        raise ValueError(f"streams must be 1 or more, not {streams}")
    found, absent = _made(STREAM_RIVALS, lambda kind: kind(layer, folder, streams), layer, folder)
    return found, absent | WITHOUT_STREAMS


def sequence_rivals(layer: nn.GRU, folder: Path) -> tuple[list[SequenceRival], dict[str, str]]:
    """Rivals for a whole recording, and why the others are absent; errors as `rivals`."""
    found, absent = _made(SEQUENCE_RIVALS, lambda kind: kind(layer, folder), layer, folder)
    return found, absent | WITHOUT_SEQUENCES


def _made(
    kinds: Sequence[type[AnyRival]], make: Callable[[type[AnyRival]], AnyRival], layer: nn.GRU, folder: Path
) -> tuple[list[AnyRival], dict[str, str]]:
    LayerWeights.of(layer)  # a layer that nobody takes is the caller's mistake, not a reason to be absent
    folder.mkdir(parents=True, exist_ok=True)
    found: list[AnyRival] = []
    absent: dict[str, str] = {}
    for kind in kinds:
        try:
            found.append(make(kind))
        except Exception as error:  # whatever a rival raises, the others run
            absent[kind.title] = _reason(error)
    return found, absent


def _reason(error: Exception) -> str:
    if isinstance(error, ModuleNotFoundError):
        return f"{error.name} is not installed: pip install -r requirements-bench.txt"
    first_line = next(iter(str(error).strip().splitlines()), "")
    return f"{type(error).__name__}: {first_line}"
