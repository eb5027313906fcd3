"""Programs in the C kernel, side by side, with more outputs than the file has."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np

from grulet import format as grulet_format
from grulet.model import Model, load
from grulet.operators import Port, Program, Value
from grulet.progress import progress
from grulet_export.graph import Array
from grulet_export.quality.material import Material

CHUNK = 250  # frames per call
_PLACE = 16  # float32 elements: values begin on 64 bytes


def opened(program: Program) -> Model:
    """Return the program as the C kernel runs it."""
    return load(grulet_format.write(program))


def probed(program: Program, values: Sequence[int]) -> Program:
    """The same program with ``values`` (indices) behind its outputs, as outputs too.

    Every value gets a place of its own in the arena, because values share places there once they are read.
    """
    places, end = [], 0
    for index, value in enumerate(program.values):
        if index >= len(program.inputs):
            end += -end % _PLACE
        places.append(Value(end, value.width))
        end += value.width
    taken = {port.name for port in program.outputs}
    probes = [Port(f"probe {index}" if f"probe {index}" not in taken else f"probe {index}'", index) for index in values]
    return replace(program, outputs=(*program.outputs, *probes), values=tuple(places), arena_floats=end)


@dataclass(frozen=True)
class Chunk:
    """Some frames of a run: from frame ``start`` on, the answers (frames, out) of every model."""

    start: int
    answers: tuple[Array, ...]

    @property
    def slice(self) -> slice:
        """For indexing what the whole run gave."""
        return slice(self.start, self.start + len(self.answers[0]))


class SideBySide:
    """Models over the same frames, a chunk at a time; any frame's answer can be asked for again afterwards."""

    def __init__(self, models: Sequence[Model], material: Material) -> None:
        self._streams = [model.stream(block=64) for model in models]
        self._material = material
        whole = any(model.needs_sequence for model in models)
        self._chunk = material.total if whole else CHUNK
        self._states: list[list[bytes]] = []  # before every chunk

    def run(self, title: str) -> Iterator[Chunk]:
        """Run all frames."""
        with progress(title, self._material.total) as done:
            for start in range(0, self._material.total, self._chunk):
                self._states.append([stream.save() for stream in self._streams])
                frames = self._material.part(start, start + self._chunk)
                yield Chunk(start, tuple(stream.run_vector(frames) for stream in self._streams))
                done(start + len(frames))

    def again(self, index: int) -> tuple[Array, ...]:
        """Return the answers (out,) of one frame of the finished run."""
        number = index // self._chunk
        start = number * self._chunk
        frames = self._material.part(start, start + self._chunk)
        for stream, state in zip(self._streams, self._states[number], strict=True):
            stream.restore(state)
        return tuple(stream.run_vector(frames)[index - start] for stream in self._streams)


def answers(program: Program, frames: Array) -> Array:
    """(T, in) -> (T, out), from the initial state."""
    return np.asarray(opened(program).stream(block=64).run_vector(frames), np.float32)
