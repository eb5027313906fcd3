"""From nothing to the first answer: a fresh process imports, loads one GRU layer and takes one step.

    python -m benchmarks.coldstart [--size 256] [--runs 11] [--output FILE.json] [--quick]

Files are in the system's cache.  Processes of all contestants in turn; medians.  ``import``, ``load`` and ``first
step`` are measured inside the process, ``whole process`` from outside, with Python's own start and end.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import time
from collections import defaultdict
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from benchmarks.common import command_line, positive, rounded
from benchmarks.models import Format, file_of, layer_of
from benchmarks.rivals.common import LayerWeights

from grulet.measuring import quiet_process
from grulet.progress import progress

#: Around every contestant's three lines.  What is printed is read by `one_start`.
PROGRAM = """
import time
begin = time.perf_counter()
import sys
import numpy as np
{importing}
imported = time.perf_counter()
path, size = sys.argv[1], int(sys.argv[2])
x = np.ones((1, size), np.float32)
h = np.zeros((1, size), np.float32)
{load}
loaded = time.perf_counter()
{step}
stepped = time.perf_counter()
print([1e3 * (b - a) for a, b in ((begin, imported), (imported, loaded), (loaded, stepped))])
"""


def program(importing: str, load: str, step: str) -> str:
    """A contestant's whole process."""
    return PROGRAM.format(importing=importing, load=load, step=step)


GRULET = program("import grulet", "stream = grulet.load(path).stream()", "y = stream.step(x[0])")
NUMPY = program("", "", "")
ONNXRUNTIME = program(
    "import onnxruntime",
    "options = onnxruntime.SessionOptions(); options.intra_op_num_threads = 1; "
    "session = onnxruntime.InferenceSession(path, options, providers=['CPUExecutionProvider'])",
    "y = session.run(None, {'x': x[None], 'h': h[None]})",
)
TORCH = program(
    "import torch",
    "torch.set_num_threads(1); cell = torch.nn.GRUCell(size, size); cell.load_state_dict(torch.load(path))",
    "y = torch.inference_mode()(cell)(torch.from_numpy(x), torch.from_numpy(h)).numpy()",
)
LITERT = program(
    "from ai_edge_litert.interpreter import Interpreter",
    "net = Interpreter(model_path=path, num_threads=1); net.allocate_tensors(); "
    "inputs = [entry['index'] for entry in net.get_input_details()]",
    "[net.set_tensor(index, value) for index, value in zip(inputs, (x, h))]; net.invoke(); "
    "y = net.get_tensor(net.get_output_details()[0]['index'])",
)


def measure(options: argparse.Namespace, folder: Path) -> dict[str, Any]:
    """All contestants that are here, in turn."""
    programs: dict[str, tuple[str, Path]] = {}
    absent: dict[str, str] = {}
    for title, code, prepare in contestants(options.size, folder):
        try:
            programs[title] = code, prepare()
            one_start(code, programs[title][1], options.size)  # fills the system's cache, or fails
        except Exception as error:  # whatever a rival raises, the others run
            programs.pop(title, None)
            absent[title] = f"{type(error).__name__}: {next(iter(str(error).strip().splitlines()), '')}"
    runs = 2 if options.quick else options.runs
    taken: dict[str, list[list[float]]] = defaultdict(list)
    with progress("cold starts", runs, "runs") as done, quiet_process():
        for run in range(runs):
            for title, (code, path) in programs.items():
                taken[title].append(one_start(code, path, options.size))
            done(run + 1)
    parts = ("import_ms", "load_ms", "first_step_ms", "process_ms")
    return {
        "size": options.size,
        "runs": runs,
        "contestants": {
            title: dict(zip(parts, map(rounded, np.median(rows, axis=0).tolist()), strict=True))
            for title, rows in taken.items()
        },
        "absent": absent,
    }


def one_start(code: str, path: Path, size: int) -> list[float]:
    """Milliseconds of a fresh process: import, load, first step, everything."""
    # As on a user's machine: modules are compiled at the first start, which is not counted, and then found compiled.
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}
    command = [sys.executable, "-c", code, str(path), str(size)]
    begin = time.perf_counter()
    done = subprocess.run(command, env=environment, capture_output=True, text=True)
    whole = 1e3 * (time.perf_counter() - begin)
    if done.returncode != 0:
        raise RuntimeError((done.stderr.strip().splitlines() or ["failed"])[-1])
    return [*json.loads(done.stdout.splitlines()[-1]), whole]


def contestants(size: int, folder: Path) -> list[tuple[str, str, Callable[[], Path]]]:
    """Title, program, and what makes its file."""
    layer = layer_of(size)

    def onnx_file() -> Path:
        from benchmarks.rivals.with_onnxruntime import OnnxFloat

        path = folder / f"coldstart.{size}.onnx"
        path.write_bytes(OnnxFloat(layer, folder).model(folder))
        return path

    def torch_file() -> Path:
        import torch

        path = folder / f"coldstart.{size}.pt"
        torch.save({name.removesuffix("_l0"): value for name, value in layer.state_dict().items()}, path)
        return path

    def litert_file() -> Path:
        from benchmarks.rivals.with_litert import converted

        return converted(LayerWeights.of(layer), 1, folder)["int8"]

    return [
        ("numpy alone", NUMPY, lambda: folder),
        ("grulet int8 x int16", GRULET, lambda: file_of(size, Format("int8", "int16"), folder)),
        ("onnxruntime f32", ONNXRUNTIME, onnx_file),
        ("LiteRT int8", LITERT, litert_file),
        ("torch f32", TORCH, torch_file),
    ]


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Arguments of this benchmark."""
    parser.add_argument("--size", type=positive, default=256, help="inputs = units")
    parser.add_argument("--runs", type=positive, default=11, help="processes of each contestant")


if __name__ == "__main__":
    command_line(__file__, __doc__, measure, add_arguments)
