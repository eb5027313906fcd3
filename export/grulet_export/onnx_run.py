"""Run an ONNX model in onnxruntime over frames, whatever its layout: one side of every comparison."""

from __future__ import annotations

from typing import Any

import numpy as np
import onnxruntime

from grulet_export.errors import UnsupportedGraph
from grulet_export.graph import Array, Graph


def session(model: bytes) -> onnxruntime.InferenceSession:
    """One thread, no spinning: comparable with a kernel that uses one core."""
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    options.inter_op_num_threads = 1
    options.log_severity_level = 4  # a wrong guess of the layout is no news for stderr
    try:
        return onnxruntime.InferenceSession(model, options, providers=["CPUExecutionProvider"])
    except Exception as error:  # onnxruntime's errors have no common class
        raise UnsupportedGraph(
            "", "ONNX model", f"onnxruntime cannot load it: {_first_line(error)}", "repair or export it again"
        ) from error


class OnnxRunner:
    """An ONNX model as a function from frames (T, in) to answers (T, out), from its initial state."""

    def __init__(self, model: bytes, graph: Graph) -> None:
        self._session = session(model)
        self._graph = graph
        shapes = {entry.name: entry.shape for entry in self._session.get_inputs()}
        frame_names = [port.name for port in graph.inputs]
        self._shapes = {name: shapes[name] for name in frame_names}
        self._state_names = [name for name in shapes if name not in frame_names]
        outputs = [entry.name for entry in self._session.get_outputs()]
        self._output_names = [port.name for port in graph.outputs]
        self._final_names = [name for name in outputs if name not in self._output_names]
        # A state without batch or layer number of its own is for one stream.
        self._zero_states = {
            name: np.zeros([size if isinstance(size, int) else 1 for size in shapes[name]], np.float32)
            for name in self._state_names
        }

    def run(self, frames: Array, expected: Array) -> Array:
        """Answers to all frames, fewer if the file has a fixed number of frames.

        Where the shapes leave open which axis is time, onnxruntime may refuse one reading; where it does not,
        ``expected`` (the oracle's answers) decides: with time on the wrong axis no state is carried, and the answers
        lie further away.
        """
        axes = self._time_axes()
        if not axes:
            return self._steps(frames)
        answers = []
        refusal: UnsupportedGraph | None = None
        for axis in axes:
            try:
                answers.append(self._sequence(frames, axis))
            except UnsupportedGraph as error:
                refusal = error
        if refusal is not None and not answers:
            raise refusal
        return min(answers, key=lambda y: float(np.abs(y - expected[: len(y)]).max()))

    def _time_axes(self) -> list[int]:
        """Axes of the inputs that may be time: those not fixed to 1 while all other leading axes may be 1."""
        ranks = {len(shape) for shape in self._shapes.values()}
        if len(ranks) != 1:
            raise UnsupportedGraph("", "ONNX model", "its inputs differ in the number of axes", "give all the same")
        return [
            axis
            for axis in range(ranks.pop() - 1)
            if all(
                shape[axis] != 1 and all(size == 1 or not isinstance(size, int) for size in _without(shape, axis))
                for shape in self._shapes.values()
            )
        ]

    def _feed(self, frames: Array) -> dict[str, Array]:
        """(T, in) frames, cut into the named inputs."""
        widths = [port.width for port in self._graph.inputs]
        parts = np.split(frames, np.cumsum(widths)[:-1], axis=1)
        return {port.name: part for port, part in zip(self._graph.inputs, parts, strict=True)}

    def _sequence(self, frames: Array, axis: int) -> Array:
        fixed = [shape[axis] for shape in self._shapes.values() if isinstance(shape[axis], int)]
        frames = frames[: min(fixed, default=len(frames))]
        feed = {
            name: np.ascontiguousarray(part.reshape(_shaped(self._shapes[name], axis, len(frames))))
            for name, part in self._feed(frames).items()
        }
        answers = self._call(self._output_names, feed | self._zero_states)
        return np.concatenate([answer.reshape(len(frames), -1) for answer in answers], axis=1)

    def _steps(self, frames: Array) -> Array:
        """One frame a call; the i-th state output is the i-th state input of the next call."""
        if len(self._final_names) != len(self._state_names):
            raise UnsupportedGraph(
                "",
                "ONNX model",
                f"it takes one frame, {len(self._state_names)} states, and gives {len(self._final_names)} states",
                "give every state an input and an output",
            )
        states = dict(self._zero_states)
        answers = []
        for frame in frames:
            feed = {
                name: part.reshape([size if isinstance(size, int) else 1 for size in self._shapes[name]])
                for name, part in self._feed(frame[None]).items()
            }
            results = self._call(self._output_names + self._final_names, feed | states)
            answers.append(np.concatenate([result.ravel() for result in results[: len(self._output_names)]]))
            states = dict(zip(self._state_names, results[len(self._output_names) :], strict=True))
        return np.stack(answers)

    def _call(self, outputs: list[str], feed: dict[str, Array]) -> list[Array]:
        try:
            results: list[Array] = self._session.run(outputs, feed)
        except Exception as error:  # onnxruntime's errors have no common class
            raise UnsupportedGraph(
                "", "ONNX model", f"onnxruntime cannot run it: {_first_line(error)}", "repair or export it again"
            ) from error
        return results


def _without(shape: list[Any], axis: int) -> list[Any]:
    """Leading axes other than ``axis``."""
    return [size for position, size in enumerate(shape[:-1]) if position != axis]


def _shaped(shape: list[Any], axis: int, frames: int) -> list[int]:
    sizes = [1] * (len(shape) - 1)
    sizes[axis] = frames
    return [*sizes, -1]


def _first_line(error: Exception) -> str:
    return str(error).strip().partition("\n")[0]
