"""Compare a .grulet file with the ONNX model it was made from: onnxruntime, numpy oracle, C kernel."""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING

from grulet.commands import conversion
from grulet.commands.arguments import positive, read_frames

if TYPE_CHECKING:
    from grulet_export import Report


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the command's arguments."""
    parser.add_argument("onnx", metavar="MODEL.onnx")
    parser.add_argument("model", metavar="MODEL.grulet")
    parser.add_argument("--input", metavar="X.npy", help="frames to compare on; default: random ones")
    parser.add_argument(
        "--frames", type=positive, default=1000, metavar="N", help="how many random ones; default: 1000"
    )
    conversion.add_report_argument(parser)
    conversion.add_onnx_arguments(parser)


def run(options: argparse.Namespace) -> Report:
    """Compare; the report is the result."""
    from grulet_export import verify

    frames = read_frames(options.input) if options.input else None
    more = conversion.onnx_options(options)
    return verify(options.onnx, options.model, input=frames, report=options.report, frames=options.frames, **more)
