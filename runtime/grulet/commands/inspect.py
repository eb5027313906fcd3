"""Show what is in a .grulet file; with --target, what it takes of a device: flash, RAM, stack, time.

Targets: cortex-m0plus, cortex-m4, cortex-m7, cortex-m33, cortex-m55; cortex-a7, cortex-a53, cortex-a72, cortex-a76.
With the target's compiler (arm-none-eabi-gcc, aarch64-linux-gnu-gcc, arm-linux-gnueabihf-gcc) and qemu-system-arm
installed, figures are measured; without, they come from a table.  The output says of each which.
"""

from __future__ import annotations

import argparse
import json
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

from grulet.commands.arguments import frequency, memory_size
from grulet.commands.result import Result
from grulet.errors import GruletError
from grulet.model import load

if TYPE_CHECKING:
    from grulet.targets.report import Report


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the command's arguments."""
    parser.add_argument("model", metavar="MODEL.grulet")
    parser.add_argument("--target", metavar="CORE", help="what the model takes of a device with this core")
    parser.add_argument("--clock", type=frequency, metavar="168MHz", help="with --target: also the time of a frame")
    parser.add_argument("--flash", type=memory_size, metavar="512K", help="with --target: refuse what does not fit")
    parser.add_argument("--ram", type=memory_size, metavar="128K", help="likewise")
    parser.add_argument(
        "--from-table", action="store_true", help="with --target: do not measure, even where the tools are installed"
    )


def run(options: argparse.Namespace) -> Result | Report:
    """Describe the model, or what it takes of a target."""
    if options.target is not None:
        return _on_target(options)
    for name in ("clock", "flash", "ram", "from_table"):
        if getattr(options, name):
            raise GruletError(f"--{name.replace('_', '-')} needs --target CORE")
    model = load(options.model)
    stream_bytes = model.stream(block=1).memory_bytes
    data = {
        "inputs": [asdict(port) for port in model.inputs],
        "outputs": [asdict(port) for port in model.outputs],
        "operators": [asdict(op) | {"parameters": op.parameters, "weight_bits": op.weight_bits} for op in model.ops],
        "parameters": model.parameters,
        "file_bytes": model.file_bytes,
        "weight_bytes": model.weight_bytes,
        "state_bytes": 4 * model.state_floats,
        "stream_bytes": stream_bytes,
        "exporter": model.exporter,
        "source_sha256": model.source_sha256,
        "metadata": model.metadata,
    }
    text = f"{model.describe()}\nmemory   {stream_bytes:,} bytes for a stream that steps frame by frame"
    if model.metadata:
        text += f"\nmetadata {json.dumps(model.metadata, ensure_ascii=False)}"
    return Result(text, data)


def _on_target(options: argparse.Namespace) -> Report:
    from grulet.targets.cores import core_of  # with the format and the bundle: not for other commands
    from grulet.targets.report import Wishes, report

    wishes = Wishes(options.clock or 0.0, options.flash or 0, options.ram or 0, from_table=options.from_table)
    return report(Path(options.model), core_of(options.target), wishes)
