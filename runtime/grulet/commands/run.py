"""Run a model on a recording: IN.npy (frames, inputs) float32, or IN.wav if the model declares audio, to OUT.npy."""

from __future__ import annotations

import argparse
import io
import time
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from grulet.audio import LogMel, read_wav
from grulet.commands.arguments import positive, read_frames
from grulet.commands.result import Result
from grulet.errors import FrameError
from grulet.files import write_whole
from grulet.model import Model, load
from grulet.progress import progress


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the command's arguments."""
    parser.add_argument("model", metavar="MODEL.grulet")
    parser.add_argument("input", metavar="IN", help="frames (.npy) or, if the model declares audio, sound (.wav)")
    parser.add_argument("output", metavar="OUT.npy", help="the answers, (frames, outputs) float32")
    parser.add_argument(
        "--chunk",
        type=positive,
        default=256,
        metavar="N",
        help="frames per call (models that need the whole sequence get it at once); the result does not depend on it",
    )


def run(options: argparse.Namespace) -> Result:
    """Stream the recording through the model."""
    model = load(options.model)
    frames = (
        _sound(model, options.input) if Path(options.input).suffix.lower() == ".wav" else read_frames(options.input)
    )
    if frames.shape[1] != model.input_width:
        raise FrameError(
            f"{options.input}: frames have {frames.shape[1]} elements, the model wants {model.input_width}"
        )
    chunk = max(1, len(frames)) if model.needs_sequence else options.chunk
    stream = model.stream(block=min(chunk, 256))
    answers = np.empty((len(frames), model.output_width), np.float32)
    begin = time.perf_counter()
    with progress("run", len(frames)) as done:
        for start in range(0, len(frames), chunk):
            stop = min(start + chunk, len(frames))
            try:
                answers[start:stop] = stream.run_vector(frames[start:stop])
            except FrameError as error:
                raise FrameError(f"{options.input}: in frames {start} to {stop - 1}: {error}") from error
            done(stop)
    seconds = time.perf_counter() - begin
    buffer = io.BytesIO()
    np.save(buffer, answers)
    write_whole(options.output, buffer.getvalue())
    per_frame = seconds / max(1, len(frames)) * 1e6
    data = {"frames": len(frames), "outputs": model.output_width, "seconds": seconds, "us_per_frame": per_frame}
    return Result(
        f"{len(frames)} frames -> {options.output} ({len(frames)}, {model.output_width}) float32, "
        f"{per_frame:.2f} us a frame",
        data,
    )


def _sound(model: Model, path: str) -> NDArray[np.float32]:
    if "audio" not in model.metadata:
        raise FrameError(f"{path}: this model declares no audio front end; give it frames as .npy")
    front = LogMel.from_metadata(model.metadata["audio"])
    samples, rate = read_wav(path)
    if rate != front.sample_rate:
        raise FrameError(f"{path}: {rate} Hz, the model wants {front.sample_rate} Hz (resample it first)")
    return front.frames(samples)
