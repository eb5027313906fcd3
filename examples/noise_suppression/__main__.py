"""Take the noise out of a recording, 10 ms at a time: `python -m examples.noise_suppression IN.wav OUT.wav`.

IN.wav has 16,000 samples per second.  Without arguments the noisy recording in this folder becomes denoised.wav, and a
picture of both denoised.png.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

import numpy as np
from examples.command import exit_status
from examples.noise_suppression import wav
from examples.noise_suppression.denoiser import denoise
from examples.noise_suppression.mixture import NOISY
from examples.noise_suppression.network import load
from examples.noise_suppression.stft import HOP, SAMPLE_RATE

import grulet
from grulet.files import check_writable

DENOISED, PICTURE = Path("denoised.wav"), Path("denoised.png")


def arguments() -> argparse.Namespace:
    """Command line."""
    parser = argparse.ArgumentParser(
        prog="noise_suppression", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("files", nargs="*", type=Path, metavar="IN.wav OUT.wav")
    parser.add_argument("--plot", type=Path, metavar="FILE.png", help="draw both recordings and what was done")
    parser.add_argument("--model", type=Path, metavar="FILE.grulet", help="instead of nsnet2.grulet in this folder")
    options = parser.parse_args()
    if not options.files:
        options.files = [NOISY, DENOISED]
        options.plot = options.plot or PICTURE
    if len(options.files) != 2:
        parser.error(f"give IN.wav and OUT.wav, or neither, not {len(options.files)} files")
    return options


def run(options: argparse.Namespace) -> None:
    """Denoise one file and say how long a hop took."""
    source, target = options.files
    noisy = wav.read(source)
    for path in filter(None, (target, options.plot)):
        check_writable(path)
    network = grulet.load(options.model) if options.model else load()
    denoised = denoise(network.stream().step, noisy)
    wav.write(target, denoised.samples)
    print(f"{source.name} -> {target}: {len(noisy) / SAMPLE_RATE:.1f} s, {len(denoised.gains):,} frames")
    times = "{:.0f} us (median), {:.0f} us (99 %), {:.0f} us (worst)".format(
        *np.percentile(denoised.nanoseconds, [50, 99, 100]) / 1e3
    )
    print(f"from a hop of {HOP / SAMPLE_RATE * 1e3:.0f} ms to its answer: {times}")
    if options.plot:
        from examples.noise_suppression.picture import draw

        draw(options.plot, noisy, denoised)
        print(f"picture: {options.plot}")


def main() -> int:
    """Command line; returns the exit status."""
    options = arguments()
    return exit_status("noise_suppression", lambda: run(options))


if __name__ == "__main__":
    sys.exit(main())
