"""What quantization does to the digits network: the loss on a noisy stream, and the clips right, as a page of pictures.

    python examples/spoken_digits/report.py digits.html                             # the recordings in the repository
    python examples/spoken_digits/report.py digits.html --data FSDD --weights int4  # the official test set

Needs torch, onnx, onnxruntime and matplotlib.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from pathlib import Path

from clips import load_clips
from evaluate import RECORDINGS, Network, clip_accuracy, continuous
from model import AUDIO, load

from grulet.audio import read_wav
from grulet.errors import GruletError
from grulet_export import Quality, export, verify

#: Speech over noise in the stream, dB.
RATIO = 15.0


def report(page: Path, recordings: Path, weights: str, activations: str) -> Quality:
    """Export the network and write the page; the frames and the clips are those of the official test set."""
    clips = [clip for clip in load_clips(recordings) if clip.is_test]
    background, _ = read_wav(RECORDINGS / "background.wav")
    samples, _ = continuous(clips, background, RATIO)

    def right(network: Network) -> float:
        """The metric: `network` is either model, from frames to logits, from a zero state."""
        return float(clip_accuracy(network, AUDIO, clips)["right"])

    with tempfile.TemporaryDirectory() as folder:
        onnx, file = Path(folder) / "digits.onnx", Path(folder) / "digits.grulet"
        export(load(), file, weights=weights, activations=activations, onnx=onnx)
        proof = verify(
            onnx,
            file,
            input=AUDIO.frames(samples),
            report=page,
            metric=right,
            metric_name=f"digits right, of {len(clips)} clips",
        )
    assert proof.quality is not None  # a page was asked for
    return proof.quality


def main() -> int:
    """Command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("page", type=Path, metavar="FILE.html")
    parser.add_argument("--data", type=Path, default=RECORDINGS, help="folder of recordings (default: beside this)")
    parser.add_argument("--weights", default="int8", help="format of the weights; default: int8")
    parser.add_argument("--activations", default="int16", help="what they multiply; default: int16")
    options = parser.parse_args()
    try:
        print(report(options.page, options.data, options.weights, options.activations))
    except (GruletError, OSError) as error:
        print(f"report: {error}", file=sys.stderr)
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main())
