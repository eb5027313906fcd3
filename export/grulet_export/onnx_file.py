"""ONNX files as bytes: a model that is valid, complete and of a known version, or one clear refusal.

Nothing here knows what the operators mean; that is `grulet_export.onnx_graph`.
"""

from __future__ import annotations

import hashlib
import os
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import AttributeProto, GraphProto, ModelProto, TensorProto, helper, numpy_helper
from onnx.external_data_helper import uses_external_data

from grulet_export.errors import Refusal
from grulet_export.graph import Array

Source: TypeAlias = ModelProto | bytes | bytearray | memoryview | str | os.PathLike[str]

#: Names of the ONNX project's own operator domain.
ONNX_DOMAINS = ("", "ai.onnx")

#: Operator sets whose meaning is known here. Before 7, Gemm and Add broadcast differently.
OPSETS = range(7, 29)

EXPORT_AGAIN = "export the model again, or check where the file comes from"


def load(source: Source) -> tuple[ModelProto, str]:
    """Return the model and the hex SHA-256 of its bytes (for a `ModelProto`: of its deterministic serialization).

    Raises `Refusal` for bytes that are no ONNX model, `OSError` if a path cannot be read.
    """
    match source:
        case ModelProto():
            model, data = source, source.SerializeToString(deterministic=True)
        case bytes() | bytearray() | memoryview():
            data = bytes(source)
            model = _parse(data)
        case _:
            data = Path(source).read_bytes()
            model = _parse(data)
    return model, hashlib.sha256(data).hexdigest()


def check(model: ModelProto) -> int:
    """Return the version of the operator set of a valid model that keeps all its weights inside; refuse any other."""
    # Before anything else, since the checker and the readers of tensors would open the file a tensor names.
    for tensor in _tensors(model.graph):
        if uses_external_data(tensor):
            raise Refusal(
                f"the weights '{tensor.name}' are in another file (external data)",
                "save the model in one file: onnx.save(onnx.load(path), other_path)",
            )
    try:
        onnx.checker.check_model(model)
    except Exception as error:  # ValidationError, but also errors of protobuf and of the C++ library below it
        raise Refusal(f"it is not valid ONNX ({first_line(error)})", EXPORT_AGAIN) from error
    if any(function.domain in ONNX_DOMAINS for function in model.functions):
        raise Refusal("it gives operators of ONNX another meaning (functions)", EXPORT_AGAIN)
    opset = next((entry.version for entry in model.opset_import if entry.domain in ONNX_DOMAINS), 0)
    if opset not in OPSETS:
        raise Refusal(
            f"operator set {opset} is not between {OPSETS[0]} and {OPSETS[-1]}",
            "convert it with onnx.version_converter.convert_version(model, 17)",
        )
    return opset


def array(tensor: TensorProto) -> NDArray[Any]:
    """Return the numbers of a tensor."""
    try:
        return numpy_helper.to_array(tensor)
    except Exception as error:  # wrong sizes and unknown types each have their own error
        raise Refusal(f"the tensor '{tensor.name}' is damaged ({first_line(error)})", EXPORT_AGAIN) from error


def attribute(entry: AttributeProto) -> Any:
    """Return an attribute as a Python value: number, str, array, list of these; rarer kinds stay as they are."""
    value = helper.get_attribute_value(entry)
    if isinstance(value, TensorProto):
        return array(value)
    if isinstance(value, bytes):
        return value.decode("utf-8", "replace")
    if entry.type == AttributeProto.STRINGS:
        return [item.decode("utf-8", "replace") for item in value]
    return value


def finite(numbers: NDArray[Any], what: str) -> Array:
    """Return the numbers if they are float32 and hold neither NaN nor infinity."""
    if numbers.dtype != np.float32:
        raise Refusal(f"{what} is {numbers.dtype}", "convert the model to float32")
    if not np.isfinite(numbers).all():
        raise Refusal(f"{what} holds NaN or infinity", "look into the training: such weights give no answer")
    return numbers


def first_line(error: Exception) -> str:
    """Return the first line of an error's text, which is what fits into ours."""
    return next((line.strip() for line in str(error).splitlines() if line.strip()), type(error).__name__)


def _parse(data: bytes) -> ModelProto:
    refusal = Refusal("this is no ONNX file" if data else "the file is empty", "give the path of a binary .onnx file")
    try:
        model = onnx.load_model_from_string(data)
    except Exception as error:  # protobuf's error class depends on which of its implementations is installed
        raise refusal from error
    if not model.HasField("graph") or not model.opset_import:
        raise refusal
    return model


def _tensors(graph: GraphProto) -> list[TensorProto]:
    """Return all tensors of a graph and of the graphs inside its nodes."""
    tensors: list[TensorProto] = []
    graphs = [graph]
    while graphs:
        here = graphs.pop()
        tensors += here.initializer
        for sparse in here.sparse_initializer:
            tensors += [sparse.values, sparse.indices]
        for node in here.node:
            for entry in node.attribute:
                tensors += [entry.t, *entry.tensors]
                for sparse in (entry.sparse_tensor, *entry.sparse_tensors):
                    tensors += [sparse.values, sparse.indices]
                graphs += [*entry.graphs, *([entry.g] if entry.HasField("g") else [])]
    return tensors
