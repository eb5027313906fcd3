"""Write a model and what runs it as C sources, with a check of their answers, for any C99 or C++11 compiler."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

from grulet.commands.arguments import positive, read_frames

if TYPE_CHECKING:
    from grulet.bundle import Bundle


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the command's arguments."""
    parser.add_argument("model", metavar="MODEL.grulet")
    parser.add_argument(
        "-o",
        "--output",
        metavar="DIR",
        required=True,
        help="folder to write: new, empty, or a bundle that nobody has changed; nothing else is ever replaced",
    )
    parser.add_argument(
        "--input", metavar="X.npy", help="golden frames, float32 (frames, inputs); without, 20 random ones"
    )
    parser.add_argument(
        "--block",
        type=positive,
        metavar="N",
        help="frames that a stream takes at once in grulet_run (default 1; of whole sequences as many as are golden)",
    )


def run(options: argparse.Namespace) -> Bundle:
    """Write the folder; what it holds is the result."""
    from grulet.bundle import bundle  # numpy oracle and format: not for other commands

    frames = None if options.input is None else read_frames(options.input)
    return bundle(Path(options.model), Path(options.output), frames=frames, block=options.block)
