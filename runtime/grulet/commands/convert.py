"""Convert an ONNX model to a .grulet file, and prove it: onnxruntime = numpy oracle = C kernel."""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING

from grulet.commands import conversion

if TYPE_CHECKING:
    from grulet_export import Report


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the command's arguments."""
    parser.add_argument("model", metavar="MODEL.onnx")
    conversion.add_arguments(parser)
    conversion.add_onnx_arguments(parser)


def run(options: argparse.Namespace) -> Report:
    """Convert; the report is the result."""
    return conversion.convert(options.model, options, **conversion.onnx_options(options))
