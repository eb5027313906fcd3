"""Spelling to sound: the shipped files say known words, f32 says what torch says, int8 makes hardly more errors."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

import grulet
from grulet import format as grulet_format
from grulet.errors import GruletError

ROOT = Path(__file__).parents[1]
sys.path.insert(0, str(ROOT))

from examples.spelling_to_sound import alphabet, checkpoint, error_rate, streams  # noqa: E402
from examples.spelling_to_sound.greedy import MOST_PHONEMES, pronounce  # noqa: E402

WORDS = error_rate.read_words()
PERCENTAGES = ("phoneme_percent", "word_percent")
#: Every tenth word.
SOME = {word: WORDS[word] for word in sorted(WORDS)[::10]}

needs_checkpoint = pytest.mark.skipif(
    not checkpoint.CHECKPOINT.exists(),
    reason="needs checkpoint20.npz: python -m examples.spelling_to_sound.export downloads it",
)


class Parrot:
    """A network that says the tokens it is told, whatever it reads."""

    file_bytes = 0

    def __init__(self, *tokens: int) -> None:
        self.tokens = tokens
        self.heard: list[int] = []

    def encode(self, letters: Sequence[int]) -> None:
        self.heard = list(letters)

    def decode(self, phoneme: int) -> np.ndarray:
        self.heard.append(phoneme)
        token = self.tokens[min(len(self.heard) - 3, len(self.tokens) - 1)]  # "a" is two tokens
        return np.eye(len(alphabet.PHONEMES), dtype=np.float32)[token]


class TestAlphabet:
    """Letters to tokens."""

    def test_has_the_sizes_of_the_embeddings(self) -> None:
        assert len(alphabet.GRAPHEMES) == len(set(alphabet.GRAPHEMES)) == 29
        assert len(alphabet.PHONEMES) == len(set(alphabet.PHONEMES)) == 74

    def test_knows_every_phoneme_and_letter_of_the_words(self) -> None:
        said = {phoneme for pronunciations in WORDS.values() for phonemes in pronunciations for phoneme in phonemes}
        assert said <= set(alphabet.PHONEMES)
        assert set("".join(WORDS)) == set(alphabet.GRAPHEMES[3:])

    def test_ends_a_word(self) -> None:
        assert alphabet.tokens_of("abz") == [3, 4, 28, 2]

    def test_capitals_and_accents_do_not_count(self) -> None:
        assert alphabet.tokens_of("Na\u00efve") == alphabet.tokens_of("Nai\u0308ve") == alphabet.tokens_of("naive")

    @pytest.mark.parametrize(("word", "problem"), [("don't", 'has "\'"'), ("a1", "has '1'"), ("", "is empty")])
    def test_refuses_what_is_no_letter(self, word: str, problem: str) -> None:
        with pytest.raises(GruletError) as refusal:
            alphabet.tokens_of(word)
        assert str(refusal.value) == f"the word {word!r} {problem}: the network reads the letters a to z " + (
            "(write numbers out)"
        )


class TestGreedyLoop:
    """What goes into the decoder, and when it ends."""

    def test_every_answer_is_the_next_input(self) -> None:
        parrot = Parrot(10, 20, 30, alphabet.END)
        assert pronounce(parrot, "a") == [alphabet.PHONEMES[token] for token in (10, 20, 30)]
        assert parrot.heard == [*alphabet.tokens_of("a"), alphabet.START, 10, 20, 30]

    def test_ends_without_an_end(self) -> None:
        assert len(pronounce(Parrot(10), "a")) == MOST_PHONEMES


class TestErrorRate:
    """Edit distance over phonemes."""

    @pytest.mark.parametrize(
        ("said", "reference", "pairs"),
        [
            ("", "", []),
            ("", "K", [(None, "K")]),
            ("K", "", [("K", None)]),
            ("K AE1 T", "K AE1 T", [("K", "K"), ("AE1", "AE1"), ("T", "T")]),
            ("K AE1", "K AE1 T", [("K", "K"), ("AE1", "AE1"), (None, "T")]),
            ("S K AE1 T", "K AH1 T", [("S", None), ("K", "K"), ("AE1", "AH1"), ("T", "T")]),
        ],
    )
    def test_alignment(self, said: str, reference: str, pairs: list[tuple[str | None, str | None]]) -> None:
        assert error_rate.align(said.split(), reference.split()) == pairs
        assert error_rate.distance(said.split(), reference.split()) == sum(a != b for a, b in pairs)

    def test_distance_is_that_of_a_full_search(self) -> None:
        """Against the definition: the shortest way of single edits, found by trying all of them."""
        generator = np.random.default_rng(0)
        for _ in range(60):
            a, b = ("".join(generator.choice(list("xyz"), generator.integers(0, 5))) for _ in range(2))
            assert error_rate.distance(a, b) == _edits(a, b), (a, b)

    def test_counts(self) -> None:
        dictionary = {"cat": [["K", "AE1", "T"]], "read": [["R", "IY1", "D"], ["R", "EH1", "D"]]}
        said = {"cat": ["K", "AE2"], "read": ["R", "EH1", "D"]}
        rate = error_rate.error_rate(said, dictionary)
        assert (rate.phonemes, rate.errors, rate.words, rate.wrong_words) == (6, 2, 2, 1)
        assert (rate.phoneme_percent, rate.word_percent) == (100 * 2 / 6, 50.0)
        assert error_rate.error_rate_without_stress(said, dictionary).errors == 1

    def test_reads_several_pronunciations(self, tmp_path: Path) -> None:
        (tmp_path / "words").write_text("read R IY1 D\nread R EH1 D\n")
        assert error_rate.read_words(tmp_path / "words") == {"read": [["R", "IY1", "D"], ["R", "EH1", "D"]]}

    @pytest.mark.parametrize(
        ("text", "problem"),
        [("cat K\ndog\n", ", line 2: a word and its phonemes were expected, not 'dog'"), ("", " has no words")],
    )
    def test_refuses_other_files(self, tmp_path: Path, text: str, problem: str) -> None:
        (tmp_path / "words").write_text(text)
        with pytest.raises(GruletError) as refusal:
            error_rate.read_words(tmp_path / "words")
        assert str(refusal.value) == f"{tmp_path / 'words'}{problem}"


def _edits(a: str, b: str) -> int:
    """The fewest single edits from ``a`` to ``b``, breadth first."""
    reached, count = {a}, 0
    while b not in reached:
        longer = {s[:i] + c + s[i:] for s in reached for i in range(len(s) + 1) for c in "xyz" if len(s) < 5}
        shorter = {s[:i] + s[i + 1 :] for s in reached for i in range(len(s))}
        changed = {s[:i] + c + s[i + 1 :] for s in reached for i in range(len(s)) for c in "xyz"}
        reached, count = reached | longer | shorter | changed, count + 1
    return count


KNOWN = {"hello": "HH EH1 L OW0", "world": "W ER1 L D", "grulet": "G R UW1 L AH0 T", "rhythm": "R IH1 DH AH0 M"}


class TestShippedFiles:
    """`encoder.grulet` and `decoder.grulet`: int8 weights, int16 activations; no torch, no checkpoint."""

    def test_say_known_words(self) -> None:
        network = streams.load()
        assert {word: " ".join(pronounce(network, word)) for word in KNOWN} == KNOWN

    def test_a_word_does_not_depend_on_the_one_before(self) -> None:
        network = streams.load()
        alone = pronounce(streams.load(), "rhythm")
        for before in ("hello", "zuccarelli", "rhythm"):
            pronounce(network, before)
            assert pronounce(network, "rhythm") == alone

    def test_are_small_and_say_what_their_tokens_mean(self) -> None:
        encoder, decoder = (grulet.load(streams.HERE / name) for name in (streams.ENCODER, streams.DECODER))
        assert encoder.file_bytes + decoder.file_bytes < 1_000_000
        assert tuple(encoder.metadata["graphemes"]) == alphabet.GRAPHEMES
        assert tuple(decoder.metadata["phonemes"]) == alphabet.PHONEMES
        assert [port.tokens for port in (*encoder.inputs, *decoder.inputs)] == [29, 74]

    def test_error_rate_of_some_words(self) -> None:
        network = streams.load()
        rate = error_rate.error_rate({word: pronounce(network, word) for word in SOME}, SOME)
        assert rate.words == 300
        assert rate.phoneme_percent < 11.0  # 10.0 % over all 3,000 words in float32


class TestCommand:
    """`python -m examples.spelling_to_sound`."""

    def run(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, "-m", "examples.spelling_to_sound", *arguments]
        return subprocess.run(command, cwd=ROOT, capture_output=True, text=True)

    def test_prints_phonemes(self) -> None:
        done = self.run("hello", "grulet")
        assert (done.returncode, done.stderr) == (0, "")
        assert done.stdout == "hello   HH EH1 L OW0\ngrulet  G R UW1 L AH0 T\n"

    @pytest.mark.parametrize(
        ("arguments", "problem"),
        [
            (["hello", "don't"], 'the word "don\'t" has'),
            (["hello", "--models", "no-such-folder"], "no-such-folder/encoder.grulet: No such file"),
        ],
    )
    def test_refuses_in_one_line(self, arguments: list[str], problem: str) -> None:
        done = self.run(*arguments)
        assert (done.returncode, done.stdout) == (2, "")
        assert done.stderr.startswith(f"spelling_to_sound: {problem}")
        assert done.stderr.count("\n") == 1

    def test_needs_neither_torch_nor_onnx(self) -> None:
        code = """if True:
            import sys
            import examples.spelling_to_sound.__main__
            print([name for name in ("torch", "onnx", "onnxruntime", "grulet_export") if name in sys.modules])
        """
        done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
        assert done.stdout == "[]\n"


class TestEvaluate:
    """`python -m examples.spelling_to_sound.evaluate` on the shipped files."""

    def run(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        command = [
            sys.executable,
            "-m",
            "examples.spelling_to_sound.evaluate",
            "--models",
            str(streams.HERE),
            *arguments,
        ]
        return subprocess.run(command, cwd=ROOT, capture_output=True, text=True)

    def test_counts_and_times(self, tmp_path: Path) -> None:
        """One stress, one phoneme and one whole word wrong, as the dictionary was bent."""
        (tmp_path / "words").write_text("hello HH AH0 L OW2\nworld W ER1 L D\nrhythm R IH1 DH M\n")
        done = self.run("--words", str(tmp_path / "words"), "--json")
        assert (done.returncode, done.stderr) == (0, "")
        (result,) = json.loads(done.stdout)["networks"].values()
        counts = {"phonemes": 12, "words": 3, "wrong_words": 2}
        assert result["with_stress"].items() >= (counts | {"errors": 3, "phoneme_percent": 25.0}).items()
        assert result["without_stress"].items() >= (counts | {"errors": 2}).items()
        assert result["microseconds_per_word"]["steps"] == 3

    def test_prints_a_table_and_draws(self, tmp_path: Path) -> None:
        pytest.importorskip("matplotlib")
        (tmp_path / "words").write_text("hello HH AH0 L OW2\nrhythm R IH1 DH M\n")
        done = self.run("--words", str(tmp_path / "words"), "--plot", str(tmp_path / "picture.png"))
        assert (done.returncode, done.stderr) == (0, "")
        assert "2 words, 8 phonemes" in done.stdout
        assert "37.50  100.00" in done.stdout
        assert (tmp_path / "picture.png").read_bytes().startswith(b"\x89PNG")

    def test_refuses_in_one_line(self, tmp_path: Path) -> None:
        done = self.run("--words", str(tmp_path / "none"))
        assert (done.returncode, done.stdout) == (2, "")
        assert done.stderr == f"spelling_to_sound.evaluate: {tmp_path / 'none'}: cannot be read: " + (
            "No such file or directory\n"
        )


class TestCheckpoint:
    """The weights of g2p-en, and the torch modules made of them."""

    def test_another_one_is_refused(self) -> None:
        with pytest.raises(GruletError, match=r"not g2p_en/checkpoint20.npz of g2p-en==2.1.0"):
            checkpoint.checked(b"another")

    @needs_checkpoint
    def test_torch_computes_the_equations_of_the_package(self) -> None:
        """Its gate order, biases and state, in float64: encoder over a word, decoder over phonemes from there."""
        torch = pytest.importorskip("torch")
        from examples.spelling_to_sound import model
        from examples.spelling_to_sound.rivals import OnnxNetwork, TorchNetwork

        arrays = {name: array.astype(np.float64) for name, array in checkpoint.weights().items()}
        letters, phonemes = alphabet.tokens_of("grulet"), [alphabet.START, 50, 10]
        states = _gru(arrays, "enc", letters, np.zeros(model.UNITS))
        with torch.inference_mode():
            np.testing.assert_allclose(model.encoder()(torch.tensor([letters]))[0], states, atol=1e-5)
        logits = _gru(arrays, "dec", phonemes, states[-1]) @ arrays["fc_w"].T + arrays["fc_b"]
        for network in (TorchNetwork(), OnnxNetwork()):
            network.encode(letters)
            answers = [network.decode(phoneme).copy() for phoneme in phonemes]
            np.testing.assert_allclose(answers, logits, atol=1e-4)


def _gru(arrays: dict[str, np.ndarray], half: str, tokens: list[int], state: np.ndarray) -> np.ndarray:
    """States (tokens, 256) of a GRU written out: gates in the order r, z, n, reset behind the recurrent product."""
    states = []
    for token in tokens:
        x = arrays[f"{half}_w_ih"] @ arrays[f"{half}_emb"][token] + arrays[f"{half}_b_ih"]
        h = arrays[f"{half}_w_hh"] @ state + arrays[f"{half}_b_hh"]
        (xr, xz, xn), (hr, hz, hn) = np.split(x, 3), np.split(h, 3)
        r, z = 1 / (1 + np.exp(-(xr + hr))), 1 / (1 + np.exp(-(xz + hz)))
        state = (1 - z) * np.tanh(xn + r * hn) + z * state
        states.append(state)
    return np.stack(states)


@pytest.fixture(scope="module")
def floats(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with both files in float32."""
    pytest.importorskip("torch")
    from examples.spelling_to_sound.export import export_both

    folder = tmp_path_factory.mktemp("floats")
    export_both(folder, "f32")
    return folder


@needs_checkpoint
class TestExport:
    """What `export.py` makes of the checkpoint."""

    def test_float_is_torch(self, floats: Path) -> None:
        """Every logit of 100 words within rounding, and so the same phonemes."""
        from examples.spelling_to_sound.rivals import TorchNetwork

        torch_network, ours = TorchNetwork(), streams.load(floats)
        for word in list(SOME)[:100]:
            said = pronounce(torch_network, word)
            assert pronounce(ours, word) == said
            for network in (torch_network, ours):
                network.encode(alphabet.tokens_of(word))
            for phoneme in ["<s>", *said]:
                token = alphabet.PHONEMES.index(phoneme)
                np.testing.assert_allclose(ours.decode(token), torch_network.decode(token), rtol=0, atol=1e-4)

    def test_int8_makes_hardly_more_errors(self, floats: Path) -> None:
        """Over all 3,000 words float32 and the shipped files are 0.2 points of phoneme error rate apart at most."""
        percent = [
            error_rate.error_rate({word: pronounce(network, word) for word in WORDS}, WORDS).phoneme_percent
            for network in (streams.load(floats), streams.load())
        ]
        assert percent[0] == pytest.approx(10.04, abs=0.02)
        assert abs(percent[1] - percent[0]) <= 0.2

    def test_makes_the_shipped_files(self, tmp_path: Path) -> None:
        """Same program; only the hash of the ONNX bytes may differ, with the version of the onnx package."""
        pytest.importorskip("torch")
        from examples.spelling_to_sound.export import export_both

        export_both(tmp_path)
        for name in (streams.ENCODER, streams.DECODER):
            made = grulet_format.read((tmp_path / name).read_bytes())
            shipped = (streams.HERE / name).read_bytes()
            source_sha256 = grulet_format.read(shipped).text.source_sha256
            assert grulet_format.write(replace(made, text=replace(made.text, source_sha256=source_sha256))) == shipped


def test_the_readme_speaks_the_truth() -> None:
    """Its program runs and prints what it shows; its table holds the numbers of metrics.json."""
    readme = (streams.HERE / "README.md").read_text(encoding="utf-8")
    (code,) = re.findall(r"```python\n(.*?)```", readme, re.DOTALL)
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.strip() == "HH EH1 L OW0"
    networks = json.loads((streams.HERE / "metrics.json").read_text(encoding="utf-8"))["networks"]
    for name, result in networks.items():
        (row,) = re.findall(rf"^\| \**{re.escape(name)}\**(?: \([^|]*)? \|(.*)\|$", readme, re.MULTILINE)
        percent = [result[kind][part] for kind in ("with_stress", "without_stress") for part in PERCENTAGES]
        assert [cell.strip() for cell in row.split("|")][:4] == [f"{value:.2f}" for value in percent]
