"""ONNX files as bytes: a model that is valid, complete and of a known version, or one clear refusal.

Nothing here knows what the operators mean; that is `grulet_export.onnx_reading.read`.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
import onnx
import onnx.inliner
from numpy.typing import NDArray
from onnx import AttributeProto, GraphProto, ModelProto, NodeProto, TensorProto, helper, numpy_helper
from onnx.external_data_helper import uses_external_data

from grulet_export.errors import Refusal
from grulet_export.graph import Array

Source: TypeAlias = ModelProto | bytes | bytearray | memoryview | str | os.PathLike[str]

#: Names of the ONNX project's own operator domain.
ONNX_DOMAINS = ("", "ai.onnx")

#: Operator sets whose meaning is known here. Before 7, Gemm and Add broadcast differently.
OPSETS = range(7, 29)

#: A file may not have more nodes, its functions written out.
MOST_NODES = 1_000_000

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


def inlined(model: ModelProto) -> ModelProto:
    """Return the model with its functions written out where they are called."""
    if not model.functions:
        return model
    _check_functions(model)
    try:
        return onnx.inliner.inline_local_functions(model)
    except Exception as error:  # errors of the C++ library
        raise Refusal(f"its functions cannot be inlined ({first_line(error)})", EXPORT_AGAIN) from error


def _check_functions(model: ModelProto) -> None:
    """Refuse functions that call themselves, or that are called so often that writing them out would not end."""
    functions = {(function.domain, function.name): function for function in model.functions}
    sizes: dict[tuple[str, str], int] = {}
    waiting = [(key, False) for key in functions]
    while waiting:
        key, inner_known = waiting.pop()
        calls = [(node.domain, node.op_type) for node in _nodes(functions[key].node)]
        inner = [call for call in calls if call in functions]
        if inner_known:
            sizes[key] = len(calls) + sum(sizes[call] for call in inner)
        elif key not in sizes:
            sizes[key] = -1
            waiting.append((key, True))
            waiting += [(call, False) for call in inner]
            continue
        if sizes[key] < 0:
            raise Refusal(f"its function '{key[1]}' calls itself", EXPORT_AGAIN)
    total = sum(sizes.get((node.domain, node.op_type), 1) for node in _nodes(model.graph.node))
    if total > MOST_NODES:
        raise Refusal(f"its functions, written out, are more than {MOST_NODES:,} nodes", EXPORT_AGAIN)


def _nodes(nodes: Iterable[NodeProto]) -> list[NodeProto]:
    """Return nodes and those of the graphs inside them."""
    found = list(nodes)
    for node in found:  # grows while it is walked
        for entry in node.attribute:
            found += [inner for graph in (entry.g, *entry.graphs) for inner in graph.node]
    return found


def bound(model: ModelProto, constants: Mapping[str, NDArray[Any]]) -> ModelProto:
    """Return the model with these inputs as weights inside the file."""
    if not constants:
        return model
    inputs = {entry.name: entry for entry in model.graph.input}
    with_constants = ModelProto()
    with_constants.CopyFrom(model)
    for name, numbers in constants.items():
        if name not in inputs:
            raise Refusal(f"it has no input '{name}' to bind a constant to", f"name one of {', '.join(sorted(inputs))}")
        tensor = inputs[name].type.tensor_type
        dims = [dim.dim_value or -1 for dim in tensor.shape.dim]
        kind = helper.tensor_dtype_to_np_dtype(tensor.elem_type)
        fits = len(dims) == numbers.ndim and all(d in (-1, n) for d, n in zip(dims, numbers.shape, strict=True))
        if numbers.dtype != kind or (tensor.HasField("shape") and not fits):
            raise Refusal(f"the constant for '{name}' is {numbers.dtype} {numbers.shape}", f"give {kind} {tuple(dims)}")
        with_constants.graph.initializer.append(numpy_helper.from_array(np.ascontiguousarray(numbers), name))
    kept = [entry for entry in with_constants.graph.input if entry.name not in constants]
    del with_constants.graph.input[:]
    with_constants.graph.input.extend(kept)
    return with_constants


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
