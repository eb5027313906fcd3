"""What the handlers of ONNX operators pass on.

Every tensor of a file is one of three things: numbers known now (an array; sizes left open are objects in it), numbers
known now that are repeated along time or batch (`Fill`), or places in the vectors of a frame (`Signal`).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray
from onnx import NodeProto

from grulet_export.errors import Refusal
from grulet_export.graph import Array
from grulet_export.onnx_reading.axes import Tensor
from grulet_export.onnx_reading.file import EXPORT_AGAIN, finite
from grulet_export.onnx_reading.sizes import Length, settled

#: No tensor may have more elements than this (512 MB of float32), whatever a file asks for.
LARGEST_CONSTANT = 1 << 27
#: No frame may have more elements than this.
LARGEST_FRAME = 1 << 22


@dataclass(frozen=True, eq=False)
class Fill(Tensor):
    """Numbers that are repeated along time or batch."""


@dataclass(frozen=True, eq=False)
class Signal(Tensor):
    """One vector per frame: ``numbers`` are places in ``values``, vectors of the program one behind the other.

    So whatever only moves features costs nothing until an operator reads them (`Program.vector`).
    """

    values: tuple[str, ...]
    moved_by: str = ""  # the node that moved its features last
    last: bool = False  # time was dropped: of all frames, the file takes the last
    #: "h" or "c" for a final state of a cell as it is, "initial" for a graph input that a cell starts from, else "".
    state: str = ""
    tokens: bool = False  # whole numbers that only an embedding can read
    lead: int = 0  # zero frames put in front of the first, for a convolution
    tail: int = 0  # frames behind the last, which the file will cut off


Value: TypeAlias = Signal | Fill | NDArray[Any]


@dataclass(frozen=True)
class Operation:
    """A node with its inputs looked up; an optional input that is left out is None."""

    name: str
    opset: int
    node: NodeProto
    inputs: tuple[Value | None, ...]
    attributes: dict[str, Any]

    def given(self, index: int) -> Value | None:
        """Return an input, None if it is not there."""
        return self.inputs[index] if index < len(self.inputs) else None

    def tensor(self, index: int = 0) -> Fill | Signal:
        """Return an input that must be there as a tensor with axes; an array is a `Fill` that repeats nothing."""
        value = self.given(index)
        if value is None:
            raise Refusal(f"its input {index} is missing", EXPORT_AGAIN)
        return as_tensor(value)

    def constant(self, index: int, what: str) -> NDArray[Any]:
        """Return an input whose numbers must be in the file."""
        value = self.given(index)
        if isinstance(value, Fill):
            value = value.numbers
        if not isinstance(value, np.ndarray):
            raise Refusal(
                f"its {what} is not a constant of the file", "store it as an initializer, or bind it with --constant"
            )
        return value

    def weights(self, index: int, what: str) -> Array:
        """Return a constant input that must be finite float32."""
        return finite(self.constant(index, what), f"its {what} '{self.node.input[index]}'")

    def lengths(self, index: int, what: str) -> list[Length] | None:
        """Return a list of sizes that older operator sets hold as an attribute and newer ones as an input."""
        if what in self.attributes:
            return [int(number) for number in np.atleast_1d(self.attributes[what])]
        if self.given(index) is None:
            return None
        numbers = self.constant(index, what)
        if numbers.dtype.kind not in "iuO":
            raise Refusal(f"its {what} holds no integers", EXPORT_AGAIN)
        return [number if numbers.dtype == object else int(number) for number in numbers.reshape(-1).tolist()]

    def integers(self, index: int, what: str) -> list[int] | None:
        """Return a list of integers known now."""
        numbers = self.lengths(index, what)
        if numbers is not None and not all(isinstance(number, int) for number in numbers):
            raise Refusal(f"its {what} depends on the number of frames or streams", "use constants")
        return numbers  # type: ignore[return-value]

    def number(self, name: str, default: float) -> float:
        """Return a float attribute, rounded as the file holds it."""
        return float(finite(np.asarray(self.attributes.get(name, default), np.float32), f"its {name}"))


def name_of(node: NodeProto) -> str:
    """Return the name of a node of the file; one without a name has that of its output."""
    return node.name or next(filter(None, node.output), "")


def as_tensor(value: Value) -> Fill | Signal:
    """Return any value as a tensor with axes."""
    return Fill(value, value.shape) if isinstance(value, np.ndarray) else value


def settle(value: Value) -> Value:
    """Return what a handler made, bounded in size; a `Fill` that repeats nothing is an array again."""
    tensor = as_tensor(value)
    check_elements(tensor.numbers.size, LARGEST_FRAME if isinstance(tensor, Signal) else LARGEST_CONSTANT)
    if isinstance(tensor, Fill) and all(isinstance(axis, int) for axis in tensor.axes):
        return settled(tensor.numbers)
    return value


def check_elements(count: Length, largest: int = LARGEST_CONSTANT) -> None:
    """Refuse a tensor of so many elements, best before numpy asks for the memory."""
    if count > largest:
        raise Refusal(f"it makes a tensor of more than {largest:,} elements", "fold the constants when exporting")
