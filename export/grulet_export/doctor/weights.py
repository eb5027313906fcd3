"""The numbers themselves: what is no number, what is stored for nothing."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator

import numpy as np
from onnx import NodeProto, numpy_helper

from grulet_export.doctor.facts import GATES, Facts, attributes, name_of, operator_of
from grulet_export.doctor.finding import Finding, counted
from grulet_export.doctor.matrices import Matrix, Numbers, matrices

#: Smaller tensors may well be equal by chance, and saving them saves nothing.
SMALLEST_DUPLICATE = 1024  # bytes

#: Rows named in a finding.
NAMED_ROWS = 3


def numbers(facts: Facts) -> Iterator[Finding]:
    """Find weights that are NaN, infinite or subnormal."""
    for name, values in facts.stored.items():
        if values.dtype.kind != "f":
            continue
        bad = int(values.size - np.count_nonzero(np.isfinite(values)))
        if bad:
            yield _about(
                facts,
                "nonfinite_weights",
                name,
                f"Its weights '{name}' hold NaN or infinity, which spreads to every answer that depends on them.",
                "Look into the training (a diverged loss, a bad checkpoint); such weights give no answer.",
                bad,
                counted(bad, "weight"),
            )
        tiny = np.abs(values) < np.finfo(values.dtype).tiny
        small = int(np.count_nonzero(tiny & (values != 0)))
        if small and values.dtype != np.float16:
            yield _about(
                facts,
                "subnormal_weights",
                name,
                f"Its weights '{name}' hold subnormal numbers: many CPUs multiply them many times slower, others "
                "read them as 0.",
                "Set weights below 1e-38 to 0 before the export.",
                small,
                counted(small, "weight"),
            )


def zero_rows(facts: Facts) -> Iterator[Finding]:
    """Find rows that are all zeros: of a recurrent layer both in W and in R, else of the one matrix."""
    found: dict[str, list[Matrix]] = {}
    for matrix in matrices(facts):
        found.setdefault(name_of(matrix.node), []).append(matrix)
    for name, parts in found.items():
        node = parts[0].node
        gates = GATES.get(operator_of(node), ())
        if (gates and len(parts) < 2) or len({len(part.rows) for part in parts}) > 1:
            continue  # one part is no constant, so a row may have other weights
        zero = np.all([~part.rows.any(axis=1) for part in parts], axis=0)
        count = int(np.count_nonzero(zero))
        if count:
            yield Finding(
                "zero_rows",
                name,
                operator_of(node),
                "Rows of its weights are all zeros: what they compute is the same number in every frame.",
                "Remove these units and train on, or look why training has killed them.",
                count * sum(part.rows.shape[1] * part.rows.itemsize for part in parts),
                f"bytes in {count:,} of {len(zero):,} rows",
                _dead_units(node, zero),
            )


def _dead_units(node: NodeProto, zero: Numbers) -> tuple[str, ...]:
    """Say which rows are zero; of a recurrent layer, which gates of which units."""
    gates = GATES.get(operator_of(node), ())
    if not gates:
        return (f"constant outputs: {_first(np.flatnonzero(zero))}",)
    directions = 2 if attributes(node).get("direction") == "bidirectional" else 1
    if len(zero) % (directions * len(gates)):
        return ()  # its weights do not fit its attributes, which onnxruntime will say
    by_gate: Numbers = np.any(zero.reshape(directions, len(gates), -1), axis=0)
    return tuple(
        f"constant {'units' if gate == gates[-1] else f'gates {gate} of units'}: {_first(np.flatnonzero(units))}"
        for gate, units in zip(gates, by_gate, strict=True)
        if units.any()
    )


def duplicates(facts: Facts) -> Iterator[Finding]:
    """Find weights that are stored twice; one finding for all copies of a tensor."""
    groups: dict[bytes, list[str]] = {}
    for name, values in facts.stored.items():
        if values.nbytes >= SMALLEST_DUPLICATE:
            key = hashlib.sha256(str(values.dtype).encode() + np.ascontiguousarray(values).tobytes()).digest()
            groups.setdefault(key, []).append(name)
    for first, *copies in groups.values():
        if copies:
            yield _about(
                facts,
                "duplicate_weights",
                copies[0],
                f"Its weights '{copies[0]}' are those of '{first}', stored again.",
                "Let all nodes read one tensor; torch's exporter does so for parameters that are one object.",
                len(copies) * facts.stored[first].nbytes,
                "bytes",
            )


def unused(facts: Facts) -> Iterator[Finding]:
    """Find weights that no output depends on."""
    tensors = [tensor for tensor in facts.model.graph.initializer if tensor.name not in facts.read]
    if tensors:
        yield Finding(
            "unused_weights",
            tensors[0].name,
            "weights",
            "No output depends on them, but they are in the file.",
            "Remove the parameters that forward does not use, then export again.",
            sum(numpy_helper.to_array(tensor).nbytes for tensor in tensors),
            f"bytes in {len(tensors):,} {counted(len(tensors), 'tensor')}",
        )


def _about(facts: Facts, kind: str, tensor: str, risk: str, remedy: str, value: int, unit: str) -> Finding:
    """Return a finding at the node that reads a tensor."""
    node = facts.reader(tensor)
    where = (name_of(node), operator_of(node)) if node else (tensor, "weights")
    return Finding(kind, *where, risk, remedy, value, unit)


def _first(places: Numbers) -> str:
    names = ", ".join(str(place) for place in places[:NAMED_ROWS])
    return f"{names} and {len(places) - NAMED_ROWS:,} more" if len(places) > NAMED_ROWS else names
