"""Pools: many voices of one model, stepped over one read of its weights."""

from __future__ import annotations

import operator
from typing import TYPE_CHECKING, Any

import numpy as np

from grulet.errors import FrameError
from grulet.kernel import KernelStream, KernelVoices
from grulet.stream import Stream, check_frames, check_out, plain, written

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from numpy.typing import NDArray

    from grulet.model import Model
    from grulet.stream import Floats


class Pool:
    """``n`` voices of one model.  A step reads the weights once for all of them; each has the bits of a single stream.

    ``pool[i]`` is voice i as a `Stream`, whose `input` and `output` are row i of the pool's; whatever it does may be
    mixed with steps of the pool.  A pool and its streams belong to one thread at a time.  Made by `Model.pool`.
    """

    def __init__(self, model: Model, kernel: KernelVoices) -> None:
        self.model = model
        self._kernel = kernel
        self._input = kernel.input
        self._output = kernel.output
        self._streams: dict[int, Stream] = {}
        self._split = model._split
        #: One frame of every voice, `input` -> `output`, without copies.
        self.tick = kernel.ticker()

    @property
    def input(self) -> Floats:
        """The pool's own input rows (n, in), float32: write frames here, then `tick`."""
        return self._input

    @property
    def output(self) -> Floats:
        """The pool's own output rows (n, out), float32: the answer to each voice's last frame."""
        return self._output

    @property
    def memory_bytes(self) -> int:
        """State, scratch and values of all voices: one block of memory."""
        return self._kernel.memory_bytes

    def __len__(self) -> int:
        return len(self._input)

    def __getitem__(self, index: int) -> Stream:
        """Voice ``index``: the same `Stream` every time."""
        try:
            i = range(len(self))[operator.index(index)]
        except IndexError:
            raise IndexError(f"a pool of {len(self)} voices has no voice {index}") from None
        if i not in self._streams:
            self._streams[i] = Stream(self.model, KernelStream(self._kernel, i))
        return self._streams[i]

    def __iter__(self) -> Iterator[Stream]:
        return (self[i] for i in range(len(self)))

    def step(
        self, frames: Floats, streams: Sequence[int] | NDArray[np.integer[Any]] | None = None, out: Floats | None = None
    ) -> Any:
        """One frame of every voice: (n, in) float32 -> (n, out) float32; several outputs: a named tuple of arrays.

        ``streams``: only these voices, distinct, in this order: (len(streams), in) -> (len(streams), out).
        The answer is a new array, or ``out``: C-contiguous, writable, of the answer's shape; it may overlap ``frames``.
        Raises `FrameError` for a wrong type, dtype, shape or voice, a NaN or an infinity; then no state, nor `output`,
        nor ``out`` has changed.
        """
        if streams is not None:
            answers = self._step_some(frames, self._voices(streams), out)
        else:
            check_frames(frames, self._input.shape)
            if out is not None:
                check_out(out, self._output.shape)
            self._input[...] = frames
            self.tick()
            answers = self._output.copy() if out is None else written(out, self._output)
        return answers if self._split is None else self._split(answers)

    def _step_some(self, frames: Floats, voices: NDArray[np.intp], out: Floats | None) -> Floats:
        check_frames(frames, (len(voices), self._input.shape[1]))
        shape = len(voices), self._output.shape[1]
        if out is not None:
            check_out(out, shape)
        answers = np.empty(shape, np.float32)
        self._kernel.step(voices, plain(frames), answers)
        self._output[voices] = answers
        return answers if out is None else written(out, answers)

    def _voices(self, streams: Any) -> NDArray[np.intp]:
        """Numbers of distinct voices; negative ones count from the end, as in ``pool[-1]``."""
        try:
            voices = np.asarray(streams)
        except ValueError:  # nested lists of different lengths
            voices = np.empty((), object)
        if voices.ndim != 1 or (voices.size and voices.dtype.kind not in "iu"):  # an empty list becomes floats
            raise FrameError(f"streams: a sequence of voice numbers was expected, not {streams!r:.60}")
        voices = voices.astype(np.intp, copy=False)
        named = np.zeros(len(self), bool)
        try:
            named[voices] = True
        except IndexError:
            outside = voices[(voices < -len(self)) | (voices >= len(self))][0]
            raise FrameError(f"streams: a pool of {len(self)} voices has no voice {outside}") from None
        if np.count_nonzero(named) != len(voices):
            numbers, counts = np.unique(voices % len(self), return_counts=True)
            raise FrameError(f"streams: voice {numbers[counts > 1][0]} is named twice")
        return voices

    def reset(self) -> None:
        """All voices back to the model's initial state."""
        self._kernel.reset()

    def __reduce__(self) -> tuple[Any, ...]:
        return _restored, (self.model, self._kernel.block, [stream.save() for stream in self])


def _restored(model: Model, block: int, blobs: list[bytes]) -> Pool:
    pool = model.pool(len(blobs), block)
    for stream, blob in zip(pool, blobs, strict=True):
        stream.restore(blob)
    return pool
