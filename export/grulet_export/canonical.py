"""One spelling for one graph, so that front ends that mean the same model build equal graphs."""

from __future__ import annotations

from dataclasses import replace

from grulet_export.graph import Graph, Node, Port


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
    read = {node.input for node in nodes} | {port.value for port in graph.outputs}
    values: dict[str, str] = {}
    value_names, input_names, output_names, node_names = Names(), Names(), Names(), Names()

    def renamed(value: str, maker: str) -> str:
        values[value] = value_names.unique(maker)
        return values[value]

    inputs: list[Port] = []
    for port in graph.inputs:
        if port.value in read:
            name = input_names.unique(port.name)
            inputs.append(Port(name, renamed(port.value, name), port.width))
    renamed_nodes: list[Node] = []
    for node in nodes:
        name = node_names.unique(node.name)
        renamed_nodes.append(replace(node, name=name, input=values[node.input], output=renamed(node.output, name)))
    outputs = [Port(output_names.unique(port.name), values[port.value], port.width) for port in graph.outputs]
    return replace(graph, inputs=tuple(inputs), outputs=tuple(outputs), nodes=tuple(renamed_nodes))


def live(graph: Graph) -> list[Node]:
    """Return the nodes that an output depends on, in order."""
    needed = {port.value for port in graph.outputs}
    found: list[Node] = []
    for node in reversed(graph.nodes):
        if node.output in needed:
            needed.add(node.input)
            found.append(node)
    return found[::-1]
