"""ncnn: its GRU layer, from files in ncnn's own format."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .common import Array, LayerWeights, SequenceRival, StepRival

#: Before every tensor of a weight file: what it is made of.
FLOAT_TAG = (0).to_bytes(4, "little")
INT8_TAG = 0x000D4B38.to_bytes(4, "little")

#: Input x, h; output y (all states) and last (the last one).  Parameters of the layer: 0 units, 1 size of the input
#: weights, 2 direction (forward), 8 whether weights are int8 with scales.
NETWORK = """7767517
3 4
Input x 0 1 x
Input h 0 1 h
GRU gru 2 2 x h y last 0={units} 1={size} 2=0 8={int8}
"""


class NcnnFloat(StepRival):
    """The GRU layer in float32."""

    title = "ncnn f32"
    weights = "f32"
    package = "ncnn"
    settings = (
        "GRU layer with the state in and out, one thread, no 16-bit storage or arithmetic; a new extractor each step, "
        "the state kept as ncnn.Mat"
    )

    def prepare(self, folder: Path) -> None:
        """Load; buffers live as long as the `ncnn.Mat` that looks at them."""
        import ncnn

        self._network = network(self.layer, self.weights, folder)
        self._frame = np.zeros((1, self.layer.inputs), np.float32)
        self._frame_mat = ncnn.Mat(self._frame)
        self._first_state = np.zeros((1, self.layer.units), np.float32)
        self._state = ncnn.Mat(self._first_state)

    def step(self, frame: Array) -> Array:
        """One step."""
        self._frame[0] = frame
        extractor = self._network.create_extractor()
        extractor.input("x", self._frame_mat)
        extractor.input("h", self._state)
        _, self._state = extractor.extract("last")
        answer: Array = np.array(self._state).reshape(self.answer_shape)
        return answer


class NcnnInt8(NcnnFloat):
    """The GRU layer with int8 weights, one scale for each row."""

    title = "ncnn int8"
    weights = "int8"
    settings = f"int8 weights with one scale for each row (the layer's int8 parameter); else {NcnnFloat.settings}"


class NcnnSequence(SequenceRival):
    """The GRU layer over all frames."""

    title = "ncnn f32"
    weights = "f32"
    package = "ncnn"
    settings = "GRU layer over all frames, one thread, no 16-bit storage or arithmetic"

    def prepare(self, folder: Path) -> None:
        """Load."""
        self._network = network(self.layer, self.weights, folder)
        self._first_state = np.zeros((1, self.layer.units), np.float32)

    def run(self, frames: Array) -> Array:
        """All frames."""
        import ncnn

        first_state, sequence = ncnn.Mat(self._first_state), ncnn.Mat(frames)
        extractor = self._network.create_extractor()
        extractor.input("x", sequence)
        extractor.input("h", first_state)
        _, states = extractor.extract("y")
        answer: Array = np.array(states)
        return answer


class NcnnInt8Sequence(NcnnSequence):
    """The GRU layer with int8 weights over all frames."""

    title = "ncnn int8"
    weights = "int8"
    settings = f"int8 weights with one scale for each row (the layer's int8 parameter); else {NcnnSequence.settings}"


def network(layer: LayerWeights, weights: str, folder: Path) -> Any:
    """A loaded network; RuntimeError if ncnn refuses its files."""
    import ncnn

    parameters, tensors = (folder / f"ncnn-{layer.units}-{weights}.{kind}" for kind in ("param", "bin"))
    int8 = 2 if weights == "int8" else 0
    parameters.write_text(NETWORK.format(units=layer.units, size=layer.input_weights.size, int8=int8))
    tensors.write_bytes(int8_tensors(layer) if int8 else float_tensors(layer))
    loaded = ncnn.Net()
    loaded.opt.num_threads = 1
    loaded.opt.use_vulkan_compute = False
    for option in ("use_fp16_packed", "use_fp16_storage", "use_fp16_arithmetic", "use_bf16_storage"):
        setattr(loaded.opt, option, False)
    if loaded.load_param(str(parameters)) != 0 or loaded.load_model(str(tensors)) != 0:
        raise RuntimeError("ncnn refused the network written for it")
    return loaded


def float_tensors(layer: LayerWeights) -> bytes:
    """Weight file: input weights, biases, recurrent weights."""
    arrays = layer.input_weights, layer.four_biases(), layer.recurrent_weights
    return b"".join(FLOAT_TAG + array.tobytes() for array in arrays)


def int8_tensors(layer: LayerWeights) -> bytes:
    """Weight file: the same three, then the scales of the rows, input's first."""
    (w, w_scales), (r, r_scales) = map(int8_rows, (layer.input_weights, layer.recurrent_weights))
    tensors = INT8_TAG + padded(w), FLOAT_TAG + layer.four_biases().tobytes(), INT8_TAG + padded(r)
    return b"".join(tensors) + w_scales.tobytes() + r_scales.tobytes()


def int8_rows(values: Array) -> tuple[NDArray[np.int8], Array]:
    """Rows (rows, columns) scaled to -127..127, and what they were multiplied by (rows,)."""
    largest = np.abs(values).max(axis=1)
    scales = np.float32(127) / np.where(largest > 0, largest, np.float32(127))
    return np.rint(values * scales[:, None]).astype(np.int8), scales.astype(np.float32)


def padded(values: NDArray[np.int8]) -> bytes:
    """Bytes of a tensor, as many as fill whole words."""
    return values.tobytes() + bytes(-values.size % 4)
