"""The order in which a graph's nodes run, and which of them run together frame by frame.

A block of frames goes through the nodes one after the other, all its frames at once, because that reads the weights
once.  Where a node needs what another one wrote in the frame before, that is not possible: all nodes between a
`StateRead` and its `StateWrite` form a loop, and a block goes through them frame by frame.
"""

from __future__ import annotations

from collections.abc import Sequence

from grulet_export.canonical import topological
from grulet_export.errors import UnsupportedGraph
from grulet_export.graph import Node, StateRead, StateWrite


def schedule(nodes: Sequence[Node]) -> list[tuple[Node, int, bool]]:
    """Return (node, its loop or 0, whether that loop is reversed); each loop is in one piece, numbered from 1."""
    nodes = topological(nodes)
    loops = _loops(nodes)
    loop_of = {node.output: loop for loop in loops for node in loop}
    placed: set[str] = set()
    order: list[tuple[Node, int, bool]] = []
    numbers = 0

    def place(node: Node) -> None:
        """Place a node, or its whole loop, behind all it reads from outside."""
        nonlocal numbers
        if node.output in placed:
            return
        group = loop_of.get(node.output, [node])
        for member in group:
            placed.add(member.output)
        inside = {member.output for member in group}
        for member in group:
            for value in member.inputs:
                if value in makers and value not in inside:
                    place(makers[value])
        looped = node.output in loop_of
        numbers += looped
        reverse = looped and _reversed(group)
        order.extend((member, numbers if looped else 0, reverse) for member in group)

    makers = {node.output: node for node in nodes}
    for node in nodes:
        place(node)
    return order


def _loops(nodes: Sequence[Node]) -> list[list[Node]]:
    """Return the loops, each in an order in which it can run.

    Two nodes are in one loop if each depends on the other, in this frame or in an earlier one: if each reaches the
    other along the values, from a state's writing to its reading (of the next frame), and from its reading to its
    writing (of the same frame, which must not come first).
    """
    place = {node.output: i for i, node in enumerate(nodes)}
    after: list[set[int]] = [set() for _ in nodes]
    for i, node in enumerate(nodes):
        for value in node.inputs:
            if value in place:
                after[place[value]].add(i)
    writes = {node.state: i for i, node in enumerate(nodes) if isinstance(node, StateWrite)}
    for i, node in enumerate(nodes):
        if isinstance(node, StateRead):
            after[i].add(writes[node.state])
            after[writes[node.state]].add(i)
    reached = [1 << i for i in range(len(nodes))]  # bit j: node j depends on this one
    changed = True
    while changed:
        changed = False
        for i in reversed(range(len(nodes))):
            reach = reached[i]
            for j in after[i]:
                reach |= reached[j]
            changed |= reach != reached[i]
            reached[i] = reach
    loops: dict[int, list[Node]] = {}  # by what a loop reaches, which is the same for all its nodes
    for i, node in enumerate(nodes):
        loops.setdefault(reached[i], []).append(node)
    return [loop for loop in loops.values() if any(isinstance(node, StateRead) for node in loop)]


def _reversed(loop: Sequence[Node]) -> bool:
    directions = {node.reverse for node in loop if isinstance(node, StateRead)}
    if len(directions) > 1:
        raise UnsupportedGraph(
            loop[0].name, "loop", "states that depend on each other run in opposite directions", "run them one by one"
        )
    return directions.pop()
