"""The options of `convert` and `export`."""

from __future__ import annotations

import argparse

from grulet.commands.arguments import read_frames


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
    parser.add_argument("--frames", type=int, default=1000, metavar="N", help="frames of the proof; default: 1000")


def keywords(options: argparse.Namespace) -> dict[str, object]:
    """The same as keyword arguments of `grulet_export.export`."""
    return {
        "weights": options.weights,
        "activations": options.activations,
        "calibration": read_frames(options.calibrate) if options.calibrate else None,
        "frames": options.frames,
    }
