"""The proof of `to_onnx`: torch against onnxruntime, in every output and every state."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np
import onnxruntime
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from grulet_export.errors import ExportMismatch
from grulet_export.graph import Array, Port
from grulet_export.onnx_running.runner import session
from grulet_export.onnx_writing import State
from grulet_export.torch_reading.graph import Traced, as_found, rooted, tensors
from grulet_export.torch_reading.signals import StateOrigin
from grulet_export.torch_reading.to_onnx import TorchExport

#: torch and onnxruntime may differ by this share of the largest magnitude of an output, plus `FLOOR`. Both compute in
#: float32, where one rounding is 6e-8 of a number; sums of a thousand products and a recurrence make 1e-6 of it, and
#: a wrong gate order, bias or reset makes 1e-2.
RELATIVE = 1e-5
#: For outputs that are small differences of larger numbers, such as states, which are of the order of 1.
FLOOR = 1e-6


@dataclass(frozen=True)
class Agreement:
    """How far torch and onnxruntime were apart in one output (or final state) of one of the two models.

    ``frames`` were compared (for a final state: sequences). ``magnitude`` is torch's largest; ``limit`` is the error
    that would have been too much.
    """

    name: str
    model: str  # "sequence" or "step"
    frames: int
    max_error: float
    rms_error: float
    magnitude: float
    limit: float


def check_against_onnxruntime(
    module: nn.Module, export: TorchExport, frames: int = 100, sequences: int = 4, seed: int = 0
) -> list[Agreement]:
    """Run torch and onnxruntime on random sequences and return how far they are apart.

    The first of ``sequences`` has ``frames`` frames, the others fewer; batches are of 1 and 3 in turn; all start from
    random states, also where the module's forward takes none. Both models are compared, the step model frame by
    frame, in every output and every final state. Raises `ExportMismatch` where they differ by more than rounding.
    """
    random = np.random.default_rng(seed)
    sessions = {name: session(model.SerializeToString()) for name, model in export.models.items()}
    differences: dict[tuple[str, str], _Difference] = {}
    for number in range(sequences):
        length = frames if number == 0 else int(random.integers(1, frames + 1))
        batch = (1, 3)[number % 2]
        inputs = {port.name: _random_input(random, port, batch, length) for port in export.traced.graph.inputs}
        initial = {state.input: np.tanh(_random(random, 1, batch, state.width)) for state in export.states}
        expected = _run_torch(module, export, inputs, initial)
        runs = {"sequence": _run_sequence, "step": _run_steps}
        answers = {name: runs[name](session, export, inputs, initial) for name, session in sessions.items()}
        for model, answer in answers.items():
            for name in expected:
                difference = differences.setdefault((name, model), _Difference(name, model))
                difference.add(number, expected[name], answer[name])
    return [difference.judged() for difference in differences.values()]


# Comparing -----------------------------------------------------------------------------------------------------------


@dataclass
class _Difference:
    """What has been seen of one output of one model."""

    name: str
    model: str
    squares: float = 0.0
    count: int = 0
    frames: int = 0
    magnitude: float = 0.0
    max_error: float = 0.0
    worst: tuple[int, int, int] = (0, 0, 0)  # sequence, place in the batch, frame

    def add(self, sequence: int, expected: Array, answer: Array) -> None:
        """Compare two answers to one batch of sequences, (batch, frames, width) both."""
        if expected.shape != answer.shape:
            raise ExportMismatch(
                f"'{self.name}' of the {self.model} model: torch gives {expected.shape}, onnxruntime {answer.shape}"
            )
        errors = np.abs(expected.astype(np.float64) - answer)
        batch, frame, _ = (int(index) for index in np.unravel_index(np.argmax(errors), errors.shape))
        # argmax takes a NaN for the largest, and "not <=" keeps it.
        if not errors[batch, frame].max() <= self.max_error:
            self.max_error, self.worst = float(errors[batch, frame].max()), (sequence, batch, frame)
        self.squares += float((errors**2).sum())
        self.count += errors.size
        self.frames += errors.shape[0] * errors.shape[1]
        self.magnitude = max(self.magnitude, float(np.abs(expected).max()))

    def judged(self) -> Agreement:
        """Return the numbers, or raise ExportMismatch."""
        limit = RELATIVE * self.magnitude + FLOOR
        if not self.max_error <= limit:
            sequence, batch, frame = self.worst
            raise ExportMismatch(
                f"'{self.name}' of the {self.model} model: torch and onnxruntime differ by {self.max_error:.3g} at "
                f"frame {frame} of sequence {sequence}.{batch}, more than the {limit:.3g} that rounding explains"
            )
        rms = float(np.sqrt(self.squares / self.count))
        return Agreement(self.name, self.model, self.frames, self.max_error, rms, self.magnitude, limit)


def _random(random: np.random.Generator, *shape: int) -> Array:
    return random.standard_normal(shape, np.float32)


def _random_input(random: np.random.Generator, port: Port, batch: int, length: int) -> NDArray[Any]:
    """(batch, length, width) float32, or (batch, length) tokens."""
    if port.tokens:
        return random.integers(0, port.tokens, (batch, length))
    return _random(random, batch, length, port.width)


# Running: all answers are (batch, time, width), and (batch, 1, units) for final states -------------------------------

Arrays: TypeAlias = dict[str, NDArray[Any]]


def _run_torch(module: nn.Module, export: TorchExport, inputs: Arrays, initial: Arrays) -> Arrays:
    """Return the answers of the module itself."""
    traced = export.traced
    root = rooted(module)
    device = next((parameter.device for parameter in module.parameters()), torch.device("cpu"))
    # Copies, since a module may work in place.
    feeds = [torch.tensor(_swapped(array, traced), device=device) for array in inputs.values()]
    states = {name: torch.tensor(array, device=device) for name, array in initial.items()}
    with as_found(root), torch.no_grad(), _starting_from(root, export, states) as final:
        returned = tensors(root(**dict(zip(traced.arguments, feeds, strict=True))))
    named = zip(traced.returns, returned, strict=True)
    answers = {name: _swapped(tensor.cpu().numpy(), traced) for name, tensor in named if name is not None}
    return answers | {name: tensor.cpu().numpy()[:, None] for name, tensor in final.items()}


def run_torch(module: nn.Module, export: TorchExport, frames: Array) -> Array:
    """Return the module's own answers to ``frames`` (time, in), from zero states: (time, out), all outputs joined."""
    graph = export.traced.graph
    parts = np.split(frames, np.cumsum([port.width for port in graph.inputs])[:-1], axis=1)
    inputs = {
        port.name: part.T.astype(np.int64) if port.tokens else part[None]
        for port, part in zip(graph.inputs, parts, strict=True)
    }
    initial = {state.input: np.zeros((1, 1, state.width), np.float32) for state in export.states}
    answers = _run_torch(module, export, inputs, initial)
    return np.concatenate([answers[port.name][0] for port in graph.outputs], axis=1)


@contextmanager
def _starting_from(root: nn.Module, export: TorchExport, initial: Mapping[str, Tensor]) -> Iterator[dict[str, Tensor]]:
    """Make every layer start from the states given, (1, batch, units); collect the final ones, (batch, units)."""
    calls: Counter[str] = Counter()
    final: dict[str, Tensor] = {}

    def states(path: str) -> list[tuple[State, StateOrigin]]:
        """Return the states of the call that the module at this path is in."""
        pairs = zip(export.states, export.traced.origins, strict=True)
        return [(state, origin) for state, origin in pairs if (origin.module, origin.call) == (path, calls[path])]

    def attach(path: str, stack: ExitStack) -> None:
        layer = root.get_submodule(path)
        assert isinstance(layer, nn.RNNBase)

        def before(_: nn.Module, args: Any, kwargs: dict[str, Any]) -> tuple[tuple[Any, ...], dict[str, Any]]:
            given = states(path)
            return (args[0] if args else kwargs["input"], _start(layer, given, initial) if given else None), {}

        def after(_: nn.Module, __: Any, returned: tuple[Tensor, Any]) -> None:
            parts = returned[1] if isinstance(layer, nn.LSTM) else (returned[1],)
            final.update((state.output, parts[origin.part][origin.row]) for state, origin in states(path))
            calls[path] += 1

        stack.callback(layer.register_forward_pre_hook(before, with_kwargs=True).remove)
        stack.callback(layer.register_forward_hook(after).remove)

    with ExitStack() as stack:
        for path in {origin.module for origin in export.traced.origins}:
            attach(path, stack)
        yield final


def _start(
    layer: nn.RNNBase, given: Sequence[tuple[State, StateOrigin]], initial: Mapping[str, Tensor]
) -> Tensor | tuple[Tensor, Tensor]:
    """Return the h_0 of a layer, or the (h_0, c_0) of an LSTM: the states given, zeros for reverse directions."""
    first = initial[given[0][0].input]
    rows = layer.num_layers * (1 + layer.bidirectional)
    h, c = (torch.zeros(rows, *first.shape[1:], device=first.device) for _ in range(2))
    for state, origin in given:
        (h, c)[origin.part][origin.row] = initial[state.input][0]
    return (h, c) if isinstance(layer, nn.LSTM) else h


def _run_sequence(
    session: onnxruntime.InferenceSession, export: TorchExport, inputs: Arrays, initial: Arrays
) -> Arrays:
    """Return the answers of the sequence model."""
    answers = _run(session, {name: _swapped(array, export.traced) for name, array in inputs.items()} | initial)
    final = {state.output: answers.pop(state.output).swapaxes(0, 1) for state in export.states}
    return {name: _swapped(array, export.traced) for name, array in answers.items()} | final


def _run_steps(session: onnxruntime.InferenceSession, export: TorchExport, inputs: Arrays, initial: Arrays) -> Arrays:
    """Return the answers of the step model, fed one frame of one sequence at a time."""
    batch, length, *_ = next(iter(inputs.values())).shape
    rows: list[Arrays] = []
    for row in range(batch):
        states = {name: array[:, row : row + 1] for name, array in initial.items()}
        steps: list[Arrays] = []
        for frame in range(length):
            feeds = {name: array[row, frame : frame + 1] for name, array in inputs.items()}
            steps.append(_run(session, feeds | states))
            states = {state.input: steps[-1].pop(state.output) for state in export.states}
        answers = {name: np.concatenate([step[name] for step in steps]) for name in steps[0]}
        rows.append(answers | {state.output: states[state.input][0] for state in export.states})
    return {name: np.stack([answers[name] for answers in rows]) for name in rows[0]}


def _run(session: onnxruntime.InferenceSession, feeds: Arrays) -> Arrays:
    names = [output.name for output in session.get_outputs()]
    return dict(zip(names, session.run(names, feeds), strict=True))


def _swapped(array: NDArray[Any], traced: Traced) -> NDArray[Any]:
    """Return (batch, time, ...) as the module has it, or the other way round."""
    return array if traced.batch_first else np.ascontiguousarray(array.swapaxes(0, 1))
