"""Instructions of a step on emulated 64-bit ARM CPUs, beside onnxruntime's and ncnn's: counted, never timed.

    python -m benchmarks.arm.emulated [--sizes 128,256,512] [--output FILE.json] [--folder FOLDER]

One GRU layer, one frame at a time, from an aarch64 Python (`tools/arm64_python.py`) and, of grulet, from C as well.
qemu runs both with a plugin that counts instructions (count_instructions.c) between marks: COUNT steps, then 2 COUNT;
the difference is COUNT steps and nothing else.  Each answer is held against grulet's float32.  A Cortex-A53 has no dot
product, a Cortex-A76 has.

Some minutes.  Exit status 2 if a tool is missing; a rival that does not run, or gives another answer, is named with the
reason.  Needs what `tools/arm64_python.py` needs, and a C compiler.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

from benchmarks.arm import cross
from benchmarks.building import compiler, run, tool
from benchmarks.common import RESULTS, ROOT, AbsentError, numbers, rounded, write_json
from benchmarks.models import FORMATS, file_of, layer_of
from benchmarks.rivals.common import LayerWeights
from benchmarks.rivals.with_ncnn import NETWORK, NcnnFloat, NcnnInt8, float_tensors, int8_tensors
from benchmarks.rivals.with_onnxruntime import OnnxFloat, OnnxInt8

from grulet.progress import progress

HERE = Path(__file__).parent
STEPS = 20

#: CPU -> the kernel that it chooses, and its number: onnxruntime decides by both what instructions there are.
CPUS = {"cortex-a53": ("neon", "0xd03"), "cortex-a76": ("dotprod", "0xd0b")}
RIVALS = (OnnxFloat, OnnxInt8, NcnnFloat, NcnnInt8)
#: The largest difference of the answers' sums from grulet's float32, as a share: by weights.
LIMITS = {"f32": 1e-5, "int8": 2e-2}
#: Rivals of the other benchmarks that are not run here.
ABSENT = {"torch, LiteRT, OpenVINO": "not tried under emulation; docs/benchmarks.md has their times on a real CPU"}


@dataclass(frozen=True)
class Contestant:
    """A command without the number of steps, and what it runs."""

    title: str
    weights: str
    command: tuple[str, ...]
    answers: bool  # whether it prints its answer


def python_with_rivals() -> str:
    """The aarch64 Python with grulet's wheel and the rivals; the last line that `arm64_python` prints."""
    packages = dict.fromkeys(kind.package for kind in RIVALS)
    script = ROOT / "tools" / "arm64_python.py"
    *_, last = run([sys.executable, str(script), "--environment", "rivals", *packages]).splitlines()
    return last


def name_cpu(python: str, number: str) -> None:
    """Say in the emulated system's /proc/cpuinfo which core it is."""
    path = Path(python).parents[2] / "sysroot" / "proc" / "cpuinfo"
    text = re.sub(r"(?<=CPU part\t: )\w+", number, path.read_text(encoding="utf-8"))
    path.write_text(text, encoding="utf-8")


def version(package: str, python: str) -> str:
    """Of a package in the aarch64 Python."""
    return run([python, "-c", f"import importlib.metadata as m; print(m.version({package!r}))"]).strip()


def contestants(size: int, kernel: str, python: str, program: Path, folder: Path) -> list[Contestant]:
    """Ours in every format, from Python and C; then the rivals, whose files this machine's packages make."""
    guest = (python, str(HERE / "guest.py"))
    found = []
    for form in FORMATS:
        path = str(file_of(size, form, folder))
        words = (*guest, "grulet", path, str(size))
        found.append(Contestant(f"grulet {form.title}, Python", form.weights, words, answers=True))
        found.append(Contestant(f"grulet {form.title}, C", form.weights, (str(program), kernel, path), answers=False))
    for kind in RIVALS:
        path = str(rival_file(kind, size, folder))
        found.append(Contestant(kind.title, kind.weights, (*guest, kind.package, path, str(size)), answers=True))
    return found


def rival_file(kind: type[OnnxFloat | NcnnFloat], size: int, folder: Path) -> Path:
    """The layer in the rival's format."""
    layer = layer_of(size)
    stem = folder / f"{kind.package}-{size}-{kind.weights}"
    if issubclass(kind, OnnxFloat):
        path = stem.with_suffix(".onnx")
        path.write_bytes(kind(layer, folder).model(folder))
        return path
    weights = LayerWeights.of(layer)
    int8 = kind.weights == "int8"
    network = NETWORK.format(units=size, size=weights.input_weights.size, int8=2 if int8 else 0)
    stem.with_suffix(".param").write_text(network)
    stem.with_suffix(".bin").write_bytes(int8_tensors(weights) if int8 else float_tensors(weights))
    return stem.with_suffix(".param")


def plugin(folder: Path) -> Path:
    """The counting plugin: a library of this machine, not of the emulated one."""
    output = folder / "count_instructions.so"
    source = HERE / "count_instructions.c"
    run([*compiler(), "-std=c99", "-O2", "-shared", "-fPIC", str(source), "-o", str(output)])
    return output


def count(contestant: Contestant, cpu: str, counting: Path) -> tuple[float, float | None]:
    """Instructions of a step, and the answer; RuntimeError if the program fails."""
    settings = {"QEMU_CPU": cpu, "QEMU_PLUGIN": str(counting), "PYTHONHASHSEED": "0"}
    command = [*contestant.command, str(STEPS)]
    if not contestant.answers:  # a program for the emulated CPU, which no script starts
        command.insert(0, tool("qemu-aarch64"))
    done = subprocess.run(command, env=os.environ | settings, capture_output=True, text=True, check=False)
    marks = [int(number) for number in re.findall(r"instructions: (\d+)", done.stderr)]
    if done.returncode or len(marks) != 3:
        raise RuntimeError(f"exit status {done.returncode}: {done.stderr.strip().splitlines()[-1:]}")
    once, twice = marks[1] - marks[0], marks[2] - marks[1]
    return (twice - once) / STEPS, float(done.stdout) if contestant.answers else None


def measure(sizes: tuple[int, ...], folder: Path) -> dict[str, Any]:
    """CPU -> size -> contestant -> counts."""
    emulator = tool("qemu-aarch64")
    python, counting = python_with_rivals(), plugin(folder)
    program = cross.program(HERE / "step.c", folder)
    absent: dict[str, str] = dict(ABSENT)
    cpus: dict[str, Any] = {cpu: {} for cpu in CPUS}
    work = [(cpu, size) for cpu in CPUS for size in sizes]
    with progress("emulated", len(work), "layers") as done:
        for number, (cpu, size) in enumerate(work):
            kernel, part = CPUS[cpu]
            name_cpu(python, part)
            ours = contestants(size, kernel, python, program, folder)
            cpus[cpu][str(size)] = measure_layer(ours, cpu, size, counting, absent)
            done(number + 1)
    return {
        "emulator": run([emulator, "--version"]).splitlines()[0],
        "steps": STEPS,
        "cpus": cpus,
        "absent": absent,
        "settings": {kind.title: f"{kind.package} {version(kind.package, python)}; {kind.settings}" for kind in RIVALS},
    }


def measure_layer(
    ours: list[Contestant], cpu: str, size: int, counting: Path, absent: dict[str, str]
) -> dict[str, dict[str, Any]]:
    """Contestant -> counts; a rival that fails, or whose answer is another's, is named in ``absent``."""
    found: dict[str, dict[str, Any]] = {}
    answers: dict[str, float] = {}
    for contestant in ours:
        try:
            instructions, answer = count(contestant, cpu, counting)
        except RuntimeError as error:
            if contestant.title.startswith("grulet"):
                raise
            absent[f"{contestant.title}, {size} units, {cpu}"] = str(error)
            continue
        if answer is not None:
            answers[contestant.title] = answer
        weight_bytes = 3 * size * 2 * size * (4 if contestant.weights == "f32" else 1)
        found[contestant.title] = {
            "weights": contestant.weights,
            "instructions": round(instructions),
            "per_weight_byte": rounded(instructions / weight_bytes),
        }
    expected = answers["grulet f32, Python"]
    for title, answer in answers.items():
        if abs(answer - expected) <= LIMITS[found[title]["weights"]] * expected:
            continue
        where, reason = f"{title}, {size} units, {cpu}", f"another answer: {answer} and not {expected}"
        if title.startswith("grulet"):
            raise RuntimeError(f"{where}: {reason}")
        absent[where] = reason
        del found[title]
    return found


def main() -> int:
    """Command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--sizes", type=numbers, default=(128, 256, 512), help="inputs = units, separated by commas")
    parser.add_argument("--output", type=Path, default=RESULTS / "arm-instructions.json", metavar="FILE.json")
    parser.add_argument("--folder", type=Path, help="keep models and programs here; default: nowhere")
    options = parser.parse_args()
    date = datetime.now(timezone.utc).strftime("%Y-%m-%d %H:%M UTC")
    with tempfile.TemporaryDirectory() as temporary:
        folder = options.folder or Path(temporary)
        folder.mkdir(parents=True, exist_ok=True)
        try:
            results = measure(options.sizes, folder)
        except AbsentError as reason:
            print(f"emulated: {reason}", file=sys.stderr)
            return 2
        write_json(options.output, cross.document("arm.emulated", date) | {"results": results})
    from benchmarks.arm.page import emulated_section

    print(emulated_section(json.loads(options.output.read_text(encoding="utf-8"))))
    return 0


if __name__ == "__main__":
    sys.exit(main())
