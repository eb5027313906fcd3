"""Streams: the state of one voice, stepped frame by frame."""

from __future__ import annotations

import zlib
from typing import TYPE_CHECKING, Any, NoReturn

import numpy as np
from numpy import ndarray  # found faster than np.ndarray, in every step

from grulet.errors import FrameError, SequenceError, StateError
from grulet.kernel import KernelStream, KernelVoices, tick_voice

if TYPE_CHECKING:
    from typing import TypeAlias

    from numpy.typing import NDArray

    from grulet.model import Model

    Floats: TypeAlias = NDArray[np.float32]

_FLOAT32 = np.dtype(np.float32)
_ALL = slice(None)  # made once, not in every step
_BLOB_HEADER = 16  # bytes of a saved state before its floats (docs/format.md)


class Stream:
    """One voice: hidden state, scratch, and the buffers `input` and `output`.  Belongs to one thread at a time.

    Frame by frame, in chunks of any size or as a whole: the same bits.  Made by `Model.stream`, or one of a `Pool`.
    """

    def __init__(self, model: Model, kernel: KernelStream) -> None:
        self.model = model
        self._kernel = kernel
        self._input = kernel.input
        self._input_view: Any = kernel.input.data
        self._output = kernel.output
        self._output_view: Any = kernel.output.data
        self._split = model._split
        self._out: Floats | None = None  # the last that `_accept` has found good and holds, and its memory
        self._out_view: Any = None
        #: One frame, `input` -> `output`, without copies: ``stream.input[:] = x; stream.tick(); stream.output``.
        self.tick = self._no_tick if model.needs_sequence else kernel.tick

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
        return self._kernel.voices.voice_bytes

    def step(self, frame: Floats, out: Floats | None = None) -> Any:
        """One frame: (in,) float32 -> (out,) float32; several outputs: a named tuple of arrays, slices of one vector.

        The answer is a new array, or ``out``: C-contiguous, writable, (out,) float32.  It may overlap ``frame``, which
        is copied first; the stream may hold it until it is given another.  Raises `FrameError` for a wrong type, dtype
        or shape, a NaN or an infinity; then neither the state nor `output` nor ``out`` has changed.
        """
        if out is not None and (out is not self._out or not out.flags.writeable):
            self._accept(out)
        if type(frame) is not ndarray:
            check_frames(frame, self._input.shape)
        try:
            self._input_view[_ALL] = frame  # checks format and shape, and copies: half the cost of asking numpy
        except (TypeError, ValueError, BufferError):
            check_frames(frame, self._input.shape)
            self._input[...] = frame  # good, but a memoryview does not take it: misaligned
        if tick_voice(self._kernel.voice):
            self.tick()  # refuses it again, and says why
        if out is None:
            out = self._output.copy()
        elif out is self._out:
            self._out_view[_ALL] = self._output_view
        else:
            out[...] = self._output
        return out if self._split is None else self._split(out)

    def _accept(self, out: Floats) -> None:
        """Check an ``out``, and hold it if it has its memory to itself.

        Most loops give the same array for every frame.  While it is held, dtype and shape need no check, which takes
        longer than making a new array.  A part of a larger array is not held: it would keep all of that alive.
        """
        check_out(out, self._output.shape)
        if type(out) is ndarray and out.base is None:
            self._out, self._out_view = out, out.data

    def run(self, frames: Floats) -> Any:
        """Many frames: (T, in) float32 -> (T, out) float32; continues the stream.  T may be 0.

        A model that `Model.needs_sequence` takes the frames as one whole sequence, from its initial state.

        Raises `FrameError` like `step`; a bad frame anywhere refuses all, and the state has not changed.
        """
        outputs = self.run_vector(frames)
        return outputs if self._split is None else self._split(outputs)

    def run_vector(self, frames: Floats) -> Floats:
        """Like `run`, but always the whole output vector (T, out), however many outputs the model names."""
        width = len(self._input)
        if not isinstance(frames, ndarray) or frames.dtype != _FLOAT32 or frames.shape[1:] != (width,):
            refuse_frames(frames, f"(frames, {width})")
        if self.model.needs_sequence and len(frames) > self._kernel.voices.block:
            # The state belongs to one sequence, so nothing is lost.
            self._kernel = KernelStream(KernelVoices(self.model._kernel, 1, len(frames)), 0)
        outputs = np.empty((len(frames), len(self._output)), np.float32)
        self._kernel.run(plain(frames), outputs)
        return outputs

    def _no_tick(self) -> None:
        raise SequenceError(f"{self.model.needs_sequence}; use run on the whole sequence")

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

    def hidden(self, name: str) -> Floats:
        """Return a copy of the hidden state of the recurrent layer that `Model.ops` calls ``name``.

        (units,) float32; of an LSTM (2, units): h and c.  `StateError` names the layers there are.
        """
        offset, shape = self.model._state(name)
        size = int(np.prod(shape))
        return np.frombuffer(self.save(), "<f4", size, _BLOB_HEADER + 4 * offset).reshape(shape).astype(np.float32)

    def set_hidden(self, name: str, state: Floats) -> None:
        """Replace the hidden state of one layer: what an encoder hands to a decoder, say.

        ``state`` as `hidden` gives it.  `StateError` for another shape, a NaN, an infinity, or an h outside [-1, 1];
        then nothing has changed.
        """
        offset, shape = self.model._state(name)
        given = np.asarray(state)
        if given.dtype != _FLOAT32 or given.shape != shape:
            raise StateError(f"the state of {name!r} is float32 {shape}, not {given.dtype} {given.shape}")
        blob = bytearray(self.save())
        np.frombuffer(blob, "<f4", given.size, _BLOB_HEADER + 4 * offset)[:] = given.reshape(-1)
        blob[12:_BLOB_HEADER] = zlib.crc32(blob[_BLOB_HEADER:]).to_bytes(4, "little")
        try:
            self.restore(bytes(blob))
        except StateError as error:
            raise StateError(f"the state of {name!r} holds a NaN, an infinity or an h outside [-1, 1]") from error

    def clone(self) -> Stream:
        """Return a second stream in the same state."""
        other = self.model.stream(self._kernel.voices.block)
        other.restore(self.save())
        return other

    def __reduce__(self) -> tuple[Any, ...]:
        return _restored, (self.model, self._kernel.voices.block, self.save())


def _restored(model: Model, block: int, blob: bytes) -> Stream:
    stream = model.stream(block)
    stream.restore(blob)
    return stream


def check_frames(frames: Any, shape: tuple[int, ...]) -> None:
    """Raise `FrameError` for anything but a float32 array of this shape (subclasses of ndarray are fine)."""
    if not isinstance(frames, ndarray) or frames.dtype != _FLOAT32 or frames.shape != shape:
        refuse_frames(frames, str(shape))


def refuse_frames(frames: Any, wanted: str) -> NoReturn:
    """Say why frames are not a float32 array of the wanted shape."""
    if not isinstance(frames, ndarray):
        raise FrameError(f"a float32 array {wanted} was expected, not {type(frames).__name__}")
    if frames.dtype != _FLOAT32:
        raise FrameError(f"float32 was expected, not {frames.dtype}: use x.astype(numpy.float32)")
    raise FrameError(f"shape {wanted} was expected, not {frames.shape}")


def check_out(out: Any, shape: tuple[int, ...]) -> None:
    """Raise `FrameError` for an ``out`` that cannot take the answers as they are."""
    if isinstance(out, ndarray) and out.dtype == _FLOAT32 and out.shape == shape and out.flags.carray:
        return
    found = f"{out.dtype} {out.shape}" if isinstance(out, ndarray) else type(out).__name__
    if found == f"float32 {shape}":
        flags = out.flags
        found = f"a {'strided' if not flags.c_contiguous else 'read-only' if flags.aligned else 'misaligned'} one"
    raise FrameError(f"out: a writable, C-contiguous float32 array {shape} was expected, not {found}")


def plain(frames: Floats) -> Floats:
    """The frames as C can read them: themselves, or a C-contiguous, aligned copy (`numpy.require` takes 2 us)."""
    flags = frames.flags
    return frames if flags.c_contiguous and flags.aligned else np.array(frames, np.float32, order="C")


def written(out: Floats, answers: Floats) -> Floats:
    """``out``, with the answers in it."""
    out[...] = answers
    return out
