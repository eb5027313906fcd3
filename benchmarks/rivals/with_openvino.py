"""OpenVINO on the CPU, told to stay in float32: by default it computes in bfloat16 where the processor has it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from .common import Array, LayerWeights, SequenceRival, StepRival

OPTIONS = {"PERFORMANCE_HINT": "LATENCY", "INFERENCE_NUM_THREADS": 1, "INFERENCE_PRECISION_HINT": "f32"}
OPTIONS_TEXT = "LATENCY hint, INFERENCE_NUM_THREADS=1, INFERENCE_PRECISION_HINT=f32"


class OpenVinoFloat(StepRival):
    """A GRUCell operator with the state in and out: with fixed buffers faster than a state inside the model."""

    title = "OpenVINO f32"
    weights = "f32"
    package = "openvino"
    settings = (
        f"GRUCell operator, linear_before_reset, state in and out; {OPTIONS_TEXT}; two infer requests on fixed "
        "buffers, taken in turn, so that a state is never copied between steps"
    )

    def prepare(self, folder: Path) -> None:
        """Two requests: one reads a state buffer and writes the other."""
        import openvino

        frames_shape, state_shape = (self.batch, self.layer.inputs), (self.batch, self.layer.units)
        compiled = compile_gru(self.layer, frames_shape, state_shape)
        self._frames = np.zeros(frames_shape, np.float32)
        self._states = [np.zeros(state_shape, np.float32) for _ in range(2)]
        self._requests = []
        for before, after in (self._states, self._states[::-1]):
            request = compiled.create_infer_request()
            request.set_input_tensor(0, openvino.Tensor(self._frames, shared_memory=True))
            request.set_input_tensor(1, openvino.Tensor(before, shared_memory=True))
            request.set_output_tensor(0, openvino.Tensor(after, shared_memory=True))
            self._requests.append(request)
        self._frames_view = self._frames.reshape(*self.answer_shape[:-1], self.layer.inputs)
        self._state_views = [state.reshape(self.answer_shape) for state in self._states]
        self._now = 0

    def step(self, frame: Array) -> Array:
        """One step."""
        self._frames_view[:] = frame
        self._requests[self._now].infer()
        self._now = 1 - self._now
        return self._state_views[self._now].copy()


class OpenVinoSequence(SequenceRival):
    """A GRUSequence operator, compiled for the number of frames: much faster than one compiled for any number."""

    title = "OpenVINO f32"
    weights = "f32"
    package = "openvino"
    settings = f"GRUSequence operator for this number of frames, linear_before_reset; {OPTIONS_TEXT}"

    def prepare(self, folder: Path) -> None:
        """Compile for one frame, so that a missing package or a refusal is known now."""
        self._state: Array = np.zeros((1, 1, self.layer.units), np.float32)
        self._requests: dict[int, Any] = {}
        self._compile(1)

    def _compile(self, frames: int) -> Any:
        compiled = compile_gru(self.layer, (1, frames, self.layer.inputs), self._state.shape)
        self._requests[frames] = compiled.create_infer_request()
        return self._requests[frames]

    def run(self, frames: Array) -> Array:
        """All frames; the first call for a number of frames compiles."""
        import openvino

        request = self._requests.get(len(frames)) or self._compile(len(frames))
        request.set_input_tensor(0, openvino.Tensor(frames[None], shared_memory=True))
        request.set_input_tensor(1, openvino.Tensor(self._state, shared_memory=True))
        request.infer()
        states: Array = request.get_output_tensor(0).data
        return np.array(states[0, 0])


def compile_gru(layer: LayerWeights, frames_shape: tuple[int, ...], state_shape: tuple[int, ...]) -> Any:
    """A cell for frames (batch, inputs), a sequence for (batch, frames, inputs); the states are its first output."""
    import openvino
    from openvino import opset13 as opset

    zrn = layer.in_order("zrn")
    frames = opset.parameter(frames_shape, np.float32, name="x")
    state = opset.parameter(state_shape, np.float32, name="h")
    arrays = [zrn.input_weights, zrn.recurrent_weights, zrn.four_biases()]
    if len(frames_shape) == 2:
        weights = [opset.constant(array) for array in arrays]
        gru = opset.gru_cell(frames, state, *weights, layer.units, linear_before_reset=True)
    else:
        weights = [opset.constant(array[None]) for array in arrays]
        lengths = opset.constant(np.full(frames_shape[0], frames_shape[1], np.int32))
        gru = opset.gru_sequence(frames, state, lengths, *weights, layer.units, "forward", linear_before_reset=True)
    model = openvino.Model([opset.result(gru.output(0))], [frames, state], "gru")
    return openvino.Core().compile_model(model, "CPU", OPTIONS)
