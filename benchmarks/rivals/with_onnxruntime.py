"""onnxruntime: the GRU operator in float32; for int8, which that operator has not, the cell written out as MatMul."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from .common import Array, LayerWeights, SequenceRival, StepRival

OPSET = 17
#: The file format that goes with it; older readers refuse newer files.
IR_VERSION = 8


class OnnxFloat(StepRival):
    """One GRU operator."""

    title = "onnxruntime f32"
    weights = "f32"
    package = "onnxruntime"
    settings = (
        "GRU operator, linear_before_reset=1, state in and out; 1 intra-op and 1 inter-op thread; two input-output "
        "bindings on fixed buffers, taken in turn, so that a state is never copied between steps"
    )

    def prepare(self, folder: Path) -> None:
        """Bind twice: a step reads one state buffer and writes the other."""
        from grulet_export.onnx_running.runner import session

        self._session = session(self.model(folder))
        frames, *_ = self._session.get_inputs()
        state, *_ = self._session.get_outputs()
        self._frames = np.zeros(frames.shape, np.float32)
        self._states = [np.zeros(state.shape, np.float32) for _ in range(2)]
        self._bindings = [self._bind(*self._states), self._bind(*self._states[::-1])]
        self._frames_view = self._frames.reshape(*self.answer_shape[:-1], self.layer.inputs)
        self._state_views = [state.reshape(self.answer_shape) for state in self._states]
        self._now = 0

    def _bind(self, before: Array, after: Array) -> Any:
        binding = self._session.io_binding()
        for name, array in (("x", self._frames), ("h", before)):
            binding.bind_input(name, "cpu", 0, np.float32, array.shape, array.ctypes.data)
        binding.bind_output("y", "cpu", 0, np.float32, after.shape, after.ctypes.data)
        return binding

    def model(self, folder: Path) -> bytes:
        """ONNX file with inputs x, h and output y: the new state."""
        size = [1, self.batch, self.layer.inputs], [1, self.batch, self.layer.units]
        return onnx_file(
            [gru_node(["x", "W", "R", "B", "", "h"], ["", "y"], self.layer)], gru_tensors(self.layer), size
        )

    def step(self, frame: Array) -> Array:
        """One step."""
        self._frames_view[:] = frame
        self._session.run_with_iobinding(self._bindings[self._now])
        self._now = 1 - self._now
        return self._state_views[self._now].copy()


class OnnxFloatCell(OnnxFloat):
    """The cell as MatMul and Add: with many streams a little faster than the GRU operator."""

    settings = (
        "cell as MatMul and Add (reset and update gates: one MatMul over input and state together), state in and out; "
        "1 intra-op and 1 inter-op thread; two input-output bindings on fixed buffers, taken in turn"
    )

    def model(self, folder: Path) -> bytes:
        """Three MatMul."""
        from onnx.helper import make_node as node

        split = 2 * self.layer.units
        w, r = self.layer.input_weights, self.layer.recurrent_weights
        biases = self.layer.four_biases()
        tensors = {
            "gate weights": np.concatenate([w[:split], r[:split]], axis=1).T,
            "gate bias": biases[:split],
            "new input weights": w[split:].T,
            "new input bias": biases[split : -self.layer.units],
            "new state weights": r[split:].T,
            "new state bias": biases[-self.layer.units :],
        }
        nodes = [
            node("Concat", ["x", "h"], ["xh"], axis=1),
            node("MatMul", ["xh", "gate weights"], ["gate products"]),
            node("Add", ["gate products", "gate bias"], ["gate sums"]),
            node("Sigmoid", ["gate sums"], ["gates"]),
            node("Split", ["gates"], ["reset", "update"], axis=1),
            node("MatMul", ["x", "new input weights"], ["new input product"]),
            node("Add", ["new input product", "new input bias"], ["new input sum"]),
            node("MatMul", ["h", "new state weights"], ["new state product"]),
            node("Add", ["new state product", "new state bias"], ["new state sum"]),
            node("Mul", ["reset", "new state sum"], ["reset sum"]),
            node("Add", ["new input sum", "reset sum"], ["new sum"]),
            node("Tanh", ["new sum"], ["new"]),
            node("Sub", ["h", "new"], ["way back"]),
            node("Mul", ["update", "way back"], ["kept"]),
            node("Add", ["new", "kept"], ["y"]),
        ]
        return onnx_file(nodes, tensors, ([self.batch, self.layer.inputs], [self.batch, self.layer.units]))


class OnnxInt8(OnnxFloatCell):
    """The same with int8 weights: `quantize_dynamic` leaves a GRU operator in float32 and does not say so."""

    title = "onnxruntime int8"
    weights = "int8"
    settings = f"quantize_dynamic(weight_type=QInt8), activations quantized at run time; {OnnxFloatCell.settings}"

    def model(self, folder: Path) -> bytes:
        """The float cell, quantized: `quantize_dynamic` works from file to file."""
        from onnxruntime.quantization import QuantType, quantize_dynamic
        from onnxruntime.quantization.shape_inference import quant_pre_process

        stem = f"onnx-cell-{self.layer.units}-{self.batch}"
        paths = [folder / f"{stem}.{state}.onnx" for state in ("f32", "prepared", "int8")]
        paths[0].write_bytes(super().model(folder))
        quant_pre_process(paths[0], paths[1], skip_symbolic_shape=True)
        quantize_dynamic(paths[1], paths[2], weight_type=QuantType.QInt8)
        return paths[2].read_bytes()


class OnnxSequence(SequenceRival):
    """The GRU operator over all frames."""

    title = "onnxruntime f32"
    weights = "f32"
    package = "onnxruntime"
    settings = "GRU operator over all frames, linear_before_reset=1; 1 intra-op and 1 inter-op thread; run"

    def prepare(self, folder: Path) -> None:
        """Load, for any number of frames."""
        from grulet_export.onnx_running.runner import session

        node = gru_node(["x", "W", "R", "B", "", "h"], ["y", ""], self.layer)
        sizes = ["frames", 1, self.layer.inputs], [1, 1, self.layer.units]
        self._session = session(onnx_file([node], gru_tensors(self.layer), sizes, ["frames", 1, 1, self.layer.units]))
        self._state = np.zeros(sizes[1], np.float32)

    def run(self, frames: Array) -> Array:
        """All frames."""
        states: Array
        (states,) = self._session.run(["y"], {"x": frames[:, None], "h": self._state})
        return states[:, 0, 0]


def gru_node(inputs: list[str], outputs: list[str], layer: LayerWeights) -> Any:
    """A GRU operator with torch's meaning of the reset gate."""
    from onnx.helper import make_node

    return make_node("GRU", inputs, outputs, hidden_size=layer.units, linear_before_reset=1)


def gru_tensors(layer: LayerWeights) -> dict[str, Array]:
    """W, R and B as the GRU operator wants them: update gate first."""
    onnx = layer.in_order("zrn")
    bias = np.concatenate([onnx.input_bias, onnx.recurrent_bias])
    return {"W": onnx.input_weights[None], "R": onnx.recurrent_weights[None], "B": bias[None]}


def onnx_file(
    nodes: list[Any],
    tensors: dict[str, Array],
    sizes: tuple[list[Any], list[Any]],
    output_size: list[Any] | None = None,
) -> bytes:
    """An ONNX file; ``sizes`` of the inputs x and h, ``output_size`` of y: h's unless told."""
    from onnx import TensorProto, checker, helper, numpy_helper

    ports = [
        helper.make_tensor_value_info(name, TensorProto.FLOAT, size)
        for name, size in zip("xhy", (*sizes, output_size or sizes[1]), strict=True)
    ]
    constants = [numpy_helper.from_array(np.ascontiguousarray(value), name) for name, value in tensors.items()]
    graph = helper.make_graph(nodes, "gru", ports[:2], ports[2:], constants)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", OPSET)], ir_version=IR_VERSION)
    checker.check_model(model)
    data: bytes = model.SerializeToString()
    return data
