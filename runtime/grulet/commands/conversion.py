"""The options of `convert` and `export`."""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING, Any

from grulet.commands.arguments import pairs, positive, read_array, read_frames

if TYPE_CHECKING:
    from grulet_export import Report


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare them."""
    parser.add_argument("-o", "--output", required=True, metavar="MODEL.grulet")
    parser.add_argument("--weights", choices=("int8", "f32"), default="int8", help="default: int8, one scale per row")
    parser.add_argument(
        "--activations", choices=("int16", "int8"), default="int16", help="into int8 weights; default: int16"
    )
    parser.add_argument(
        "--calibrate", metavar="X.npy", help="typical frames: fixes the range of every operator's input beforehand"
    )
    parser.add_argument("--frames", type=positive, default=1000, metavar="N", help="frames of the proof; default: 1000")


def add_onnx_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare what an ONNX file may need besides."""
    parser.add_argument(
        "--constant",
        action="append",
        default=[],
        metavar="NAME=FILE.npy",
        help="an input of the ONNX file that holds weights, and the weights; may be repeated",
    )
    parser.add_argument(
        "--state",
        action="append",
        default=[],
        metavar="IN=OUT",
        help="an input of the ONNX file that takes, at every frame, what an output gave before; may be repeated",
    )


def onnx_options(options: argparse.Namespace) -> dict[str, Any]:
    """Keyword arguments of `export` and `verify`."""
    constants = {name: read_array(path) for name, path in pairs("--constant", options.constant).items()}
    return {"constants": constants, "states": pairs("--state", options.state)}


def convert(model: Any, options: argparse.Namespace, **more: Any) -> Report:
    """Call `grulet_export.export` with them."""
    from grulet_export import export

    return export(
        model,
        options.output,
        weights=options.weights,
        activations=options.activations,
        calibration=read_frames(options.calibrate) if options.calibrate else None,
        frames=options.frames,
        **more,
    )
