"""What a frame of a model is made of, as far as time goes: term -> how often.

A term's instructions, per core and kernel, are fitted by `python -m benchmarks.targets`; an estimate is the sum.
"""

from __future__ import annotations

from collections import Counter

from grulet.operators import (
    KINDS,
    Activation,
    AnyOperator,
    Binary,
    Cell,
    Dense,
    Depthwise,
    Embedding,
    Gru,
    History,
    LayerNorm,
    Lstm,
    Program,
)
from grulet.weights import BLOCK_ROWS, blocks, round_up

_GROUPS = {"int8": 4, "int4": 8, "f16": 4, "f32": 4}  # inputs that the format pads to
_SETS: dict[type, int] = {Gru: 3, Lstm: 4}


def mode_of(op: Cell | Dense) -> str:
    """Weights and what they multiply, as the tables call it: ``int8 x int16``, ``f32``."""
    return op.weights if op.activations == "f32" else f"{op.weights} x {op.activations}"


def terms(program: Program) -> Counter[str]:
    """Of one frame that is stepped."""
    found: Counter[str] = Counter({"frame": 1, "element in or out": program.input_width + program.output_width})
    for op in program.operators:
        found.update(_terms_of(program, op))
    return found


def weights_by_mode(program: Program) -> Counter[str]:
    """Mode -> weights that a frame multiplies, padding included."""
    found: Counter[str] = Counter()
    for op in program.operators:
        if isinstance(op, Cell | Dense):
            for full in (True, False):
                found[mode_of(op)] += _weights(program, op, full=full)
    return found


def _terms_of(program: Program, op: AnyOperator) -> Counter[str]:
    if isinstance(op, Cell | Dense):
        return _panel_terms(program, op)
    kind, width = KINDS[type(op)][1], program.width(op.output)
    found: Counter[str] = Counter({"operator without panels": 1})
    match op:
        case Activation() | Binary():
            found[f"{op.function} element"] = width
        case Depthwise():
            found["depthwise tap"] = op.taps.size
        case LayerNorm():
            found |= {"layer_norm element": width, "layer_norm part": width // op.scale.size}
        case Embedding():
            found |= {f"embedding {op.weights} element": width, "embedding token": program.width(op.input)}
        case History():
            found |= {"history element": width, "history tap": op.taps}
        case _:
            found[f"{kind} element"] = width
    return found


def _panel_terms(program: Program, op: Cell | Dense) -> Counter[str]:
    mode, units, inputs = mode_of(op), op.bias.shape[1], program.width(op.input)
    kind = KINDS[type(op)][1]
    operands = inputs + (units if isinstance(op, Cell) else 0)
    panels = 2 if isinstance(op, Cell) else 1
    found: Counter[str] = Counter({f"{kind} layer": 1, f"{mode} operand": operands})
    found[f"{mode} full weight"] = _weights(program, op, full=True)
    found[f"{mode} narrow weight"] = _weights(program, op, full=False)
    rows = sum(_rows_of(units))
    found[f"{mode} row"] = rows * panels * _SETS.get(type(op), 1)
    found[f"{kind} block"] = len(_rows_of(units))
    found[f"{kind} unit"] = rows
    if isinstance(op, Dense) and op.function != "none":
        found[f"{op.function} element"] = units
    return found


def _rows_of(units: int) -> list[int]:
    """Stored rows of every block."""
    return [width for _, width in blocks(units)]


def _weights(program: Program, op: Cell | Dense, *, full: bool) -> int:
    units, group = op.bias.shape[1], _GROUPS[op.weights]
    inputs = round_up(program.width(op.input), group) + (round_up(units, group) if isinstance(op, Cell) else 0)
    rows = sum(width for width in _rows_of(units) if (width == BLOCK_ROWS) == full)
    return _SETS.get(type(op), 1) * rows * inputs
