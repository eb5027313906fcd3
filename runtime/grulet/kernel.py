"""The only importer of the C extension: calls become methods, status codes become exceptions.

Pointers are made once: `KernelVoices` keeps the memory of its streams and the addresses of their buffers, so that a
step is one call of a C function with one held pointer.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from grulet._kernel import ffi, lib
from grulet.errors import FormatError, FrameError, GruletError, IsaError, StateError

if TYPE_CHECKING:  # a millisecond of the import
    from numpy.typing import NDArray

ALIGN = 64

#: One frame of a `KernelStream.voice`, its input -> its output; not 0 if the frame was refused.  For `Stream.step`, of
#: which a Python function around it, like `KernelStream.tick`, takes a tenth.
tick_voice: Callable[[Any], int] = lib.grulet_tick


def aligned_bytes(data: Any) -> NDArray[np.uint8]:
    """The buffer itself where it lies on a 64-byte boundary, otherwise one copy that does."""
    try:
        view = np.frombuffer(data, np.uint8)
    except (TypeError, ValueError, BufferError) as error:
        if isinstance(error, ValueError) and memoryview(data).nbytes == 0:
            return np.empty(0, np.uint8)
        raise FormatError(f"a path or a contiguous buffer was expected, not {type(data).__name__}: {error}") from error
    if view.ctypes.data % ALIGN == 0:
        return view
    copy = aligned_empty(len(view))
    copy[:] = view
    return copy


def aligned_empty(size: int) -> NDArray[np.uint8]:
    """An uninitialized byte array on a 64-byte boundary."""
    memory = np.empty(size + ALIGN, np.uint8)
    start = -memory.ctypes.data % ALIGN
    return memory[start : start + size]


def text_of(status: int) -> str:
    """The C library's sentence for a status."""
    return str(ffi.string(lib.grulet_status_text(status)).decode())


def _refusal(status: int, data: NDArray[np.uint8]) -> FormatError:
    """Say why the C library refused a file: the format module knows the details."""
    from grulet import format as grulet_format

    try:
        grulet_format.read(data.data)
    except FormatError as error:
        return error
    if status == lib.GRULET_FORBIDDEN:
        return FormatError(
            f"{text_of(status)} (its numbers, data flow or places in the arena; docs/format.md lists the rules)"
        )
    return FormatError(text_of(status))


class KernelModel:
    """An opened file.  Keeps the bytes alive; immutable, so threads may share it."""

    def __init__(self, data: Any) -> None:
        self.data = aligned_bytes(data)
        #: Where frames hold tokens, as (name, first element, elements, tokens); set by who has read the tables.
        self.token_ports: tuple[tuple[str, int, int, int], ...] = ()
        self.pointer = ffi.new("grulet_model *")
        self._file = ffi.from_buffer(self.data)
        status = lib.grulet_model_open(self.pointer, self._file, len(self.data))
        if status != lib.GRULET_OK:
            raise _refusal(status, self.data)

    @property
    def weight_bytes(self) -> int:
        """Bytes that one step reads of the file."""
        return int(lib.grulet_weight_bytes(self.pointer))

    def read_weights(self) -> int:
        """Read those bytes once and do nothing else; the sum has no meaning."""
        return int(lib.grulet_read_weights(self.pointer))


class KernelVoices:
    """State and scratch of one voice or many, one behind the other in one block of memory, and their buffers.

    Row i of `input` and of `output` belongs to voice i.
    """

    def __init__(self, model: KernelModel, count: int, block: int) -> None:
        possible = isinstance(block, int) and 0 < block < 2**31
        size = lib.grulet_stream_bytes(model.pointer, block) if possible else 0
        if size == 0:
            raise GruletError(f"a stream cannot hold blocks of {block!r} frames; 1 is the least")
        if not isinstance(count, int) or not 0 < count < 2**31:
            raise GruletError(f"a pool cannot hold {count!r} voices; 1 is the least")
        self.model = model
        self.block = block
        self.voice_bytes = int(size)
        self.memory_bytes = count * -(-self.voice_bytes // ALIGN) * ALIGN
        self.input = np.zeros((count, lib.grulet_input_width(model.pointer)), np.float32)
        self.output = np.zeros((count, lib.grulet_output_width(model.pointer)), np.float32)
        memory = ffi.from_buffer(aligned_empty(self.memory_bytes))
        stride = self.memory_bytes // count
        self._addresses = np.empty(count, np.uintp)
        self.streams = ffi.from_buffer("grulet_stream *[]", self._addresses, require_writable=True)
        for i in range(count):
            status = lib.grulet_stream_init(self.streams + i, memory + i * stride, size, model.pointer, block)
            if status != lib.GRULET_OK:
                raise GruletError(text_of(status))
        self._keep = memory  # the C streams lie in it, and point into the model

    def ticker(self) -> Callable[[], None]:
        """Make the function that steps all voices, `input` -> `output`, over one read of the weights."""
        arguments = ffi.new(
            "grulet_voices *", [self.streams, len(self.input), _floats(self.output), _floats(self.input)]
        )
        return _ticker(lib.grulet_tick_many, arguments, lambda: self._refuse(self.input, range(len(self.input))))

    def voice(self, index: int) -> Any:
        """Make the argument of `tick_voice`: one voice and its rows of `input` and `output`; it keeps none alive."""
        return ffi.new("grulet_voice *", [self.streams[index], _floats(self.output[index]), _floats(self.input[index])])

    def voice_ticker(self, index: int) -> Callable[[], None]:
        """Make the function that steps one voice, its row of `input` -> its row of `output`."""
        x = self.input[index]

        def refuse(_keep: object = self) -> None:
            raise FrameError(f"the frame {_wrong(self.model, x)}")

        return _ticker(tick_voice, self.voice(index), refuse)

    def step(self, voices: NDArray[np.intp], frames: NDArray[np.float32], outputs: NDArray[np.float32]) -> None:
        """Rows of C-contiguous ``frames`` -> rows of C-contiguous ``outputs``, of distinct voices."""
        streams = ffi.from_buffer("grulet_stream *[]", self._addresses[voices])
        if lib.grulet_step_many(streams, len(voices), _floats(outputs), _floats(frames)):
            self._refuse(frames, voices % len(self.input))

    def _refuse(self, frames: NDArray[np.float32], voices: Sequence[int] | NDArray[np.intp]) -> None:
        bad = _bad_frames(self.model, frames)
        more = f", and {len(bad) - 1} more are like it" if len(bad) > 1 else ""
        raise FrameError(
            f"the frame of voice {voices[bad[0]]} {_wrong(self.model, frames[bad[0]])}{more}; no voice was stepped"
        )

    def reset(self) -> None:
        """All voices back to the initial state."""
        for stream in self.streams:
            lib.grulet_stream_reset(stream)


class KernelStream:
    """One of the voices."""

    def __init__(self, voices: KernelVoices, index: int) -> None:
        self.voices = voices  # whose memory this is
        self.input: NDArray[np.float32] = voices.input[index]
        self.output: NDArray[np.float32] = voices.output[index]
        #: One frame, `input` -> `output`.
        self.tick = voices.voice_ticker(index)
        #: The argument of `tick_voice`, which does the same, as long as this object lives.
        self.voice = voices.voice(index)
        self._stream = voices.streams[index]

    def run(self, frames: NDArray[np.float32], outputs: NDArray[np.float32]) -> None:
        """Rows of C-contiguous ``frames`` -> rows of C-contiguous ``outputs``."""
        if len(frames) == 0:
            return
        if lib.grulet_run(self._stream, _floats(outputs), _floats(frames), len(frames)):
            model = self.voices.model
            bad = _bad_frames(model, frames)[0]
            raise FrameError(f"frame {bad} of {len(frames)} {_wrong(model, frames[bad])}; none was run")

    def step_operator(self, index: int) -> bool:
        """Run one operator on the values as they stand; False, and nothing is done, where the model has fewer."""
        return not lib.grulet_step_operator(self._stream, index)

    def reset(self) -> None:
        """Back to the initial state."""
        lib.grulet_stream_reset(self._stream)

    def save(self) -> bytes:
        """The state as bytes."""
        blob = bytearray(lib.grulet_save_bytes(self.voices.model.pointer))
        lib.grulet_save(self._stream, ffi.from_buffer(blob), len(blob))
        return bytes(blob)

    def restore(self, blob: bytes) -> None:
        """Take a saved state; on an error the state has not changed."""
        try:
            data = ffi.from_buffer(blob)
        except (TypeError, BufferError) as error:
            raise StateError(f"a saved state is bytes, not {type(blob).__name__}") from error
        status = lib.grulet_restore(self._stream, data, len(data))
        if status != lib.GRULET_OK:
            raise StateError(text_of(status))


def _floats(array: NDArray[np.float32]) -> Any:
    return ffi.from_buffer("float[]", array)


def _ticker(call: Callable[[Any], int], arguments: Any, refuse: Callable[[], None]) -> Callable[[], None]:
    """Make the function that is called every frame: one C call, whose arguments lie ready in a C struct.

    cffi checks and converts the arguments of every call; one pointer instead of three saves half of what calling costs.
    Everything the struct points into must be kept alive by ``refuse``.
    """

    def tick() -> None:
        """Compute one frame, `input` -> `output`."""
        if call(arguments):
            refuse()

    return tick


def _no_tokens(model: KernelModel, frames: NDArray[np.float32]) -> dict[str, NDArray[np.bool_]]:
    """By name of the token port: which elements of (T, in) frames are no token of it."""
    wrong = {}
    for name, first, width, tokens in model.token_ports:
        part = frames[:, first : first + width]
        wrong[name] = ~((part >= 0) & (part < tokens) & (part == np.floor(part)))
    return wrong


def _bad_frames(model: KernelModel, frames: NDArray[np.float32]) -> NDArray[np.intp]:
    """Numbers of the frames that the C library refuses."""
    bad = ~np.isfinite(frames).all(axis=1)
    for wrong in _no_tokens(model, frames).values():
        bad |= wrong.any(axis=1)
    return np.flatnonzero(bad)


def _wrong(model: KernelModel, frame: NDArray[np.float32]) -> str:
    """Say what the C library found in a frame."""
    bad = np.flatnonzero(~np.isfinite(frame))
    if len(bad):
        return f"holds a NaN or an infinity (elements {', '.join(map(str, bad[:5]))}{', ...' if len(bad) > 5 else ''})"
    for name, first, _, tokens in model.token_ports:
        outside = np.flatnonzero(_no_tokens(model, frame[None])[name][0])
        if len(outside):
            return f"holds {frame[first + outside[0]]:g} for '{name}', which takes whole numbers from 0 to {tokens - 1}"
    return "was refused"


def version() -> str:
    """Version of the C library, which is the package's."""
    return str(ffi.string(lib.grulet_version()).decode())


def isas() -> tuple[str, ...]:
    """Instruction sets that this library has and this machine runs, best first; the last is ``"generic"``."""
    names: list[str] = []
    while (name := lib.grulet_isa_name(len(names))) != ffi.NULL:
        names.append(str(ffi.string(name).decode()))
    return tuple(names)


def isa() -> str:
    """The instruction set in use."""
    return str(ffi.string(lib.grulet_isa_used()).decode())


def use_isa(name: str) -> None:
    """Choose the instruction set for all streams of this process; results do not depend on it."""
    if name not in isas() or lib.grulet_isa_use(name.encode()):
        raise IsaError(f"no instruction set {name!r} here; there are: {', '.join(isas())}")


if os.environ.get("GRULET_ISA"):  # for tests: run a whole process on one kernel
    use_isa(os.environ["GRULET_ISA"])
