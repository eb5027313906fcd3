"""Who is compared: the ONNX file in onnxruntime, and the `.grulet` files made of it."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
from examples.noise_suppression.network import checked, fetch
from numpy.typing import NDArray

import grulet

#: Features (T, 161) of a whole recording to gains (T, 161), both float32.
Whole: TypeAlias = Callable[[NDArray[np.float32]], NDArray[np.float32]]

ONNXRUNTIME = "onnxruntime, float32"

#: Our formats, as `grulet_export.export` and `grulet convert` name their options.
FORMATS: dict[str, dict[str, Any]] = {
    "grulet, float32": {"weights": "f32"},
    "grulet, int8 x int16": {},
    "grulet, int8 x int8": {"activations": "int8"},
}


def convert_all(folder: Path) -> dict[str, grulet.Model]:
    """The network in all our formats; the files go into ``folder`` and may be deleted when the models are."""
    from grulet_export import export

    onnx = checked(fetch().read_bytes())
    models = {}
    for name, options in FORMATS.items():
        path = folder / f"{name}.grulet"
        export(onnx, path, frames=20, **options)  # a short proof: what comes is compared over whole recordings
        models[name] = grulet.load(path)
    return models


def onnxruntime_whole() -> Whole:
    """The ONNX file as it is, one thread.

    It makes its zero state itself and has no input for another one: frame by frame it would forget everything.
    """
    from grulet_export.onnx_running.runner import session

    run = session(checked(fetch().read_bytes())).run

    def whole(frames: NDArray[np.float32]) -> NDArray[np.float32]:
        gains: NDArray[np.float32] = run(["output"], {"input": frames[None]})[0][0]
        return gains

    return whole


def grulet_whole(model: grulet.Model) -> Whole:
    """`Stream.run`, from the initial state: the same bits as frame by frame, and most weights are read once a block."""
    return lambda frames: model.stream().run(frames)


def frame_by_frame(model: grulet.Model) -> Whole:
    """One `Stream.step` a frame, from the initial state."""

    def whole(frames: NDArray[np.float32]) -> NDArray[np.float32]:
        stream = model.stream()
        return np.stack([stream.step(frame) for frame in frames])

    return whole
