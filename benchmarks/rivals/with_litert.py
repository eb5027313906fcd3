"""LiteRT, once TensorFlow Lite: the cell converted from torch, with states as input and output."""

from __future__ import annotations

import hashlib
import importlib.util
import subprocess
import sys
from pathlib import Path

import numpy as np

from .common import Array, LayerWeights, StepRival

CONVERTER = Path(__file__).with_name("convert_litert.py")
#: What the converter imports.
CONVERTER_PACKAGES = ("litert_torch", "ai_edge_quantizer")
CONVERTER_SECONDS = 600


class LiteRtFloat(StepRival):
    """The cell in float32."""

    title = "LiteRT f32"
    weights = "f32"
    package = "ai-edge-litert"
    settings = (
        "cell (reset and update gates: one Linear over input and state together) converted by litert-torch; "
        "Interpreter(num_threads=1) with its default XNNPACK delegate; set_tensor, invoke, get_tensor"
    )

    def prepare(self, folder: Path) -> None:
        """Convert, unless the folder has this layer already, and load."""
        from ai_edge_litert.interpreter import Interpreter

        path = converted(self.layer, self.batch, folder)[self.weights]
        self._interpreter = Interpreter(model_path=str(path), num_threads=1)
        self._interpreter.allocate_tensors()
        inputs = self._interpreter.get_input_details()
        self._frame_index, self._state_index = (entry["index"] for entry in inputs)
        self._answer_index = self._interpreter.get_output_details()[0]["index"]
        self._frame_shape = (self.batch, self.layer.inputs)
        self._state: Array = np.zeros((self.batch, self.layer.units), np.float32)

    def step(self, frame: Array) -> Array:
        """One step; `get_tensor` gives a new array, which is the next step's state as well."""
        interpreter = self._interpreter
        interpreter.set_tensor(self._frame_index, frame.reshape(self._frame_shape))
        interpreter.set_tensor(self._state_index, self._state)
        interpreter.invoke()
        self._state = interpreter.get_tensor(self._answer_index)
        return self._state.reshape(self.answer_shape)


class LiteRtInt8(LiteRtFloat):
    """Weights int8, one scale for each row; inputs quantized at run time."""

    title = "LiteRT int8"
    weights = "int8"
    settings = f"ai-edge-quantizer recipe dynamic_wi8_afp32; else {LiteRtFloat.settings}"


class LiteRtInt4(LiteRtFloat):
    """Weights int4, one scale for each row; inputs quantized at run time."""

    title = "LiteRT int4"
    weights = "int4"
    settings = f"ai-edge-quantizer recipe dynamic_wi4_afp32; else {LiteRtFloat.settings}"


def converted(layer: LayerWeights, batch: int, folder: Path) -> dict[str, Path]:
    """Files of the layer for every kind of weights, converted once for all; RuntimeError if that fails.

    The converter runs in a process of its own: it brings jax and a good deal of torch, prints much, and nothing of it
    should be in the process that measures.
    """
    arrays = {
        "input_weights": layer.input_weights,
        "recurrent_weights": layer.recurrent_weights,
        "biases": layer.four_biases(),
    }
    digest = hashlib.sha256(b"".join(array.tobytes() for array in arrays.values())).hexdigest()[:16]
    stem = folder / f"litert-{layer.inputs}-{layer.units}-{batch}-{digest}"
    paths = {weights: Path(f"{stem}.{weights}.tflite") for weights in ("f32", "int8", "int4")}
    if not all(path.exists() for path in paths.values()):
        for name in CONVERTER_PACKAGES:
            if importlib.util.find_spec(name) is None:
                raise ModuleNotFoundError(f"No module named {name!r}", name=name)
        np.savez(f"{stem}.npz", allow_pickle=False, **arrays)
        command = [sys.executable, str(CONVERTER), f"{stem}.npz", str(batch), *map(str, paths.values())]
        done = subprocess.run(command, capture_output=True, text=True, errors="replace", timeout=CONVERTER_SECONDS)
        if done.returncode != 0:
            lines = done.stderr.strip().splitlines() or [f"exit status {done.returncode}"]
            raise RuntimeError(f"conversion to .tflite failed: {lines[-1]}")
    return paths
