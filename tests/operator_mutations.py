"""Hostile files of the operators between and around recurrent layers: one small wrong program for every rule.

Each is built by `Builder`, which checks nothing, so that sizes and offsets are right and only what is meant is wrong;
where that is not enough, fields and bytes of the file are edited.
"""

from __future__ import annotations

import struct
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from builder import Builder
from mutations import NONE, HostileFile

from grulet import format as grulet_format
from grulet.operators import (
    Activation,
    Affine,
    Binary,
    Concat,
    Depthwise,
    Embedding,
    FirstFrame,
    History,
    LayerNorm,
    Matrix,
    Rnn,
    Select,
    Slice,
    StateRead,
    StateWrite,
)
from grulet.weights import QUANTIZED

#: Inputs of every program here: a value, and a port.
WIDE, NARROW, SINGLE, TOKENS = range(4)
WIDTHS = {"wide": 6, "narrow": 4, "single": 1, "tokens": 2}
LIMIT = 9  # of the tokens

Make = Callable[[Builder], Any]
Edit = Callable[[HostileFile], None]


@dataclass(frozen=True)
class OperatorMutation:
    """A program, and edits of its file, that break one rule.

    ``rule``: its number in docs/format.md, "Forbidden".
    """

    rule: int
    make: Make
    edits: tuple[Edit, ...] = ()
    weights: str = "f32"


def _file(make: Make, weights: str) -> HostileFile:
    builder = Builder(5, weights, "int16" if weights in QUANTIZED else "f32")
    for name, width in WIDTHS.items():
        builder.input(name, width, LIMIT if name == "tokens" else 0)
    make(builder)
    builder.output("output", len(builder.widths) - 1)
    return HostileFile(grulet_format.write(builder.program()))


def _floats(*shape: int, value: float = 0.5) -> Any:
    return np.full(shape, value, np.float32)


def _op(op: int = 0, **fields: int | float) -> Edit:
    """Set fields of an operator's record."""

    def edit(file: HostileFile) -> None:
        for name, value in fields.items():
            file.set("op", op, name, value)

    return edit


def _port(port: int, **fields: int) -> Edit:
    """Set fields of a port; the one output port is 4."""

    def edit(file: HostileFile) -> None:
        for name, value in fields.items():
            file.set("port", port, name, value)

    return edit


def _data(at: int, data: bytes, op: int = 0) -> Edit:
    """Overwrite bytes of an operator's data; ``at`` below 0 counts from its end."""

    def edit(file: HostileFile) -> None:
        start = file.op_data(op) + (at if at >= 0 else file.get("op", op, "data_bytes") + at)
        file.data[start : start + len(data)] = data

    return edit


def _float(at: int, value: float) -> Edit:
    return _data(at, struct.pack("<f", value))


def _weight_and_sum(at: int, weight: int, sum_at: int) -> Edit:
    """Overwrite an int8 weight and correct its row sum: only the weight itself can be at fault."""

    def edit(file: HostileFile) -> None:
        start = file.op_data(0)
        old = struct.unpack_from("<b", file.data, start + at)[0]
        total = struct.unpack_from("<i", file.data, start + sum_at)[0]
        struct.pack_into("<b", file.data, start + at, weight)
        struct.pack_into("<i", file.data, start + sum_at, total + weight - old)

    return edit


def _int4_row(weights_at: int, sum_at: int, multiplier_at: int, multiplier: int) -> tuple[Edit, ...]:
    """Four weights of 0 (in the low nibbles; none in the high ones), their row sum, and any multiplier for them."""
    return (
        _data(weights_at, b"\x88" * 4),
        _data(sum_at, bytes(4)),
        _data(multiplier_at, bytes([multiplier % 256])),
    )


def _initial(at: int, value: float) -> Edit:
    """Overwrite a float of the first state's initial vector."""

    def edit(file: HostileFile) -> None:
        struct.pack_into("<f", file.data, file.get("state", 0, "initial") + 4 * at, value)

    return edit


def _initial_history(file: HostileFile) -> None:
    """Give the state, a history, zeros to start from: as good as none, but not allowed."""
    size = -(-4 * file.get("state", 0, "width") // 64) * 64
    file.set("state", 0, "initial", len(file.data))
    file.add("header", 0, "data_bytes", size)
    file.insert(len(file.data), bytes(size))


def _long_history(file: HostileFile) -> None:
    """More frames than a float counts, in a state of the right size."""
    dilation = 2**24 + 1
    file.set("op", 0, "parameter", dilation)
    file.set("state", 0, "width", 1 + dilation)
    file.set("header", 0, "state_floats", 1 + dilation)


def _output_over_second_input(file: HostileFile) -> None:
    """Put the output, the last value, where the second input lies, an input that nobody else reads."""
    last = file.get("header", 0, "values") - 1
    file.set("value", last, "offset", file.get("value", NARROW, "offset"))
    file.set("header", 0, "arena_floats", sum(WIDTHS.values()))


def _copy(builder: Builder, value: int = WIDE, **schedule: Any) -> int:
    return builder.add(Affine, value, builder.widths[value], *[_floats(builder.widths[value])] * 2, **schedule)


def _state(builder: Builder, **schedule: Any) -> int:
    return builder.add(StateRead, NONE, 6, _floats(6), **schedule)


def _kept(builder: Builder, value: int = WIDE, reader: int = 0, **schedule: Any) -> int:
    return builder.add(StateWrite, value, builder.widths[value], reader, **schedule)


LOOP, OTHER_LOOP = {"loop": 1}, {"loop": 2}


def _lstm(builder: Builder) -> int:
    return builder.cell("lstm", NARROW, 3, initial=True)


# Where the parts of that LSTM lie: one block of 4 stored rows, 4 inputs, one group, one span (docs/format.md).  A panel
# of three sets is [3 sets][4 rows][4 inputs], the fourth's [4 rows][4 inputs]; each is padded to 64 bytes.
X_FOURTH, H_FIRST, H_FOURTH, SCALES = 64, 128, 192, 256
BIASES, X_SUMS = SCALES + 2 * 64, SCALES + 3 * 64
X_FOURTH_SUMS, H_SUMS, H_FOURTH_SUMS = X_SUMS + 48, X_SUMS + 64, X_SUMS + 112
F32_X_FOURTH, F32_H_FOURTH, F32_BIASES = 192, 448, 512

# In int4 all this is the same: one pair of groups of 4 inputs, the second of them missing.  Behind the row sums come
# multipliers, [1 group][sets][4 rows] a panel.
X_MULTIPLIERS = H_FOURTH_SUMS + 16
X_FOURTH_MULTIPLIERS, H_MULTIPLIERS, H_FOURTH_MULTIPLIERS = X_MULTIPLIERS + 12, X_MULTIPLIERS + 16, X_MULTIPLIERS + 28
INT4_END = X_MULTIPLIERS + 32
# In f16 panels have 96 bytes, padded to 128, and 32, padded to 64.
F16_X_FOURTH, F16_H_FIRST, F16_H_FOURTH, F16_BIASES = 128, 192, 320, 384
# The table of int4: 9 rows of 2 bytes, their multipliers, their scales.
TABLE_MULTIPLIERS, TABLE_SCALES = 64, 128
HALVES = {"nan": b"\1\x7c", "quiet-nan": b"\0\x7e", "inf": b"\0\x7c", "minus-inf": b"\0\xfc"}

M = OperatorMutation
LSTM_INT8: dict[str, Any] = {"make": _lstm, "weights": "int8"}
LSTM_INT4: dict[str, Any] = {"make": _lstm, "weights": "int4"}
LSTM_F16: dict[str, Any] = {"make": _lstm, "weights": "f16"}
TABLE_INT4: dict[str, Any] = {"make": lambda b: b.embedding(TOKENS, 3), "weights": "int4"}
TABLE_F16: dict[str, Any] = {"make": lambda b: b.embedding(TOKENS, 3), "weights": "f16"}

#: name -> mutation.
OPERATOR_MUTATIONS: dict[str, OperatorMutation] = {
    # ports
    "tokens-without-limit": M(5, _copy, (_port(TOKENS, limit=0),)),
    "tokens-too-many": M(5, _copy, (_port(TOKENS, limit=2**24 + 1),)),
    "numbers-with-limit": M(5, _copy, (_port(WIDE, limit=1),)),
    "port-kind-2": M(5, _copy, (_port(TOKENS, kind=2),)),
    "output-of-tokens": M(5, _copy, (_port(4, kind=1, limit=LIMIT),)),
    # kinds, weights, functions
    "function-of-affine": M(7, _copy, (_op(function=1),)),
    "function-of-lstm": M(7, _lstm, (_op(function=4),)),
    "binary-with-tanh": M(7, lambda b: b.binary(WIDE, WIDE, "add"), (_op(function=4),)),
    "binary-without-function": M(7, lambda b: b.binary(WIDE, WIDE, "add"), (_op(function=0),)),
    "activation-with-add": M(7, lambda b: b.activation(WIDE, "exp"), (_op(function=17),)),
    "weights-of-affine": M(7, _copy, (_op(weights=1),)),
    "embedding-without-weights": M(7, lambda b: b.embedding(TOKENS, 3), (_op(weights=0),)),
    "activations-of-embedding": M(10, lambda b: b.embedding(TOKENS, 3), (_op(activations=1),), "int8"),
    # values and widths
    "second-input-missing": M(8, lambda b: b.binary(WIDE, WIDE, "add"), (_op(second_input=NONE),)),
    "second-input-outside": M(8, lambda b: b.concat(WIDE, WIDE), (_op(second_input=5),)),
    "second-input-of-affine": M(8, _copy, (_op(second_input=WIDE),)),
    "input-missing": M(8, _copy, (_op(input=NONE, inputs=0),)),
    "state-read-with-input": M(8, lambda b: (_state(b, **LOOP), _kept(b, **LOOP)), (_op(input=WIDE, inputs=6),)),
    "binary-widths": M(8, lambda b: b.binary(WIDE, NARROW, "mul")),
    "binary-changes-width": M(8, lambda b: b.add(Binary, NARROW, 6, NARROW, "add")),
    "affine-changes-width": M(8, lambda b: b.add(Affine, WIDE, 4, _floats(4), _floats(4))),
    "norm-changes-width": M(8, lambda b: b.add(LayerNorm, WIDE, 4, _floats(2), _floats(2), 1e-5)),
    "first-frame-changes-width": M(8, lambda b: b.add(FirstFrame, NARROW, 6, reverse=True)),
    "concat-too-wide": M(8, lambda b: b.add(Concat, WIDE, 11, NARROW)),
    "concat-too-narrow": M(8, lambda b: b.add(Concat, WIDE, 9, NARROW)),
    "slice-beyond-the-end": M(8, lambda b: b.slice(WIDE, 3, 4)),
    "slice-far-beyond": M(8, lambda b: b.slice(WIDE, 2**32 - 3, 4)),
    "embedding-width": M(8, lambda b: b.add(Embedding, TOKENS, 7, "f32", Matrix(_floats(LIMIT, 3)))),
    "history-of-one-tap": M(8, lambda b: b.add(History, WIDE, 6, 1, 1)),
    "history-width": M(8, lambda b: b.add(History, NARROW, 6, 2, 1)),
    "history-narrower-than-input": M(8, lambda b: b.add(History, WIDE, 3, 2, 1)),
    "depthwise-width": M(8, lambda b: b.add(Depthwise, WIDE, 4, _floats(1, 6), _floats(4))),
    "state-write-changes-width": M(8, lambda b: (_state(b, **LOOP), b.add(StateWrite, NARROW, 6, 0, **LOOP))),
    # alpha and beta
    "clip-upside-down": M(9, lambda b: b.activation(WIDE, "clip", 0.5, -0.5)),
    "clip-nan": M(9, lambda b: b.activation(WIDE, "clip", 0.0, float("nan"))),
    "alpha-of-exp": M(9, lambda b: b.activation(WIDE, "exp", 1.0)),
    "beta-of-elu": M(9, lambda b: b.activation(WIDE, "elu", 1.0, 1.0)),
    "beta-of-binary": M(9, lambda b: b.binary(WIDE, WIDE, "add"), (_op(beta=1.0),)),
    "beta-of-embedding": M(9, lambda b: b.embedding(TOKENS, 3), (_op(beta=1.0),), "int8"),
    "epsilon-0": M(9, lambda b: b.layer_norm(WIDE, epsilon=0.0)),
    "epsilon-2^-101": M(9, lambda b: b.layer_norm(WIDE, epsilon=2.0**-101)),
    "epsilon-nan": M(9, lambda b: b.layer_norm(WIDE, epsilon=float("nan"))),
    "peak-of-lstm-negative": M(10, edits=(_op(beta=-1.0),), **LSTM_INT8),
    "levels-of-lstm-f32": M(10, edits=(_op(activations=0),), **LSTM_INT8),
    # states and parameters
    "lstm-without-state": M(11, _lstm, (_op(state=NONE),)),
    "state-of-affine": M(11, lambda b: (_lstm(b), _copy(b)), (_op(1, state=0),)),
    "state-write-without-state": M(11, lambda b: (_state(b, **LOOP), _kept(b, **LOOP)), (_op(1, state=NONE),)),
    "parameter-of-lstm": M(11, _lstm, (_op(parameter=1),)),
    "parameter-of-exp": M(11, lambda b: b.add(Activation, WIDE, 6, "exp", 0.0, 0.0, 6)),
    "parameter-of-binary": M(11, lambda b: b.binary(WIDE, WIDE, "add"), (_op(parameter=1),)),
    "parameter-of-concat": M(11, lambda b: b.concat(WIDE, NARROW), (_op(parameter=1),)),
    "parameter-of-depthwise": M(11, lambda b: b.depthwise(WIDE, 2), (_op(parameter=1),)),
    "parameter-of-state-read": M(11, lambda b: (_state(b, **LOOP), _kept(b, **LOOP)), (_op(parameter=6),)),
    "softmax-parts": M(11, lambda b: b.activation(WIDE, "softmax", size=4)),
    "softmax-part-too-large": M(11, lambda b: b.activation(WIDE, "softmax", size=12)),
    "norm-parts": M(11, lambda b: b.layer_norm(WIDE, 4)),
    "norm-of-nothing": M(11, lambda b: b.add(LayerNorm, WIDE, 6, _floats(0), _floats(0), 1e-5)),
    "dilation-0": M(11, lambda b: b.history(WIDE, 2, 0)),
    "history-longer-than-floats-count": M(11, lambda b: b.history(SINGLE, 2), (_long_history,)),
    "embedding-of-numbers": M(11, lambda b: b.add(Embedding, NARROW, 8, "f32", Matrix(_floats(LIMIT, 2)))),
    "embedding-of-a-value": M(11, lambda b: b.add(Embedding, _copy(b, TOKENS), 6, "f32", Matrix(_floats(LIMIT, 3)))),
    "embedding-with-too-few-rows": M(11, lambda b: b.embedding(TOKENS, 3, LIMIT - 1)),
    # data flow
    "second-input-before-written": M(12, lambda b: (b.binary(WIDE, WIDE, "add"), _copy(b)), (_op(second_input=5),)),
    "second-input-is-its-own-output": M(12, lambda b: b.binary(WIDE, WIDE, "add"), (_op(second_input=4),)),
    "overlap-second-input": M(13, lambda b: b.add(Concat, SINGLE, 5, NARROW), (_output_over_second_input,)),
    # states
    "state-write-of-an-lstm": M(14, lambda b: (_lstm(b), b.add(StateWrite, NARROW, 4, 0, **LOOP))),
    "state-write-of-an-rnn": M(14, lambda b: (b.cell("rnn", WIDE, 6), _kept(b, **LOOP))),
    "lstm-with-half-a-state": M(
        15,
        lambda b: b.add(
            Rnn, WIDE, 6, *["f32"] * 2, Matrix(_floats(1, 6, 6)), Matrix(_floats(1, 6, 6)), _floats(1, 6), _floats(12)
        ),
    ),
    # data
    "select-outside": M(17, lambda b: b.add(Select, WIDE, 2, np.array([0, 6], np.uint32))),
    "select-far-outside": M(17, lambda b: b.add(Select, WIDE, 2, np.array([NONE, 0], np.uint32))),
    "embedding--128": M(17, lambda b: b.embedding(TOKENS, 3), (_data(26, b"\x80"),), "int8"),
    "lstm-weight--128-fourth-panel": M(17, edits=(_weight_and_sum(X_FOURTH, -128, X_FOURTH_SUMS),), **LSTM_INT8),
    "lstm-weight--128-recurrent": M(17, edits=(_weight_and_sum(H_FOURTH + 1, -128, H_FOURTH_SUMS),), **LSTM_INT8),
    "lstm-row-sum": M(17, edits=(_data(X_SUMS + 32, b"\x7f\x7f"),), **LSTM_INT8),
    "lstm-row-sum-fourth-panel": M(17, edits=(_data(X_FOURTH_SUMS, b"\x7f\x7f"),), **LSTM_INT8),
    "lstm-row-sum-recurrent": M(17, edits=(_data(H_SUMS + 4, b"\x7f\x7f"),), **LSTM_INT8),
    "lstm-row-sum-recurrent-fourth-panel": M(17, edits=(_data(H_FOURTH_SUMS + 8, b"\x7f\x7f"),), **LSTM_INT8),
    "lstm-padding-row-fourth-panel": M(18, edits=(_weight_and_sum(X_FOURTH + 12, 1, X_FOURTH_SUMS + 12),), **LSTM_INT8),
    "lstm-padding-input-recurrent": M(18, edits=(_weight_and_sum(H_FOURTH + 3, 1, H_FOURTH_SUMS),), **LSTM_INT8),
    "lstm-panel-end": M(18, edits=(_data(X_FOURTH + 16, b"\1"),), **LSTM_INT8),
    "lstm-panel-end-recurrent": M(18, edits=(_data(H_FIRST + 48, b"\1"),), **LSTM_INT8),
    "lstm-scale-padding": M(18, edits=(_float(SCALES + 60, 1.0),), **LSTM_INT8),
    "lstm-scale-negative": M(18, edits=(_float(SCALES + 48, -1.0),), **LSTM_INT8),
    "lstm-scale-recurrent-nan": M(18, edits=(_float(SCALES + 64 + 56, float("nan")),), **LSTM_INT8),
    "lstm-bias-padding": M(18, edits=(_float(BIASES + 60, 1.0),), **LSTM_INT8),
    "lstm-bias-inf": M(18, edits=(_float(BIASES + 48, float("inf")),), **LSTM_INT8),
    "lstm-f32-weight-nan": M(18, _lstm, (_float(F32_X_FOURTH, float("nan")),)),
    "lstm-f32-weight-inf": M(18, _lstm, (_float(F32_H_FOURTH + 4, float("inf")),)),
    "lstm-f32-padding": M(18, _lstm, (_float(F32_H_FOURTH + 12, 1.0),)),
    "lstm-f32-bias-nan": M(18, _lstm, (_float(F32_BIASES + 52, float("nan")),)),
    "affine-scale-nan": M(18, _copy, (_float(0, float("nan")),)),
    "affine-shift-inf": M(18, _copy, (_float(44, float("inf")),)),
    "affine-end": M(18, _copy, (_data(48, b"\1"),)),
    "prelu-inf": M(18, lambda b: b.prelu(WIDE), (_float(20, float("-inf")),)),
    "prelu-end": M(18, lambda b: b.prelu(WIDE), (_data(-1, b"\1"),)),
    "select-end": M(18, lambda b: b.select(WIDE, 3), (_data(12, b"\1"),)),
    "norm-scale-nan": M(18, lambda b: b.layer_norm(WIDE, 3), (_float(8, float("nan")),)),
    "norm-end": M(18, lambda b: b.layer_norm(WIDE, 3), (_data(24, b"\1"),)),
    "depthwise-nan": M(18, lambda b: b.depthwise(WIDE, 2), (_float(20, float("nan")),)),
    "depthwise-bias-inf": M(18, lambda b: b.depthwise(WIDE, 2), (_float(32, float("inf")),)),
    "depthwise-end": M(18, lambda b: b.depthwise(WIDE, 2), (_data(36, b"\1"),)),
    "embedding-inf": M(18, lambda b: b.embedding(TOKENS, 3), (_float(104, float("inf")),)),
    "embedding-end": M(18, lambda b: b.embedding(TOKENS, 3), (_data(108, b"\1"),)),
    "embedding-table-end": M(18, lambda b: b.embedding(TOKENS, 3), (_data(27, b"\1"),), "int8"),
    "embedding-scale-nan": M(18, lambda b: b.embedding(TOKENS, 3), (_float(64 + 32, float("nan")),), "int8"),
    "embedding-scale-negative": M(18, lambda b: b.embedding(TOKENS, 3), (_float(64, -1.0),), "int8"),
    "embedding-scales-end": M(18, lambda b: b.embedding(TOKENS, 3), (_data(-1, b"\1"),), "int8"),
    # int4
    "int4-of-affine": M(7, _copy, (_op(weights=3),)),
    "int4-of-tanh": M(7, lambda b: b.activation(WIDE, "tanh"), (_op(weights=3),)),
    "int4-with-f32-activations": M(10, edits=(_op(activations=0),), **LSTM_INT4),
    "int4-peak-negative": M(10, edits=(_op(beta=-1.0),), **LSTM_INT4),
    "int4-embedding-with-activations": M(10, edits=(_op(activations=1),), **TABLE_INT4),
    **{
        f"int4-multiplier-{multiplier}-{name}": M(17, edits=_int4_row(*places, multiplier), **LSTM_INT4)
        for name, places in {
            "input": (8, X_SUMS + 8, X_MULTIPLIERS + 2),
            "input-fourth-panel": (X_FOURTH, X_FOURTH_SUMS, X_FOURTH_MULTIPLIERS),
            "recurrent": (H_FIRST + 16, H_SUMS + 16, H_MULTIPLIERS + 4),
            "recurrent-fourth-panel": (H_FOURTH + 4, H_FOURTH_SUMS + 4, H_FOURTH_MULTIPLIERS + 1),
        }.items()
        for multiplier in (16, -16, 127, -128)
    },
    **{
        f"int4-row-sum-{name}": M(17, edits=(_data(at, b"\x7f\x7f"),), **LSTM_INT4)
        for name, at in {
            "input": X_SUMS,
            "input-fourth-panel": X_FOURTH_SUMS + 8,
            "recurrent": H_SUMS + 4,
            "recurrent-fourth-panel": H_FOURTH_SUMS,
            "of-padding": X_SUMS + 12,
        }.items()
    },
    "int4-padding-row": M(18, edits=(_data(12, b"\x89"),), **LSTM_INT4),
    "int4-padding-row-high": M(18, edits=(_data(12, b"\x98"),), **LSTM_INT4),
    "int4-padding-row-zero-bytes": M(18, edits=(_data(H_FOURTH + 12, bytes(4)),), **LSTM_INT4),
    "int4-padding-inputs": M(18, edits=(*_int4_row(0, X_SUMS, X_MULTIPLIERS, 0), _data(1, b"\x78")), **LSTM_INT4),
    "int4-padding-input-recurrent": M(
        18,
        edits=(*_int4_row(H_FOURTH, H_FOURTH_SUMS, H_FOURTH_MULTIPLIERS, 0), _data(H_FOURTH + 3, b"\x89")),
        **LSTM_INT4,
    ),
    "int4-padding-multiplier": M(18, edits=(_data(X_MULTIPLIERS + 3, b"\1"),), **LSTM_INT4),
    "int4-padding-multiplier-recurrent": M(18, edits=(_data(H_FOURTH_MULTIPLIERS + 3, b"\xff"),), **LSTM_INT4),
    "int4-padding-scale": M(18, edits=(_float(SCALES + 60, 1.0),), **LSTM_INT4),
    "int4-panel-end": M(18, edits=(_data(48, b"\x88"),), **LSTM_INT4),
    "int4-panel-end-recurrent": M(18, edits=(_data(H_FOURTH + 63, b"\1"),), **LSTM_INT4),
    "int4-block-end": M(18, edits=(_data(INT4_END, b"\1"),), **LSTM_INT4),
    "int4-scale-negative": M(18, edits=(_float(SCALES + 48, -1.0),), **LSTM_INT4),
    "int4-scale-nan": M(18, edits=(_float(SCALES + 64, float("nan")),), **LSTM_INT4),
    "int4-bias-inf": M(18, edits=(_float(BIASES + 4, float("inf")),), **LSTM_INT4),
    "int4-table-multiplier-16": M(17, edits=(_data(TABLE_MULTIPLIERS, b"\x10"),), **TABLE_INT4),
    "int4-table-multiplier--16": M(17, edits=(_data(TABLE_MULTIPLIERS + 8, b"\xf0"),), **TABLE_INT4),
    "int4-table-padding": M(18, edits=(_data(1, b"\x78"),), **TABLE_INT4),
    "int4-table-padding-last-row": M(18, edits=(_data(17, b"\0"),), **TABLE_INT4),
    "int4-table-end": M(18, edits=(_data(18, b"\x88"),), **TABLE_INT4),
    "int4-table-multipliers-end": M(18, edits=(_data(TABLE_MULTIPLIERS + 9, b"\1"),), **TABLE_INT4),
    "int4-table-scale-negative": M(18, edits=(_float(TABLE_SCALES, -1.0),), **TABLE_INT4),
    "int4-table-scale-nan": M(18, edits=(_float(TABLE_SCALES + 32, float("nan")),), **TABLE_INT4),
    "int4-table-scales-end": M(18, edits=(_data(-1, b"\1"),), **TABLE_INT4),
    # f16
    "f16-of-affine": M(7, _copy, (_op(weights=4),)),
    "f16-peak": M(9, edits=(_op(beta=1.0),), **LSTM_F16),
    "f16-with-int16-activations": M(10, edits=(_op(activations=1),), **LSTM_F16),
    "f16-embedding-with-activations": M(10, edits=(_op(activations=2),), **TABLE_F16),
    **{
        f"f16-{name}-{value}": M(18, edits=(_data(at, half),), **LSTM_F16)
        for name, at in {"input": 0, "input-fourth-panel": F16_X_FOURTH + 4, "recurrent": F16_H_FIRST + 18}.items()
        for value, half in HALVES.items()
    },
    "f16-padding-row": M(18, edits=(_data(6, b"\0\x3c"),), **LSTM_F16),
    "f16-padding-input-minus-zero": M(18, edits=(_data(F16_H_FOURTH + 24, b"\0\x80"),), **LSTM_F16),
    "f16-panel-end": M(18, edits=(_data(96, b"\1"),), **LSTM_F16),
    "f16-panel-end-recurrent": M(18, edits=(_data(F16_H_FOURTH + 32, b"\1"),), **LSTM_F16),
    "f16-bias-nan": M(18, edits=(_float(F16_BIASES + 52, float("nan")),), **LSTM_F16),
    "f16-bias-padding": M(18, edits=(_float(F16_BIASES + 12, 1.0),), **LSTM_F16),
    **{f"f16-table-{value}": M(18, edits=(_data(52, half),), **TABLE_F16) for value, half in HALVES.items()},
    "f16-table-end": M(18, edits=(_data(54, b"\1"),), **TABLE_F16),
    # initial states
    "initial-h-above-1": M(19, _lstm, (_initial(2, 1.5),)),
    "initial-c-too-large": M(19, _lstm, (_initial(3, 2.0**65),)),
    "initial-c-nan": M(19, _lstm, (_initial(5, float("nan")),)),
    "initial-of-state-read-inf": M(19, lambda b: (_state(b, **LOOP), _kept(b, **LOOP)), (_initial(0, float("inf")),)),
    "initial-of-history": M(19, lambda b: b.history(WIDE, 2), (_initial_history,)),
    # schedules
    "loop-2-without-1": M(20, lambda b: _copy(b, **OTHER_LOOP)),
    "loops-in-another-order": M(20, lambda b: (_copy(b, **OTHER_LOOP), _copy(b, **LOOP))),
    "loop-interrupted": M(20, lambda b: (_copy(b, **LOOP), _copy(b), _copy(b, **LOOP))),
    "loop-interrupted-by-a-loop": M(20, lambda b: (_copy(b, **LOOP), _copy(b, **OTHER_LOOP), _copy(b, **LOOP))),
    "loop-in-two-directions": M(20, lambda b: (_copy(b, **LOOP), _copy(b, reverse=True, **LOOP))),
    "loop-huge": M(20, lambda b: _copy(b, loop=2**31 - 1)),
    **{
        f"reverse-{name}": M(21, make, (_op(schedule=1),))
        for name, make in {
            "affine": _copy,
            "dense": lambda b: b.dense(WIDE, 3),
            "history": lambda b: b.history(WIDE, 2),
            "activation": lambda b: b.activation(WIDE, "exp"),
            "slice": lambda b: b.slice(WIDE, 0, 1),
        }.items()
    },
    "first-frame-forwards": M(21, lambda b: b.add(FirstFrame, WIDE, 6)),
    "first-frame-in-a-loop": M(21, lambda b: b.add(FirstFrame, WIDE, 6, reverse=True, **LOOP)),
    "first-frame-in-a-loop-forwards": M(21, lambda b: b.add(FirstFrame, WIDE, 6, **LOOP)),
    "state-without-a-loop": M(22, lambda b: (_state(b), _kept(b))),
    "state-read-without-a-loop": M(22, lambda b: (_state(b), _kept(b, **LOOP))),
    "state-written-without-a-loop": M(22, lambda b: (_state(b, **LOOP), _kept(b))),
    "state-never-written": M(22, lambda b: _state(b, **LOOP)),
    "state-written-twice": M(22, lambda b: (_state(b, **LOOP), _kept(b, **LOOP), _kept(b, **LOOP))),
    "state-written-before-it-is-read": M(22, lambda b: (_kept(b, reader=1, **LOOP), _state(b, **LOOP))),
    "state-written-in-another-loop": M(22, lambda b: (_state(b, **LOOP), _kept(b, **OTHER_LOOP))),
    "state-written-narrower": M(22, lambda b: (_state(b, **LOOP), _kept(b, NARROW, **LOOP))),
    "slice-of-a-state-of-nobody": M(11, lambda b: b.add(Slice, WIDE, 2, 1), (_op(state=0),)),
}


def hostile_operator(name: str) -> bytes:
    """Return the file of one mutation, checksum right."""
    mutation = OPERATOR_MUTATIONS[name]
    file = _file(mutation.make, mutation.weights)
    for edit in mutation.edits:
        edit(file)
    return file.sealed()


def unedited(name: str) -> bytes:
    """Return the file of a mutation before the edits that break its rule."""
    mutation = OPERATOR_MUTATIONS[name]
    return _file(mutation.make, mutation.weights).sealed()
