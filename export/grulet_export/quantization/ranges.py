"""Ranges of inputs that are known without data.

A hidden state lies within 1 and uses much of that, so that 16 bits may be spread over it once and for all.  Other
bounded values, a softmax over thousands of classes say, may stay far below their bounds: they keep each frame's own
range.  So do hidden states in 8 bits, where every bit counts.
"""

from __future__ import annotations

from grulet_export.graph import Concat, Dense, FirstFrame, Graph, Gru, History, Lstm, Rnn, Select, Slice
from grulet_export.quantization.node import Weighted

#: Nodes that copy elements of their inputs; a history also gives zeros.
_COPIES = (Concat, Slice, Select, FirstFrame, History)


def hidden_values(graph: Graph) -> set[str]:
    """The values that are hidden states, or made of them."""
    hidden: set[str] = set()
    for node in graph.nodes:
        copied = isinstance(node, _COPIES) and all(value in hidden for value in node.inputs)
        if copied or isinstance(node, Gru | Lstm | Rnn):
            hidden.add(node.output)
    return hidden


def known_range(node: Weighted, hidden: set[str], activations: str) -> float:
    """The static range of a node's input; 0: each frame's own."""
    if isinstance(node, Dense) and node.input_range:
        return node.input_range  # the hidden state of a cell that is spelled out
    return 1.0 if activations == "int16" and node.inputs[0] in hidden else 0.0
