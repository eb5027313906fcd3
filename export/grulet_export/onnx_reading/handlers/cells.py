"""GRU, LSTM and RNN: the operators with all their attributes, as one or two directions of one recurrent layer.

What most models hold becomes a `Gru`, `Lstm` or `Rnn`; every other choice is spelled out (`spelled`, beside this).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import numpy as np

from grulet_export.errors import Refusal
from grulet_export.graph import Array, FirstFrame, Gru, Lstm, Rnn
from grulet_export.onnx_reading import axes as onnx_axes
from grulet_export.onnx_reading.axes import BATCH, TIME, Misread
from grulet_export.onnx_reading.file import EXPORT_AGAIN, finite
from grulet_export.onnx_reading.handlers.gate_functions import gate_functions
from grulet_export.onnx_reading.handlers.spelled import Layer, spelled_gru, spelled_lstm, spelled_rnn
from grulet_export.onnx_reading.live import SEQUENCE_LENS
from grulet_export.onnx_reading.program import Handler, Program, state_input
from grulet_export.onnx_reading.values import Fill, Operation, Signal, Value, as_tensor


@dataclass(frozen=True)
class _Kind:
    """What tells one operator from the others."""

    gates: int
    functions: tuple[str, ...]
    states: str  # the names of its states, "h" or "hc"
    plain: Callable[[Program, Layer], dict[str, str]]
    spelled: Callable[[Program, Layer], dict[str, str]]


def _gru_node(program: Program, layer: Layer) -> dict[str, str]:
    value = program.emit(
        Gru,
        layer.name,
        [layer.frames],
        input_weights=layer.input_weights,
        recurrent_weights=layer.recurrent_weights,
        input_bias=layer.input_bias,
        recurrent_bias=layer.recurrent_bias,
        initial_state=layer.initial["h"],
        reverse=layer.reverse,
    )
    return {"h": value}


#: Where ONNX has our LSTM gates i, f, g, o: its order is i, o, f, c.
_LSTM_ORDER = [0, 2, 3, 1]


def _lstm_node(program: Program, layer: Layer) -> dict[str, str]:
    bias = layer.input_bias.astype(np.float64) + layer.recurrent_bias
    value = program.emit(
        Lstm,
        layer.name,
        [layer.frames],
        input_weights=layer.input_weights[_LSTM_ORDER],
        recurrent_weights=layer.recurrent_weights[_LSTM_ORDER],
        bias=bias[_LSTM_ORDER],
        initial_state=np.stack([layer.initial["h"], layer.initial["c"]]),
        reverse=layer.reverse,
    )
    # No node gives the cell state; the name only tells where it goes.
    return {"h": value, "c": program.source(f"cell state of {value}", layer.units)}


def _rnn_node(program: Program, layer: Layer) -> dict[str, str]:
    value = program.emit(
        Rnn,
        layer.name,
        [layer.frames],
        input_weights=layer.input_weights,
        recurrent_weights=layer.recurrent_weights,
        bias=layer.input_bias.astype(np.float64) + layer.recurrent_bias,
        initial_state=layer.initial["h"],
        reverse=layer.reverse,
    )
    return {"h": value}


_KINDS = {
    "GRU": _Kind(3, ("sigmoid", "tanh"), "h", _gru_node, spelled_gru),
    "LSTM": _Kind(4, ("sigmoid", "tanh", "tanh"), "hc", _lstm_node, spelled_lstm),
    "RNN": _Kind(1, ("tanh",), "h", _rnn_node, spelled_rnn),
}


def _cell(program: Program, operation: Operation) -> Sequence[Value]:
    kind = _KINDS[operation.node.op_type]
    given = operation.attributes
    x = _frames(program, operation)
    direction = given.get("direction", "forward")
    if direction not in ("forward", "reverse", "bidirectional"):
        raise Refusal(f"its direction is '{direction}'", EXPORT_AGAIN)
    reverses = {"forward": [False], "reverse": [True], "bidirectional": [False, True]}[direction]
    arrays = _arrays(operation, kind, len(reverses), int(x.axes[-1]))  # type: ignore[arg-type]
    units = arrays["R"].shape[-1]
    functions = gate_functions(given, kind.functions, len(reverses))
    clip = float(given.get("clip", 0.0))
    if not np.isfinite(clip) or clip < 0 or ("clip" in given and clip == 0):
        raise Refusal(f"its clip is {clip}", "use a positive number, or none")
    frames = program.vector(x, operation.name)
    finals: list[dict[str, str]] = []
    for place, reverse in enumerate(reverses):
        start = _start(program, operation, kind, place, (len(reverses), units))
        layer = Layer(
            name=operation.name + (".reverse" if place else ""),
            frames=frames,
            reverse=reverse and program.sequence,  # over a single frame both directions are one
            input_weights=arrays["W"][place],
            recurrent_weights=arrays["R"][place],
            input_bias=arrays["B"][place, 0],
            recurrent_bias=arrays["B"][place, 1],
            peepholes=arrays["P"][place] if "P" in arrays else None,
            functions=functions[place],
            clip=clip,
            reset_first=not given.get("linear_before_reset", 0),
            coupled=bool(given.get("input_forget", 0)),
            initial=start.initial,
            previous=start.previous,
            state_names={state: program.state_names.unique(f"{operation.name}.{state}") for state in kind.states},
        )
        final = (kind.plain if _is_plain(kind, layer, operation.node.op_type) else kind.spelled)(program, layer)
        for state, row in start.carried.items():
            _carry(program, row, final[state])
        if not start.previous:
            program.kept.update(final.values())
        finals.append(final)
    if operation.node.op_type == "GRU" and program.producer == "pytorch" and not given.get("linear_before_reset", 0):
        program.note(
            f"{operation.name}: linear_before_reset is 0, as in no GRU of torch, whose exporter wrote it so, and its "
            "numbers wrong, up to onnxscript 0.7.0; compare with the torch module."
        )
    if any(operation.node.input[SEQUENCE_LENS : SEQUENCE_LENS + 1]):
        program.note(f"{operation.name}: sequence_lens is left out; a stream ends when it ends.")
    return _outputs(program, operation, x, finals, reverses, bool(start.previous))


def _is_plain(kind: _Kind, layer: Layer, operator: str) -> bool:
    """Return whether a layer is what `Gru`, `Lstm` and `Rnn` compute."""
    return (
        tuple(function.name for function in layer.functions) == kind.functions
        and not layer.clip
        and layer.peepholes is None
        and not layer.coupled
        and not layer.previous
        and not (operator == "GRU" and layer.reset_first)
        and float(np.abs(layer.initial["h"]).max()) <= 1
    )


def _frames(program: Program, operation: Operation) -> Signal:
    """Return the input with its axes (time, batch, features)."""
    x = program.frames(operation.given(0))
    if len(x.axes) != 3:
        raise Misread(f"its input has {len(x.axes)} axes", "give it (time, batch, features)")
    if operation.attributes.get("layout", 0):
        x = onnx_axes.transpose(x, [1, 0, 2])
    time, batch, features = x.axes
    if x.tail or x.lead:
        raise Refusal(
            f"its input has {x.tail + x.lead} frames more than the model's",
            "cut what the padding of a convolution adds",
        )
    if time not in ((TIME,), 1) or batch not in ((BATCH,), 1) or not isinstance(features, int):
        raise Misread(
            f"its input is {onnx_axes.described(x.axes)}", "give it (time, batch, features), features of a fixed size"
        )
    if time == 1 and program.sequence:
        raise Misread("it runs over a single frame, while other inputs are sequences", "give it one vector per frame")
    return x


def _arrays(operation: Operation, kind: _Kind, directions: int, width: int) -> dict[str, Array]:
    """Return W, R, B and P as (directions, ...), checked; B as (directions, 2, gates, units)."""
    weights, recurrent = operation.weights(1, "W"), operation.weights(2, "R")
    units = int(recurrent.shape[-1]) if recurrent.ndim else 0
    gates = kind.gates
    bias = operation.weights(3, "B") if operation.given(3) is not None else None
    needed: dict[str, tuple[Array | None, tuple[int, ...]]] = {
        "W": (weights, (directions, gates * units, width)),
        "R": (recurrent, (directions, gates * units, units)),
        "B": (bias, (directions, 2 * gates * units)),
    }
    if kind.states == "hc" and operation.given(7) is not None:
        needed["P"] = (operation.weights(7, "P"), (directions, 3 * units))
    for name, (array, shape) in needed.items():
        if array is not None and (array.shape != shape or units == 0 or width == 0):
            raise Refusal(f"the shape of its {name} is {array.shape} where {shape} is needed", EXPORT_AGAIN)
    if operation.attributes.get("hidden_size", units) != units:
        raise Refusal(f"its hidden_size is not {units}, the size of R", EXPORT_AGAIN)
    shapes = {
        "W": (directions, gates, units, width),
        "R": (directions, gates, units, units),
        "B": (directions, 2, gates, units),
        "P": (directions, 3, units),
    }
    return {
        name: (np.zeros(shape, np.float32) if array is None else array).reshape(shapes[name])
        for name, (array, shape) in needed.items()
    }


# The state -----------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class _Start:
    """Where the states of one direction come from, each by its name."""

    initial: dict[str, Array]  # what they are in the first frame
    carried: dict[str, Signal]  # graph inputs: a stream keeps those itself
    previous: dict[str, str]  # values that the graph computes, possible in a graph of one frame


def _start(program: Program, operation: Operation, kind: _Kind, place: int, shape: tuple[int, int]) -> _Start:
    """Return the initial states of one direction of ``shape`` (directions, units)."""
    start = _Start({}, {}, {})
    for index, state in enumerate(kind.states, start=5):
        start.initial[state] = np.zeros(shape[1], np.float32)
        value = operation.given(index)
        if value is None:
            continue
        rows = _rows(operation, as_tensor(value), f"initial_{state}", shape)
        row = replace(rows, numbers=rows.numbers[place], axes=(shape[1],))
        if isinstance(row, Fill):
            start.initial[state] = finite(row.numbers, f"its initial_{state}")
        elif row.state == "initial":
            start.carried[state] = row
        elif program.sequence:
            raise Refusal(
                f"its initial_{state} is computed by the graph, so every sequence would start from another state",
                "split an encoder from its decoder: export them as two models",
            )
        else:
            start.previous[state] = program.vector(row, operation.name)
    if start.previous and len(start.previous) < len(kind.states):
        raise Refusal("only one of its initial states is computed by the graph", "compute both, or none")
    return start


def _rows(operation: Operation, tensor: Fill | Signal, what: str, shape: tuple[int, int]) -> Fill | Signal:
    """Return an initial state as (directions, units): it must be the same for all streams."""
    if operation.attributes.get("layout", 0) and len(tensor.axes) == 3:
        tensor = onnx_axes.transpose(tensor, [1, 0, 2])
    refusal = Refusal(f"its {what} is {onnx_axes.described(tensor.axes)}", f"give it ({shape[0]}, batch, {shape[1]})")
    if len(tensor.axes) != 3 or (tensor.axes[0], tensor.axes[2]) != shape:
        raise refusal
    streams = tensor.axes[1]
    if isinstance(streams, int) and streams > 1:
        # A batch of fixed size: every stream starts like the first.
        numbers = tensor.numbers[:, :1]
        if isinstance(tensor, Fill) and (tensor.numbers != numbers).any():
            raise Refusal(f"its {what} differs between the streams of a batch", "use one initial state for all")
        tensor = replace(tensor, numbers=numbers)
    elif streams not in (1, (BATCH,)):
        raise refusal
    return replace(tensor, numbers=tensor.numbers.reshape(shape), axes=shape)


def _carry(program: Program, row: Signal, final: str) -> None:
    """Note which final state an input is where a stream carries on."""
    for unit, (value, place) in enumerate(program.places(row)):
        if program.carried.setdefault((value, place), (final, unit)) == (final, unit):
            continue
        if not program.sequence:
            raise Refusal(
                f"another state starts from the input '{state_input(value)}' too",
                "give every layer its own initial state",
            )
        program.note(
            f"Several states start from the input '{state_input(value)}'; a stream starts them all from zeros."
        )


# Outputs -------------------------------------------------------------------------------------------------------------


def _outputs(
    program: Program,
    operation: Operation,
    x: Signal,
    finals: Sequence[dict[str, str]],
    reverses: Sequence[bool],
    computed: bool,
) -> Sequence[Value]:
    """Return Y, Y_h and, for the LSTM, Y_c; ``computed``: the states are not the stream's own."""
    time, batch, _ = x.axes
    batch_first = operation.attributes.get("layout", 0)
    directions, units = len(finals), program.widths[finals[0]["h"]]
    numbers = np.arange(directions * units).reshape(directions, 1, units)
    every = Signal(
        numbers[None],
        (time, directions, batch, units),
        tuple(final["h"] for final in finals),
        **program.joined(x.axes, x),
    )
    outputs: list[Value] = [onnx_axes.transpose(every, [2, 0, 1, 3]) if batch_first else every]
    for state in finals[0]:
        values = tuple(
            program.emit(FirstFrame, f"{operation.name}.first", [final[state]])
            if reverse and program.sequence and state == "h"
            else final[state]
            for final, reverse in zip(finals, reverses, strict=True)
        )
        last = Signal(
            numbers, (directions, batch, units), values, last=program.sequence, state="" if computed else state
        )
        outputs.append(onnx_axes.transpose(last, [1, 0, 2]) if batch_first else last)
    return outputs


HANDLERS: dict[str, Handler] = dict.fromkeys(_KINDS, _cell)
