"""What only the numpy oracle shows: the gates of every layer, and what its rows of weights are multiplied with."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass

import numpy as np

from grulet.operators import AnyOperator, Cell, Dense, Embedding, Gru, Lstm, Program
from grulet.progress import progress
from grulet.reference import Gates, Reference
from grulet_export.graph import Array
from grulet_export.quality.result import WorstRow
from grulet_export.quality.signals import snr_db, snr_of
from grulet_export.quality.variants import Weighted, Weights, matrices

FRAMES = 500
ROWS = 4
_SETS: dict[type[Cell], str] = {Gru: "zrn", Lstm: "ifgo"}
_STEP = 50  # frames between two moves of the progress bar


@dataclass(frozen=True)
class Inside:
    """Gates of both models, and the inputs (frames, in) of the float model's operators, by name."""

    float_gates: Gates
    gates: Gates
    inputs: dict[str, Array]

    def gate_snr(self, name: str) -> dict[str, float | None]:
        """SNR in dB of every gate of a layer; {} for what is no recurrent layer."""
        exact = self.float_gates.get(name, {})
        return {gate: snr_of(values, self.gates[name][gate]) for gate, values in exact.items() if name in self.gates}


def look_inside(float_program: Program, quantized: Program, frames: Array) -> Inside:
    """Run both programs in the oracle, about a millisecond a frame."""
    inputs: dict[str, list[Array]] = defaultdict(list)

    def keep(op: AnyOperator, x: Array) -> None:
        if isinstance(op, Weighted):
            inputs[op.name].append(x)

    float_gates = _gates("gates, float", Reference(float_program, observe=keep), frames)
    gates = _gates("gates", Reference(quantized), frames)
    return Inside(float_gates, gates, {name: np.stack(rows) for name, rows in inputs.items()})


def _gates(title: str, oracle: Reference, frames: Array) -> Gates:
    step = len(frames) if oracle.program.needs_sequence else _STEP
    found: dict[str, dict[str, list[Array]]] = defaultdict(lambda: defaultdict(list))
    with progress(title, len(frames)) as done:
        for start in range(0, len(frames), step):
            for name, gates in oracle.run_with_gates(frames[start : start + step])[1].items():
                for gate, values in gates.items():
                    found[name][gate].append(values)
            done(min(start + step, len(frames)))
    return {name: {gate: np.concatenate(runs) for gate, runs in gates.items()} for name, gates in found.items()}


def worst_rows(inside: Inside, exact: Weighted, quantized: Weighted) -> tuple[WorstRow, ...]:
    """The rows of one operator whose sums move most when their weights are rounded."""
    factors = _factors(inside, exact)
    rows = []
    for name, weights in matrices(exact).items():
        file = matrices(quantized)[name]
        flat, flat_rounded = (values.reshape(-1, values.shape[-1]) for values in (weights.values, file.values))
        moved = _sums(factors[name], flat_rounded - flat)
        sums = _sums(factors[name], flat)
        units = weights.values.shape[-2]
        for row in np.argsort(-moved, kind="stable")[:ROWS]:
            if moved[row] == 0:
                continue
            unit = int(row % units)
            gate = _SETS.get(type(exact), " ")[row // units].strip() if isinstance(exact, Cell) else ""
            levels = _levels(file, int(row), np.concatenate([flat[row], flat_rounded[row]]))
            rows.append(
                WorstRow(
                    exact.name,
                    name,
                    gate,
                    unit,
                    float(moved[row]),
                    snr_db(float(sums[row]) ** 2, float(moved[row]) ** 2),
                    tuple(map(float, flat[row])),
                    tuple(map(float, flat_rounded[row])),
                    levels,
                )
            )
    return tuple(sorted(rows, key=lambda row: -row.rms)[:ROWS])


def _factors(inside: Inside, op: Weighted) -> dict[str, Array | None]:
    """What each matrix is multiplied with, (frames, in); None: nothing, a row is looked up."""
    if isinstance(op, Embedding):
        return {"table": None}
    factors: dict[str, Array | None] = {"input": inside.inputs[op.name]}
    if not isinstance(op, Dense):
        h, first = inside.float_gates[op.name]["h"], op.initial_state.reshape(-1, op.bias.shape[1])[:1]
        factors["recurrent"] = np.concatenate([h[1:], first] if op.reverse else [first, h[:-1]])
    return factors


def _sums(factors: Array | None, rows: Array) -> Array:
    """RMS over the frames of what (rows, in) weights add up to; of a table, of the row's elements."""
    sums = rows.T if factors is None else factors @ rows.T
    return np.asarray(np.sqrt(np.square(sums).mean(axis=0)), np.float32)


def _levels(weights: Weights, row: int, shown: Array) -> tuple[float, ...]:
    """Every value that the row's format allows in the range of those ``shown``; () for floats."""
    if weights.step is None:
        return ()
    step = weights.step.reshape(-1)[row]
    integers = np.arange(-127, 128)
    if weights.matrix.multipliers is not None:
        multipliers = weights.matrix.multipliers.reshape(-1, weights.matrix.multipliers.shape[-1])[row].astype(int)
        integers = np.unique(np.outer(np.arange(-8, 8), multipliers))
    levels = (integers * step).astype(np.float32)
    return tuple(map(float, np.unique(levels[(levels >= shown.min()) & (levels <= shown.max())])))
