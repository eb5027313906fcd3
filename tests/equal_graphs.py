"""Whether two float graphs are equal."""

from __future__ import annotations

from dataclasses import fields
from typing import Any

import numpy as np

from grulet_export.graph import Graph


def assert_equal_graphs(one: Graph, other: Graph) -> None:
    """Compare all but the names of nodes and the hash of the source: ports, wires, kinds and every number."""
    assert one.metadata == other.metadata
    first, second = _described(one), _described(other)
    assert [described[0] for described in first] == [described[0] for described in second]
    for (_, values), (_, others) in zip(first, second, strict=True):
        for key, value in values.items():
            np.testing.assert_array_equal(value, others[key], strict=isinstance(value, np.ndarray))


def _described(graph: Graph) -> list[tuple[str, dict[str, Any]]]:
    """Return kind and content of every port and node, in order; a value is called by the number of its maker."""
    numbers = {port.value: number for number, port in enumerate(graph.inputs)}
    numbers |= {node.output: number for number, node in enumerate(graph.nodes, len(graph.inputs))}
    described: list[tuple[str, dict[str, Any]]] = []
    for kind, ports in (("input", graph.inputs), ("output", graph.outputs)):
        described += [(kind, vars(port) | {"value": numbers[port.value]}) for port in ports]
    for node in graph.nodes:
        content = {field.name: getattr(node, field.name) for field in fields(node)}
        wires = {"name": "", "inputs": [numbers[value] for value in node.inputs], "output": numbers[node.output]}
        described.append((type(node).__name__, content | wires))
    return described
