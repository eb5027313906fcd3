"""Streams: the state of one voice, stepped frame by frame."""

from __future__ import annotations

from collections import namedtuple
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from grulet.errors import FrameError
from grulet.kernel import KernelModel, KernelStream

if TYPE_CHECKING:
    from grulet.model import Model

Floats: TypeAlias = NDArray[np.float32]
_FLOAT32 = np.dtype(np.float32)


class Stream:
    """One voice: hidden state, scratch, and the buffers `input` and `output`.  Belongs to one thread at a time.

    Frame by frame, in chunks of any size or as a whole: the same bits.  Made by `Model.stream`.
    """

    def __init__(self, model: Model, kernel: KernelModel, block: int) -> None:
        self.model = model
        self._kernel = KernelStream(kernel, block)
        self._input = self._kernel.input
        self._output = self._kernel.output
        self._input_shape = self._input.shape
        self._split: Any = None
        if len(model.outputs) > 1:
            outputs = namedtuple("Outputs", [port.name for port in model.outputs], rename=True)  # type: ignore[misc]
            self._split = lambda y: outputs(*(y[..., port.slice] for port in model.outputs))
        #: One frame, `input` -> `output`, without copies: ``stream.input[:] = x; stream.tick(); stream.output``.
        self.tick = self._kernel.tick

    @property
    def input(self) -> Floats:
        """The stream's own input vector (in,), float32: write a frame here, then `tick`."""
        return self._input

    @property
    def output(self) -> Floats:
        """The stream's own output vector (out,), float32: the answer to the last frame; the next one overwrites it."""
        return self._output

    @property
    def memory_bytes(self) -> int:
        """What a C program would give `grulet_stream_init`: state, scratch and values."""
        return self._kernel.memory_bytes

    def step(self, frame: Floats) -> Any:
        """One frame: (in,) float32 -> (out,) float32, a new array; a named tuple of arrays for several outputs.

        Raises `FrameError` for a wrong type, dtype or shape, a NaN or an infinity; then the state has not changed.
        """
        if type(frame) is not np.ndarray or frame.dtype != _FLOAT32 or frame.shape != self._input_shape:
            self._refuse(frame, f"({self._input_shape[0]},)", self._input_shape)
        self._input[:] = frame
        self.tick()
        answer = self._output.copy()
        return answer if self._split is None else self._split(answer)

    def run(self, frames: Floats) -> Any:
        """Many frames: (T, in) float32 -> (T, out) float32; continues the stream.  T may be 0.

        Raises `FrameError` like `step`; a bad frame anywhere refuses all, and the state has not changed.
        """
        outputs = self.run_vector(frames)
        return outputs if self._split is None else self._split(outputs)

    def run_vector(self, frames: Floats) -> Floats:
        """Like `run`, but always the whole output vector (T, out), however many outputs the model names."""
        width = self._input_shape[0]
        if not isinstance(frames, np.ndarray) or frames.dtype != _FLOAT32 or frames.shape[1:] != (width,):
            self._refuse(frames, f"(frames, {width})", None)
        outputs = np.empty((len(frames), len(self._output)), np.float32)
        self._kernel.run(np.require(frames, requirements=["C", "A"]), outputs)
        return outputs

    def _refuse(self, frame: Any, wanted: str, shape: tuple[int, ...] | None) -> None:
        """Raise for a frame that is no plain float32 array of the wanted shape (subclasses of ndarray are fine)."""
        if not isinstance(frame, np.ndarray):
            raise FrameError(f"a float32 array {wanted} was expected, not {type(frame).__name__}")
        if frame.dtype != _FLOAT32:
            raise FrameError(f"float32 was expected, not {frame.dtype}: use x.astype(numpy.float32)")
        if frame.shape != shape:
            raise FrameError(f"shape {wanted} was expected, not {frame.shape}")

    def step_operator(self, index: int) -> bool:
        """Run one operator of `Model.ops` on the values and state as they stand: for measuring what it costs.

        A step is all of them in order.  For an index behind the last nothing is done: False, the cost of the call.
        """
        return self._kernel.step_operator(index)

    def reset(self) -> None:
        """Back to the model's initial state."""
        self._kernel.reset()

    def save(self) -> bytes:
        """The state as bytes: for this model, on any CPU."""
        return self._kernel.save()

    def restore(self, blob: bytes) -> None:
        """Take a saved state.  Raises `StateError` (damaged, or another model's); then the state has not changed."""
        self._kernel.restore(blob)

    def clone(self) -> Stream:
        """Return a second stream in the same state."""
        other = self.model.stream(self._kernel.block)
        other.restore(self.save())
        return other

    def __reduce__(self) -> tuple[Any, ...]:
        return _restored, (self.model, self._kernel.block, self.save())


def _restored(model: Model, block: int, blob: bytes) -> Stream:
    stream = model.stream(block)
    stream.restore(blob)
    return stream
