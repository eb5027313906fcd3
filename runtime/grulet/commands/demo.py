"""Export the spoken-digits model and stream a continuous noisy recording through it, beside onnxruntime and torch."""

from __future__ import annotations

import argparse
import sys
from importlib import import_module
from pathlib import Path
from typing import Any

import grulet
from grulet.commands.arguments import positive
from grulet.errors import GruletError

EXAMPLE = Path("examples") / "spoken_digits"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the command's arguments."""
    parser.add_argument("--example", metavar="DIR", help="the folder examples/spoken_digits of grulet's repository")
    parser.add_argument("--snr", type=float, default=15.0, metavar="DB", help="speech over noise, dB; default: 15")
    parser.add_argument("--seed", type=int, default=0, help="order of the digits and length of the pauses; default: 0")
    parser.add_argument(
        "--steps", type=positive, default=20_000, metavar="N", help="timed steps of each; default: 20,000"
    )
    parser.add_argument("--plot", metavar="FILE.png", help="draw what was heard, and the latencies")


def run(options: argparse.Namespace) -> Any:
    """Run the example's demo; its answer is the result."""
    sys.path.insert(0, str(_example(options.example)))
    return import_module("demo").run(options)


def _example(given: str | None) -> Path:
    """Find the example: where it was said to be, in the current folder, or in the repository grulet runs from."""
    repository = Path(grulet.__file__).resolve().parents[2]
    candidates = [Path(given)] if given else [EXAMPLE, repository / EXAMPLE]
    for folder in candidates:
        if (folder / "demo.py").is_file():
            return folder.resolve()
    raise GruletError(
        f"{given}: no demo.py there"
        if given
        else "the demo's recordings are in grulet's repository, not in the package: run it there, or give --example DIR"
    )
