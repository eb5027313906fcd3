"""The two alphabets of the network, in the order of its embeddings, and spelling to tokens."""

from __future__ import annotations

import string
import unicodedata

from grulet.errors import GruletError

#: What the encoder reads: a token is an index into this.
GRAPHEMES = ("<pad>", "<unk>", "</s>", *string.ascii_lowercase)
END_OF_WORD = GRAPHEMES.index("</s>")

#: ARPAbet; the number behind a vowel is its stress (0 none, 1 primary, 2 secondary). "UW" also comes without.
_VOWELS = ("AA", "AE", "AH", "AO", "AW", "AY", "EH", "ER", "EY", "IH", "IY", "OW", "OY", "UH", "UW")
_STOPS_AND_NASALS = ("B", "D", "G", "K", "P", "T", "M", "N", "NG")
_OTHER_CONSONANTS = ("CH", "DH", "F", "HH", "JH", "L", "R", "S", "SH", "TH", "V", "W", "Y", "Z", "ZH")
_SOUNDS = (*(vowel + stress for vowel in _VOWELS for stress in "012"), "UW", *_STOPS_AND_NASALS, *_OTHER_CONSONANTS)

#: What the decoder says, and hears as its next input.
PHONEMES = ("<pad>", "<unk>", "<s>", "</s>", *sorted(_SOUNDS))
START, END = PHONEMES.index("<s>"), PHONEMES.index("</s>")


def tokens_of(word: str) -> list[int]:
    """The letters of a word and the end of the word, as the encoder reads them; capitals and accents do not count.

    Raises `GruletError` for anything but letters: the network has never seen an apostrophe or a digit.
    """
    decomposed = unicodedata.normalize("NFD", word.lower())
    letters = [letter for letter in decomposed if not unicodedata.combining(letter)]
    strange = [letter for letter in letters if letter not in string.ascii_lowercase]
    if strange or not letters:
        problem = f"has {strange[0]!r}" if strange else "is empty"
        raise GruletError(f"the word {word!r} {problem}: the network reads the letters a to z (write numbers out)")
    return [GRAPHEMES.index(letter) for letter in letters] + [END_OF_WORD]
