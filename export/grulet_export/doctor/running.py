"""What others say: onnxruntime and grulet's own importer, and the differences that can be measured by running."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
import onnxruntime
from numpy.typing import NDArray
from onnx import ModelProto, NodeProto, TensorProto, helper

from grulet_export.doctor.facts import Facts
from grulet_export.doctor.file import first_line
from grulet_export.doctor.finding import Finding
from grulet_export.errors import UnsupportedGraph
from grulet_export.onnx_reading.read import read_onnx

#: Size of every axis that is not fixed. One size for all, since some may have to be equal: 16 streams of 16 frames.
FREE_AXIS = 16

#: Multiplications of a measurement, at most: about ten seconds of one core.
MOST_WORK = 2e10


class CannotMeasure(Exception):  # noqa: N818 (control flow inside the doctor, never seen by a user)
    """Why a model does not run here."""


def onnxruntime_refuses(facts: Facts) -> Iterator[Finding]:
    """Find models that onnxruntime does not load."""
    try:
        _session(facts.model)
    except CannotMeasure as error:
        yield Finding(
            "onnxruntime",
            "",
            "ONNX file",
            f"onnxruntime {onnxruntime.__version__} does not load it: {error}.",
            "Repair what it names, or export the model again; nothing could be measured by running it.",
        )


def grulet_refuses(facts: Facts) -> Iterator[Finding]:
    """Find models that `grulet convert` does not take."""
    try:
        read_onnx(facts.model)
    except UnsupportedGraph as error:
        yield Finding(
            "grulet", error.node, error.operator, f"grulet convert refuses it: {error.reason}.", f"{error.remedy}."
        )


def relative_difference(facts: Facts, node: NodeProto, attribute: str, value: int) -> float:
    """Return how much the answers change if one attribute of a node is another one.

    It is the RMS of the change over the RMS of the answers after it, of the output where that is largest. The frames
    are seeded standard normal noise, states start from zeros, integers are 1. Raises `CannotMeasure`.
    """
    changed = ModelProto()
    changed.CopyFrom(facts.model)
    other = next(other for other in changed.graph.node if other.output == node.output)
    kept = [entry for entry in other.attribute if entry.name != attribute]
    del other.attribute[:]
    other.attribute.extend([*kept, helper.make_attribute(attribute, value)])
    sessions = [_session(model) for model in (facts.model, changed)]
    feed = _feed(facts)
    before, after = (_run(session, feed) for session in sessions)
    differences = [_relative(a, b) for a, b in zip(before, after, strict=True) if b.size and b.dtype.kind == "f"]
    if not differences or not np.isfinite(differences).all():
        raise CannotMeasure("its answers are not finite numbers")
    return max(differences)


def _relative(before: NDArray[Any], after: NDArray[Any]) -> float:
    change = np.square(before.astype(np.float64) - after).mean()
    return float(np.sqrt(change / max(np.square(after.astype(np.float64)).mean(), np.finfo(np.float64).tiny)))


def _session(model: ModelProto) -> onnxruntime.InferenceSession:
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    options.log_severity_level = 4  # what it refuses becomes a finding, not news for stderr
    try:
        # Its fallback to other providers would print to stdout, and there is no other one to fall back to.
        return onnxruntime.InferenceSession(
            model.SerializeToString(), options, providers=["CPUExecutionProvider"], enable_fallback=0
        )
    except Exception as error:  # onnxruntime's errors have no common class, nor have protobuf's
        raise CannotMeasure(first_line(error)) from error


def _run(session: onnxruntime.InferenceSession, feed: Mapping[str, NDArray[Any]]) -> list[NDArray[Any]]:
    try:
        answers: list[NDArray[Any]] = session.run(None, dict(feed))
    except Exception as error:
        raise CannotMeasure(first_line(error)) from error
    return answers


def _feed(facts: Facts) -> dict[str, NDArray[Any]]:
    """Return something for every input of the model."""
    starts = {name for layer in facts.layers for start, _ in layer.states for name in facts.sources(start)}
    random = np.random.default_rng(0)
    weights = sum(array.size for array in facts.stored.values())
    feed: dict[str, NDArray[Any]] = {}
    for name, entry in facts.inputs.items():
        dtype = helper.tensor_dtype_to_np_dtype(entry.type.tensor_type.elem_type or TensorProto.FLOAT)
        shape = [size if isinstance(size, int) else FREE_AXIS for size in facts.shapes.get(name, ())]
        frames = float(np.prod(shape[:-1], dtype=np.float64))
        if frames * (weights + (shape[-1] if shape else 0)) > MOST_WORK:
            raise CannotMeasure("it would take too long")
        if name in starts:
            feed[name] = np.zeros(shape, dtype)
        elif dtype.kind == "f":
            feed[name] = random.standard_normal(shape).astype(dtype)
        else:
            feed[name] = np.ones(shape).astype(dtype)
    return feed
