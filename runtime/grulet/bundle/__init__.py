"""A model and what runs it as C sources: `bundle` writes a folder that any C99 or C++11 compiler builds.

The parts: `amalgamation` makes one grulet.c of the library's files, `needs` says which of its parts the model needs,
`texts` writes what differs from model to model, `folder` writes all or nothing.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from grulet import format as grulet_format
from grulet.bundle import texts
from grulet.bundle.amalgamation import amalgamate
from grulet.bundle.folder import check_folder, write_folder
from grulet.bundle.needs import needs
from grulet.errors import FrameError, GruletError
from grulet.kernel import version
from grulet.memory import stream_bytes
from grulet.model import load
from grulet.operators import Program, state_floats
from grulet.reference import Reference

#: What grulet.c is made of, in this order: the last one's pragma holds to the end of the file.
SOURCES = (
    "grulet.c",
    "grulet_step.c",
    "grulet_check.c",
    "grulet_check_weights.c",
    "grulet_cpu.c",
    "grulet_sweep.c",
    "grulet_cells.c",
    "grulet_dense.c",
    "generic/grulet_floats_generic.c",
    "generic/grulet_products_generic.c",
    "grulet_vector_ops.c",
)
GOLDEN_FRAMES = 20


@dataclass(frozen=True)
class Bundle:
    """What was written."""

    folder: Path
    name: str  # of the model
    version: str  # of grulet
    sha256: str  # of the model's file
    file_bytes: int
    weight_bytes: int  # that a frame reads
    state_bytes: int
    block: int
    stream_bytes: dict[int, int]  # bytes of a pointer -> bytes of a stream
    needs: tuple[str, ...]  # names behind GRULET_WITH_
    golden_frames: int

    def as_json(self) -> dict[str, Any]:
        """For ``--json``."""
        return {"folder": str(self.folder)} | self.facts()

    def facts(self) -> dict[str, Any]:
        """What bundle.json tells; sizes of a stream by the bits of a pointer."""
        streams = {str(8 * pointer): size for pointer, size in self.stream_bytes.items()}
        facts = vars(self) | {"stream_bytes": streams, "needs": list(self.needs)}
        del facts["folder"]
        return facts

    def __str__(self) -> str:
        narrow, wide = self.stream_bytes[4], self.stream_bytes[8]
        return (
            f"{self.folder}: {self.name}.grulet as C sources, with what it needs of the library: "
            f"{', '.join(name.lower() for name in self.needs)}\n"
            f"flash    {self.file_bytes:,} bytes of weights and tables; code depends on the compiler\n"
            f"memory   {narrow:,} bytes for a stream on a 32-bit CPU, {wide:,} on a 64-bit one\n"
            f"check    cd {self.folder} && cc -O2 main.c grulet.c model.c -o golden && ./golden"
        )


def bundle(path: Path, folder: Path, *, frames: NDArray[np.float32] | None = None, block: int | None = None) -> Bundle:
    """Write the model in ``path``, a `.grulet` file, as C sources to ``folder``: all files, or none.

    ``folder`` may be missing, empty, or a bundle that nobody has changed since.  ``frames``: the golden input, (T, in)
    float32; ``block``: frames that a stream takes at once, by default 1, or of a whole-sequence model T.
    """
    folder = folder.resolve()
    check_folder(folder)
    weight_bytes = load(path).weight_bytes  # refuses a file that is not allowed
    data = path.read_bytes()
    program = grulet_format.read(data)
    if frames is None:
        frames = _frames(program)
    if len(frames) == 0:
        raise FrameError("a golden input of no frames proves nothing; give at least one")
    if program.needs_sequence:
        block = max(block or 0, len(frames))
    made = Bundle(
        folder=folder,
        name=texts.plain(path.stem),
        version=version(),
        sha256=hashlib.sha256(data).hexdigest(),
        file_bytes=len(data),
        weight_bytes=weight_bytes,
        state_bytes=4 * sum(state_floats(program, op) for op in program.operators),
        block=block or 1,
        stream_bytes=_stream_bytes(program, block or 1),
        needs=needs(program, block=block or 1),
        golden_frames=len(frames),
    )
    files = _files(made, program, data, frames, Reference(program).run(frames))
    write_folder(folder, files, made.facts())
    return made


def library() -> Path:
    """Return the folder of the library's C sources: of an installed package, or of a checkout."""
    here = Path(__file__).resolve()
    for folder in (here.parents[1] / "c_src", here.parents[3] / "c_src"):
        if (folder / "grulet.h").is_file():
            return folder
    raise GruletError("the C sources are missing: this grulet was installed without grulet/c_src; install it again")


def _stream_bytes(program: Program, block: int) -> dict[int, int]:
    blocks = "BLOCKS" in needs(program, block=block)
    return {pointer: stream_bytes(program, pointer_bytes=pointer, block=block, blocks=blocks) for pointer in (4, 8)}


def _frames(program: Program) -> NDArray[np.float32]:
    """Make frames of random numbers and tokens, always the same."""
    random = np.random.default_rng(0)
    parts = [
        random.integers(port.tokens, size=(GOLDEN_FRAMES, program.width(port.value)))
        if port.tokens
        else random.standard_normal((GOLDEN_FRAMES, program.width(port.value)))
        for port in program.inputs
    ]
    return np.concatenate(parts, axis=1, dtype=np.float32, casting="unsafe")


def _files(
    made: Bundle, program: Program, data: bytes, x: NDArray[np.float32], y: NDArray[np.float32]
) -> dict[str, str]:
    c_src = library()
    main = "main_sequence.c" if program.needs_sequence else "main_step.c"
    license_text = (c_src.parent / "LICENSE").read_text(encoding="utf-8")
    return {
        "grulet.h": (c_src / "grulet.h").read_text(encoding="utf-8"),
        "grulet.c": texts.library_head(made, license_text) + amalgamate(c_src, SOURCES, "grulet.h"),
        "model.h": texts.model_header(made, program),
        "model.c": texts.model_source(made, data),
        "golden.h": texts.golden(made, x, y),
        "main.c": (c_src / "bundle" / main).read_text(encoding="utf-8"),
        "CMakeLists.txt": (c_src / "bundle" / "CMakeLists.txt").read_text(encoding="utf-8"),
        "README.md": texts.readme(made, program),
    }
