"""The graph itself: operators and types that runtimes lack, and parts that nothing needs."""

from __future__ import annotations

from collections.abc import Iterator

import onnx
from onnx import TensorProto, helper

from grulet_export.doctor.facts import DOMAINS, Facts, attributes, input_of, name_of, operator_of, reads
from grulet_export.doctor.finding import Finding, counted

#: The first operator set in which Gemm and Add broadcast as they do today.
OLDEST_OPSET = 7

#: Domains that the ONNX project itself defines.
KNOWN_DOMAINS = (*DOMAINS, "ai.onnx.ml", "ai.onnx.training", "ai.onnx.preview.training")

#: Tensor types other than float32: kind, name, risk.
TYPES = {
    TensorProto.DOUBLE: (
        "float64",
        "float64",
        "float64 doubles the bytes that a frame reads, and most runtimes have no recurrent layers for it.",
    ),
    TensorProto.FLOAT16: (
        "float16",
        "float16",
        "float16 keeps 11 bits (a relative error of 5e-4 in each operator), and most CPU runtimes have no recurrent "
        "layers for it.",
    ),
    TensorProto.BFLOAT16: (
        "float16",
        "bfloat16",
        "bfloat16 keeps 8 bits (a relative error of 4e-3 in each operator), and most CPU runtimes have no recurrent "
        "layers for it.",
    ),
}


def operator_sets(facts: Facts) -> Iterator[Finding]:
    """Find operator sets that are too old for today's meaning, or newer than the installed onnx."""
    newest = onnx.defs.onnx_opset_version()
    if facts.opset < OLDEST_OPSET:
        yield Finding(
            "opset",
            "",
            "ONNX file",
            f"Before operator set {OLDEST_OPSET}, Gemm and Add broadcast and recurrent layers are written in another "
            "way, which runtimes have dropped.",
            "Convert it with onnx.version_converter.convert_version(model, 17).",
            facts.opset,
            "(operator set)",
        )
    elif facts.opset > newest:
        yield Finding(
            "opset",
            "",
            "ONNX file",
            f"onnx {onnx.__version__}, which is installed, knows operator sets up to {newest}, not newer meanings.",
            "Install a newer onnx, or export with an older opset_version, such as 17.",
            facts.opset,
            "(operator set)",
        )


def domains(facts: Facts) -> Iterator[Finding]:
    """Find operators that are neither ONNX's nor defined in the file, one finding for each domain."""
    defined = {(function.domain, function.name) for function in facts.model.functions}
    seen: set[str] = set()
    for node in facts.live:
        if node.domain in (*KNOWN_DOMAINS, *seen) or (node.domain, node.op_type) in defined:
            continue
        seen.add(node.domain)
        count = sum(other.domain == node.domain for other in facts.live)
        yield Finding(
            "domain",
            name_of(node),
            operator_of(node),
            f"The domain '{node.domain}' is not ONNX's: only the runtime that made it up knows its operators.",
            "Export without that runtime's own operators, before its optimizer has run.",
            count,
            counted(count, "node"),
        )


def training_mode(facts: Facts) -> Iterator[Finding]:
    """Find Dropout and BatchNormalization that still behave as in training."""
    for node in facts.live:
        operator, given = operator_of(node), attributes(node)
        if operator == "Dropout" and facts.opset >= 12:
            flag = facts.constants.get(input_of(node, 2))
            training = bool(input_of(node, 2)) and (flag is None or bool(flag.any()))
            effect = "it drops values at random, other ones in each call"
        elif operator == "BatchNormalization":
            # Before operator set 14 the statistics as further outputs were the sign of training.
            training = bool(given.get("training_mode", 0)) or (facts.opset < 14 and len(node.output) > 1)
            effect = "it normalizes by the batch at hand instead of the trained statistics"
        else:
            continue
        if training:
            yield Finding(
                "training_mode",
                name_of(node),
                operator,
                f"It is in training mode: {effect}.",
                "Call module.eval() and export again, with training=TrainingMode.EVAL.",
            )


def types(facts: Facts) -> Iterator[Finding]:
    """Find floats other than float32 among inputs, outputs and weights; one finding for each type."""
    places: dict[int, list[tuple[str, str]]] = {}
    for entry in (*facts.inputs.values(), *facts.model.graph.output):
        operator = "input" if entry.name in facts.inputs else "output"
        places.setdefault(entry.type.tensor_type.elem_type, []).append((entry.name, operator))
    for name, values in facts.stored.items():
        if values.size > 1:  # a scalar costs nothing
            places.setdefault(helper.np_dtype_to_tensor_dtype(values.dtype), []).append((name, "weights"))
    for type_, (kind, title, risk) in TYPES.items():
        if type_ in places:
            found = places[type_]
            remedy = "Export the model as float32 (module.float()); grulet makes its own int8 weights from that."
            unit = f"{title} {counted(len(found), 'tensor')}"
            yield Finding(kind, *found[0], risk, remedy, len(found), unit)


def unused(facts: Facts) -> Iterator[Finding]:
    """Find inputs, nodes and outputs of nodes that no output of the model depends on."""
    for name in facts.inputs:
        if name not in facts.read:
            yield Finding(
                "unused_input",
                name,
                "input",
                "No output depends on it, but every caller must feed it.",
                "Remove it from the module's forward, or look why the network does not use it.",
            )
    if facts.dead:
        count = len(facts.dead)
        yield Finding(
            "dead_nodes",
            name_of(facts.dead[0]),
            operator_of(facts.dead[0]),
            "No output depends on it; runtimes that do not remove such nodes run them in every frame.",
            "Remove it from the module's forward, or return what it computes.",
            count,
            counted(count, "dead node"),
        )
    states = {end for layer in facts.layers for _, end in layer.states}  # `recurrent.states` says what these lack
    read = facts.read | states
    unread = [(node, name) for node in facts.live for name in node.output if name and name not in read]
    if unread:
        node, name = unread[0]
        yield Finding(
            "unused_output",
            name_of(node),
            operator_of(node),
            f"Its output '{name}' is computed, but nothing reads it.",
            "Leave its name empty in the node, or remove it from the module.",
            len(unread),
            counted(len(unread), "unread output"),
        )


def constant_outputs(facts: Facts) -> Iterator[Finding]:
    """Find outputs of the model that depend on no input."""
    varying = set(facts.inputs)
    for node in facts.live:
        if varying.intersection(reads(node)):
            varying.update(node.output)
    for name in facts.outputs:
        if name not in varying:
            yield Finding(
                "constant_output",
                name,
                "output",
                "It depends on no input: the exporter has traced it as a constant.",
                "Look for .item(), numpy or Python numbers on its way in the module's forward.",
            )
