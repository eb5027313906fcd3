"""The options of `convert` and `export`."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from grulet.commands.arguments import pairs, picture, positive, read_array, read_recordings
from grulet.errors import GruletError

if TYPE_CHECKING:
    from grulet_export import Report


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare them."""
    parser.add_argument("-o", "--output", required=True, metavar="MODEL.grulet")
    parser.add_argument(
        "--weights",
        action="append",
        default=[],
        metavar="[NAME=]FORMAT",
        help="int8 (default), int4, f16 or f32; with a name, of one operator ('inspect' lists them); may be repeated",
    )
    parser.add_argument(
        "--activations", choices=("int16", "int8"), help="what int8 and int4 weights multiply; default: int16"
    )
    parser.add_argument(
        "--calibrate",
        metavar="FRAMES",
        help="a .npy file of typical frames, or a folder of them: weights are rounded so as to lose little there",
    )
    parser.add_argument(
        "--rounding",
        choices=("plain", "fitted", "compensated"),
        help="by the largest weight, by least squared error, or by the inputs; default: compensated with --calibrate, "
        "otherwise fitted",
    )
    parser.add_argument(
        "--mix", action="store_true", help="choose each operator's format by what it costs; with one of the next two"
    )
    parser.add_argument("--max-bytes", type=positive, metavar="N", help="with --mix: the least loss in N bytes of file")
    parser.add_argument(
        "--max-loss",
        type=float,
        metavar="X",
        help="with --mix: the smallest file that loses X of the output's RMS, say 0.01",
    )
    parser.add_argument(
        "--mix-picture", type=picture, metavar="FILE.png", help="with --mix: draw loss against bytes; needs matplotlib"
    )
    add_report_argument(parser)
    parser.add_argument("--frames", type=positive, default=1000, metavar="N", help="frames of the proof; default: 1000")


def add_report_argument(parser: argparse.ArgumentParser) -> None:
    """Declare what `verify` takes as well."""
    parser.add_argument(
        "--report", metavar="FILE.html", help="also write what quantization did to the model, as a page with pictures"
    )


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
        weights=formats(options.weights),
        activations=options.activations,
        calibration=read_recordings(options.calibrate) if options.calibrate else None,
        rounding=options.rounding,
        mix=options.mix,
        max_bytes=options.max_bytes,
        max_loss=options.max_loss,
        mix_picture=options.mix_picture,
        report=options.report,
        frames=options.frames,
        **more,
    )


def formats(given: Sequence[str]) -> str | dict[str, str] | None:
    """The weights that `export` is asked for: one format, or name of an operator -> format, "*" for all others."""
    for_all = [text for text in given if "=" not in text]
    if len(for_all) > 1:
        raise GruletError(f"--weights: two formats for all operators, {' and '.join(for_all[:2])}; give one")
    named = pairs("--weights", [text for text in given if "=" in text])
    if not named:
        return for_all[0] if for_all else None
    return {"*": for_all[0], **named} if for_all else dict(named)
