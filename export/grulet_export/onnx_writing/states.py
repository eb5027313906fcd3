"""Nodes that remember frames: cells, histories, loops.

In the step form every state is an input and an output of the model.  Over whole sequences the states of forward cells
are too, so that a sequence may come in pieces; reverse cells and histories start anew with every sequence.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from grulet_export.graph import (
    Array,
    Dense,
    Depthwise,
    FirstFrame,
    Gru,
    History,
    Lstm,
    Node,
    Rnn,
    StateRead,
    StateWrite,
)
from grulet_export.onnx_writing.parts import STEP, Writer
from grulet_export.onnx_writing.vectors import NodeWriter

_TIME = 0  # the axis in (time, batch, width)


# ---- cells -----------------------------------------------------------------------------------------------------------


def _gru(writer: Writer, node: Gru, sources: list[str], target: str) -> None:
    biases = np.concatenate([node.input_bias, node.recurrent_bias])
    starts = {"state": node.initial_state}
    _cell(writer, node, "GRU", [0, 1, 2], biases, starts, sources[0], target, linear_before_reset=1)


def _lstm(writer: Writer, node: Lstm, sources: list[str], target: str) -> None:
    order = [0, 3, 1, 2]  # ours i f g o, theirs i o f c
    biases = np.concatenate([node.bias[order], np.zeros_like(node.bias)])
    starts = {"state": node.initial_state[0], "cell": node.initial_state[1]}
    _cell(writer, node, "LSTM", order, biases, starts, sources[0], target)


def _rnn(writer: Writer, node: Rnn, sources: list[str], target: str) -> None:
    biases = np.concatenate([node.bias, np.zeros_like(node.bias)])
    _cell(writer, node, "RNN", [0], biases, {"state": node.initial_state}, sources[0], target)


def _cell(
    writer: Writer,
    node: Gru | Lstm | Rnn,
    operator: str,
    order: list[int],
    biases: Array,
    starts: Mapping[str, Array],
    source: str,
    target: str,
    **attributes: Any,
) -> None:
    """Add a cell and drop the direction axis of Y, (time, direction, batch, units).

    ``order``: which of our gates is each of the operator's.  ``biases`` (2 * gates, units): input, then recurrent.
    ``starts``: what each of its states is called, and what it starts from.
    """
    units = node.recurrent_weights.shape[2]
    weights = [
        writer.constant(f"{node.name}.W", node.input_weights[order].reshape(1, len(order) * units, -1)),
        writer.constant(f"{node.name}.R", node.recurrent_weights[order].reshape(1, len(order) * units, units)),
        writer.constant(f"{node.name}.B", biases.reshape(1, -1)) if biases.any() else "",
    ]
    if node.reverse:
        attributes["direction"] = "reverse"
        initial = [_for_every_voice(writer, f"{node.name}.initial_{what}", source, x) for what, x in starts.items()]
        final = []
    else:
        states = [writer.state(node.name, what, x) for what, x in starts.items()]
        initial, final = [state.input for state in states], [state.output for state in states]
    every_frame = writer.tensor_names.unique(f"{node.name}.Y")
    inputs = [source, *weights, "", *initial]  # "": sequence_lens
    writer.node(operator, node.name, inputs, [every_frame, *final], hidden_size=units, **attributes)
    writer.part("Squeeze", f"{node.name}.squeeze", [every_frame], target, axes=[1])


def _for_every_voice(writer: Writer, name: str, source: str, initial: Array) -> str:
    """Return a constant (1, batch, units), as wide a batch as that of ``source``; "" for zeros, which need none."""
    if not initial.any():
        return ""
    batch = writer.part("Shape", f"{name}.batch", [source], start=1, end=2)
    sizes = [writer.integers(f"{name}.one", 1), batch, writer.integers(f"{name}.units", len(initial))]
    shape = writer.part("Concat", f"{name}.shape", sizes, axis=0)
    return writer.part("Expand", name, [writer.constant(f"{name}.values", initial[None, None]), shape])


# ---- past frames -----------------------------------------------------------------------------------------------------


def _history(writer: Writer, node: History, sources: list[str], target: str) -> None:
    """In the step form, keep the past frames in one vector; over sequences, a convolution that copies."""
    width = writer.widths[node.inputs[0]]
    if writer.form is not STEP:
        copies = np.eye(node.taps * width, dtype=np.float32)
        copy = Dense(node.name, (), "", copies, np.zeros(len(copies), np.float32))
        write_convolution(writer, node, copy, sources[0], target)
        return
    past = (node.taps - 1) * node.dilation
    state = writer.state(node.name, "state", np.zeros(past * width, np.float32))
    frames = target if node.dilation == 1 else writer.tensor_names.unique(f"{node.name}.past")
    writer.node("Concat", node.name, [state.input, *sources], [frames], axis=2)
    if node.dilation > 1:
        elements = np.arange((past + 1) * width).reshape(-1, width)[:: node.dilation]
        wanted = writer.integers(f"{node.name}.indices", *map(int, elements.reshape(-1)))
        writer.part("Gather", f"{node.name}.gather", [frames, wanted], target, axis=2)
    ends = [writer.integers(f"{node.name}.{end}", x * width) for end, x in (("first", 1), ("end", past + 1))]
    writer.part("Slice", f"{node.name}.keep", [frames, *ends], state.output, axes=[2])


def write_convolution(writer: Writer, history: History, node: Dense | Depthwise, source: str, target: str) -> None:
    """Write a history and the node that reads it as the one operator that they are together, over whole sequences.

    Conv wants (batch, channels, time), and its padding is the zeros before the first frame.
    """
    taps, channels = history.taps, writer.widths[history.inputs[0]]
    if isinstance(node, Dense):
        weights, groups = node.weights.reshape(-1, taps, channels).transpose(0, 2, 1), 1
    else:
        weights, groups = node.weights.T[:, None], channels
    parameters = [writer.constant(f"{node.name}.weight", weights)]
    if node.bias.any():
        parameters.append(writer.constant(f"{node.name}.bias", node.bias))
    time_last = writer.part("Transpose", f"{node.name}.enter", [source], perm=[1, 2, 0])
    answers = writer.tensor_names.unique(f"{node.name}.channels")
    writer.node(
        "Conv",
        node.name,
        [time_last, *parameters],
        [answers],
        kernel_shape=[taps],
        dilations=[history.dilation],
        pads=[(taps - 1) * history.dilation, 0],
        group=groups,
    )
    writer.part("Transpose", f"{node.name}.leave", [answers], target, perm=[2, 0, 1])


def _first_frame(writer: Writer, node: FirstFrame, sources: list[str], target: str) -> None:
    ends = [writer.integers(f"{node.name}.{end}", x) for end, x in (("first", 0), ("end", 1))]
    first = writer.tensor_names.unique(f"{node.name}.one")
    writer.node("Slice", node.name, [*sources, *ends], [first], axes=[_TIME])
    shape = writer.part("Shape", f"{node.name}.shape", sources)
    writer.part("Expand", f"{node.name}.expand", [first, shape], target)


# ---- loops (step form only) ------------------------------------------------------------------------------------------


def _state_read(writer: Writer, node: StateRead, sources: list[str], target: str) -> None:
    writer.node("Identity", node.name, [writer.loops[node.state].input], [target])


def _state_write(writer: Writer, node: StateWrite, sources: list[str], target: str) -> None:
    writer.node("Identity", node.name, sources, [target])
    writer.part("Identity", f"{node.name}.keep", sources, writer.loops[node.state].output)


WRITERS: Mapping[type[Node], NodeWriter] = {
    Gru: _gru,
    Lstm: _lstm,
    Rnn: _rnn,
    History: _history,
    FirstFrame: _first_frame,
    StateRead: _state_read,
    StateWrite: _state_write,
}
