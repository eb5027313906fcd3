"""Run an ONNX model in onnxruntime over frames: one side of every comparison."""

from __future__ import annotations

import math
from typing import Any, Protocol

import numpy as np
import onnxruntime
from numpy.typing import NDArray
from onnx import helper

from grulet_export.errors import UnsupportedGraph
from grulet_export.graph import Array, needs_sequence
from grulet_export.onnx_reading import file as onnx_file
from grulet_export.onnx_reading.axes import BATCH, TIME, Axes, has, length
from grulet_export.onnx_reading.layout import Imported
from grulet_export.onnx_running.prepared import prepared


class Session(Protocol):
    """What runs a model: an onnxruntime session, or something with the same inputs and outputs."""

    def run(self, names: list[str], feeds: dict[str, NDArray[Any]]) -> list[NDArray[Any]]:
        """Return the outputs ``names``."""


def session(model: bytes) -> onnxruntime.InferenceSession:
    """One thread, no spinning: comparable with a kernel that uses one core."""
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    options.inter_op_num_threads = 1
    options.log_severity_level = 4  # errors come as exceptions; warnings about its optimizer are no news for stderr
    try:
        return onnxruntime.InferenceSession(model, options, providers=["CPUExecutionProvider"])
    except Exception as error:  # onnxruntime's errors have no common class
        raise _refusal("cannot load it", error) from error


class OnnxRunner:
    """An ONNX model as a function from frames (T, in) to answers (T, out), from its initial state.

    Where the file gives no answer for a frame (a last-step output, frames beyond a fixed number), the row holds NaN;
    `answered` tells that from a NaN that the file computed.
    """

    def __init__(self, source: onnx_file.Source, imported: Imported, instead: Session | None = None) -> None:
        """``instead``: what stands for the file, such as the torch module that it came from; onnxruntime if None."""
        self._graph, self._layout = imported.graph, imported.layout
        names = [port.name for port in self._graph.outputs]
        finals = [state.output for state in self._layout.states.values() if state.output]
        self._outputs = list(dict.fromkeys([*names, *finals]))
        model = prepared(source, self._layout, self._outputs) if instead is None else onnx_file.load(source)[0]
        self._types = {
            entry.name: helper.tensor_dtype_to_np_dtype(entry.type.tensor_type.elem_type) for entry in model.graph.input
        }
        self._session: Session = session(model.SerializeToString()) if instead is None else instead

    def held(self, frames: Array) -> Array:
        """Return the frames as the file can take them.

        Inputs that it takes once for a whole sequence are as in the first frame; where the last frame decides about the
        first, there are no more frames than the file fixes.
        """
        held = frames[: self._layout.sizes.get(TIME) if needs_sequence(self._graph) else None].copy()
        for name, columns in self._columns().items():
            if self._layout.sequence and not has(self._layout.inputs[name], TIME):
                held[:, columns] = frames[0, columns]
        return held

    def run(self, frames: Array) -> Array:
        """Return the answers to all frames, (T, out)."""
        answers = np.full((len(frames), sum(port.width for port in self._graph.outputs)), np.nan, np.float32)
        if not self._layout.sequence:
            self._steps(frames, answers)
            return answers
        fixed = self._layout.sizes.get(TIME)
        if fixed is not None and fixed > len(frames):
            raise UnsupportedGraph(
                "", "ONNX model", f"it runs {fixed} frames, no fewer", f"give it at least {fixed} frames"
            )
        *parts, whole = self._lengths(len(frames))
        for count in parts:
            self._sequence(frames[:count], answers, everything=False)
        self._sequence(frames[:whole], answers, everything=True)
        return answers

    def answered(self, frames: int) -> dict[str, NDArray[np.bool_]]:
        """Return which of so many frames `run` answers, by output."""
        first, some = np.zeros(frames, bool), np.zeros(frames, bool)
        if not self._layout.sequence:
            first[: frames if self._layout.carries else 1] = True
            return {port.name: first for port in self._graph.outputs}
        lengths = self._lengths(frames)
        first[: lengths[-1]] = True
        some[[count - 1 for count in lengths]] = True
        return {port.name: some if port.name in self._layout.last else first for port in self._graph.outputs}

    def _lengths(self, frames: int) -> list[int]:
        """Return how many frames it runs at once, the most last; beginnings only for last-step outputs."""
        fixed = self._layout.sizes.get(TIME)
        whole = fixed or frames
        if not self._layout.last or fixed is not None or needs_sequence(self._graph):
            return [whole]
        return [*sorted({count for count in (1, 2, 3, whole // 2) if 0 < count < whole}), whole]

    def _columns(self) -> dict[str, slice]:
        """Return where every input lies in a frame."""
        ends = np.cumsum([port.width for port in self._graph.inputs]).tolist()
        return {port.name: slice(end - port.width, end) for port, end in zip(self._graph.inputs, ends, strict=True)}

    def _extents(self, frames: int) -> dict[str, int]:
        return {BATCH: 1, **self._layout.sizes, TIME: frames}

    def _feed(self, frames: Array) -> dict[str, NDArray[Any]]:
        """Return frames (T, in), cut into the inputs of the file, each in its shape."""
        feed: dict[str, NDArray[Any]] = {}
        columns = self._columns()
        for name, axes in self._layout.inputs.items():
            if name not in self._types:
                continue  # only its shape, or nothing of it, is read
            if name in columns:
                part = frames[:, columns[name]]
            else:
                part = np.zeros((len(frames), math.prod(axis for axis in axes if isinstance(axis, int))), np.float32)
            feed[name] = _as_input(part, axes, self._extents(len(frames))).astype(self._types[name])
        return feed

    def _zero_states(self) -> dict[str, Array]:
        return {
            name: np.zeros(state.shape, np.float32)
            for name, state in self._layout.states.items()
            if name in self._types
        }

    def _sequence(self, frames: Array, answers: Array, everything: bool) -> None:
        """Fill in the last row of last-step outputs and, if wanted, all rows of the others."""
        results = self._call(self._feed(frames) | self._zero_states())
        extents = self._extents(len(frames))
        end = 0
        for port in self._graph.outputs:
            start, end = end, end + port.width
            rows = _as_rows(results[port.name], self._layout.outputs[port.name], extents)
            if port.name in self._layout.last:
                answers[len(frames) - 1, start:end] = rows[0]
            elif everything:
                answers[: len(frames), start:end] = rows

    def _steps(self, frames: Array, answers: Array) -> None:
        """Go one frame a call, states carried; only the first frame can be compared if the file keeps them inside."""
        states = self._zero_states()
        for place in range(len(frames) if self._layout.carries else 1):
            results = self._call(self._feed(frames[place : place + 1]) | states)
            rows = [
                _as_rows(results[port.name], self._layout.outputs[port.name], self._extents(1))[0]
                for port in self._graph.outputs
            ]
            answers[place] = np.concatenate(rows)
            states = {
                name: results[self._layout.states[name].output].reshape(array.shape) for name, array in states.items()
            }

    def _call(self, feed: dict[str, NDArray[Any]]) -> dict[str, NDArray[Any]]:
        try:
            return dict(zip(self._outputs, self._session.run(self._outputs, feed), strict=True))
        except Exception as error:  # onnxruntime's errors have no common class
            raise _refusal("cannot run it", error) from error


def _as_input(rows: Array, axes: Axes, extents: dict[str, int]) -> NDArray[Any]:
    """Return (T, width) rows in the shape of an input, for every stream the same; without time, the first row."""
    features = [axis for axis in axes if isinstance(axis, int)]
    timed = has(axes, TIME)
    array = (rows if timed else rows[:1]).reshape(-1, *features)
    place = next((place for place, axis in enumerate(axes) if axis == (TIME,)), 0)
    batch = [place for place, axis in enumerate(axes) if axis == (BATCH,)]
    array = np.moveaxis(array, 0, place - sum(other < place for other in batch)) if timed else array[0]
    array = np.expand_dims(array, tuple(batch))
    shape = [int(length(axis, extents)) for axis in axes]  # type: ignore[arg-type]  # all sizes are known here
    return np.ascontiguousarray(np.broadcast_to(array, shape))


def _as_rows(array: NDArray[Any], axes: Axes, extents: dict[str, int]) -> Array:
    """Return an output as (T, width) rows of the first stream, or (1, width) if it has no time."""
    parted = [("", axis) if isinstance(axis, int) else (role, extents[role]) for axis in axes for role in _roles(axis)]
    roles = [role for role, _ in parted]
    parts = array.reshape([size for _, size in parted])
    for place in [place for place, role in enumerate(roles) if role == BATCH][::-1]:
        parts = parts.take(0, place)
        del roles[place]
    rows = np.moveaxis(parts, roles.index(TIME), 0) if TIME in roles else parts[None]
    return rows.reshape(len(rows), -1)


def _roles(axis: Any) -> tuple[str, ...]:
    return ("",) if isinstance(axis, int) else axis


def _refusal(what: str, error: Exception) -> UnsupportedGraph:
    return UnsupportedGraph(
        "", "ONNX model", f"onnxruntime {what}: {onnx_file.first_line(error)}", "repair or export it again"
    )
