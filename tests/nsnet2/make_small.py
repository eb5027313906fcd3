"""NSNet2 with 8 units in every layer: all nodes as torch 1.6 wrote them, and a corner of every weight.

python tests/nsnet2/make_small.py    # makes nsnet2-8-units.onnx again from the whole file

16 KB instead of 10.8 MB, so that the example is tested without a download.  What it says is meaningless.
"""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import ModelProto, numpy_helper

HERE = Path(__file__).parent
SMALL = HERE / "nsnet2-8-units.onnx"
UNITS = 8

#: The sizes that shrink: GRU units, and the widths of the layers around them.  161 frequencies stay.
WIDE = (400, 600)

#: Matrices are multiplied by this: 8 inputs in place of hundreds hardly move an answer, and so would prove nothing.
LOUDER = np.float32(15)


def shrink(model: ModelProto) -> ModelProto:
    """The same graph with `UNITS` where it had 400 or 600."""
    small = ModelProto()
    small.CopyFrom(model)
    for tensor in small.graph.initializer:
        values = numpy_helper.to_array(tensor)
        if values.dtype == np.int64:  # the shape of the initial state
            values = np.where(np.isin(values, WIDE), UNITS, values)
        for axis, size in enumerate(values.shape):
            values = _corner(values, axis, size)
        if values.ndim > 1 and values.shape[-2] > 1:  # a matrix; biases are vectors, those of a GRU (1, 6 * units)
            values = values * LOUDER
        tensor.CopyFrom(numpy_helper.from_array(np.ascontiguousarray(values), tensor.name))
    for node in small.graph.node:
        for attribute in node.attribute:
            if attribute.name == "hidden_size":
                attribute.i = UNITS
    onnx.checker.check_model(small)
    return small


def _corner(values: NDArray[np.generic], axis: int, size: int) -> NDArray[np.generic]:
    """The first `UNITS` of an axis, or of each of its gates: of 3 (weights of a GRU) or of 6 (both its biases)."""
    for width in WIDE:
        if size in (width, 3 * width, 6 * width):
            gates = np.arange(size).reshape(-1, width)
            return np.take(values, gates[:, :UNITS].ravel(), axis)
    return values


if __name__ == "__main__":
    sys.path.insert(0, str(HERE.parents[1]))
    from examples.noise_suppression.network import fetch

    SMALL.write_bytes(shrink(onnx.load(fetch())).SerializeToString(deterministic=True))
