"""The program that the handlers of ONNX operators add to."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray
from onnx import NodeProto

from grulet_export.canonical import Names
from grulet_export.errors import Refusal
from grulet_export.graph import Affine, Array, Concat, Node, Select, Slice, width_of
from grulet_export.onnx_reading import axes as onnx_axes
from grulet_export.onnx_reading.axes import TIME, Axes, Tensor
from grulet_export.onnx_reading.file import EXPORT_AGAIN, finite
from grulet_export.onnx_reading.sizes import Length
from grulet_export.onnx_reading.values import Fill, Operation, Signal, Value

#: In front of the names of the inputs that cells start from, so that no other value is called the same.
STATE = "state "


def state_input(value: str) -> str:
    """Return the name of the input of the file that a cell starts from."""
    return value.removeprefix(STATE)


@dataclass
class Program:
    """What runs once per frame, as far as the nodes of a file have been walked.

    ``extents``: how many frames and streams there are; "time" is missing where the file handles a single frame.
    """

    extents: dict[str, Length]
    producer: str = ""  # the program that says it wrote the file
    nodes: dict[str, Node] = field(default_factory=dict)  # in order, by the value they write
    widths: dict[str, int] = field(default_factory=dict)  # by value
    readers: Counter[str] = field(default_factory=Counter)  # how many nodes of the file read a tensor
    makers: Mapping[str, NodeProto] = field(default_factory=dict)  # the node of the file that makes a tensor
    tensors: dict[str, Value] = field(default_factory=dict)  # of the file, by name
    tokens: dict[str, int] = field(default_factory=dict)  # rows of the smallest table that an input looks up
    #: The place in a final state that a place in an initial state, a graph input, becomes.
    carried: dict[tuple[str, int], tuple[str, int]] = field(default_factory=dict)
    kept: set[str] = field(default_factory=set)  # final states of cells, which streams keep
    notes: dict[str, None] = field(default_factory=dict)  # in order, each once
    state_names: Names = field(default_factory=Names)
    _gathered: dict[tuple[tuple[str, ...], bytes], str] = field(default_factory=dict)

    @property
    def sequence(self) -> bool:
        """Return whether the file handles whole sequences."""
        return TIME in self.extents

    def note(self, sentence: str) -> None:
        """Tell the user something that the conversion decided."""
        self.notes[sentence] = None

    def source(self, value: str, width: int) -> str:
        """Add a value that no node makes: an input."""
        self.widths[value] = width
        return value

    def emit(self, kind: Callable[..., Node], name: str, inputs: Sequence[str], **fields: Any) -> str:
        """Add a node and return its value; arrays become contiguous float32."""
        for key, item in fields.items():
            if isinstance(item, np.ndarray):
                fields[key] = finite(np.ascontiguousarray(item, np.float32), f"its {key.replace('_', ' ')}")
        value = f"node {len(self.nodes)}"  # cannot be the name of an input, which has a prefix of its own
        node = kind(name, tuple(inputs), value, **fields)
        self.nodes[value] = node
        self.widths[value] = width_of(node, self.widths)
        return value

    def signal(self, value: str, axes: Axes, *like: Signal) -> Signal:
        """Return a value, made from these signals frame by frame, as a signal of these axes."""
        numbers = np.arange(self.widths[value]).reshape(onnx_axes.shape(axes))
        return Signal(numbers, axes, (value,), **self.joined(axes, *like))

    def joined(self, axes: Axes, *like: Signal) -> dict[str, Any]:
        """Return what a signal inherits from those it is made from, which must be of the same frames."""
        lasts = [signal for signal in like if signal.last]
        timed = [signal for signal in like if onnx_axes.has(signal.axes, TIME)]
        if lasts and (timed or onnx_axes.has(axes, TIME)):
            raise Refusal(
                "it joins the last frame of one sequence with all frames of another",
                "feed it one vector per frame on both sides, so that every frame has an answer",
            )
        if any(signal.lead for signal in like):
            raise Refusal(
                "it reads frames with zeros in front of them", "pad right before the convolution, with no node between"
            )
        tails = {signal.tail for signal in timed}
        if len(tails) > 1:
            raise Refusal(
                "it joins sequences of different lengths",
                "cut the frames that a padded convolution adds right behind it",
            )
        return {"last": bool(lasts), "tail": max(tails, default=0)}

    def frames(self, value: Value | None) -> Signal:
        """Return an input that must be one float32 vector per frame."""
        match value:
            case Signal(state="initial", values=values):
                raise Refusal(
                    f"it reads the initial state '{state_input(values[0])}' as if it were frames",
                    "a stream keeps its state itself; for a state of your own, name it and its output with --state",
                )
            case Signal(state="c"):
                raise Refusal(
                    "it reads the final cell state (Y_c) of an LSTM, which grulet keeps inside the layer",
                    "read its hidden state (Y or Y_h)",
                )
            case Signal(tokens=True):
                raise Refusal(
                    "it calculates with integers of an input", "look them up in an embedding, or make the input float32"
                )
            case Signal():
                return value
        raise Refusal("its input is a constant, not one vector per frame", "fold it when exporting")

    def vector(self, signal: Signal, name: str) -> str:
        """Return the value that holds just the features of a signal, in their order."""
        signal = self.frames(signal)
        return self.gathered(signal.values, signal.numbers.reshape(-1), signal.moved_by or name)

    def gathered(self, values: tuple[str, ...], places: NDArray[Any], name: str) -> str:
        """Return the value with these places of some values; what moves nothing runs nothing."""
        if not places.size:
            raise Refusal("it leaves nothing of a frame", EXPORT_AGAIN)
        ends = np.cumsum([self.widths[value] for value in values])
        parts = np.searchsorted(ends, places, side="right")
        used = np.unique(parts)
        # What is not read falls out, so all places behind it move to the front.
        shift = np.cumsum([0, *(0 if part in used else self.widths[value] for part, value in enumerate(values))])
        values, places = tuple(values[part] for part in used), places - shift[parts]
        key = values, places.tobytes()
        if key not in self._gathered:
            self._gathered[key] = self._gather(values, places, name)
        return self._gathered[key]

    def places(self, signal: Signal) -> list[tuple[str, int]]:
        """Return where every feature of a signal comes from: a value and the place in it."""
        every = [(value, place) for value in signal.values for place in range(self.widths[value])]
        return [every[number] for number in signal.numbers.reshape(-1).tolist()]

    def renumbered(self, signal: Signal, values: tuple[str, ...]) -> NDArray[Any]:
        """Return the places of a signal's features in other values, those of the signal among them."""
        starts = dict(zip(values, np.cumsum([0, *(self.widths[value] for value in values)]).tolist(), strict=False))
        own = [np.arange(starts[value], starts[value] + self.widths[value]) for value in signal.values]
        return np.asarray(np.concatenate(own)[signal.numbers])

    def _gather(self, values: tuple[str, ...], places: NDArray[Any], name: str) -> str:
        wholes = self._wholes(values, places)
        if wholes:
            return wholes[0] if len(wholes) == 1 else self.emit(Concat, name, wholes)
        value = values[0] if len(values) == 1 else self.emit(Concat, name, values)
        width, first = len(places), int(places[0])
        if not np.array_equal(places, np.arange(first, first + width)):
            return self.emit(Select, name, [value], indices=tuple(map(int, places)))
        return self.emit(Slice, name, [value], first=first, width=width)

    def _wholes(self, values: tuple[str, ...], places: NDArray[Any]) -> list[str]:
        """Return the values, each as a whole, that these places are one behind the other; none if they are not.

        Values that are repeated often are left to a Select.
        """
        starts = dict(zip(np.cumsum([0, *(self.widths[value] for value in values)]).tolist(), values, strict=False))
        wholes: list[str] = []
        at = 0
        while at < len(places) and len(wholes) < 2 * len(values):
            start = int(places[at])
            width = self.widths[starts[start]] if start in starts else 0
            if not width or not np.array_equal(places[at : at + width], np.arange(start, start + width)):
                return []
            wholes.append(starts[start])
            at += width
        return wholes if at == len(places) else []

    def constant_vector(self, numbers: Array, beside: Signal, name: str) -> str:
        """Return a value that holds these numbers in every frame; some value beside it is read for that."""
        value = self.gathered(beside.values, np.zeros(numbers.size, np.int64) + beside.numbers.reshape(-1)[0], name)
        return self.emit(Affine, name, [value], scale=np.zeros(numbers.size), shift=numbers.reshape(-1))

    def extents_of(self, tensor: Tensor) -> dict[str, Length]:
        """Return the sizes of time and batch in a tensor, whose frames may have others in front or behind."""
        if isinstance(tensor, Signal) and self.sequence and (tensor.lead or tensor.tail):
            return {**self.extents, TIME: self.extents[TIME] + tensor.lead + tensor.tail}
        return self.extents

    def collapsed(self, tensor: Fill, axes: Axes) -> Fill:
        """Return constants without the axes that are time or batch beside them, along which they must not change."""
        offset = len(axes) - len(tensor.axes)
        for place, axis in enumerate(tensor.axes):
            beside = axes[place + offset] if place + offset >= 0 else 1
            if not isinstance(beside, tuple) or not isinstance(axis, int) or axis == 1:
                continue
            first = tensor.numbers[(slice(None),) * place + (slice(1),)]
            if onnx_axes.length(beside, self.extents) != axis or (tensor.numbers != first).any():
                raise Refusal(
                    f"its constant holds {axis} numbers along {' and '.join(beside)}, where one is needed for all",
                    "use one constant for all frames and streams",
                )
            tensor = replace(tensor, numbers=first, axes=(*tensor.axes[:place], 1, *tensor.axes[place + 1 :]))
        return tensor


Handler: TypeAlias = Callable[[Program, Operation], Sequence[Value]]
