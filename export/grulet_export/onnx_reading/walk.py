"""The nodes of an ONNX file in order, under one reading of its axes: from its inputs to its outputs."""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray
from onnx import NodeProto, helper

from grulet_export.canonical import canonical
from grulet_export.errors import Refusal, UnsupportedGraph
from grulet_export.graph import Graph, Port, StateRead, StateWrite
from grulet_export.onnx_reading import file as onnx_file
from grulet_export.onnx_reading.axes import BATCH, Axes, Misread, described, shape
from grulet_export.onnx_reading.contents import Contents
from grulet_export.onnx_reading.file import EXPORT_AGAIN
from grulet_export.onnx_reading.handlers import run
from grulet_export.onnx_reading.layout import Imported, Layout, StateInput
from grulet_export.onnx_reading.live import inputs_read
from grulet_export.onnx_reading.program import STATE, Program, state_input
from grulet_export.onnx_reading.readings import Reading
from grulet_export.onnx_reading.values import LARGEST_FRAME, Operation, Signal, Value, name_of


class Stopped(Exception):  # noqa: N818 (a reading that came to its end)
    """A reading was refused after so many nodes; ``misread``: for the roles of axes, so that it is the wrong one."""

    def __init__(self, walked: int, error: UnsupportedGraph):
        super().__init__(walked, error)
        self.error = error
        self.rank = (walked, not isinstance(error.__cause__, Misread))


@dataclass
class _Outputs:
    """What becomes of the file's outputs."""

    ports: list[Port]
    signals: dict[str, Signal]
    final_states: dict[str, Signal]


class Walk:
    """A file under one reading."""

    def __init__(self, contents: Contents, reading: Reading) -> None:
        self.contents = contents
        self.reading = reading
        self.walked = 0
        self.program = Program(
            extents=dict(reading.extents), producer=contents.producer, readers=contents.readers, makers=contents.makers
        )

    def imported(self) -> Imported:
        """Return the graph and how to run the file; raises `Stopped`."""
        try:
            ports = self._inputs()
            self._walk_nodes()
            outputs = self._outputs()
            inputs = tuple(replace(port, tokens=self.program.tokens.get(port.value, 0)) for port in ports)
            nodes = tuple(self.program.nodes.values())
            graph = canonical(Graph(inputs, tuple(outputs.ports), nodes, source_sha256=""))
        except UnsupportedGraph as error:
            raise Stopped(self.walked, error) from error
        layout = self._layout(outputs)
        return Imported(graph, layout, tuple(self.program.notes))

    def _inputs(self) -> list[Port]:
        """Fill in the values of the file's inputs and return the ports of the frames; their tokens come later."""
        program = self.program
        ports: list[Port] = []
        for role in self.reading.frozen:
            program.note(f"The file itself runs only with {program.extents[role]} along {role}, fixed by its exporter.")
        for name in self.contents.unread:
            program.note(f"The input '{name}' is left out: no output depends on it.")
        for item in self.contents.frames:
            axes = self.reading.axes[item.name]
            numbers = self._places(item.name, axes)
            width = numbers.size
            if item.state:
                if program.sequence:
                    raise UnsupportedGraph(
                        item.name,
                        "input",
                        "it is a state, but the file takes whole sequences, not frame by frame",
                        "export the model for one frame, (batch, 1, features)",
                    )
                state = program.state_names.unique(item.name)
                value = program.emit(StateRead, item.name, [], state=state, initial=np.zeros(width))
            else:
                value = program.source(f"input {item.name}", width)
                ports.append(Port(item.name, value, width))
            program.tensors[item.name] = Signal(numbers, axes, (value,), tokens=item.tokens)
            if not program.sequence and sum(size != 1 for size in shape(axes)) > 1 and not item.state:
                program.note(f"The input '{item.name}' {described(axes)} is one frame of {width} elements.")
        for name, dims in self.contents.cell_states.items():
            state_axes = tuple(size if isinstance(size, int) else (BATCH,) for size in dims)
            numbers = self._places(name, state_axes)
            value = program.source(f"{STATE}{name}", numbers.size)
            program.tensors[name] = Signal(numbers, state_axes, (value,), state="initial")
        return ports

    def _places(self, name: str, axes: Axes) -> NDArray[Any]:
        """Return the places of an input's features in its vector."""
        width = math.prod(shape(axes))
        if width > LARGEST_FRAME:
            raise UnsupportedGraph(
                name, "input", f"a frame of it has {width:,} elements", f"give at most {LARGEST_FRAME:,} at a time"
            )
        return np.arange(width).reshape(shape(axes))

    def _walk_nodes(self) -> None:
        """Give every tensor its value; the branch of a decided If takes the If's place."""
        waiting = deque(self.contents.nodes)
        while waiting:
            node = waiting.popleft()
            name = name_of(node)
            try:
                branch = self._branch(node) if node.op_type == "If" else None
                if branch is not None:
                    waiting.extendleft(reversed(branch))
                    continue
                read = set(inputs_read(node))
                operation = Operation(
                    name=name,
                    opset=self.contents.opset,
                    node=node,
                    inputs=tuple(self._value(name) if name in read else None for name in node.input),
                    attributes={entry.name: onnx_file.attribute(entry) for entry in node.attribute},
                )
                results = run(self.program, operation)
            except Refusal as refusal:
                raise refusal.at(name, node.op_type) from refusal
            self.program.tensors.update(zip(node.output, results, strict=False))  # those without a name, too
            self.walked += 1

    def _branch(self, node: NodeProto) -> list[NodeProto] | None:
        """Return the nodes that an If runs, if its condition is known; they write the If's outputs."""
        condition = self._value(node.input[0])
        if not isinstance(condition, np.ndarray) or condition.size != 1:
            return None
        wanted = "then_branch" if condition.reshape(-1)[0] else "else_branch"
        (graph,) = (entry.g for entry in node.attribute if entry.name == wanted)
        for tensor in graph.initializer:
            self.program.tensors[tensor.name] = onnx_file.array(tensor)
        renamed = [
            helper.make_node("Identity", [inner.name], [outer], name=name_of(node))
            for inner, outer in zip(graph.output, node.output, strict=False)
            if outer
        ]
        return [*graph.node, *renamed]

    def _value(self, name: str) -> Value | None:
        if not name:
            return None  # an optional input that is left out
        tensors = self.program.tensors
        if name not in tensors and name in self.contents.initializers:
            tensors[name] = self.contents.constant(name)
        if name not in tensors:
            raise Refusal(f"it reads '{name}', which nothing in the file gives", EXPORT_AGAIN)
        return tensors[name]

    # Outputs ---------------------------------------------------------------------------------------------------------

    def _outputs(self) -> _Outputs:
        found = _Outputs([], {}, {})
        writers = {output: name for name, output in self.contents.states.items()}
        for name in self.contents.outputs:
            try:
                signal = self._value(name)
                if not isinstance(signal, Signal):
                    raise Refusal("it does not depend on any frame", "return one vector per frame")
                if name in writers:
                    self._write_state(writers[name], signal)
                elif signal.state in ("h", "c"):
                    found.final_states[name] = signal
                else:
                    self._answer(found, name, signal)
            except Refusal as refusal:
                raise refusal.at(name, "output") from refusal
        self._drop_final_states(found)
        return found

    def _answer(self, found: _Outputs, name: str, signal: Signal) -> None:
        if signal.tail or signal.lead:
            raise Refusal(
                f"it has {signal.tail + signal.lead} frames more than the input",
                f"cut what the padding of a convolution adds: y[..., :-{signal.tail or signal.lead}]",
            )
        value = self.program.vector(signal, name)
        found.ports.append(Port(name, value, self.program.widths[value]))
        found.signals[name] = signal

    def _write_state(self, name: str, signal: Signal) -> None:
        """Keep an output for the next frame."""
        program = self.program
        before = program.tensors[name]
        value = program.vector(replace(signal, state=""), name)
        if not isinstance(before, Signal) or program.widths[value] != before.numbers.size:
            raise Refusal(
                f"its shape {described(signal.axes)} is not that of the state '{name}'", "pair states of equal shapes"
            )
        read = program.nodes[before.values[0]]
        assert isinstance(read, StateRead)
        program.emit(StateWrite, f"{name}.write", [value], state=read.state)

    def _drop_final_states(self, found: _Outputs) -> None:
        """Final states are the stream's own; without any other answer, the hidden ones are answers."""
        answers = {name for name, signal in found.final_states.items() if signal.state == "h" and not found.ports}
        for name, signal in found.final_states.items():
            if name in answers:
                self._answer(found, name, signal)
            else:
                self.program.note(f"The output '{name}' is left out: a stream keeps its state itself.")
        if not found.ports:
            raise UnsupportedGraph(
                "",
                "ONNX graph",
                "it gives no answer per frame, only final cell states" if found.final_states else "it has no outputs",
                "return Y of the last layer, or what is computed from it: one vector per frame",
            )

    # How to run the file ---------------------------------------------------------------------------------------------

    def _layout(self, outputs: _Outputs) -> Layout:
        states = self._state_inputs(outputs)
        return Layout(
            inputs={item.name: self.reading.axes[item.name] for item in self.contents.frames if not item.state},
            outputs={name: signal.axes for name, signal in outputs.signals.items()},
            sizes={role: size for role, size in self.program.extents.items() if isinstance(size, int)},
            sequence=self.program.sequence,
            last=frozenset(name for name, signal in outputs.signals.items() if signal.last),
            carries=self._carries(states),
            states=states,
            sequence_lens=tuple(self.contents.sequence_lens),
        )

    def _state_inputs(self, outputs: _Outputs) -> dict[str, StateInput]:
        """Return the inputs that hold states, each with the output that holds the same numbers a frame later."""
        program = self.program
        # After a single frame, all frames of a cell are its final state.
        places = {
            name: program.places(signal)
            for name, signal in (outputs.final_states | outputs.signals).items()
            if signal.state or not program.sequence
        }
        found: dict[str, StateInput] = {}
        for name, dims in self.contents.cell_states.items():
            carried = [program.carried.get((STATE + name, place)) for place in range(program.widths[STATE + name])]
            kept = [place for place in carried if place is not None]  # of a fixed batch, the first stream
            output = next((output for output, final in places.items() if final == kept), "")
            if not output:
                program.note(f"The input '{name}' is the state of a stream, which starts from zeros.")
            found[name] = StateInput(tuple(size if isinstance(size, int) else 1 for size in dims), output)
        for name, output in self.contents.states.items():
            found[name] = StateInput(shape(self.reading.axes[name]), output)
        return found

    def _carries(self, states: Mapping[str, StateInput]) -> bool:
        """Return whether a file of one frame takes and gives all states of its cells."""
        program = self.program
        given = {final for (value, _), (final, _) in program.carried.items() if states[state_input(value)].output}
        if program.sequence or program.kept <= given:
            return True
        program.note("The file handles one frame, but does not give the state behind it: a stream carries it on.")
        return False
