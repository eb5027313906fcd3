"""Graphs as ONNX: every node in every form computes what the program of the file computes; the rest is refused."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import onnx
import onnxruntime
import pytest
from equal_graphs import assert_equal_graphs
from every_node import (
    BACKWARDS,
    CONVOLUTIONS,
    EVERYWHERE,
    LIKE,
    LOOPS,
    SAME,
    WHOLE,
    Array,
    frames_of,
    graph_of,
    program_of,
)
from float_graph import evaluate

from grulet.reference import Reference
from grulet_export.canonical import canonical
from grulet_export.errors import UnsupportedGraph
from grulet_export.graph import Graph, Node
from grulet_export.lift import lift
from grulet_export.onnx_reading.read import read_onnx
from grulet_export.onnx_writing import BATCH_FIRST, STEP, TIME_FIRST, Form, write_onnx

FORMS = {"batch first": BATCH_FIRST, "time first": TIME_FIRST, "step": STEP}
SEQUENCES = {name: form for name, form in FORMS.items() if form is not STEP}


def cases(*groups: tuple[Mapping[str, list[Node]], Mapping[str, Form]]) -> list[Any]:
    """Return every graph of a group in every form of it."""
    return [
        pytest.param(nodes, form, id=f"{name}, {kind}")
        for graphs, forms in groups
        for name, nodes in graphs.items()
        for kind, form in forms.items()
    ]


def run(graph: Graph, form: Form, frames: Array) -> Array:
    """Return onnxruntime's answers (count, out), from the states that the writer names."""
    model, states = write_onnx(graph, form, "{}")
    onnx.checker.check_model(model, full_check=True)
    session = onnxruntime.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])
    carried = {state.input: state.initial[None, None] for state in states}
    names = ["out", *(state.output for state in states)]
    pieces = np.split(frames, len(frames)) if form is STEP else [frames]
    answers = []
    for piece in pieces:
        feeds: dict[str, Any] = {}
        parts = np.split(piece, np.cumsum([port.width for port in graph.inputs])[:-1], axis=1)
        for port, part in zip(graph.inputs, parts, strict=True):
            part = part.astype(np.int64) if port.tokens else part
            part = part[:, 0] if port.tokens and port.width == 1 else part
            feeds[port.name] = part if form is STEP else part[None] if form is BATCH_FIRST else part[:, None]
        y, *final = session.run(names, feeds | carried)
        carried = dict(zip(carried, final, strict=True))
        answers.append(y.reshape(len(piece), -1))
    return np.concatenate(answers)


@pytest.mark.parametrize(("nodes", "form"), cases((EVERYWHERE, FORMS), (WHOLE, SEQUENCES), (LOOPS, {"step": STEP})))
def test_every_node_in_every_form(nodes: list[Node], form: Form) -> None:
    """onnxruntime gives the answers of the program, and of the program's graph."""
    graph = graph_of(nodes)
    frames = frames_of(graph, 9)
    program = program_of(graph)
    expected = Reference(program).run(frames)
    assert np.abs(expected).max() > 0
    np.testing.assert_allclose(run(graph, form, frames), expected, atol=2e-6, rtol=2e-6)
    np.testing.assert_allclose(run(lift(program), form, frames), expected, atol=2e-6, rtol=2e-6)


def read_back(graph: Graph, form: Form) -> Graph:
    """Return the graph that the file reads as; of a step, the pairs of states are given."""
    model, states = write_onnx(graph, form, "{}")
    return read_onnx(model, states={state.input: state.output for state in states} if form is STEP else None).graph


@pytest.mark.parametrize(("nodes", "form"), cases((SAME, FORMS), (CONVOLUTIONS | BACKWARDS, SEQUENCES)))
def test_reading_back_an_equal_graph(nodes: list[Node], form: Form) -> None:
    """What has one spelling in ONNX is the same graph again."""
    graph = graph_of(nodes)
    assert_equal_graphs(read_back(graph, form), canonical(graph))


@pytest.mark.parametrize(
    ("nodes", "form"),
    cases((CONVOLUTIONS | LIKE, FORMS), ({"loop from zeros": LOOPS["loop from zeros"]}, {"step": STEP})),
)
def test_reading_back_the_same_answers(nodes: list[Node], form: Form) -> None:
    """What has several spellings computes the same again, in float64."""
    graph = graph_of(nodes)
    frames = frames_of(graph, 9)
    parts = np.split(frames, np.cumsum([port.width for port in graph.inputs])[:-1], axis=1)
    named = {port.name: part for port, part in zip(graph.inputs, parts, strict=True)}
    np.testing.assert_allclose(
        evaluate(read_back(graph, form), named)["out"], evaluate(graph, named)["out"], atol=1e-12
    )


@pytest.mark.parametrize("weights", ["f16", "int8", "int4"])
def test_lifting_keeps_what_weights_mean(weights: str) -> None:
    """The float program of a lifted graph computes what the quantized one does without rounding activations."""
    for name, nodes in EVERYWHERE.items():
        program = program_of(graph_of(nodes), weights)
        frames = frames_of(graph_of(nodes), 9)
        expected = Reference(program, exact_activations=True).run(frames)
        answer = Reference(program_of(lift(program))).run(frames)
        np.testing.assert_allclose(answer, expected, atol=2e-6, rtol=2e-6, err_msg=name)


@pytest.mark.parametrize("weights", ["f32", "f16", "int8", "int4"])
def test_lifting_undoes_lowering(weights: str) -> None:
    """A lifted program lowers to one that lifts to the same graph."""
    for nodes in (EVERYWHERE | WHOLE | LOOPS).values():
        once = lift(program_of(graph_of(nodes), weights))
        again = lift(program_of(once))
        assert_equal_graphs(again, once)
        assert [node.name for node in again.nodes] == [node.name for node in once.nodes]


@pytest.mark.parametrize("name", WHOLE)
def test_no_step_form(name: str) -> None:
    """What goes backwards cannot be stepped."""
    with pytest.raises(UnsupportedGraph, match=r"it goes from the last frame to the first.*whole sequences"):
        write_onnx(graph_of(WHOLE[name]), STEP, "{}")


def test_no_sequence_form() -> None:
    """A loop that is spelled out has no operator over sequences."""
    with pytest.raises(UnsupportedGraph, match=r"loop 'read': it is spelled out step by step.*use the step form"):
        write_onnx(graph_of(LOOPS["loop"]), BATCH_FIRST, "{}")
