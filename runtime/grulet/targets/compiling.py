"""The library, compiled for a core: its code in bytes, and the deepest stack by the compiler's own account."""

from __future__ import annotations

import re
import shutil
import subprocess
from collections.abc import Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

from grulet.bundle import SOURCES, library
from grulet.bundle.amalgamation import amalgamate
from grulet.errors import GruletError
from grulet.targets.cores import Build, Core

LEVELS = ("-Os", "-O2")
_PATIENCE = 300  # seconds
_COMMON = ("-std=c99", "-ffp-contract=off", "-ffunction-sections", "-fdata-sections", "-fno-stack-protector",
           "-fno-asynchronous-unwind-tables")  # fmt: skip
_ACCOUNT = ("-fstack-usage", "-fcallgraph-info=su")
#: The functions of operators; and what calls them through a pointer: run_op, or what the compiler has inlined it into.
_OPERATORS = re.compile(r"grulet_(cell|cell_sequence|dense|activation|vector_op)\b")
_RUNS_OPERATORS = ("run_op", "step_streams", "grulet_step")
_INDIRECT = "__indirect_call"
#: Bytes for what is not in the library: memcpy, memset, and floats in software.  Newlib's and GCC's take up to 28.
_BESIDE = 32


@dataclass(frozen=True)
class Compiled:
    """One build at one level: its objects, bytes of code with constants, bytes of static memory, bytes of stack."""

    objects: tuple[Path, ...]
    code: int
    static: int
    open_stack: int
    step_stack: int


def has_compiler(core: Core) -> bool:
    """Whether the cross compiler and its companion `size` are here."""
    return all(map(shutil.which, (core.compiler, _size(core))))


def run(command: Sequence[str | Path]) -> str:
    """What a program prints, on either stream; `GruletError` with its first complaint if it fails or never ends."""
    try:
        done = subprocess.run(
            [*map(str, command)], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
            errors="replace", timeout=_PATIENCE, check=False,
        )  # fmt: skip
    except subprocess.TimeoutExpired as expired:
        raise GruletError(f"{command[0]} has not ended within {_PATIENCE} s; --from-table does without it") from expired
    if done.returncode:
        complaint = done.stdout.strip().splitlines() or ["no reason given"]
        errors = [line for line in complaint if "error" in line] or complaint
        raise GruletError(f"{command[0]} failed: {errors[0]}; --from-table does without it")
    return done.stdout


def compile_build(core: Core, build: Build, level: str, needs: Iterable[str] | None, folder: Path) -> Compiled:
    """Compile the library for one core with what ``needs`` names (None: everything that one step at a time can need).

    As `grulet bundle` does, of one file; with the build's own kernel in files of its own beside it.
    """
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "config.h").write_text(configuration(needs), encoding="utf-8")
    (folder / "grulet.c").write_text(amalgamate(library(), SOURCES, "grulet.h"), encoding="utf-8")
    sources = [folder / "grulet.c", *(library() / name for name in build.sources)]
    include: list[str | Path] = ["-I", folder, "-I", library(), '-DGRULET_CONFIG="config.h"', *build.definitions]
    flags: list[str | Path] = [core.compiler, *core.flags, *_COMMON, *_ACCOUNT, level, *include]
    objects = tuple(folder / f"{source.stem}.o" for source in sources)
    with ThreadPoolExecutor(len(sources)) as pool:
        list(pool.map(lambda pair: run([*flags, "-c", pair[0], "-o", pair[1]]), zip(sources, objects, strict=True)))
    sizes = [line.split()[:3] for line in run([_size(core), *objects]).splitlines()[1:]]
    text, data, bss = (sum(int(size[i]) for size in sizes) for i in range(3))
    graph = CallGraph([path.with_suffix(".ci").read_text(encoding="utf-8") for path in objects])
    opening, step = (
        max(map(graph.depth, names)) + _BESIDE
        for names in (("grulet_model_open", "grulet_stream_init"), ("grulet_step",))
    )
    return Compiled(objects, text + data, data + bss, opening, step)


def configuration(needs: Iterable[str] | None) -> str:
    """The header that GRULET_CONFIG names; streams of one frame either way, as `grulet bundle` makes them."""
    if needs is None:
        without = ("BLOCKS", "SEQUENCES", "SAVE")
        return "".join(f"#define GRULET_WITH_{name} 0\n" for name in without)
    return "#define GRULET_WITH_DEFAULT 0\n" + "".join(f"#define GRULET_WITH_{name} 1\n" for name in needs)


def _size(core: Core) -> str:
    return core.compiler.removesuffix("gcc") + "size"


class CallGraph:
    """Who calls whom and the bytes of stack of each, as GCC tells (-fcallgraph-info=su), of several files.

    A call through a pointer may go to any function of a kernel: to every static one that nobody calls directly; what
    runs operators may call them as well.  So a depth is that of the worst path, taken or not.
    """

    def __init__(self, files: Iterable[str]) -> None:
        self._bytes: dict[str, int] = {}
        self._calls: dict[str, set[str]] = {}
        for text in files:
            for title, size in re.findall(r'node: { title: "([^"]+)" label: "[^"]*?\\n(\d+) bytes', text):
                self._bytes[title] = int(size)
            for caller, callee in re.findall(r'edge: { sourcename: "([^"]+)" targetname: "([^"]+)"', text):
                self._calls.setdefault(caller, set()).add(callee)
        called = set().union(*self._calls.values()) if self._calls else set()
        self._kernel = {name for name in self._bytes if ":" in name and name not in called}
        self._operators = {name for name in self._bytes if _OPERATORS.match(name)}
        self._depths: dict[str, int] = {}

    def depth(self, function: str) -> int:
        """Bytes of stack of the deepest path from this function on; `GruletError` if the graph has a cycle."""
        if function not in self._depths:
            self._depths[function] = -1
            self._depths[function] = self._bytes.get(function, 0) + max(
                map(self.depth, self._callees(function)), default=0
            )
        if self._depths[function] < 0:
            raise GruletError(f"the stack has no bound: {function} may call itself")
        return self._depths[function]

    def _callees(self, function: str) -> set[str]:
        callees = self._calls.get(function, set())
        if _INDIRECT not in callees:
            return callees
        runs_operators = any(name in function for name in _RUNS_OPERATORS)
        return (callees - {_INDIRECT}) | self._kernel | (self._operators if runs_operators else set())
