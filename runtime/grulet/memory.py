"""Bytes of a stream's memory, as grulet_stream_bytes gives them, also for CPUs that are not this one."""

from __future__ import annotations

from grulet.operators import Cell, Dense, Gru, Lstm, Program, state_floats
from grulet.tables import ALIGN
from grulet.weights import round_up

#: struct grulet_stream of grulet_impl.h: p a pointer or a size_t, w four bytes.
_STREAM = "ppppwwpppwppppppppppw"
#: A cell's sweep of grulet_cells.c, without its jobs, and one of those, as many as _TILE.
_SWEEP = "pppppww" + 2 * ("w" + 4 * "wwwww" + "ww")
_JOB = "pppppppww"
_TILE = {True: 4, False: 1}  # GRULET_TILE, with and without blocks
_BLOCK_ROWS = 16
_FLOAT = 4


def stream_bytes(program: Program, *, pointer_bytes: int, block: int = 1, blocks: bool = True) -> int:
    """Return the bytes of one stream for ``block`` frames on a CPU with pointers of ``pointer_bytes`` bytes.

    ``blocks``: of a library that has streams of several frames (``GRULET_WITH_BLOCKS``).
    """
    panels = [op for op in program.operators if isinstance(op, Cell | Dense)]
    cells = [op for op in panels if isinstance(op, Cell)]
    sets = max((_sets(op) for op in panels), default=0)
    units = max((op.bias.shape[1] for op in cells), default=0)
    inputs = max((program.width(op.input) for op in panels), default=0)
    state = sum(state_floats(program, op) for op in program.operators)
    sweep = _aligned(_struct_bytes(_SWEEP + _TILE[blocks] * _JOB, pointer_bytes)) if cells else 0
    fixed = _aligned(_FLOAT * state) + _operand(units) + sweep + _TILE[blocks] * 2 * sets * _BLOCK_ROWS * _FLOAT
    lane = _aligned(_FLOAT * program.arena_floats) + _operand(inputs)
    if block > 1:
        lane += sets * _FLOAT * round_up(units, _BLOCK_ROWS)
    pointers = _aligned(block * pointer_bytes) if blocks else 0
    return ALIGN - 1 + _aligned(block * _struct_bytes(_STREAM, pointer_bytes)) + pointers + fixed + block * lane


def _sets(op: Cell | Dense) -> int:
    return 3 if isinstance(op, Gru) else 4 if isinstance(op, Lstm) else 1


def _aligned(size: int) -> int:
    return round_up(size, ALIGN)


def _operand(elements: int) -> int:
    return _FLOAT * round_up(elements, 64)


def _struct_bytes(members: str, pointer_bytes: int) -> int:
    size = 0
    for kind in members:
        width = pointer_bytes if kind == "p" else 4
        size = round_up(size, width) + width
    return round_up(size, pointer_bytes)
