"""Loops: what lies between a state's reading and its writing runs together, and in one piece."""

from __future__ import annotations

import numpy as np
import pytest

from grulet_export.canonical import live
from grulet_export.errors import UnsupportedGraph
from grulet_export.graph import Activation, Binary, Graph, Node, Port, StateRead, StateWrite
from grulet_export.schedule import schedule

ZEROS = np.zeros(2, np.float32)


def read(state: str, reverse: bool = False) -> Node:
    """Read a state into a value of the same name."""
    return StateRead(f"read {state}", (), state, state, ZEROS, reverse)


def write(state: str, value: str) -> Node:
    """Write a state; the value passed on is the state's name with a prime."""
    return StateWrite(f"write {state}", (value,), f"{state}'", state)


def add(a: str, b: str, output: str) -> Node:
    """Add two values."""
    return Binary(f"make {output}", (a, b), output, "add")


def loops(nodes: list[Node]) -> list[tuple[str, int]]:
    """Output and loop of each node, in the order of the schedule, which must be one that can run."""
    order = schedule(nodes)
    done = {"x"}
    for node, _, _ in order:
        assert done.issuperset(node.inputs), node.name
        done.add(node.output)
    return [(node.output, loop) for node, loop, _ in order]


def test_only_what_depends_on_the_state_is_in_its_loop() -> None:
    """The projection of the input stays in front, the head behind, wherever they stood."""
    nodes = [
        read("h"),
        Activation("project", ("x",), "p", "relu"),
        add("p", "h", "s"),
        Activation("head", ("s",), "y", "tanh"),
        write("h", "s"),
    ]
    assert loops(nodes) == [("p", 0), ("h", 1), ("s", 1), ("h'", 1), ("y", 0)]


def test_states_that_depend_on_each_other_share_a_loop() -> None:
    """Also where a node lies between two loops: a -> b in this frame, b -> a in the next."""
    nodes = [read("a"), read("b"), add("a", "x", "s"), write("b", "s"), add("b", "x", "t"), write("a", "t")]
    assert {loop for _, loop in loops(nodes)} == {1}


def test_loops_in_a_row_are_apart() -> None:
    """The second loop reads what the first gives in the same frame."""
    nodes = [read("a"), read("b"), add("a", "x", "s"), add("b", "s", "t"), write("b", "t"), write("a", "s")]
    assert loops(nodes) == [("a", 1), ("s", 1), ("a'", 1), ("b", 2), ("t", 2), ("b'", 2)]


def test_states_of_opposite_directions_cannot_share_a_loop() -> None:
    """Refused by name."""
    nodes = [read("a"), read("b", reverse=True), add("a", "b", "s"), write("a", "s"), write("b", "s")]
    with pytest.raises(UnsupportedGraph, match="opposite directions"):
        schedule(nodes)


def test_what_writes_a_live_state_is_alive() -> None:
    """An output that depends on a state depends on all that makes the state."""
    nodes = (read("h"), add("h", "x", "s"), write("h", "s"), Activation("dead", ("s",), "d", "relu"))
    graph = Graph((Port("x", "x", 2),), (Port("y", "h", 2),), nodes, "")
    assert [node.output for node in live(graph)] == ["h", "s", "h'"]
