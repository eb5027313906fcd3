"""The only importer of the C extension: calls become methods, status codes become exceptions.

Pointers are made once: a `KernelStream` keeps its memory and the addresses of its buffers, so that a step is one call
of a C function with three held pointers.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from grulet import format as grulet_format
from grulet._kernel import ffi, lib
from grulet.errors import FormatError, FrameError, GruletError, IsaError, StateError

ALIGN = 64


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
    try:
        grulet_format.read(data.data)
    except FormatError as error:
        return error
    return FormatError(
        f"{text_of(status)} (its numbers, data flow or places in the arena; docs/format.md lists the rules)"
    )


class KernelModel:
    """An opened file.  Keeps the bytes alive; immutable, so threads may share it."""

    def __init__(self, data: Any) -> None:
        self.data = aligned_bytes(data)
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


class KernelStream:
    """State and scratch of one voice, and the buffers `input` and `output`."""

    #: One frame, `input` -> `output`: one C call with held pointers.
    tick: Callable[[], None]

    def __init__(self, model: KernelModel, block: int) -> None:
        possible = isinstance(block, int) and 0 < block < 2**31
        size = lib.grulet_stream_bytes(model.pointer, block) if possible else 0
        if size == 0:
            raise GruletError(f"a stream cannot hold blocks of {block!r} frames; 1 is the least")
        self.model = model
        self.block = block
        self.memory_bytes = int(size)
        self.input = np.zeros(lib.grulet_input_width(model.pointer), np.float32)
        self.output = np.zeros(lib.grulet_output_width(model.pointer), np.float32)
        handle = ffi.new("grulet_stream **")
        memory = ffi.from_buffer(aligned_empty(size))
        status = lib.grulet_stream_init(handle, memory, size, model.pointer, block)
        if status != lib.GRULET_OK:
            raise GruletError(text_of(status))
        self._stream = handle[0]
        self._keep = (model, memory)  # the C stream points into both
        self.tick = _tick(self._stream, self.output, self.input, self._keep)

    def run(self, frames: NDArray[np.float32], outputs: NDArray[np.float32]) -> None:
        """Rows of C-contiguous ``frames`` -> rows of C-contiguous ``outputs``."""
        if len(frames) == 0:
            return
        x, y = ffi.from_buffer("float[]", frames), ffi.from_buffer("float[]", outputs)
        if lib.grulet_run(self._stream, y, x, len(frames)):
            bad = np.flatnonzero(~np.isfinite(frames).all(axis=1))
            raise FrameError(f"frame {bad[0]} of {len(frames)} holds a NaN or an infinity; none was run")

    def step_operator(self, index: int) -> bool:
        """Run one operator on the values as they stand; False, and nothing is done, where the model has fewer."""
        return not lib.grulet_step_operator(self._stream, index)

    def reset(self) -> None:
        """Back to the initial state."""
        lib.grulet_stream_reset(self._stream)

    def save(self) -> bytes:
        """The state as bytes."""
        blob = bytearray(lib.grulet_save_bytes(self.model.pointer))
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


def _tick(stream: Any, output: NDArray[np.float32], input: NDArray[np.float32], keep: object) -> Callable[[], None]:
    """Make the function a stream calls every frame: no attribute is looked up, nothing is converted in it."""
    step, y, x = lib.grulet_step, ffi.from_buffer("float[]", output), ffi.from_buffer("float[]", input)

    def tick(_keep: object = keep) -> None:
        """Compute one frame, `input` -> `output`."""
        if step(stream, y, x):
            raise FrameError(f"the frame holds a NaN or an infinity (elements {_bad_elements(input)})")

    return tick


def _bad_elements(frame: NDArray[np.float32]) -> str:
    bad = np.flatnonzero(~np.isfinite(frame))
    return ", ".join(map(str, bad[:5])) + (", ..." if len(bad) > 5 else "")


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
