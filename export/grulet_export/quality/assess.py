"""Measure everything the report shows."""

from __future__ import annotations

from collections.abc import Sequence

from grulet import format as grulet_format
from grulet.operators import KINDS, Program
from grulet_export.quality.alone import FRAMES as ALONE_FRAMES
from grulet_export.quality.alone import AloneCost, alone
from grulet_export.quality.inside import FRAMES as GATE_FRAMES
from grulet_export.quality.inside import Inside, look_inside, worst_rows
from grulet_export.quality.material import Material
from grulet_export.quality.metric import UserMetric
from grulet_export.quality.over_time import LongRun, long_run
from grulet_export.quality.result import OperatorLoss, Quality, TradeOff, WorstRow
from grulet_export.quality.signals import snr_db
from grulet_export.quality.variants import Weighted, same_structure, weighted

OTHER_STRUCTURE = (
    "the file's operators are not those this version makes from the model, so operators, gates and rows "
    "are not compared one by one; convert the model again to see them"
)


def assess(
    model: str,
    float_program: Program,
    quantized: Program,
    material: Material,
    *,
    metric: UserMetric | None = None,
    trade_off: Sequence[TradeOff] = (),
    notes: Sequence[str] = (),
) -> Quality:
    """Compare two programs of one model; ``model`` is its name for people, ``trade_off`` what `--mix` found."""
    run = long_run(float_program, quantized, material)
    alone_frames, gate_frames = material.first(ALONE_FRAMES), material.first(GATE_FRAMES)
    costs: dict[str, AloneCost] = {}
    inside = Inside({}, {}, {})
    if same_structure(float_program, quantized):
        costs = alone(float_program, quantized, alone_frames)
        inside = look_inside(float_program, quantized, gate_frames)
    else:
        notes = [*notes, OTHER_STRUCTURE]
    ops = [op for _, op in weighted(quantized)]
    return Quality(
        model=model,
        weights=_formats(ops, "weights"),
        activations=_formats(ops, "activations"),
        file_bytes=len(grulet_format.write(quantized)),
        float_bytes=len(grulet_format.write(float_program)),
        frames=material.total,
        given=material.distinct,
        source=material.source,
        gate_frames=len(gate_frames),
        alone_frames=len(alone_frames),
        outputs=run.outputs,
        operators=_losses(quantized, ops, run, costs, inside),
        drift=run.drift,
        worst_frames=run.worst,
        worst_rows=_rows(float_program, quantized, costs, inside),
        metric=metric.values(float_program, quantized) if metric else None,
        trade_off=tuple(sorted(trade_off, key=lambda point: point.file_bytes)),
        notes=tuple(notes),
    )


def _formats(ops: Sequence[Weighted], what: str) -> str:
    """Formats of all operators with weights, the most used first."""
    used = [getattr(op, what, "f32") for op in ops]
    if what == "activations":  # f32 goes without saying where the weights are floats
        used = [name for name in used if name != "f32"] or used
    return ", ".join(sorted(set(used), key=lambda name: (-used.count(name), name))) or "none"


def _losses(
    program: Program, ops: Sequence[Weighted], run: LongRun, costs: dict[str, AloneCost], inside: Inside
) -> tuple[OperatorLoss, ...]:
    total = sum(cost.whole for cost in costs.values())
    losses = []
    for op in ops:
        cost = costs.get(op.name)
        parts = cost.from_weights + cost.from_activations if cost else 0.0
        losses.append(
            OperatorLoss(
                name=op.name,
                kind=KINDS[type(op)][1],
                inputs=program.width(op.input),
                units=program.width(op.output),
                weights=op.weights,
                activations=getattr(op, "activations", "f32"),
                snr_db=run.operators.get(op.name),
                alone_db=snr_db(1.0, cost.whole) if cost else None,
                share=cost.whole / total if cost and total else None,
                from_weights=cost.from_weights / parts if cost and parts else None,
                gates=inside.gate_snr(op.name),
            )
        )
    return tuple(losses)


def _rows(
    float_program: Program, quantized: Program, costs: dict[str, AloneCost], inside: Inside
) -> tuple[WorstRow, ...]:
    """Those of the operator that costs most."""
    if not any(cost.whole for cost in costs.values()):
        return ()
    name = max(costs, key=lambda name: costs[name].whole)
    exact, rounded = (
        next(op for _, op in weighted(program) if op.name == name) for program in (float_program, quantized)
    )
    return worst_rows(inside, exact, rounded)
