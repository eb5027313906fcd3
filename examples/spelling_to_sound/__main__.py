"""Say how English words sound: `python -m examples.spelling_to_sound hello world`.

Phonemes are ARPAbet; the digit of a vowel is its stress (0 none, 1 primary, 2 secondary).
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from examples.command import exit_status
from examples.spelling_to_sound.greedy import pronounce
from examples.spelling_to_sound.streams import DECODER, ENCODER, HERE, load

PROGRAM = "spelling_to_sound"


def main() -> int:
    """Command line; returns the exit status."""
    parser = argparse.ArgumentParser(prog=PROGRAM, description=__doc__)
    parser.add_argument("words", nargs="+", metavar="WORD")
    parser.add_argument("--models", type=Path, default=HERE, help=f"folder of {ENCODER} and {DECODER} (default: here)")
    options = parser.parse_args()
    return exit_status(PROGRAM, lambda: say(options.words, options.models))


def say(words: list[str], models: Path) -> None:
    """Print the phonemes of all words, or of none if one of them cannot be read."""
    network = load(models)
    phonemes = {word: pronounce(network, word) for word in words}
    width = max(map(len, phonemes))
    for word, said in phonemes.items():
        print(f"{word:<{width}}  {' '.join(said)}")


if __name__ == "__main__":
    sys.exit(main())
