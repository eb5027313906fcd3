"""The file as a whole: whether it is ONNX, valid, and complete."""

from __future__ import annotations

import re
import textwrap
from collections.abc import Iterator
from pathlib import Path

import onnx
from onnx import ModelProto, TensorProto, numpy_helper
from onnx.external_data_helper import load_external_data_for_model, uses_external_data

from grulet_export.doctor.facts import graphs, nested
from grulet_export.doctor.finding import Finding, counted
from grulet_export.errors import UnsupportedGraph

#: What onnxruntime's errors begin with: codes, then a place in its own source.
_ONNXRUNTIME_PREFIX = re.compile(
    r"^\[ONNXRuntimeError\] : \d+ : \w+ : (?:Exception during initialization: )?(?:/\S+:\d+ [^()]*\([^()]*\) )?"
)


def parse(data: bytes) -> ModelProto:
    """Return the model in the bytes of a file; `UnsupportedGraph` if there is none."""
    reason = "this is no ONNX file" if data else "the file is empty"
    refusal = UnsupportedGraph("", "ONNX file", reason, "give the path of a binary .onnx file")
    try:
        model: ModelProto = onnx.load_model_from_string(data)
    except Exception as error:  # protobuf's error class depends on which of its implementations is installed
        raise refusal from error
    if not model.HasField("graph") or not model.opset_import:
        raise refusal
    return model


def external_data(model: ModelProto, folder: Path | None) -> Iterator[Finding]:
    """Find weights that are in another file, and read them from there, into ``model``."""
    outside = [tensor for tensor in _tensors(model) if uses_external_data(tensor)]
    if not outside:
        return
    name, tensors = outside[0].name, counted(len(outside), "tensor")
    try:
        if folder is None:
            raise FileNotFoundError("bytes have no folder beside them")
        load_external_data_for_model(model, str(folder))
    except Exception as error:  # missing, too short, outside of the folder: each has its own error
        yield Finding(
            "missing_data",
            name,
            "weights",
            f"The weights are in another file, which cannot be read ({first_line(error)}); nothing else was checked.",
            "Put that file beside this one, under the name it had at the export.",
            len(outside),
            f"{tensors} without data",
        )
        return
    yield Finding(
        "external_data",
        name,
        "weights",
        "The weights are in another file: moved or renamed without it, the model does not load.",
        "Save it as one file: onnx.save(onnx.load(path), other_path); in torch: external_data=False.",
        sum(len(tensor.raw_data) for tensor in outside),
        f"bytes in {len(outside):,} {tensors}",
    )


def invalid(model: ModelProto) -> Iterator[Finding]:
    """Find what the ONNX checker objects to, and tensors whose bytes do not fit their shape."""
    try:
        onnx.checker.check_model(model)
        for tensor in _tensors(model):
            numpy_helper.to_array(tensor)
    except Exception as error:  # ValidationError, but also errors of protobuf, numpy and the C++ library below them
        yield Finding(
            "invalid",
            "",
            "ONNX file",
            f"It is not valid ONNX ({first_line(error)}); nothing else was checked.",
            "Export the model again, or check where the file comes from.",
        )


def first_line(error: Exception) -> str:
    """Return the first line of an error's text, shortened, which is what fits into ours."""
    line = next((line for line in str(error).splitlines() if line.strip()), type(error).__name__)
    return textwrap.shorten(_ONNXRUNTIME_PREFIX.sub("", line), 240, placeholder=" ...").rstrip(".")


def _tensors(model: ModelProto) -> list[TensorProto]:
    """Return all tensors of a graph and of the graphs inside its nodes."""
    nodes = [inner for node in model.graph.node for inner in nested(node)]
    return [
        *model.graph.initializer,
        *(tensor for node in nodes for graph in graphs(node) for tensor in graph.initializer),
        *(tensor for node in nodes for entry in node.attribute for tensor in entry.tensors),
        *(entry.t for node in nodes for entry in node.attribute if entry.HasField("t")),
    ]
