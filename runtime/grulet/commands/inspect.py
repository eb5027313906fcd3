"""Show what is in a .grulet file: ports, operators, formats, sizes, metadata."""

from __future__ import annotations

import argparse
import json
from dataclasses import asdict

from grulet.commands.result import Result
from grulet.model import load


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the command's arguments."""
    parser.add_argument("model", metavar="MODEL.grulet")


def run(options: argparse.Namespace) -> Result:
    """Describe the model."""
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
