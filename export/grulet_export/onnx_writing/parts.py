"""What the writers of nodes share: the form of a model, its states, and the ONNX graph as it grows."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray
from onnx import NodeProto, TensorProto, ValueInfoProto, helper, numpy_helper

from grulet_export.canonical import Names
from grulet_export.graph import Array, Port


@dataclass(frozen=True)
class State:
    """One state of a model: the names of an input and an output of shape (1, batch, width).

    ``initial`` (width,): what a stream starts from.
    """

    input: str
    output: str
    initial: Array

    @property
    def width(self) -> int:
        """Elements of the state of one stream."""
        return len(self.initial)


#: An operator between the model's axes and those inside: its name, and its attributes or, as "axes", its last input.
Edge: TypeAlias = tuple[str, Mapping[str, Any]]


@dataclass(frozen=True)
class Form:
    """How a model's frames look outside; inside they are always (time, batch, width), as the GRU operator wants."""

    name: str
    frames: tuple[str | int, ...]  # leading axes of inputs and outputs
    batch: str | int
    enter: Edge
    leave: Edge


_SWAP: Edge = ("Transpose", {"perm": [1, 0, 2]})
BATCH_FIRST = Form("sequence", ("batch", "time"), "batch", enter=_SWAP, leave=_SWAP)
TIME_FIRST = Form("sequence", ("time", "batch"), "batch", enter=("Identity", {}), leave=("Identity", {}))
STEP = Form("step", (1,), 1, enter=("Unsqueeze", {"axes": [0]}), leave=("Squeeze", {"axes": [0]}))


@dataclass
class Writer:
    """The parts of one ONNX graph so far, and where the graph's values are in it.

    ``values``: the float tensor (time, batch, width) that holds each value.  ``tokens``: the int64 tensor of a value
    that is tokens, (time, batch) for one token a frame, (time, batch, width) for more.  ``loops``: the state of each
    loop, by its name in the graph.
    """

    form: Form
    widths: dict[str, int]
    nodes: list[NodeProto] = field(default_factory=list)
    initializers: list[TensorProto] = field(default_factory=list)
    states: list[State] = field(default_factory=list)
    values: dict[str, str] = field(default_factory=dict)
    tokens: dict[str, str] = field(default_factory=dict)
    loops: dict[str, State] = field(default_factory=dict)
    tensor_names: Names = field(default_factory=Names)
    node_names: Names = field(default_factory=Names)

    def node(self, operator: str, name: str, inputs: list[str], outputs: list[str], **attributes: Any) -> None:
        """Add a node; "axes" becomes its last input, as operator sets from 13 on have it."""
        axes = attributes.pop("axes", None)
        if axes is not None:
            inputs = [*inputs, self.constant(f"{name}.axes", np.asarray(axes, np.int64))]
        self.nodes.append(helper.make_node(operator, inputs, outputs, name=name, **attributes))

    def part(self, operator: str, name: str, inputs: list[str], target: str = "", **attributes: Any) -> str:
        """Add a node beside the main one of a graph's node; return its output, ``target`` or a new tensor."""
        name = self.node_names.unique(name)
        target = target or self.tensor_names.unique(f"{name}.out")
        self.node(operator, name, inputs, [target], **attributes)
        return target

    def edge(self, edge: Edge, name: str, source: str, target: str, rank: int = 3) -> None:
        """Add a node between outside and inside, for a tensor of ``rank`` axes inside."""
        operator, attributes = edge
        attributes = {key: value[:rank] for key, value in attributes.items()}
        self.part(operator, name, [source], target, **attributes)

    def floats_of(self, value: str) -> str:
        """Return the float tensor (time, batch, width) of a value; tokens become numbers."""
        if value not in self.values:
            floats = self.part("Cast", "to_float", [self.tokens[value]], to=TensorProto.FLOAT)
            if self.widths[value] == 1:
                floats = self.part("Unsqueeze", "to_float.width", [floats], axes=[2])
            self.values[value] = floats
        return self.values[value]

    def tokens_of(self, value: str) -> str:
        """Return the int64 tensor of a value: that of a token input, otherwise (time, batch, width)."""
        if value in self.tokens:
            return self.tokens[value]
        return self.part("Cast", "to_tokens", [self.values[value]], to=TensorProto.INT64)

    def constant(self, name: str, array: NDArray[Any]) -> str:
        """Add an initializer and return its name."""
        name = self.tensor_names.unique(name)
        self.initializers.append(numpy_helper.from_array(np.ascontiguousarray(array).reshape(array.shape), name))
        return name

    def integers(self, name: str, *numbers: int) -> str:
        """Add an int64 initializer (count,) and return its name."""
        return self.constant(name, np.asarray(numbers, np.int64))

    def state(self, name: str, what: str, initial: Array) -> State:
        """Add a state: an input and an output of the model."""
        start, end = (self.tensor_names.unique(f"{name}.{end}_{what}") for end in ("initial", "final"))
        self.states.append(State(start, end, initial))
        return self.states[-1]


def has_width(port: Port) -> bool:
    """Whether a port's tensor has an axis for its elements: one token a frame is a number without."""
    return not (port.tokens and port.width == 1)


def described(name: str, tokens: int, *dims: str | int) -> ValueInfoProto:
    """Return the description of an input or output of the model."""
    return helper.make_tensor_value_info(name, TensorProto.INT64 if tokens else TensorProto.FLOAT, list(dims))
