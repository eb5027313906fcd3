"""What rounding costs: every format and every way of rounding, on a layer of random weights and on trained networks.

    python -m benchmarks.quantization [--docs FILE.md]    # rewrites the tables of docs/quantization.md; five minutes

Trained networks are calibrated on other recordings than they are tested on. NSNet2 is downloaded if it is not there.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from benchmarks.common import ROOT
from examples.noise_suppression import mixture, network
from examples.noise_suppression.denoiser import features
from examples.noise_suppression.stft import Samples, analyse
from examples.spoken_digits.model import AUDIO
from examples.spoken_digits.model import load as load_digits

import grulet
from grulet import format as grulet_format
from grulet.audio import read_wav
from grulet.errors import GruletError
from grulet.files import write_whole
from grulet_export.graph import Array, Graph
from grulet_export.lower import lower
from grulet_export.onnx_reading.read import read_onnx
from grulet_export.quantization.calibration import checked
from grulet_export.quantization.quantize import quantize
from grulet_export.quantization.settings import Settings
from grulet_export.torch_reading.front import torch_model

DOCS = ROOT / "docs" / "quantization.md"
BEGIN, END = "<!-- made by python -m benchmarks.quantization -->\n", "<!-- end of what it made -->\n"

UNITS = 256
LONG_FRAMES = 100_000


@dataclass(frozen=True)
class Subject:
    """A network, recordings to calibrate it on, and other recordings."""

    title: str
    graph: Graph
    calibration: Sequence[Array]
    test: Sequence[Array]

    def answers(self, settings: Settings | None, *, calibrated: bool = False) -> Array:
        """(frames, out) over the test recordings, of float weights or of rounded ones."""
        calibration = checked(self.graph, self.calibration) if calibrated else None
        quantized = {} if settings is None else quantize(self.graph, settings, calibration)
        model = grulet.load(grulet_format.write(lower(self.graph, quantized)))
        return np.concatenate([model.stream().run_vector(frames) for frames in self.test]).astype(np.float64)


def layer() -> Subject:
    """One GRU layer as torch makes it, and frames of standard normal noise."""
    import torch

    torch.manual_seed(0)
    source = torch_model(torch.nn.GRU(UNITS, UNITS, batch_first=True), None, None, None).source
    calibration, test = (np.random.default_rng(seed).standard_normal((1000, UNITS), np.float32) for seed in (1, 2))
    return Subject(f"GRU of {UNITS} units, random weights, noise", read_onnx(source).graph, [calibration], [test])


def digits() -> Subject:
    """The network of the spoken digits; every second recording calibrates."""
    clips = sorted((ROOT / "examples" / "spoken_digits" / "recordings").glob("[0-9]*.wav"))
    pause = np.zeros(AUDIO.sample_rate // 5, np.float32)
    frames = [AUDIO.frames(np.concatenate((pause, read_wav(clip)[0], pause))) for clip in clips]
    source = torch_model(load_digits(None), None, None, None).source
    return Subject("spoken digits", read_onnx(source).graph, frames[::2], frames[1::2])


def denoiser() -> Subject:
    """NSNet2 on speech in a kitchen; coffee orders and the first half of the noise calibrate, a novel tests."""
    noise = mixture.noise()
    orders, novel = (
        [mixture.sentence(path) for path in sorted((mixture.RECORDINGS / name).glob("*.flac"))]
        for name in ("barista", "librivox")
    )

    def heard(speech: list[Samples], background: Samples) -> list[Array]:
        mixed = (mixture.mix(speech, background, decibel) for decibel in (0, 10))
        return [np.stack(list(features(analyse(each.noisy)))).astype(np.float32) for each in mixed]

    graph = read_onnx(network.checked(network.fetch().read_bytes())).graph
    half = len(noise) // 2
    return Subject("noise suppression (NSNet2)", graph, heard(orders, noise[:half]), heard(novel, noise[half:]))


def rms(difference: Array) -> float:
    """Root mean square."""
    return float(np.sqrt(np.square(difference).mean()))


def rows(subject: Subject) -> list[str]:
    """One table row for each format: RMS error of plain rounding, and what the other ways leave of it."""
    right = subject.answers(None)
    made = []
    for weights, activations in (("int8", "int16"), ("int8", "int8"), ("int4", "int16"), ("int4", "int8"), ("f16", "")):
        settings = [Settings(weights, activations or "int16", rounding) for rounding in ("plain", "fitted", None)]
        losses = [rms(subject.answers(each, calibrated=each.rounding is None) - right) for each in settings]
        left = (f"{loss / losses[0]:.2f}" if activations else "" for loss in losses[1:])
        name = f"{weights} x {activations}" if activations else weights
        made.append(
            f"| {subject.title} | {name} | {losses[0]:.2e} | {losses[0] / rms(right):.2%} | {' | '.join(left)} |"
        )
        print(made[-1], flush=True)
    return made


def growth(subject: Subject) -> list[str]:
    """RMS error of each tenth of many frames, in shares of the first."""
    long = Subject("", subject.graph, [], [np.random.default_rng(3).standard_normal((LONG_FRAMES, UNITS), np.float32)])
    right = long.answers(None)
    made = []
    for weights in ("int8", "int4", "f16"):
        error = long.answers(Settings(weights)) - right
        tenths = [rms(part) for part in np.split(error, 10)]
        shares = ", ".join(f"{tenth / tenths[0]:.3f}" for tenth in tenths[1:])
        made.append(f"| {weights} | {tenths[0]:.2e} | {shares} |")
        print(made[-1], flush=True)
    return made


def tables() -> str:
    """Everything."""
    random = layer()
    measured = [row for subject in (random, digits(), denoiser()) for row in rows(subject)]
    return "\n".join(
        [
            "| network | weights x activations | RMS error, plain | of the output's RMS | fitted | calibrated |",
            "|---|---|---|---|---|---|",
            *measured,
            "",
            f"The layer of random weights over {LONG_FRAMES:,} frames, fitted:",
            "",
            "| weights | RMS error of the first tenth | of each later tenth, in shares of the first |",
            "|---|---|---|",
            *growth(random),
            "",
        ]
    )


def main() -> int:
    """Command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--docs", type=Path, default=DOCS, help="the page whose tables are rewritten")
    docs = parser.parse_args().docs
    before, begin, rest = docs.read_text().partition(BEGIN)
    _, end, after = rest.partition(END)
    if not begin or not end:
        raise GruletError(f"{docs}: the lines between which the tables lie are missing")
    write_whole(docs, (before + BEGIN + tables() + END + after).encode())
    return 0


if __name__ == "__main__":
    sys.exit(main())
