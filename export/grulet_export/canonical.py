"""One spelling for one graph, so that front ends that mean the same model build equal graphs."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from grulet_export.graph import Graph, Node, Port, StateRead, StateWrite


class Names:
    """Hands out names, each once: a taken name gets the suffix ``_2``, ``_3``, ..."""

    def __init__(self) -> None:
        self._taken: set[str] = set()

    def unique(self, wanted: str) -> str:
        """Return ``wanted``, or the first free variation of it, and take it."""
        wanted = wanted or "unnamed"
        name, copy = wanted, 1
        while name in self._taken:
            copy += 1
            name = f"{wanted}_{copy}"
        self._taken.add(name)
        return name


def canonical(graph: Graph) -> Graph:
    """Return the same model without dead nodes and unread inputs, and with values named after their makers.

    Names of input ports, of output ports and of nodes are made unique, each kind by itself. The order of ports and
    nodes stays.
    """
    nodes = live(graph)
    read = {value for node in nodes for value in node.inputs} | {port.value for port in graph.outputs}
    values: dict[str, str] = {}
    value_names, input_names, output_names, node_names = Names(), Names(), Names(), Names()

    def renamed(value: str, maker: str) -> str:
        values[value] = value_names.unique(maker)
        return values[value]

    inputs: list[Port] = []
    for port in graph.inputs:
        if port.value in read:
            name = input_names.unique(port.name)
            inputs.append(replace(port, name=name, value=renamed(port.value, name)))
    renamed_nodes: list[Node] = []
    for node in nodes:
        name = node_names.unique(node.name)
        source = tuple(values[value] for value in node.inputs)
        renamed_nodes.append(replace(node, name=name, inputs=source, output=renamed(node.output, name)))
    outputs = [replace(port, name=output_names.unique(port.name), value=values[port.value]) for port in graph.outputs]
    return replace(graph, inputs=tuple(inputs), outputs=tuple(outputs), nodes=tuple(renamed_nodes))


def live(graph: Graph) -> list[Node]:
    """Return the nodes that an output depends on, now or in a later frame, in order."""
    writers = {node.state: node for node in graph.nodes if isinstance(node, StateWrite)}
    makers = {node.output: node for node in graph.nodes}
    found: set[str] = set()
    wanted = [port.value for port in graph.outputs]
    while wanted:
        value = wanted.pop()
        node = makers.get(value)
        if node is None or value in found:
            continue
        found.add(value)
        wanted += node.inputs
        if isinstance(node, StateRead):
            wanted.append(writers[node.state].output)
    return [node for node in graph.nodes if node.output in found]


def topological(nodes: Sequence[Node]) -> list[Node]:
    """Return the nodes so that each stands behind the makers of what it reads, otherwise in their order."""
    makers = {node.output: node for node in nodes}
    placed: set[str] = set()
    order: list[Node] = []
    for last in nodes:
        stack = [last]
        while stack:
            node = stack[-1]
            missing = [makers[value] for value in node.inputs if value in makers and value not in placed]
            if missing:
                stack += missing
                continue
            stack.pop()
            if node.output not in placed:
                placed.add(node.output)
                order.append(node)
    return order
