"""Say what is wrong or risky in an ONNX model, with numbers; docs/doctor.md explains every finding."""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from grulet_export.doctor import Diagnosis


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the command's arguments."""
    parser.add_argument("model", metavar="MODEL.onnx")


def run(options: argparse.Namespace) -> Diagnosis:
    """Examine the model; the diagnosis is the result."""
    from grulet_export.doctor import examine

    return examine(options.model)
