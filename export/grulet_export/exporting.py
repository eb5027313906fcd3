"""The one public verb, `export`, and `verify`: every file is proved before it is written."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np
from numpy.typing import NDArray
from onnx import ModelProto

from grulet import format as grulet_format
from grulet.errors import FormatError, FrameError, GruletError
from grulet.files import write_whole
from grulet.frames import random_frames
from grulet.kernel import version
from grulet.model import Model, load
from grulet.operators import Program
from grulet.progress import progress
from grulet.reference import Reference
from grulet_export.errors import ExportMismatch
from grulet_export.graph import Array, Graph
from grulet_export.lower import lower
from grulet_export.onnx_reading.layout import Imported
from grulet_export.onnx_reading.read import read_onnx
from grulet_export.onnx_running.runner import OnnxRunner
from grulet_export.quality import Network, Request
from grulet_export.quantization import mixing
from grulet_export.quantization.calibration import Recordings, checked
from grulet_export.quantization.picture import check_picture, picture
from grulet_export.quantization.quantize import quantize
from grulet_export.quantization.settings import Settings, check_formats_of_training, check_request
from grulet_export.report import Comparison, Report

if TYPE_CHECKING:
    from torch import Tensor, nn

Path_: TypeAlias = str | os.PathLike[str]
Constants: TypeAlias = Mapping[str, NDArray[Any]]

#: The names of the runs in a report.
TORCH, ONNXRUNTIME, FLOAT_ORACLE = "torch", "onnxruntime", "oracle, float weights"
EXACT_ORACLE, ORACLE, KERNEL = "oracle, exact activations", "oracle", "C kernel"

#: What a report says of the frames of a calibration.
CALIBRATED = ("the frames are those of the calibration; on others the loss may be larger (verify takes others)",)

#: Largest difference between two float32 runs that rounding explains: a share of how far the answers move over the
#: frames, because a network may hide a mistake behind answers that hardly move, and a floor of some roundings (6e-8)
#: of sums that are of the order of 1.  Measured: 1e-7 to 1e-6 of the largest answer; gates or biases taken for
#: one another move them by 1e-1 of the movement and more.
TOLERANCE = 1e-3
FLOOR = 2e-6


def export(
    model: nn.Module | ModelProto | bytes | Path_,
    path: Path_,
    *,
    example: Tensor | tuple[Tensor, ...] | None = None,
    weights: str | Mapping[str, str] | None = None,
    activations: str | None = None,
    calibration: Recordings | None = None,
    rounding: str | None = None,
    mix: bool = False,
    max_bytes: int | None = None,
    max_loss: float | None = None,
    mix_picture: Path_ | None = None,
    metadata: Mapping[str, Any] | None = None,
    constants: Constants | None = None,
    states: Mapping[str, str] | None = None,
    onnx: Path_ | None = None,
    onnx_step: Path_ | None = None,
    report: Path_ | None = None,
    metric: Callable[[Network], float] | None = None,
    metric_name: str = "your metric",
    frames: int = 1000,
    seed: int = 0,
) -> Report:
    """Write ``model`` as a `.grulet` file at ``path`` and return the proof.

    ``model``: a torch module, or an ONNX model (path, bytes or ModelProto).
    ``example``: one tensor per input of the torch module (docs/models.md says which modules need one); the module's
    attribute ``grulet_example`` takes its place.
    ``weights``: "int8" (the default), "int4", "f16" or "f32", or name of an operator -> format ("*": all others).
    ``activations``: "int16" (the default) or "int8", what int8 and int4 weights multiply.
    Layers of `grulet_export.qat` keep the formats and the integers of their training, and other layers of their module
    are f32 where ``weights`` is left out.
    ``calibration``: typical frames (T, in) float32, or several recordings of them: weights are then rounded so that
    little is lost on what the model really sees.  ``rounding``: "plain", "fitted" (the default without calibration) or
    "compensated" (with it).  ``mix``: choose every operator's format, with the least loss in a file of ``max_bytes`` or
    with the smallest file within ``max_loss`` (RMS error of the answers over their RMS);
    ``mix_picture``: also draw what there was to choose from (.png, .svg or .pdf; needs matplotlib).
    docs/quantization.md explains.
    ``metadata``: JSON-like, copied into the file beside the module's own ``grulet_metadata`` (torch modules only).
    ``constants``: arrays for inputs of an ONNX model that are weights.  ``states``: name of an input -> name of the
    output that holds it for the next frame, for a model of one frame whose states are not those of a GRU, LSTM or RNN.
    ``onnx``, ``onnx_step``: also write the ONNX model for whole sequences, and for one frame with state in and out.
    ``report``: also write what quantization did as an HTML page with pictures (needs matplotlib), measured on the
    frames of the calibration or random ones.  ``metric(network)``: a measure of yours, for float and quantized weights;
    ``network(frames)`` gives the answers to a recording (T, in), from the initial state.  With either, the result's
    ``quality`` has the same as data.
    ``frames``, ``seed``: how many random frames the proof runs over; with ``calibration``, the first of those instead.

    torch and onnxruntime, onnxruntime and the numpy oracle, the oracle and the C kernel are compared before anything is
    written; `ExportMismatch` if they disagree, `UnsupportedGraph` for a model that grulet cannot run.
    """
    settings = Settings(weights or "int8", activations or "int16", rounding)
    check_request(weights, calibration is not None, rounding, mix, max_bytes, max_loss)
    check_picture(mix, mix_picture)
    wanted = Request.of(report, metric, metric_name)
    if frames < 1:
        raise GruletError(f"frames must be at least 1, not {frames}")
    module = None
    if isinstance(model, ModelProto):
        source = model.SerializeToString(deterministic=True)
    elif isinstance(model, bytes):
        source = model
    elif isinstance(model, str | os.PathLike):
        source = _read(model)
    else:
        from grulet_export.torch_reading.front import torch_model  # torch is not needed to convert ONNX

        if constants:
            raise GruletError("constants go with an ONNX model; a torch module holds its own")
        module = torch_model(model, example, metadata, states)
        source, states = module.source, module.states
    if module is None and any(option is not None for option in (example, metadata, onnx, onnx_step)):
        raise GruletError("example, metadata, onnx and onnx_step go with a torch module; this model is ONNX already")

    imported = read_onnx(source, constants=constants, states=states)
    if module is not None:
        imported = replace(imported, notes=module.notes_with(imported.notes))
    graph = imported.graph
    if module is not None and module.trained:
        trained, unplaced = module.trained_nodes(graph)
        check_formats_of_training(trained, weights, activations)
        settings = replace(settings, weights=weights or "f32", trained=trained)
        imported = replace(imported, notes=imported.notes + unplaced)
    step = module.step_form(graph) if module is not None and onnx_step is not None else b""
    runner = OnnxRunner(source, imported)
    calibrated = None if calibration is None else checked(graph, calibration)
    given = None if calibrated is None else np.concatenate(calibrated.recordings)[:frames]
    frames_in = runner.held(_frames(graph, given, frames, seed))
    if calibrated is not None:
        calibrated = replace(calibrated, recordings=tuple(map(runner.held, calibrated.recordings)))
        imported = replace(imported, notes=imported.notes + calibrated.notes)
    float_program = lower(graph, exporter=_exporter())
    mixture = None
    if mix:
        mixture, quantized = mixing.mix(graph, settings, calibrated, max_bytes, max_loss, _exporter())
        imported = replace(imported, notes=imported.notes + mixture.notes)
    else:
        quantized = quantize(graph, settings, calibrated)
    program = lower(graph, quantized, exporter=_exporter())
    data = grulet_format.write(program)
    answers = None if module is None else module.run(imported, frames_in)
    proof = _prove(str(path), source, imported, runner, float_program, data, frames_in, answers)
    answer = wanted.answer(
        str(path),
        float_program,
        program,
        None if calibrated is None else calibrated.recordings,
        trade_off=() if mixture is None else mixture.trade_off,
        notes=CALIBRATED[: calibrated is not None],
    )

    if onnx is not None:
        write_whole(onnx, source)
    if onnx_step is not None:
        write_whole(onnx_step, step)
    answer.write()
    if mixture is not None and mix_picture is not None:
        write_whole(mix_picture, picture(mixture, Path(mix_picture).suffix))
    write_whole(path, data)
    return replace(proof, mixture=mixture, quality=answer.quality)


def verify(
    onnx: ModelProto | bytes | Path_,
    path: Path_,
    *,
    constants: Constants | None = None,
    states: Mapping[str, str] | None = None,
    input: Array | None = None,
    report: Path_ | None = None,
    metric: Callable[[Network], float] | None = None,
    metric_name: str = "your metric",
    frames: int = 1000,
    seed: int = 0,
) -> Report:
    """Compare the `.grulet` file at ``path`` with an ONNX model, over ``input`` (T, in) or random frames.

    ``constants``, ``states``, ``report``, ``metric``: as for `export`; the report is over ``input`` or random frames.
    """
    wanted = Request.of(report, metric, metric_name)
    if isinstance(onnx, ModelProto):
        source = onnx.SerializeToString(deterministic=True)
    else:
        source = onnx if isinstance(onnx, bytes) else _read(onnx)
    imported = read_onnx(source, constants=constants, states=states)
    graph = imported.graph
    model = load(path)
    ports = [(port.name, port.width) for port in graph.inputs], [(port.name, port.width) for port in graph.outputs]
    ours = [(port.name, port.width) for port in model.inputs], [(port.name, port.width) for port in model.outputs]
    if ports != ours:
        raise FormatError(
            f"{path} is not made from this ONNX model: it has {ours[0]} -> {ours[1]}, not {ports[0]} -> {ports[1]}"
        )
    float_program = lower(graph, exporter=_exporter())
    runner = OnnxRunner(source, imported)
    given = runner.held(_frames(graph, input, frames, seed))
    data = _read(path)
    proof = _prove(str(path), source, imported, runner, float_program, data, given, None)
    answer = wanted.answer(str(path), float_program, grulet_format.read(data), input)
    answer.write()
    return replace(proof, quality=answer.quality)


def _exporter() -> str:
    return f"grulet {version()}"


def _read(path: Path_) -> bytes:
    try:
        return Path(path).read_bytes()
    except OSError as error:
        raise GruletError(f"{path}: {error.strerror or error}") from error


def _frames(graph: Graph, given: Array | None, count: int, seed: int) -> Array:
    """The frames of the proof: those given, or random ones."""
    width = sum(port.width for port in graph.inputs)
    if given is None:
        return random_frames([(port.width, port.tokens) for port in graph.inputs], count, seed)
    if not isinstance(given, np.ndarray) or given.dtype != np.float32 or given.ndim != 2 or given.shape[1] != width:
        what = f"{given.dtype} {given.shape}" if isinstance(given, np.ndarray) else type(given).__name__
        raise FrameError(f"float32 frames (T, {width}) were expected, not {what}")
    if len(given) == 0 or not np.isfinite(given).all():
        raise FrameError("the frames are empty" if len(given) == 0 else "the frames hold a NaN or an infinity")
    return given


def _run_shown(title: str, oracle: Reference, frames: Array) -> Array:
    """Run the oracle with a progress bar: it takes about a millisecond a frame."""
    if oracle.program.needs_sequence:
        return oracle.run(frames)
    answers = []
    with progress(title, len(frames)) as done:
        for start in range(0, len(frames), 50):
            answers.append(oracle.run(frames[start : start + 50]))
            done(start + len(answers[-1]))
    return np.concatenate(answers)


def _prove(
    name: str,
    source: bytes,
    imported: Imported,
    runner: OnnxRunner,
    float_program: Program,
    data: bytes,
    frames: Array,
    torch_answers: Array | None,
) -> Report:
    """Run all sides over the frames; raises `ExportMismatch` where two disagree that should not."""
    model = load(data)
    program = grulet_format.read(data)
    runs: dict[str, Array] = {} if torch_answers is None else {TORCH: torch_answers}
    runs[FLOAT_ORACLE] = _run_shown("float oracle", Reference(float_program), frames)
    runs[ONNXRUNTIME] = runner.run(frames)
    runs[ORACLE] = _run_shown("oracle", Reference(program), frames)
    runs[KERNEL] = model.stream().run_vector(frames)
    pairs = [(TORCH, ONNXRUNTIME)] if torch_answers is not None else []
    pairs += [(ONNXRUNTIME, FLOAT_ORACLE), (ONNXRUNTIME, KERNEL)]
    if any(op.activations != "f32" for op in model.ops if op.weights != "none"):
        exact = Reference(program, exact_activations=True)
        runs[EXACT_ORACLE] = _run_shown("exact activations", exact, frames)
        pairs += [(FLOAT_ORACLE, EXACT_ORACLE), (EXACT_ORACLE, ORACLE)]
    pairs.append((ORACLE, KERNEL))
    comparisons = []
    answered = runner.answered(len(frames))  # a file may answer for some frames only, such as the last
    for left, right in pairs:
        for port in model.outputs:
            theirs = {left, right} & {TORCH, ONNXRUNTIME}
            rows = answered[port.name] if theirs else np.ones(len(frames), bool)
            sides = runs[left][rows, port.slice], runs[right][rows, port.slice]
            comparisons.append(Comparison.of(left, right, port.name, *sides))
            _judge(comparisons[-1], sides[0])
    return Report(
        name,
        _format_of(model, "weights"),
        _format_of(model, "activations"),
        model.parameters,
        len(source),
        model.file_bytes,
        model.weight_bytes,
        len(frames),
        tuple(comparisons),
        imported.notes,
    )


def _format_of(model: Model, what: str) -> str:
    """The format of the operators that have weights; they all have the same."""
    return ", ".join(sorted({getattr(op, what) for op in model.ops if op.weights != "none"})) or "none"


def _judge(comparison: Comparison, left: Array) -> None:
    pair = (comparison.left, comparison.right)
    if pair == (ORACLE, KERNEL) and not comparison.same_bits:
        raise ExportMismatch(
            f"output '{comparison.output}': the C kernel and the numpy oracle give different bits (largest difference "
            f"{comparison.largest:.3g}); this is a fault of grulet, please report it with the model"
        )
    limit = TOLERANCE * float(left.std(axis=0).max()) + FLOOR * max(1.0, float(np.abs(left).max()))
    if pair in ((TORCH, ONNXRUNTIME), (ONNXRUNTIME, FLOAT_ORACLE)) and not comparison.largest <= limit:
        raise ExportMismatch(
            f"output '{comparison.output}': {comparison.left} and {comparison.right} differ by "
            f"{comparison.largest:.3g}, more than the {limit:.3g} that rounding explains"
        )
