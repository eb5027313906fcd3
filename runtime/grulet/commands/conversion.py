"""The options of `convert` and `export`."""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING, Any

from grulet.commands.arguments import positive, read_frames

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
