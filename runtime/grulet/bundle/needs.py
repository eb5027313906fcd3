"""What of the C library a model needs: the macros of grulet_config.h that its build sets to 1."""

from __future__ import annotations

from grulet.operators import KINDS, AnyOperator, Cell, Dense, Program

#: Kinds whose macro has another name than the kind; None: every build has them.
_KINDS = {"activation": None, "state_read": "STATES", "state_write": "STATES"}
#: Functions that every build has, or that a binary operator brings.
_FUNCTIONS_WITHOUT = ("none", "relu", "add", "sub", "mul", "div", "min", "max")
_BLOCK_ROWS = 16


def needs(program: Program, *, block: int = 1) -> tuple[str, ...]:
    """Return the names behind ``GRULET_WITH_``, sorted; ``block``: of the streams that will run the program."""
    found = set().union(*(_needs_of(op) for op in program.operators)) if program.operators else set()
    if block > 1:
        found.add("BLOCKS")
    return tuple(sorted(found))


def _needs_of(op: AnyOperator) -> set[str]:
    kind = KINDS[type(op)][1]
    found = {_KINDS.get(kind, kind.upper())}
    function = getattr(op, "function", "none")
    if function not in _FUNCTIONS_WITHOUT:
        found.add(function.upper())
    if isinstance(op, Cell | Dense):
        floats = op.activations == "f32"
        found.add((op.weights if floats else f"{op.weights}_{op.activations}").upper())
        if op.bias.shape[1] % _BLOCK_ROWS:
            found.add("NARROW")
    if op.reverse:
        found |= {"SEQUENCES", "BLOCKS"}
    if op.loop:
        found.add("LOOPS")
    return {name for name in found if name is not None}
