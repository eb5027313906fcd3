"""Make `encoder.grulet` and `decoder.grulet` from the checkpoint, with proof: needs torch, onnx and onnxruntime."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from examples.command import exit_status
from examples.spelling_to_sound.streams import DECODER, ENCODER, HERE

if TYPE_CHECKING:
    from grulet_export import Report

PROGRAM = "spelling_to_sound.export"

#: Over how many random tokens a file proves itself: far more than a word has letters.
FRAMES = 300


def export_both(folder: Path, weights: str = "int8", activations: str = "int16") -> list[Report]:
    """Write the two files into ``folder``, each proved over random tokens; the formats are those of `export`."""
    from examples.spelling_to_sound import model  # torch: here, so that the command can say what is missing

    from grulet_export import export

    halves = {ENCODER: model.encoder(), DECODER: model.decoder()}
    return [
        export(module, folder / name, weights=weights, activations=activations, frames=FRAMES)
        for name, module in halves.items()
    ]


def main() -> int:
    """Command line; returns the exit status."""
    parser = argparse.ArgumentParser(prog=PROGRAM, description=__doc__)
    parser.add_argument("-o", "--output", type=Path, default=HERE, metavar="FOLDER", help="(default: this folder)")
    parser.add_argument("--weights", default="int8", help="int8 (default) or f32")
    parser.add_argument("--activations", default="int16", help="what int8 weights multiply: int16 (default) or int8")
    options = parser.parse_args()
    return exit_status(
        PROGRAM, lambda: print(*export_both(options.output, options.weights, options.activations), sep="\n\n")
    )


if __name__ == "__main__":
    sys.exit(main())
