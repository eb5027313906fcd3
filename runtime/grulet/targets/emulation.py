"""A model on an emulated microcontroller: instructions counted, stacks painted, answers compared."""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from grulet.bundle import library
from grulet.errors import GruletError
from grulet.model import Model, load
from grulet.targets.compiling import run
from grulet.targets.cores import Board, Core

HERE = Path(__file__).parent
EMULATOR = "qemu-system-arm"
#: Frames that are counted; of large models fewer, but as many forward sweeps as backward ones.
FRAMES, FEW_FRAMES = 20, 2
_LARGE = 1 << 18  # bytes
_ROOM = 15 << 20  # bytes of a board's memory for the model, its frames and its stream; the stack is behind


@dataclass(frozen=True)
class Counted:
    """One model on one kernel: instructions of a frame, deepest stacks, frames whose answer has not the right bits."""

    instructions: float
    open_stack: int
    step_stack: int
    wrong: int


def has_emulator() -> bool:
    """Whether qemu is here."""
    return shutil.which(EMULATOR) is not None


def fits_board(model: Model, stream_bytes: int) -> bool:
    """Whether the model goes into an emulated board's memory."""
    frames = 4 * (FRAMES + 1) * (model.input_width + model.output_width)
    return model.file_bytes + frames + stream_bytes <= _ROOM


def count(core: Core, objects: Sequence[Path], paths: Sequence[Path], folder: Path) -> list[dict[str, Counted]]:
    """Run some frames of each model on the core's board; of each, kernel -> what was counted.

    ``objects``: of `compile_build`, for that core.  `GruletError` if a model does not run there.
    """
    if core.board is None:
        raise GruletError(f"{core.name} has no emulated board")
    _write_models(paths, folder)
    program = folder / "board.elf"
    board: list[str | Path] = [f"-Wl,--defsym=CODE={core.board.code}", f"-Wl,--defsym=DATA={core.board.data}"]
    board += ["-T", HERE / "board.ld", HERE / "board.c", folder / "models.s"]
    include: list[str | Path] = ["-std=c99", "-O2", "-I", folder, "-I", library()]
    run([core.compiler, *core.flags, "-nostartfiles", *include, *board, *objects, "-o", program])
    machine = ["-M", core.board.machine, "-nographic", "-semihosting-config", "enable=on,target=native"]
    printed = run([EMULATOR, *machine, "-icount", "shift=0", "-kernel", program])
    return _read(printed, len(paths), core.board)


def frames_of(model: Model) -> NDArray[np.float32]:
    """(frames, inputs) random numbers and tokens, always the same."""
    random = np.random.default_rng(0)
    frames = FEW_FRAMES if model.file_bytes > _LARGE else FRAMES
    parts = [
        random.integers(port.tokens, size=(frames, port.width))
        if port.tokens
        else random.standard_normal((frames, port.width))
        for port in model.inputs
    ]
    return np.concatenate(parts, axis=1).astype(np.float32)


def _write_models(paths: Sequence[Path], folder: Path) -> None:
    """An assembler file with all models, their frames, and the answers that they must give."""
    data, table = [], []
    for number, path in enumerate(paths):
        model = load(path)
        x = frames_of(model)
        y = model.stream().run(x)
        y = y if isinstance(y, np.ndarray) else np.concatenate(y, axis=1)
        for name, content in (("file", path.read_bytes()), ("x", _bytes(x)), ("y", _bytes(y))):
            (folder / f"{name}{number}.bin").write_bytes(content)
            data.append(f'.balign 64\n{name}{number}: .incbin "{folder}/{name}{number}.bin"\n')
        sizes = f"{path.stat().st_size}, {len(x)}, {x.shape[1]}, {y.shape[1]}"
        table.append(f".word file{number}, {sizes}, x{number}, y{number}\n")
    names = ".globl measured_models, measured_count\n"
    tables = f"measured_models:\n{''.join(table)}measured_count: .word {len(paths)}\n"
    text = f'.section .models, "aw"\n{names}{"".join(data)}.balign 4\n{tables}'
    (folder / "models.s").write_text(text, encoding="utf-8")


def _bytes(array: NDArray[np.float32]) -> bytes:
    return array.astype("<f4").tobytes()


def _read(printed: str, models: int, board: Board) -> list[dict[str, Counted]]:
    found: list[dict[str, Counted]] = [{} for _ in range(models)]
    if "FAULT" in printed:
        raise GruletError(f"the program faults on the emulated {board.machine}")
    for line in printed.splitlines():
        number, kernel, *rest = line.split()
        status, wrong, open_stack, step_stack, ticks, frames = map(int, rest)
        if status:
            raise GruletError(f"the emulated {board.machine} refuses the model: status {status} of grulet.h")
        found[int(number)][kernel] = Counted(ticks * board.tick / frames, open_stack, step_stack, wrong)
    if not all(found):
        raise GruletError(f"the emulated {board.machine} said nothing of a model")
    return found
