"""What is wrong or risky in an ONNX model, with a number where one can be measured: `grulet doctor`.

    from grulet_export.doctor import examine
    print(examine("net.onnx"))

docs/doctor.md lists every kind of finding.
"""

from __future__ import annotations

import math
import os
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path

import numpy as np
from onnx import ModelProto, TensorProto

from grulet_export.doctor import file, outliers, recurrent, running, shapes, structure, weights
from grulet_export.doctor.diagnosis import Diagnosis
from grulet_export.doctor.facts import GATES, Facts, opset_of
from grulet_export.doctor.finding import KINDS, Finding, Severity

__all__ = ["CHECKS", "KINDS", "Diagnosis", "Finding", "Severity", "examine"]

Check = Callable[[Facts], Iterator[Finding]]

#: The checks of a valid and complete file, under the names by which a report says what was checked.
CHECKS: Mapping[str, tuple[Check, ...]] = {
    "layers": (recurrent.linear_before_reset, recurrent.layout, recurrent.directions),
    "state": (recurrent.states,),
    "shapes": (shapes.batch, shapes.time, shapes.reshapes),
    "operators": (structure.operator_sets, structure.domains, structure.types, structure.training_mode),
    "unused": (structure.unused, structure.constant_outputs, weights.unused),
    "weights": (weights.numbers, outliers.outliers, weights.zero_rows, weights.duplicates),
    "onnxruntime": (running.onnxruntime_refuses,),
    "grulet": (running.grulet_refuses,),
}


def examine(source: str | os.PathLike[str] | bytes) -> Diagnosis:
    """Examine an ONNX file, given as its path or as its bytes; the findings come with the worst first.

    Takes time in proportion to the file's size; a measurement that would take longer than seconds is left out, and its
    finding says so. Raises `UnsupportedGraph` for bytes that are no ONNX file, `OSError` if the file cannot be read.
    """
    path = None if isinstance(source, bytes) else Path(source)
    model = file.parse(source if isinstance(source, bytes) else Path(source).read_bytes())
    findings = list(file.external_data(model, path.parent if path else None))
    checked: Iterable[str] = ()
    if all(finding.kind != "missing_data" for finding in findings):
        findings += file.invalid(model)
    if all(finding.severity is not Severity.WILL_NOT_RUN for finding in findings):
        facts = Facts(model)
        with np.errstate(all="ignore"):  # weights may hold anything; what is wrong with them becomes a finding
            findings += [finding for checks in CHECKS.values() for check in checks for finding in check(facts)]
        checked = CHECKS
    return Diagnosis(
        model=path.name if path else "model",
        producer=f"{model.producer_name} {model.producer_version}".strip(),
        opset=opset_of(model),
        nodes=len(model.graph.node),
        recurrent_layers=sum(node.op_type in GATES for node in model.graph.node),
        weights=_count_weights(model),
        checked=tuple(checked),
        findings=tuple(sorted(findings, key=lambda finding: finding.severity)),
    )


def _count_weights(model: ModelProto) -> int:
    """Return the number of floats in the initializers."""
    floats = (TensorProto.FLOAT, TensorProto.FLOAT16, TensorProto.BFLOAT16, TensorProto.DOUBLE)
    return sum(math.prod(tensor.dims) for tensor in model.graph.initializer if tensor.data_type in floats)
