"""What is risky about recurrent layers: their attributes, and whether their state can be carried on."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from onnx import numpy_helper

from grulet_export.doctor.facts import Facts, Layer, attributes, name_of
from grulet_export.doctor.finding import Finding, counted
from grulet_export.doctor.running import CannotMeasure, relative_difference

_COMPUTED = (
    "initial_state",
    "It starts neither from zeros nor from an input, so that each call starts anew and no runtime can carry the state "
    "from call to call.",
    "Make the initial state an input of the model, and feed what is computed now in the first call.",
)

#: What a state starts from and whether it is an output of the model: kind, risk and remedy. Only ("input", True) is
#: what a runtime without streams of its own can carry from call to call.
STATES = {
    ("computed", True): _COMPUTED,
    ("computed", False): _COMPUTED,
    ("input", False): (
        "state_not_returned",
        "It starts from an input, but its final state is no output, so that no runtime can carry the state from call "
        "to call.",
        "Return the final state (Y_h, of LSTM also Y_c) as an output.",
    ),
    ("zeros", True): (
        "state_not_taken",
        "Its final state is an output, but it always starts from zeros, so that no runtime can carry the state from "
        "call to call.",
        "Make the initial state an input; in torch: y, h = gru(x, h).",
    ),
    ("zeros", False): (
        "no_state",
        "It starts every call from zeros, so that other runtimes can run whole sequences only (grulet keeps the state "
        "itself and runs it frame by frame).",
        "To stream it elsewhere, make the state an input and an output; in torch: y, h = gru(x, h).",
    ),
}


def linear_before_reset(facts: Facts) -> Iterator[Finding]:
    """Find GRUs of torch that lack linear_before_reset, which torch's GRU always needs."""
    for layer in facts.layers:
        if not facts.from_torch or layer.node.op_type != "GRU" or attributes(layer.node).get("linear_before_reset", 0):
            continue
        name = name_of(layer.node)
        value: float | None = None
        details: tuple[str, ...] = ()
        try:
            value = relative_difference(facts, layer.node, "linear_before_reset", 1)
        except CannotMeasure as error:
            details = (f"not measured: {error}",)
        yield Finding(
            "linear_before_reset",
            name,
            "GRU",
            "linear_before_reset is 0, but torch's GRU is the one with 1: runtimes give other numbers than torch. "
            "torch's dynamo exporter with onnxscript before 0.7.1 wrote it so silently.",
            "Export again with onnxscript 0.7.1 or with torch.onnx.export(dynamo=False), or set linear_before_reset=1 "
            "in this node.",
            value,
            "of the answers' RMS",
            details,
        )


def layout(facts: Facts) -> Iterator[Finding]:
    """Find recurrent layers with the batch in front."""
    for layer in facts.layers:
        if layer.layout == 1:
            yield Finding(
                "layout",
                name_of(layer.node),
                layer.node.op_type,
                "layout is 1: OpenVINO ignores it silently and gives wrong shapes and numbers, onnxruntime refuses it.",
                "Write it with layout 0 between two Transpose nodes.",
            )


def states(facts: Facts) -> Iterator[Finding]:
    """Find layers whose state a runtime cannot carry from call to call; one finding for all layers of a kind."""
    found: dict[str, list[Layer]] = {}
    texts = {kind: (risk, remedy) for kind, risk, remedy in STATES.values()}
    for layer in facts.layers:
        if layer.direction != "forward":
            continue  # whole sequences only, which `directions` says
        for start, end in layer.states:
            case = STATES.get((_starts_from(facts, start), end in facts.returned))
            if case is not None and layer not in found.setdefault(case[0], []):
                found[case[0]].append(layer)
    for kind, layers in found.items():
        node = layers[0].node
        yield Finding(kind, name_of(node), node.op_type, *texts[kind], len(layers), counted(len(layers), "layer"))


def directions(facts: Facts) -> Iterator[Finding]:
    """Find layers that read the sequence from its end; one finding for all."""
    layers = [layer for layer in facts.layers if layer.direction != "forward"]
    if layers:
        yield Finding(
            "whole_sequence",
            name_of(layers[0].node),
            layers[0].node.op_type,
            f"Its direction is {layers[0].direction}: the first answer needs the last frame, so no runtime can run it "
            "frame by frame.",
            "Run it on whole sequences, or train it with forward layers only.",
            len(layers),
            counted(len(layers), "layer"),
        )


def carried(facts: Facts, layer: Layer) -> bool:
    """Whether all states of a layer come in and go out."""
    return all(_starts_from(facts, start) == "input" and end in facts.returned for start, end in layer.states)


def _starts_from(facts: Facts, name: str) -> str:
    sources = facts.sources(name)
    others = {source for source in sources if not _is_zero(facts, source)}
    if not others:
        return "zeros"
    return "input" if others <= facts.inputs.keys() else "computed"


def _is_zero(facts: Facts, name: str) -> bool:
    if name in facts.constants:
        return not np.any(facts.constants[name])
    node = facts.maker.get(name)
    if node is None or node.op_type != "ConstantOfShape":
        return False
    value = attributes(node).get("value")
    return value is None or not np.any(numpy_helper.to_array(value))
