"""Export a torch module to a .grulet file (and ONNX), and prove it: torch = onnxruntime = numpy oracle = C kernel."""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING

from grulet.commands import conversion
from grulet.commands.arguments import pairs

if TYPE_CHECKING:
    from grulet_export import Report


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the command's arguments."""
    parser.add_argument(
        "factory",
        metavar="PACKAGE.MODULE:FACTORY",
        help="what gives the torch module when called without arguments; "
        "modules of unusual layers need an example input, as their attribute grulet_example",
    )
    parser.add_argument(
        "--checkpoint", metavar="FILE", help="a state_dict saved with torch.save, loaded into the module"
    )
    parser.add_argument("--onnx", metavar="MODEL.onnx", help="also write the whole-sequence ONNX model")
    parser.add_argument("--onnx-step", metavar="STEP.onnx", help="also write ONNX for one frame, state in and out")
    parser.add_argument(
        "--state",
        action="append",
        default=[],
        metavar="IN=OUT",
        help="of a module that is one step: an input that takes, at every frame, what an output gave before; "
        "may be repeated",
    )
    conversion.add_arguments(parser)


def run(options: argparse.Namespace) -> Report:
    """Export; the report is the result."""
    from grulet_export import load_module

    module = load_module(options.factory, options.checkpoint)
    states = pairs("--state", options.state) or None
    return conversion.convert(module, options, states=states, onnx=options.onnx, onnx_step=options.onnx_step)
