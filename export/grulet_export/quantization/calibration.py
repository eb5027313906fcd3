"""Calibration: recordings of what a model will hear, and what they make every matrix of it see.

A *probe* is the model itself with other outputs, run by the C kernel, so that ten million weights take seconds.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, TypeAlias

import numpy as np

from grulet import format as grulet_format
from grulet.errors import FrameError
from grulet.model import load
from grulet_export.canonical import live
from grulet_export.graph import Array, Embedding, Graph, Gru, Lstm, Port, Rnn, needs_sequence
from grulet_export.lower import lower
from grulet_export.quantization.node import QuantizedNode, Weighted

#: Frames of one recording, or of several, between which the state is reset.
Recordings: TypeAlias = Array | Sequence[Array]

LEAST_FRAMES = 32
MOST_FRAMES = 16384  # more tell no more, and take memory and time
_CHUNK = 1024  # frames that a probe runs at once


@dataclass(frozen=True)
class Calibration:
    """Recordings (frames, in) that fit the model."""

    recordings: tuple[Array, ...]
    notes: tuple[str, ...] = ()

    @property
    def frames(self) -> int:
        """How many frames there are."""
        return sum(map(len, self.recordings))


def checked(graph: Graph, given: Recordings) -> Calibration:
    """The recordings; `FrameError` says which does not fit the model, and why."""
    recordings = (given,) if isinstance(given, np.ndarray) else tuple(given)
    for number, frames in enumerate(recordings, 1):
        check_frames(graph, frames, "calibration" if len(recordings) == 1 else f"calibration, recording {number}")
    total = sum(map(len, recordings))
    if total < LEAST_FRAMES:
        raise FrameError(
            f"calibration: {total} frames are too few to say what is typical: give at least {LEAST_FRAMES}, "
            "better 1,000 and more"
        )
    if total <= MOST_FRAMES:
        return Calibration(recordings)
    kept = tuple(frames[: max(1, len(frames) * MOST_FRAMES // total)] for frames in recordings)
    return Calibration(
        kept, (f"calibration: of {total:,} frames, about {MOST_FRAMES:,} were used, from the start of every recording",)
    )


def check_frames(graph: Graph, frames: Any, what: str) -> None:
    """Raise `FrameError` for anything but float32 (frames, in) that the graph takes."""
    width = sum(port.width for port in graph.inputs)
    if not isinstance(frames, np.ndarray) or frames.dtype != np.float32 or frames.shape[1:] != (width,):
        found = f"{frames.dtype} {frames.shape}" if isinstance(frames, np.ndarray) else type(frames).__name__
        raise FrameError(f"{what}: float32 frames (T, {width}) were expected, not {found}")
    if len(frames) == 0 or not np.isfinite(frames).all():
        raise FrameError(f"{what}: the frames " + ("are empty" if len(frames) == 0 else "hold a NaN or an infinity"))
    at = 0
    for port in graph.inputs:
        part = frames[:, at : at + port.width]
        at += port.width
        if port.tokens and not ((part >= 0) & (part < port.tokens) & (part == np.floor(part))).all():
            raise FrameError(f"{what}: input '{port.name}' holds a number that is no token: 0 to {port.tokens - 1}")


def probe(
    graph: Graph, quantized: Mapping[str, QuantizedNode], values: Sequence[str], recordings: Iterable[Array]
) -> Iterator[list[tuple[bool, Array]]]:
    """Run the graph over recordings, and give some of its values, chunk by chunk.

    Yields for every value (whether a recording starts here, (frames, width) float32).
    """
    makers = {node.output for node in graph.nodes}
    made = [value for value in dict.fromkeys(values) if value in makers]
    frames_of, at = {}, 0
    for port in graph.inputs:
        frames_of[port.value] = slice(at, at + port.width)
        at += port.width
    ports = tuple(Port(f"value {i}", value, 0) for i, value in enumerate(made))
    shown = replace(graph, outputs=ports)
    shown = replace(shown, nodes=tuple(live(shown)))
    model = load(grulet_format.write(lower(shown, quantized))) if made else None
    found = {} if model is None else {value: port.slice for value, port in zip(made, model.outputs, strict=True)}
    for frames in recordings:
        stream = None if model is None else model.stream()
        chunk = len(frames) if needs_sequence(shown) else _CHUNK
        for first in range(0, len(frames), chunk):
            part = frames[first : first + chunk]
            answers = part if stream is None else stream.run_vector(part)
            yield [
                (first == 0, part[:, frames_of[value]] if value in frames_of else answers[:, found[value]])
                for value in values
            ]


def seen(
    graph: Graph, quantized: Mapping[str, QuantizedNode], node: Weighted, recordings: Iterable[Array]
) -> Iterator[Array]:
    """What a node's weights multiply, chunk by chunk: (frames, inputs), behind the inputs a cell's units (h before).

    ``quantized``: the nodes that are not float.
    """
    assert not isinstance(node, Embedding)
    if not isinstance(node, Gru | Lstm | Rnn):
        yield from (x for ((_, x),) in probe(graph, quantized, node.inputs, recordings))
        return
    start = node.initial_state[0] if isinstance(node, Lstm) else node.initial_state
    before = start
    for (first, x), (_, h) in probe(graph, quantized, [node.inputs[0], node.output], recordings):
        before = start if first else before
        if node.reverse:  # then the chunk is a whole recording
            yield np.hstack([x, np.vstack([h[1:], start[None]])])
        else:
            yield np.hstack([x, np.vstack([before[None], h[:-1]])])
            before = h[-1]
