"""Steps of one contestant, in the emulated Python: run by `emulated`, counted by count_instructions.c.

    python guest.py CONTESTANT FILE UNITS COUNT

CONTESTANT: grulet, onnxruntime or ncnn.  Marks (calls of getpriority) stand around COUNT steps and 2 COUNT steps.  Last
it prints the sum of the last answer's magnitudes, so that it can be held against another's.  A rival is called as
benchmarks/rivals calls it, whose modules need torch; onnxruntime and ncnn are all that is installed here.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float32]
Step = Callable[[Array], Array]


def grulet(path: Path, units: int) -> Step:
    """`Stream.step`: a frame in, a new array out, as from the rivals."""
    import grulet as runtime

    step: Step = runtime.load(path).stream(block=1).step
    return step


def onnxruntime(path: Path, units: int) -> Step:
    """Two input-output bindings on fixed buffers, taken in turn."""
    import onnxruntime as runtime

    options = runtime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    session = runtime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
    shape = session.get_outputs()[0].shape
    frame = np.zeros(session.get_inputs()[0].shape, np.float32)
    states = [np.zeros(shape, np.float32) for _ in range(2)]

    def bind(before: Array, after: Array) -> Any:
        binding = session.io_binding()
        for name, array in (("x", frame), ("h", before)):
            binding.bind_input(name, "cpu", 0, np.float32, array.shape, array.ctypes.data)
        binding.bind_output("y", "cpu", 0, np.float32, after.shape, after.ctypes.data)
        return binding

    bindings = [bind(*states), bind(*states[::-1])]
    frame_view = frame.reshape(units)
    state_views = [state.reshape(units) for state in states]
    now = 0

    def step(values: Array) -> Array:
        nonlocal now
        frame_view[:] = values
        session.run_with_iobinding(bindings[now])
        now = 1 - now
        return state_views[now].copy()

    return step


def ncnn(path: Path, units: int) -> Step:
    """A new extractor each step, the state kept as ncnn.Mat; weights lie beside the network, as .bin."""
    import ncnn as runtime

    network = runtime.Net()
    network.opt.num_threads = 1
    network.opt.use_vulkan_compute = False
    for option in ("use_fp16_packed", "use_fp16_storage", "use_fp16_arithmetic", "use_bf16_storage"):
        setattr(network.opt, option, False)
    if network.load_param(str(path)) != 0 or network.load_model(str(path.with_suffix(".bin"))) != 0:
        raise RuntimeError("ncnn refused the network written for it")
    frame, first_state = np.zeros((1, units), np.float32), np.zeros((1, units), np.float32)
    frame_mat, state = runtime.Mat(frame), runtime.Mat(first_state)

    def step(values: Array) -> Array:
        nonlocal state
        frame[0] = values
        extractor = network.create_extractor()
        extractor.input("x", frame_mat)
        extractor.input("h", state)
        _, state = extractor.extract("last")
        answer: Array = np.array(state).reshape(units)
        return answer

    return step


CONTESTANTS: dict[str, Callable[[Path, int], Step]] = {"grulet": grulet, "onnxruntime": onnxruntime, "ncnn": ncnn}


def main(contestant: str, file: str, units: int, count: int) -> None:
    """COUNT steps to warm up, a mark, COUNT steps, a mark, 2 COUNT steps, a mark."""
    step = CONTESTANTS[contestant](Path(file), units)
    frames = list(np.random.default_rng(0).uniform(-1, 1, (8, units)).astype(np.float32))
    answer = frames[0]
    for turns in (count, count, 2 * count):
        for turn in range(turns):
            answer = step(frames[turn % 8])
        os.getpriority(os.PRIO_PROCESS, 0)
    print(float(np.abs(answer).sum()))


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2], int(sys.argv[3]), int(sys.argv[4]))
