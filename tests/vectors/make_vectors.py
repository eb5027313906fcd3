"""Write the golden vectors of this folder: `python tests/vectors/make_vectors.py`.

A vector is three files: NAME.grulet, NAME.input.f32 and NAME.output.f32, the latter rows of little-endian float32.  The
outputs come from the numpy oracle, never from the C library.  `index.txt` has a line for each: name, frames, and the
CRC-32 of the output file.  Numbers are made from raw PCG64 words and exact arithmetic, so every numpy gives the same.
"""

from __future__ import annotations

import sys
import zlib
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from grulet import format as grulet_format
from grulet.format import LEVELS, Activation, Dense, Gru, Matrix, Port, Program, Text, Value
from grulet.reference import Reference

FOLDER = Path(__file__).resolve().parent
Floats = NDArray[np.float32]


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
        if weights == "f32":
            return Matrix(values * spread)
        quantized = np.rint(values * np.float32(127)).astype(np.int8)
        scale = (1 + np.abs(self.uniform(sets, units)) / 2) * spread / np.float32(127)
        return Matrix(quantized, (scale * np.float32(level)).astype(np.float32))


def _stack(
    seed: int, formats: tuple[str, str], inputs: int, layers: tuple[int, ...], head: int, function: str,
    *, initial: bool = False, peak: float = 0.0,
) -> Program:  # fmt: skip
    """GRU layers and a dense head; the state of the last layer is an output too."""
    numbers = _Numbers(seed)
    widths = [inputs, *layers, head]
    level = 1.0 if formats[0] == "f32" else 1 / LEVELS[formats[1]]
    operators: list[grulet_format.AnyOperator] = []
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


def _frames(seed: int, count: int, width: int) -> Floats:
    """Noise of several sizes, silence, subnormals and the largest floats."""
    frames = 2 * _Numbers(seed).uniform(count, width)
    frames[2::7] *= np.float32(2.0**20)
    frames[3::7] *= np.float32(2.0**-20)
    frames[4::7] = 0
    frames[5::7] *= np.float32(2.0**-128)  # subnormal or just above
    frames[6::7] *= np.float32(2.0**126)
    return frames


F32, INT16, INT8 = ("f32", "f32"), ("int8", "int16"), ("int8", "int8")

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
}


def vector_files() -> dict[str, bytes]:
    """Return file name -> bytes."""
    files = {}
    index = []
    for number, (name, (program, count)) in enumerate(VECTORS.items()):
        data = grulet_format.write(program)
        frames = _frames(100 + number, count, program.input_width)
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
