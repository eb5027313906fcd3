"""torch modules to ONNX, right by construction, and the proof: torch against onnxruntime.

torch's own exporter is not used: it has written GRU layers with wrong numbers, silently. Here the module becomes a
`grulet_export.graph.Graph` (torch_graph), and that is written as ONNX (onnx_writer).
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np
import onnxruntime
import torch
from onnx import ModelProto
from torch import Tensor, nn

from grulet_export import metadata as metadata_json
from grulet_export.errors import ExportMismatch, Refusal
from grulet_export.graph import Array
from grulet_export.onnx_run import session
from grulet_export.onnx_writer import BATCH_FIRST, STEP, TIME_FIRST, State, write_onnx
from grulet_export.torch_graph import Traced, as_found, rooted, tensors, trace

#: torch and onnxruntime may differ by this share of the largest magnitude of an output, plus `FLOOR`. Both compute in
#: float32, where one rounding is 6e-8 of a number; sums of a thousand products and a recurrence make 1e-6 of it, and
#: a wrong gate order, bias or reset makes 1e-2.
RELATIVE = 1e-5
#: For outputs that are small differences of larger numbers, such as states, which are of the order of 1.
FLOOR = 1e-6


@dataclass(frozen=True)
class TorchExport:
    """One module as two ONNX models with equal inputs, outputs and states, by name.

    ``sequence`` takes whole sequences: (batch, time, width) or, where the module's GRUs are not batch_first,
    (time, batch, width); batch and time are free. ``step`` takes one frame, (1, width). Both take the state of every
    layer, (1, batch, units), behind the inputs, and give the new ones behind the outputs; in ``step`` batch is 1.
    ``traced`` is what they were made from.
    """

    sequence: ModelProto
    step: ModelProto
    states: tuple[State, ...]
    traced: Traced

    @property
    def models(self) -> dict[str, ModelProto]:
        """Both models by name."""
        return {"sequence": self.sequence, "step": self.step}

    @property
    def state_names(self) -> tuple[tuple[str, str], ...]:
        """The names of every state as input and as output: ``feeds[input] = results[output]`` between two frames."""
        return tuple((state.input, state.output) for state in self.states)


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


def build_onnx(
    module: nn.Module,
    example: Tensor | tuple[Tensor, ...] | None = None,
    metadata: Mapping[str, Any] | None = None,
) -> TorchExport:
    """Return the module, in evaluation mode, as ONNX; the same module gives the same bytes.

    ``example`` holds one tensor per input, shape (..., width); only its width is looked at, and it is needed only
    where no GRU or Linear tells it. ``metadata``, over the module's own ``grulet_metadata``, go into both models.
    Raises `UnsupportedGraph` for everything that is not GRU, Linear and activations on every frame.
    """
    traced = trace(module, example)
    notes: dict[str, Any] = {}
    try:
        for given in (getattr(module, "grulet_metadata", {}), metadata or {}):
            if not isinstance(given, Mapping):
                raise Refusal(f"the metadata are a {type(given).__name__}", metadata_json.REMEDY)
            notes.update(given)
        text = metadata_json.to_json(notes)
    except Refusal as refusal:
        raise refusal.at("grulet_metadata", type(module).__name__) from refusal
    sequence, states = write_onnx(traced.graph, BATCH_FIRST if traced.batch_first else TIME_FIRST, text)
    step, _ = write_onnx(traced.graph, STEP, text)
    return TorchExport(sequence, step, states, traced)


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
        inputs = {port.name: _random(random, batch, length, port.width) for port in export.traced.graph.inputs}
        initial = {state.input: np.tanh(_random(random, 1, batch, state.units)) for state in export.states}
        expected = _run_torch(module, export, inputs, initial)
        answers = {
            "sequence": _run_sequence(sessions["sequence"], export, inputs, initial),
            "step": _run_steps(sessions["step"], export, inputs, initial),
        }
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


# Running: all answers are (batch, time, width), and (batch, 1, units) for final states -------------------------------

Arrays: TypeAlias = dict[str, Array]


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
    return answers | {name: tensor.cpu().numpy().swapaxes(0, 1) for name, tensor in final.items()}


def run_torch(module: nn.Module, export: TorchExport, frames: Array) -> Array:
    """Return the module's own answers to ``frames`` (time, in), from zero states: (time, out), all outputs joined."""
    graph = export.traced.graph
    parts = np.split(frames, np.cumsum([port.width for port in graph.inputs])[:-1], axis=1)
    inputs = {port.name: part[None] for port, part in zip(graph.inputs, parts, strict=True)}
    initial = {state.input: np.zeros((1, 1, state.units), np.float32) for state in export.states}
    answers = _run_torch(module, export, inputs, initial)
    return np.concatenate([answers[port.name][0] for port in graph.outputs], axis=1)


@contextmanager
def _starting_from(root: nn.Module, export: TorchExport, initial: Mapping[str, Tensor]) -> Iterator[dict[str, Tensor]]:
    """Make every nn.GRU start from the states given, (1, batch, units), and collect the final ones by output name."""
    calls: Counter[str] = Counter()
    final: dict[str, Tensor] = {}

    def layers(path: str) -> list[State]:
        """Return the states of the call that the GRU at this path is in."""
        pairs = zip(export.states, export.traced.origins, strict=True)
        return [state for state, origin in pairs if (origin.module, origin.call) == (path, calls[path])]

    def attach(path: str, stack: ExitStack) -> None:
        def before(_: nn.Module, args: Any, kwargs: dict[str, Any]) -> tuple[tuple[Any, ...], dict[str, Any]]:
            start = [initial[state.input] for state in layers(path)]
            return (args[0] if args else kwargs["input"], torch.cat(start) if start else None), {}

        def after(_: nn.Module, __: Any, returned: tuple[Tensor, Tensor]) -> None:
            states = layers(path)
            final.update((state.output, returned[1][layer : layer + 1]) for layer, state in enumerate(states))
            calls[path] += 1

        gru = root.get_submodule(path)
        stack.callback(gru.register_forward_pre_hook(before, with_kwargs=True).remove)
        stack.callback(gru.register_forward_hook(after).remove)

    with ExitStack() as stack:
        for path in {origin.module for origin in export.traced.origins}:
            attach(path, stack)
        yield final


def _run_sequence(
    session: onnxruntime.InferenceSession, export: TorchExport, inputs: Arrays, initial: Arrays
) -> Arrays:
    """Return the answers of the sequence model."""
    answers = _run(session, {name: _swapped(array, export.traced) for name, array in inputs.items()} | initial)
    final = {state.output: answers.pop(state.output).swapaxes(0, 1) for state in export.states}
    return {name: _swapped(array, export.traced) for name, array in answers.items()} | final


def _run_steps(session: onnxruntime.InferenceSession, export: TorchExport, inputs: Arrays, initial: Arrays) -> Arrays:
    """Return the answers of the step model, fed one frame of one sequence at a time."""
    batch, length, _ = next(iter(inputs.values())).shape
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


def _swapped(array: Array, traced: Traced) -> Array:
    """Return (batch, time, width) as the module has it, or the other way round."""
    return array if traced.batch_first else np.ascontiguousarray(array.swapaxes(0, 1))
