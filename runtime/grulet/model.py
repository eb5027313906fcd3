"""Models: what is in a file, and how to make streams of it."""

from __future__ import annotations

import os
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from grulet import format as grulet_format
from grulet.errors import FormatError
from grulet.kernel import KernelModel, aligned_empty
from grulet.stream import Stream


@dataclass(frozen=True)
class Port:
    """A named part of the input or output vector: elements ``offset`` to ``offset + width``."""

    name: str
    offset: int
    width: int

    @property
    def slice(self) -> slice:
        """For indexing the vector: ``y[port.slice]``."""
        return slice(self.offset, self.offset + self.width)


@dataclass(frozen=True)
class OperatorInfo:
    """One operator, in execution order."""

    name: str
    kind: str  # gru, dense, activation
    inputs: int
    units: int
    weights: str  # none, f32, int8
    activations: str  # f32, int16, int8
    function: str  # none, relu, ...
    weight_bytes: int

    @property
    def parameters(self) -> int:
        """Trained numbers: weights, and biases as torch counts them (a GRU has two per gate and unit)."""
        if self.kind == "gru":
            return 3 * self.units * (self.inputs + self.units + 2)
        return self.units * (self.inputs + 1) if self.kind == "dense" else 0


class Model:
    """An opened `.grulet` file: read-only, shared by any number of streams and threads, picklable.

    Made by `grulet.load`.
    """

    def __init__(self, data: Any) -> None:
        self._kernel = KernelModel(data)
        self._tables = grulet_format.tables_of(self._kernel.data.data)

    def stream(self, block: int = 32) -> Stream:
        """Make a stream, in the model's initial state.

        ``block``: how many frames `Stream.run` takes through an operator at once.  It changes speed and memory, never
        results; 1 uses the least memory.
        """
        return Stream(self, self._kernel, block)

    @cached_property
    def inputs(self) -> tuple[Port, ...]:
        """Named parts of the input vector."""
        return self._ports(self._tables.inputs)

    @cached_property
    def outputs(self) -> tuple[Port, ...]:
        """Named parts of the output vector."""
        return self._ports(self._tables.outputs)

    def output(self, name: str) -> Port:
        """Return the output of this name; `KeyError` if there is none."""
        return {port.name: port for port in self.outputs}[name]

    def _ports(self, ports: tuple[grulet_format.Port, ...]) -> tuple[Port, ...]:
        widths = [self._tables.values[port.value].width for port in ports]
        return tuple(Port(port.name, sum(widths[:i]), widths[i]) for i, port in enumerate(ports))

    @property
    def input_width(self) -> int:
        """Elements of one input frame."""
        return sum(port.width for port in self.inputs)

    @property
    def output_width(self) -> int:
        """Elements of one output frame."""
        return sum(port.width for port in self.outputs)

    @cached_property
    def ops(self) -> tuple[OperatorInfo, ...]:
        """The operators, in execution order."""
        return tuple(
            OperatorInfo(
                name,
                grulet_format.KINDS[record[0]],
                record[6],
                record[7],
                grulet_format.WEIGHTS[record[4]],
                grulet_format.ACTIVATIONS[record[5]],
                grulet_format.FUNCTIONS[record[8]],
                record[13],
            )
            for name, record in zip(self._tables.names, self._tables.records, strict=True)
        )

    @property
    def weight_bytes(self) -> int:
        """Bytes of the file that one step reads: weights, scales, biases, row sums, padding."""
        return self._kernel.weight_bytes

    def read_weights(self) -> None:
        """Read `weight_bytes` once and do nothing else: the floor under the time of a step, for benchmarks."""
        self._kernel.read_weights()

    @property
    def file_bytes(self) -> int:
        """Size of the whole file."""
        return len(self._kernel.data)

    @property
    def state_floats(self) -> int:
        """Float32 elements of a stream's state."""
        return self._tables.state_floats

    @property
    def parameters(self) -> int:
        """Trained numbers of the model."""
        return sum(op.parameters for op in self.ops)

    @property
    def metadata(self) -> dict[str, Any]:
        """What the exporter was told to copy into the file: labels, the audio front end, and so on."""
        return self._tables.text.metadata

    @property
    def exporter(self) -> str:
        """Name and version of the program that wrote the file."""
        return self._tables.text.exporter

    @property
    def source_sha256(self) -> str:
        """Hash of the ONNX model that the file was made from."""
        return self._tables.text.source_sha256

    def describe(self) -> str:
        """Return a table of the model, for people."""
        lines = [
            f"inputs   {', '.join(f'{port.name} ({port.width})' for port in self.inputs)}",
            f"outputs  {', '.join(f'{port.name} ({port.width})' for port in self.outputs)}",
            f"size     {self.file_bytes:,} bytes: {self.weight_bytes:,} read per frame, "
            f"{4 * self.state_floats:,} of state; {self.parameters:,} parameters",
            f"from     {self.exporter}, ONNX sha256 {self.source_sha256[:16]}",
            f"{'operator':<24} {'kind':<18} {'size':>13}  {'weights':<7} {'activations':<11} {'bytes':>10}",
        ]
        for op in self.ops:
            kind = op.kind if op.function == "none" else f"{op.kind} + {op.function}"
            kind = op.function if op.kind == "activation" else kind
            lines.append(
                f"{op.name:<24} {kind:<18} {f'{op.inputs} -> {op.units}':>13}  "
                f"{op.weights:<7} {op.activations:<11} {op.weight_bytes:>10,}"
            )
        return "\n".join(lines)

    def __reduce__(self) -> tuple[Any, ...]:
        return load, (self._kernel.data.tobytes(),)

    def __repr__(self) -> str:
        ops = ", ".join(f"{op.kind} {op.units}" for op in self.ops)
        return f"<grulet.Model {self.input_width} -> {self.output_width}: {ops}; {self.weight_bytes} weight bytes>"


def load(source: str | os.PathLike[str] | Any) -> Model:
    """Open a `.grulet` model: a path, bytes, or any buffer.

    A buffer that starts on a 64-byte boundary (a memory map, an aligned array) is used in place and must not change;
    any other is copied once.  The whole file is checked; raises `FormatError` where it is no model this version runs.
    """
    if not isinstance(source, str | os.PathLike):
        return Model(source)
    path = Path(source)
    try:
        with path.open("rb") as file:
            data = aligned_empty(os.fstat(file.fileno()).st_size)
            size = file.readinto(data.data)
    except OSError as error:
        raise FormatError(f"{path}: {error.strerror or error}") from error
    except ValueError as error:  # a name that no file can have
        raise FormatError(f"{path!r}: {error}") from error
    try:
        return Model(data[:size] if size else np.empty(0, np.uint8))
    except FormatError as error:
        raise FormatError(f"{path}: {error}") from error
