"""Errors over the 3,000 words and the time of a word: float against int8, grulet against torch and onnxruntime.

    python -m examples.spelling_to_sound.evaluate                  # everything; needs torch, onnx, onnxruntime
    python -m examples.spelling_to_sound.evaluate --models FOLDER  # only the two files in it; needs grulet alone

Errors are phonemes (edit distance) and words; both are also counted without the stress of the vowels.  Times are
processor time of the one thread that runs.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
import time
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
from examples.command import exit_status
from examples.spelling_to_sound.error_rate import (
    WORDS,
    Dictionary,
    ErrorRate,
    error_rate,
    error_rate_without_stress,
    read_words,
)
from examples.spelling_to_sound.greedy import Network, pronounce
from examples.spelling_to_sound.streams import DECODER, ENCODER, load
from numpy.typing import NDArray

from grulet.files import check_writable
from grulet.measuring import Latency, machine, quiet_process
from grulet.progress import progress

PROGRAM = "spelling_to_sound.evaluate"

#: What was said for every word.
Said: TypeAlias = dict[str, list[str]]

#: Our formats: weights x the activations that they multiply, as options of the export.
FORMATS = {
    "float32": {"weights": "f32"},
    "int8 x int16": {"weights": "int8", "activations": "int16"},
    "int8 x int8": {"weights": "int8", "activations": "int8"},
}
REFERENCE = "torch, float32"

#: Words of one contestant before the next has its turn.
ROUND = 50


@dataclass(frozen=True)
class Result:
    """What one contestant said, and how long a word took it."""

    said: Said
    nanoseconds: NDArray[np.int64]  # of every word, processor time
    file_bytes: int

    @property
    def latency(self) -> Latency:
        """Percentiles over the words."""
        return Latency.of(self.nanoseconds)


def all_networks(folder: Path) -> dict[str, Network]:
    """torch, onnxruntime and grulet in every format, the files in subfolders of ``folder``."""
    from examples.spelling_to_sound.export import export_both
    from examples.spelling_to_sound.rivals import OnnxNetwork, TorchNetwork

    networks: dict[str, Network] = {REFERENCE: TorchNetwork(), "onnxruntime, float32": OnnxNetwork()}
    for name, formats in FORMATS.items():
        (folder / name).mkdir()
        export_both(folder / name, **formats)
        networks[f"grulet, {name}"] = load(folder / name)
    return networks


def compare(networks: Mapping[str, Network], dictionary: Dictionary) -> dict[str, Result]:
    """Every word through every network, in turn, a round of words at a time; one thread, pinned."""
    words = list(dictionary)
    said: dict[str, Said] = {name: {} for name in networks}
    times: dict[str, list[int]] = {name: [] for name in networks}
    # Processor time of this thread: while a word is said another program may run, and that time is not the word's.
    clock = time.thread_time_ns
    with quiet_process(), progress("pronounce", len(words), "words") as done:
        for start in range(0, len(words), ROUND):
            for name, network in networks.items():
                pronounce(network, words[start])  # its weights into the caches
                for word in words[start : start + ROUND]:
                    begin = clock()
                    said[name][word] = pronounce(network, word)
                    times[name].append(clock() - begin)
            done(start)
    return {
        name: Result(said[name], np.array(times[name], np.int64), network.file_bytes)
        for name, network in networks.items()
    }


HEADINGS = f"""\
{"":<24}{"with stress, %":>18}{"without stress, %":>20}{"":>9}{"":>12}{"CPU ms per word":>18}
{"":<24}{"phonemes":>10}{"words":>8}{"phonemes":>12}{"words":>8}{"differ":>9}{"KB":>12}{"p50":>10}{"p99":>8}\
"""


def table(results: Mapping[str, Result], dictionary: Dictionary) -> str:
    """For people; ``differ``: words that come out otherwise than from the first contestant."""
    first = next(iter(results.values()))
    counts = error_rate(first.said, dictionary)
    lines = [f"{counts.words:,} words, {counts.phonemes:,} phonemes: share of them that is wrong", "", HEADINGS]
    for name, result in results.items():
        full, bare = error_rate(result.said, dictionary), error_rate_without_stress(result.said, dictionary)
        differ = sum(result.said[word] != first.said[word] for word in result.said)
        lines.append(
            f"{name:<24}{full.phoneme_percent:>10.2f}{full.word_percent:>8.2f}{bare.phoneme_percent:>12.2f}"
            f"{bare.word_percent:>8.2f}{differ:>9}{result.file_bytes / 1e3:>12,.0f}"
            f"{result.latency.p50 / 1e3:>10.3f}{result.latency.p99 / 1e3:>8.3f}"
        )
    return "\n".join(lines)


def as_json(results: Mapping[str, Result], dictionary: Dictionary) -> dict[str, Any]:
    """For `--json`: counts and percentages, microseconds of processor time of a word, the machine."""
    return {
        "networks": {
            name: {
                "with_stress": _counts(error_rate(result.said, dictionary)),
                "without_stress": _counts(error_rate_without_stress(result.said, dictionary)),
                "file_bytes": result.file_bytes,
                "microseconds_per_word": asdict(result.latency),
            }
            for name, result in results.items()
        },
        "machine": machine(),
    }


def _counts(rate: ErrorRate) -> dict[str, Any]:
    percent = {"phoneme_percent": rate.phoneme_percent, "word_percent": rate.word_percent}
    return asdict(rate) | {name: round(value, 3) for name, value in percent.items()}


def main() -> int:
    """Command line; returns the exit status."""
    parser = argparse.ArgumentParser(
        prog=PROGRAM, description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--models", type=Path, metavar="FOLDER", help=f"only {ENCODER} and {DECODER} of this folder")
    parser.add_argument("--words", type=Path, default=WORDS, metavar="FILE", help="lines of a word and its phonemes")
    parser.add_argument("--json", action="store_true", help="print the result as JSON")
    parser.add_argument("--plot", metavar="FILE", help="draw errors by phoneme and times; needs matplotlib")
    options = parser.parse_args()
    return exit_status(PROGRAM, lambda: evaluate(options))


def evaluate(options: argparse.Namespace) -> None:
    """Measure, print and draw."""
    dictionary = read_words(options.words)
    if options.plot:
        from examples.spelling_to_sound.picture import draw

        check_writable(options.plot)
    with tempfile.TemporaryDirectory() as folder:
        networks = {str(options.models): load(options.models)} if options.models else all_networks(Path(folder))
        results = compare(networks, dictionary)
    if options.plot:
        draw(options.plot, results, dictionary)
    print(json.dumps(as_json(results, dictionary), indent=2) if options.json else table(results, dictionary))


if __name__ == "__main__":
    sys.exit(main())
