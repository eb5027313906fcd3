"""Write the golden vectors of this folder: `python tests/vectors/make_vectors.py`.

A vector is three files: NAME.grulet, NAME.input.f32 and NAME.output.f32, the latter rows of little-endian float32.  The
outputs come from the numpy oracle, never from the C library.  `index.txt` has a line for each: name, frames, and the
CRC-32 of the output file.  Numbers are made from raw PCG64 words and exact arithmetic, so every numpy gives the same.
"""

from __future__ import annotations

import sys
import zlib
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from grulet import format as grulet_format
from grulet.format import LEVELS, NONE
from grulet.operators import (
    WEIGHT_GROUP,
    Activation,
    Affine,
    AnyOperator,
    Binary,
    Concat,
    Dense,
    Depthwise,
    Embedding,
    FirstFrame,
    Gru,
    History,
    LayerNorm,
    Lstm,
    Matrix,
    Operator,
    Port,
    PRelu,
    Program,
    Rnn,
    Select,
    Slice,
    StateRead,
    StateWrite,
    Text,
    Value,
)
from grulet.reference import Reference
from grulet.weights import QUANTIZED

FOLDER = Path(__file__).resolve().parent
Floats = NDArray[np.float32]


F32, INT16, INT8 = ("f32", "f32"), ("int8", "int16"), ("int8", "int8")
F16, INT4_INT16, INT4_INT8 = ("f16", "f32"), ("int4", "int16"), ("int4", "int8")


class _Numbers:
    """Reproducible numbers: multiples of 2^-24, exact in float32."""

    def __init__(self, seed: int) -> None:
        self.words = np.random.PCG64(seed)

    def uniform(self, *shape: int) -> Floats:
        """In [-1, 1)."""
        raw = self.words.random_raw(int(np.prod(shape))) >> np.uint64(39)
        return ((raw.astype(np.float64) - 2**24) / 2**24).astype(np.float32).reshape(shape)

    def matrix(self, sets: int, units: int, inputs: int, weights: str, level: float = 1.0) -> Matrix:
        """Weights of about 1 / sqrt(inputs); the square root is rounded to a power of two, which is exact."""
        spread = np.float32(2.0 ** -round(np.log2(inputs) / 2))
        values = self.uniform(sets, units, inputs)
        if weights in ("f32", "f16"):
            return Matrix((values * spread).astype({"f32": np.float32, "f16": np.float16}[weights]))
        steps = np.float32({"int8": 127, "int4": 8}[weights])
        quantized = np.minimum(np.rint(values * steps), {"int8": 127, "int4": 7}[weights]).astype(np.int8)
        largest, multipliers = np.float32(127), None
        if weights == "int4":
            largest, groups = np.float32(8 * 15), -(-inputs // WEIGHT_GROUP)
            multipliers = np.rint(self.uniform(sets, units, groups) * np.float32(15)).astype(np.int8)
        scale = (1 + np.abs(self.uniform(sets, units)) / 2) * spread / largest
        return Matrix(quantized, (scale * np.float32(level)).astype(np.float32), multipliers)


def _stack(
    seed: int, formats: tuple[str, str], inputs: int, layers: tuple[int, ...], head: int, function: str,
    *, initial: bool = False, peak: float = 0.0,
) -> Program:  # fmt: skip
    """GRU layers and a dense head; the state of the last layer is an output too."""
    numbers = _Numbers(seed)
    widths = [inputs, *layers, head]
    level = 1 / LEVELS[formats[1]] if formats[0] in QUANTIZED else 1.0
    operators: list[AnyOperator] = []
    for k, units in enumerate(layers):
        start = numbers.uniform(units) if initial else np.zeros(units, np.float32)
        x_matrix = numbers.matrix(3, units, widths[k], formats[0])
        h_matrix = numbers.matrix(3, units, units, formats[0], level)
        bias = numbers.uniform(4, units)
        operators.append(Gru(f"gru_{k}", k, k + 1, *formats, x_matrix, h_matrix, bias, start, peak if k == 0 else 0.0))
    matrix, bias = numbers.matrix(1, head, layers[-1], formats[0]), numbers.uniform(1, head)
    alpha = 0.25 if function == "leaky_relu" else 0.0
    operators.append(Dense("head", len(layers), len(layers) + 1, *formats, matrix, bias, function, alpha))
    values = tuple(Value(sum(widths[:v]), width) for v, width in enumerate(widths))
    outputs = (Port("output", len(layers) + 1), Port("state", len(layers)))
    text = Text("tests/vectors/make_vectors.py", "0" * 64, {})
    return Program((Port("input", 0),), outputs, values, tuple(operators), sum(widths), text)


def _functions() -> Program:
    """Every function alone, each on the same input of 19 elements."""
    names = ("relu", "leaky_relu", "sigmoid", "tanh", "softmax")
    operators = tuple(
        Activation(name, 0, i + 1, name, 0.375 if name == "leaky_relu" else 0.0) for i, name in enumerate(names)
    )
    values = tuple(Value(19 * v, 19) for v in range(6))
    outputs = tuple(Port(name, i + 1) for i, name in enumerate(names))
    text = Text("tests/vectors/make_vectors.py", "0" * 64, {})
    return Program((Port("input", 0),), outputs, values, operators, 6 * 19, text)


class _Chain:
    """A program put together operator by operator; every method returns the value that it adds."""

    def __init__(self, seed: int, formats: tuple[str, str], inputs: tuple[Port, ...], widths: tuple[int, ...]) -> None:
        self.numbers, self.formats, self.inputs = _Numbers(seed), formats, inputs
        self.widths = list(widths)
        self.operators: list[AnyOperator] = []

    def add(self, kind: type[Any], value: int, width: int, *fields: Any, **schedule: Any) -> int:
        """Add an operator of any kind."""
        self.widths.append(width)
        name = f"{kind.__name__.lower()}_{len(self.operators)}"
        self.operators.append(kind(name, value, len(self.widths) - 1, *fields, **schedule))
        return len(self.widths) - 1

    def floats(self, *shape: int) -> Floats:
        """In [-1, 1)."""
        return self.numbers.uniform(*shape)

    def cell(self, kind: type[Any], value: int, units: int, peak: float = 0.0, **schedule: Any) -> int:
        """Add a recurrent layer with an initial state."""
        sets, biases, states = {Gru: (3, 4, ()), Lstm: (4, 4, (2,)), Rnn: (1, 1, ())}[kind]
        level = 1 / LEVELS[self.formats[1]] if self.formats[0] in QUANTIZED else 1.0
        matrices = (
            self.numbers.matrix(sets, units, self.widths[value], self.formats[0]),
            self.numbers.matrix(sets, units, units, self.formats[0], level),
        )
        bias, start = self.floats(biases, units), self.floats(*states, units)
        return self.add(kind, value, units, *self.formats, *matrices, bias, start, peak, **schedule)

    def dense(self, value: int, units: int, function: str = "none", **schedule: Any) -> int:
        """Add a dense layer."""
        matrix = self.numbers.matrix(1, units, self.widths[value], self.formats[0])
        return self.add(Dense, value, units, *self.formats, matrix, self.floats(1, units), function, **schedule)

    def embedding(self, value: int, width: int, rows: int) -> int:
        """Add a table."""
        table = self.numbers.matrix(1, rows, width, self.formats[0])
        parts = (None if part is None else part[0] for part in (table.values, table.scale, table.multipliers))
        return self.add(Embedding, value, width * self.widths[value], self.formats[0], Matrix(*parts))

    def program(self, *outputs: int) -> Program:
        """Return the program; values lie one behind the other."""
        values = tuple(Value(sum(self.widths[:v]), width) for v, width in enumerate(self.widths))
        ports = tuple(Port(f"output_{i}", value) for i, value in enumerate(outputs))
        text = Text("tests/vectors/make_vectors.py", "0" * 64, {})
        return Program(self.inputs, ports, values, tuple(self.operators), sum(self.widths), text)


def _cells(seed: int, formats: tuple[str, str], kinds: tuple[type[Operator], ...], sizes: tuple[int, ...]) -> Program:
    """Recurrent layers behind each other, from ``sizes[0]`` inputs on, and a dense head."""
    chain = _Chain(seed, formats, (Port("input", 0),), sizes[:1])
    value = 0
    for kind, units in zip(kinds, sizes[1:], strict=True):
        value = chain.cell(kind, value, units)
    return chain.program(chain.dense(value, 3, "tanh"), value)


def _all_functions() -> Program:
    """Every later function alone, and every function of two vectors, on the same input of 19 elements."""
    chain = _Chain(40, F32, (Port("input", 0),), (19,))
    arguments = {
        "clip": (-0.375, 0.75), "elu": (1.25,), "hard_sigmoid": (0.25, 0.5), "thresholded_relu": (0.125,),
    }  # fmt: skip
    names = grulet_format.FUNCTIONS[grulet_format.FUNCTIONS.index("clip") :]
    ones = [name for name in names if names.index(name) < names.index("add")]
    made = [chain.add(Activation, 0, 19, name, *arguments.get(name, ())) for name in ones]
    other = chain.add(Affine, 0, 19, chain.floats(19), chain.floats(19))
    made += [chain.add(Binary, 0, 19, other, name) for name in names[len(ones) :]]
    parts = chain.add(Slice, 0, 18, 1)
    made.append(chain.add(Activation, parts, 18, "softmax", 0.0, 0.0, 6))
    return chain.program(*made, other)


def _conversation(formats: tuple[str, str]) -> Program:
    """Tokens, a convolution over the past, a norm, skip connections: what stands between recurrent layers."""
    chain = _Chain(41, formats, (Port("tokens", 0, 9), Port("numbers", 1)), (2, 10))
    words = chain.embedding(0, 7, 11)
    x = chain.add(Concat, words, 24, 1)
    window = chain.add(History, x, 72, 3, 2)
    x = chain.add(Depthwise, window, 24, chain.floats(3, 24), chain.floats(24))
    x = chain.add(LayerNorm, x, 24, chain.floats(12), chain.floats(12), 2.0**-16)
    x = chain.add(PRelu, x, 24, chain.floats(24))
    h = chain.cell(Lstm, x, 24)
    x = chain.add(Binary, x, 24, h, "add")
    x = chain.add(Select, x, 17, (np.arange(17) * 7 % 24).astype(np.uint32))
    return chain.program(chain.dense(x, 5, "softmax"), x)


def _loop(formats: tuple[str, str], *, whole: bool) -> Program:
    """A recurrent layer spelled out in a loop, with a delay in it; ``whole``: it and a layer behind it go backwards."""
    chain = _Chain(42, formats, (Port("input", 0),), (6,))
    inside = {"loop": 1, "reverse": whole}
    state = chain.add(StateRead, NONE, 18, chain.floats(18), **inside)
    delayed = chain.add(History, state, 36, 2, 1, **inside)
    joined = chain.add(Concat, 0, 42, delayed, **inside)
    new = chain.dense(joined, 18, "tanh", **inside)
    kept = chain.add(StateWrite, new, 18, 0, **inside)
    both = chain.add(Concat, kept, 36, chain.cell(Rnn, kept, 18, reverse=whole))
    h = chain.cell(Lstm, both, 13, reverse=whole)
    last = chain.add(FirstFrame, h, 13, reverse=True) if whole else h
    return chain.program(chain.dense(last, 4), both, h)


def _mixed() -> Program:
    """Every format in one program, with more inputs than one group of 32 has: embeddings, cells and dense layers."""
    ports = Port("words", 0, 9), Port("letters", 1, 9), Port("numbers", 2)
    chain = _Chain(43, INT4_INT16, ports, (2, 1, 10))
    x = chain.embedding(0, 37, 11)
    chain.formats = F16
    x = chain.add(Concat, x, 74 + 19, chain.embedding(1, 19, 9))
    x = chain.add(Concat, x, 103, 2)
    for formats, kind, units in ((INT4_INT16, Gru, 36), (F16, Lstm, 18), (INT4_INT8, Lstm, 33), (INT8, Rnn, 9)):
        chain.formats = formats
        x = chain.add(Concat, x, chain.widths[x] + units, chain.cell(kind, x, units))
    heads = []
    for formats in (F32, F16, INT16, INT8, INT4_INT16, INT4_INT8):
        chain.formats = formats
        heads.append(chain.dense(x, 3, "tanh"))
    return chain.program(*heads, x)


def _frames(seed: int, count: int, width: int) -> Floats:
    """Noise of several sizes, silence, subnormals and the largest floats."""
    frames = 2 * _Numbers(seed).uniform(count, width)
    frames[2::7] *= np.float32(2.0**20)
    frames[3::7] *= np.float32(2.0**-20)
    frames[4::7] = 0
    frames[5::7] *= np.float32(2.0**-128)  # subnormal or just above
    frames[6::7] *= np.float32(2.0**126)
    return frames


def _frames_for(program: Program, seed: int, count: int) -> Floats:
    """`_frames`, with tokens where the program takes some."""
    frames = _frames(seed, count, program.input_width)
    at = 0
    for port in program.inputs:
        part = slice(at, at + program.width(port.value))
        if port.tokens:
            words = np.random.PCG64(seed).random_raw(frames[:, part].size)
            frames[:, part] = (words % port.tokens).reshape(frames[:, part].shape)
        at = part.stop
    return frames


# name -> program, frames
VECTORS: dict[str, tuple[Program, int]] = {
    "f32_5_13": (_stack(1, F32, 5, (13,), 3, "softmax"), 24),
    "f32_3_17_6": (_stack(2, F32, 3, (17, 6), 4, "sigmoid", initial=True), 24),
    "int16_7_19": (_stack(3, INT16, 7, (19,), 5, "softmax", initial=True), 24),
    "int16_1_1_1_1": (_stack(4, INT16, 1, (1, 1, 1), 1, "tanh"), 24),
    "int16_10_33_20": (_stack(5, INT16, 10, (33, 20), 11, "leaky_relu", peak=2.0), 24),
    "int16_521_3": (_stack(6, INT16, 521, (3,), 2, "none"), 3),
    "int8_7_19": (_stack(7, INT8, 7, (19,), 5, "relu", initial=True), 24),
    "int8_6_24_15_9": (_stack(8, INT8, 6, (24, 15, 9), 2, "softmax", peak=2.0), 24),
    "int8_514_2": (_stack(9, INT8, 514, (2,), 3, "sigmoid"), 3),
    "functions": (_functions(), 21),
    "lstm_f32_5_13": (_cells(31, F32, (Lstm,), (5, 13)), 24),
    "lstm_int16_7_19_33": (_cells(32, INT16, (Lstm, Lstm), (7, 19, 33)), 24),
    "lstm_int8_6_24": (_cells(33, INT8, (Lstm,), (6, 24)), 24),
    "lstm_int16_521_2": (_cells(34, INT16, (Lstm,), (521, 2)), 3),
    "cells_f32_4_9_17_3": (_cells(35, F32, (Rnn, Gru, Lstm), (4, 9, 17, 3)), 24),
    "cells_int16_3_18_5_16": (_cells(36, INT16, (Lstm, Rnn, Gru), (3, 18, 5, 16)), 24),
    "cells_int8_8_20_21": (_cells(37, INT8, (Rnn, Lstm), (8, 20, 21)), 24),
    "all_functions": (_all_functions(), 21),
    "operators_f32": (_conversation(F32), 24),
    "operators_int8": (_conversation(INT8), 24),
    "loop_f32": (_loop(F32, whole=False), 24),
    "loop_int16": (_loop(INT16, whole=False), 24),
    "whole_f32": (_loop(F32, whole=True), 24),
    "whole_int16": (_loop(INT16, whole=True), 24),
    "whole_int8": (_loop(INT8, whole=True), 9),
    "f16_3_17_6": (_stack(51, F16, 3, (17, 6), 4, "softmax", initial=True), 24),
    "int4_int16_10_33_20": (_stack(52, INT4_INT16, 10, (33, 20), 11, "leaky_relu", peak=2.0), 24),
    "int4_int16_1_1": (_stack(53, INT4_INT16, 1, (1,), 1, "tanh"), 24),
    "int4_int16_521_3": (_stack(54, INT4_INT16, 521, (3,), 2, "none"), 3),
    "int4_int8_70_39": (_stack(55, INT4_INT8, 70, (39,), 5, "softmax", initial=True, peak=2.0), 24),
    "int4_int8_514_2": (_stack(56, INT4_INT8, 514, (2,), 3, "sigmoid"), 3),
    "lstm_f16_5_13": (_cells(57, F16, (Lstm,), (5, 13)), 24),
    "lstm_int4_int16_7_19_33": (_cells(58, INT4_INT16, (Lstm, Lstm), (7, 19, 33)), 24),
    "lstm_int4_int8_37_24": (_cells(59, INT4_INT8, (Lstm,), (37, 24)), 24),
    "lstm_int4_int16_521_2": (_cells(60, INT4_INT16, (Lstm,), (521, 2)), 3),
    "cells_f16_4_9_17_3": (_cells(61, F16, (Rnn, Gru, Lstm), (4, 9, 17, 3)), 24),
    "cells_int4_int16_3_18_36_5": (_cells(62, INT4_INT16, (Lstm, Rnn, Gru), (3, 18, 36, 5)), 24),
    "cells_int4_int8_8_20_21": (_cells(63, INT4_INT8, (Rnn, Lstm), (8, 20, 21)), 24),
    "operators_f16": (_conversation(F16), 24),
    "operators_int4": (_conversation(INT4_INT16), 24),
    "loop_int4": (_loop(INT4_INT8, whole=False), 24),
    "whole_f16": (_loop(F16, whole=True), 9),
    "whole_int4": (_loop(INT4_INT16, whole=True), 24),
    "mixed": (_mixed(), 24),
}


def vector_files() -> dict[str, bytes]:
    """Return file name -> bytes."""
    files = {}
    index = []
    for number, (name, (program, count)) in enumerate(VECTORS.items()):
        data = grulet_format.write(program)
        frames = _frames_for(program, 100 + number, count)
        outputs = Reference(data).run(frames).astype("<f4").tobytes()
        files[f"{name}.grulet"] = data
        files[f"{name}.input.f32"] = frames.astype("<f4").tobytes()
        files[f"{name}.output.f32"] = outputs
        index.append(f"{name} {count} {zlib.crc32(outputs):08x}\n")
    files["index.txt"] = "".join(index).encode()
    return files


if __name__ == "__main__":
    for stale in [*FOLDER.glob("*.grulet"), *FOLDER.glob("*.f32")]:
        stale.unlink()
    for file_name, content in vector_files().items():
        (FOLDER / file_name).write_bytes(content)
    print(f"{sum(map(len, vector_files().values()))} bytes in {FOLDER}", file=sys.stderr)
