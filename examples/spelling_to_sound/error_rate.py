"""How far what was said is from the dictionary: edit distance over phonemes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from grulet.errors import GruletError

#: A pronunciation, phoneme by phoneme.
Phonemes = Sequence[str]
#: The pronunciations of every word, at least one each.
Dictionary = dict[str, list[list[str]]]

WORDS = Path(__file__).with_name("words.txt")


def read_words(path: Path = WORDS) -> Dictionary:
    """Read lines of a word and its phonemes, CMUdict's form; a word with several pronunciations has several lines."""
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise GruletError(f"{path}: cannot be read: {getattr(error, 'strerror', None) or error}") from error
    words: Dictionary = {}
    for number, line in enumerate(lines, start=1):
        word, *phonemes = line.split() or [""]
        if not phonemes:
            raise GruletError(f"{path}, line {number}: a word and its phonemes were expected, not {line!r}")
        words.setdefault(word, []).append(phonemes)
    if not words:
        raise GruletError(f"{path} has no words")
    return words


def without_stress(phonemes: Phonemes) -> list[str]:
    """The same with the digits of the vowels left out."""
    return [phoneme.rstrip("012") for phoneme in phonemes]


def align(said: Phonemes, reference: Phonemes) -> list[tuple[str | None, str | None]]:
    """Pairs (said, reference) with the fewest unequal pairs; None stands for a phoneme too many or one left out."""
    # cost[i][j]: the fewest unequal pairs for said[:i] and reference[:j]
    cost = [[i + j for j in range(len(reference) + 1)] for i in range(len(said) + 1)]
    for i, one in enumerate(said, start=1):
        for j, other in enumerate(reference, start=1):
            cost[i][j] = min(cost[i - 1][j - 1] + (one != other), cost[i - 1][j] + 1, cost[i][j - 1] + 1)
    pairs: list[tuple[str | None, str | None]] = []
    i, j = len(said), len(reference)
    while i or j:
        if i and j and cost[i][j] == cost[i - 1][j - 1] + (said[i - 1] != reference[j - 1]):
            i, j = i - 1, j - 1
            pairs.append((said[i], reference[j]))
        elif i and cost[i][j] == cost[i - 1][j] + 1:
            i -= 1
            pairs.append((said[i], None))
        else:
            j -= 1
            pairs.append((None, reference[j]))
    return pairs[::-1]


def distance(said: Phonemes, reference: Phonemes) -> int:
    """Edit distance: the fewest substitutions, insertions and deletions between the two."""
    return sum(one != other for one, other in align(said, reference))


def nearest(said: Phonemes, references: Sequence[Phonemes]) -> Phonemes:
    """Of a word's pronunciations the one with the smallest distance; of equal ones the first."""
    return min(references, key=lambda reference: distance(said, reference))


@dataclass(frozen=True)
class ErrorRate:
    """Counts over a list of words; of several pronunciations the nearest one is the reference."""

    phonemes: int  # of the references
    errors: int  # phonemes substituted, inserted or deleted
    words: int
    wrong_words: int  # with at least one error

    @property
    def phoneme_percent(self) -> float:
        """Phoneme error rate: errors over phonemes of the references, in percent."""
        return 100.0 * self.errors / self.phonemes

    @property
    def word_percent(self) -> float:
        """Wrong words over words, in percent."""
        return 100.0 * self.wrong_words / self.words


def error_rate(said: Mapping[str, Phonemes], dictionary: Mapping[str, Sequence[Phonemes]]) -> ErrorRate:
    """Compare what was said for every word of ``said`` with the dictionary."""
    references = {word: nearest(phonemes, dictionary[word]) for word, phonemes in said.items()}
    errors = [distance(said[word], reference) for word, reference in references.items()]
    return ErrorRate(
        phonemes=sum(len(reference) for reference in references.values()),
        errors=sum(errors),
        words=len(errors),
        wrong_words=sum(error > 0 for error in errors),
    )


def error_rate_without_stress(said: Mapping[str, Phonemes], dictionary: Mapping[str, Sequence[Phonemes]]) -> ErrorRate:
    """The same where AH0, AH1 and AH2 are one phoneme."""
    return error_rate(
        {word: without_stress(phonemes) for word, phonemes in said.items()},
        {word: [without_stress(phonemes) for phonemes in dictionary[word]] for word in said},
    )
