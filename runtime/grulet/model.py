"""Models: what is in a file, and how to make streams of it."""

from __future__ import annotations

import os
from collections import namedtuple
from collections.abc import Callable
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np

from grulet.errors import FormatError, SequenceError, StateError
from grulet.kernel import KernelModel, KernelStream, KernelVoices, aligned_empty
from grulet.pool import Pool
from grulet.stream import Stream
from grulet.tables import tables_of

if TYPE_CHECKING:
    from grulet.parts import OperatorInfo, Port


class Model:
    """An opened `.grulet` file: read-only, shared by any number of streams and threads, picklable.

    Made by `grulet.load`.
    """

    def __init__(self, data: Any) -> None:
        self._kernel = KernelModel(data)
        self._tables = tables_of(self._kernel.data.data)
        self._kernel.token_ports = self._token_ports()

    def stream(self, block: int = 32) -> Stream:
        """Make a stream, in the model's initial state.

        ``block``: how many frames `Stream.run` takes through an operator at once.  It changes speed and memory, never
        results; 1 uses the least memory.
        """
        return Stream(self, KernelStream(KernelVoices(self._kernel, 1, block), 0))

    def pool(self, count: int, block: int = 1) -> Pool:
        """Make ``count`` streams, next to each other in memory, that a step takes through the weights together.

        ``block``: as in `stream`, for `Stream.run` of single voices.
        """
        if self.needs_sequence:
            raise SequenceError(f"{self.needs_sequence}; make a stream and run whole sequences")
        return Pool(self, KernelVoices(self._kernel, count, block))

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

    def _ports(self, ports: tuple[tuple[str, int, int], ...]) -> tuple[Port, ...]:
        from grulet.parts import Port

        widths = [self._tables.values[value][1] for _, value, _ in ports]
        return tuple(Port(name, sum(widths[:i]), widths[i], tokens) for i, (name, _, tokens) in enumerate(ports))

    def _token_ports(self) -> tuple[tuple[str, int, int, int], ...]:
        widths = [self._tables.values[value][1] for _, value, _ in self._tables.inputs]
        return tuple(
            (name, sum(widths[:i]), widths[i], tokens)
            for i, (name, _, tokens) in enumerate(self._tables.inputs)
            if tokens
        )

    @cached_property
    def needs_sequence(self) -> str:
        """Why the model runs on whole sequences only and cannot step; "" if it steps, as most do."""
        for name, record in zip(self._tables.names, self._tables.records, strict=True):
            if record[15] & 1:
                return f"the model cannot step: '{name}' runs from the last frame to the first"
        return ""

    @cached_property
    def _split(self) -> Callable[[Any], Any] | None:
        """Several outputs: what makes a named tuple of slices of an output vector, or of many."""
        if len(self._tables.outputs) < 2:
            return None
        outputs = namedtuple("Outputs", [port.name for port in self.outputs], rename=True)  # type: ignore[misc]
        slices = [port.slice for port in self.outputs]
        return lambda y: outputs(*(y[..., part] for part in slices))

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
        from grulet.format import ACTIVATIONS, CLASSES, FUNCTIONS, WEIGHTS
        from grulet.operators import KINDS
        from grulet.parts import OperatorInfo
        from grulet.weights import row_bytes

        made = []
        for name, record in zip(self._tables.names, self._tables.records, strict=True):
            kind, weights, inputs, units = KINDS[CLASSES[record[0]]][1], WEIGHTS[record[4]], record[6], record[7]
            read = record[13]
            if kind == "embedding":
                read = inputs * row_bytes(units // inputs, weights)
            activations, function = ACTIVATIONS[record[5]], FUNCTIONS[record[8]]
            made.append(OperatorInfo(name, kind, inputs, units, weights, activations, function, read, record[14]))
        return tuple(made)

    @property
    def weight_bytes(self) -> int:
        """Bytes of the file that one step reads: weights, scales, biases, row sums, padding."""
        return self._kernel.weight_bytes

    def read_weights(self) -> None:
        """Read `weight_bytes` once and do nothing else: the floor under the time of a step, for benchmarks."""
        self._kernel.read_weights()

    @property
    def crc32(self) -> int:
        """Checksum of the file, from its header: what tells models apart, also in saved states."""
        return int.from_bytes(self._kernel.data[12:16].tobytes(), "little")

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
        return self._tables.metadata

    @property
    def exporter(self) -> str:
        """Name and version of the program that wrote the file."""
        return self._tables.exporter

    @property
    def source_sha256(self) -> str:
        """Hash of the ONNX model that the file was made from."""
        return self._tables.source_sha256

    def describe(self) -> str:
        """Return a table of the model, for people."""
        lines = [
            f"inputs   {', '.join(f'{port.name} ({_size(port)})' for port in self.inputs)}",
            f"outputs  {', '.join(f'{port.name} ({port.width})' for port in self.outputs)}",
            f"size     {self.file_bytes:,} bytes: {self.weight_bytes:,} read per frame, "
            f"{4 * self.state_floats:,} of state; {self.parameters:,} parameters",
            *([f"runs     whole sequences: {self.needs_sequence}"] if self.needs_sequence else []),
            f"from     {self.exporter}, ONNX sha256 {self.source_sha256[:16]}",
            f"{'operator':<24} {'kind':<18} {'size':>13}  {'weights':<7} {'bits':>4} {'activations':<11} {'bytes':>10}",
        ]
        for op in self.ops:
            kind = op.kind if op.function == "none" else f"{op.kind} + {op.function}"
            kind = op.function if op.kind in ("activation", "binary") else kind
            bits = f"{op.weight_bits:g}" if op.weight_bits else ""
            lines.append(
                f"{op.name:<24} {kind:<18} {f'{op.inputs} -> {op.units}':>13}  "
                f"{op.weights:<7} {bits:>4} {op.activations:<11} {op.weight_bytes:>10,}"
            )
        return "\n".join(lines)

    def _state(self, name: str) -> tuple[int, tuple[int, ...]]:
        """Where a recurrent layer's state lies among a stream's (offset in floats), and its shape."""
        shapes = {1: (-1,), 4: (2, -1), 5: (-1,), 16: (-1,)}  # by kind: GRU, LSTM, RNN, a state spelled out
        found = {}
        for op, offset, width, _ in self._tables.states:
            kind = self._tables.records[op][0]
            if kind in shapes:
                found[self._tables.names[op]] = offset, np.empty(width).reshape(shapes[kind]).shape
        if name not in found:
            raise StateError(f"the model has no recurrent layer {name!r}; it has: {', '.join(found) or 'none'}")
        return found[name]

    def __reduce__(self) -> tuple[Any, ...]:
        return load, (self._kernel.data.tobytes(),)

    def __repr__(self) -> str:
        ops = ", ".join(f"{op.kind} {op.units}" for op in self.ops)
        return f"<grulet.Model {self.input_width} -> {self.output_width}: {ops}; {self.weight_bytes} weight bytes>"


def _size(port: Port) -> str:
    if not port.tokens:
        return str(port.width)
    return f"{port.width} token{'s' if port.width > 1 else ''} of {port.tokens:,}"


def load(source: str | os.PathLike[str] | Any) -> Model:
    """Open a `.grulet` model: a path, bytes, or any buffer.

    A buffer that starts on a 64-byte boundary (a memory map, an aligned array) is used in place and must not change;
    any other is copied once.  The whole file is checked; raises `FormatError` where it is no model this version runs.
    """
    if not isinstance(source, str | os.PathLike):
        return Model(source)
    path = os.fsdecode(source)
    try:
        with open(path, "rb") as file:
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
