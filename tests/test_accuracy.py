"""The accuracy benchmark: its tasks measure what they say, its page and picture come from its JSON alone."""

from __future__ import annotations

import copy
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import grulet

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))  # benchmarks is no installed package

pytest.importorskip("torch")

from benchmarks.accuracy import files, page, picture, training  # noqa: E402
from benchmarks.accuracy.__main__ import RESULT, described  # noqa: E402
from benchmarks.accuracy.measuring import accuracy  # noqa: E402
from benchmarks.accuracy.tasks import denoising, digits, exercises, nsnet2, pronunciation  # noqa: E402
from benchmarks.accuracy.tasks.task import Frames, Measure, Score, Task  # noqa: E402
from benchmarks.accuracy.variants import FLOAT, TRAINED, VARIANTS  # noqa: E402
from benchmarks.common import AbsentError  # noqa: E402

SMALL_NSNET2 = ROOT / "tests" / "nsnet2" / "nsnet2-8-units.onnx"


class Toy(Task):
    """A random GRU whose quality is how near its answers are to one of its float answers, in percent."""

    title = "toy"
    about = "a toy."
    measure = Measure("nearness", "%", more_is_better=True, int8_limit=1.0, int4_limit=10.0)
    networks = ("network",)
    decides = "network"

    def frames(self) -> Frames:
        return np.random.default_rng(0).standard_normal((200, 5)).astype(np.float32)

    def modules(self) -> dict[str, Any]:
        import torch

        torch.manual_seed(0)
        return {"network": torch.nn.GRU(5, 40, batch_first=True).eval()}

    def score(self, models: Any) -> Score:
        import torch

        with torch.no_grad():
            wanted = self.modules()["network"](torch.from_numpy(self.frames())[None])[0][0].numpy()
        given = models["network"].stream().run(self.frames())
        error = np.sqrt(np.square(given - wanted).mean() / np.square(wanted).mean())
        return Score(float(100.0 * (1.0 - error)), {"frames": len(given)})

    def calibration(self) -> Any:
        return {"network": [self.frames()[:100], self.frames()[100:]]}

    def fine_tune(self, modules: Any, seed: int) -> None:
        import torch

        teacher, frames = self.modules()["network"], torch.from_numpy(self.frames())[None]
        with torch.no_grad():
            wanted = teacher(frames)[0]
        module = modules["network"]
        training.fine_tune(module, lambda: (module(frames)[0] - wanted).square().mean(), 100, 3e-5, seed, "toy")


@pytest.fixture(scope="module")
def toy(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """The toy in all formats, trained too."""
    folder = tmp_path_factory.mktemp("toy")
    kept = files.TRAINED_FILES
    files.TRAINED_FILES = folder / "trained"
    try:
        files.train(Toy())
        return accuracy(Toy(), folder)
    finally:
        files.TRAINED_FILES = kept


class TestFormats:
    """The whole way over a toy."""

    def test_all_are_made_and_measured(self, toy: dict[str, Any]) -> None:
        assert list(toy["variants"]) == list(VARIANTS)
        assert toy["absent"] == {}

    def test_qualities_are_in_the_order_of_the_bits(self, toy: dict[str, Any]) -> None:
        quality = {name: found["quality"] for name, found in toy["variants"].items()}
        assert quality[FLOAT] > 99.999
        assert quality[FLOAT] > quality["float16"] > quality["int8"] > quality["int4"]
        assert quality["int8"] > quality["int8, int8 activations"]
        assert quality["int4, calibrated"] > quality["int4"]
        assert quality[TRAINED] > quality["int4"]

    def test_bytes_too(self, toy: dict[str, Any]) -> None:
        found = {name: variant["file_bytes"] for name, variant in toy["variants"].items()}
        assert found[FLOAT] > found["float16"] > found["int8"] > found["int4"] == found[TRAINED]
        assert found["mixed"] <= (found["int4"] + found["int8"]) / 2

    def test_what_is_not_trained_says_so(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(files, "TRAINED_FILES", tmp_path)
        with pytest.raises(AbsentError, match="--train makes it"):
            files.Files(Toy(), tmp_path).paths(TRAINED)


class TestDenoising:
    """The torch module and its training material."""

    def test_the_module_is_the_onnx_file(self) -> None:
        import torch

        from grulet_export.onnx_running.runner import session

        frames = np.random.default_rng(0).standard_normal((1, 60, 161)).astype(np.float32) - 3.0
        run = session(SMALL_NSNET2.read_bytes()).run
        bins = run.__self__.get_inputs()[0].shape[-1]
        frames = frames[:, :, :bins]
        with torch.no_grad():
            ours = nsnet2.load(SMALL_NSNET2)(torch.from_numpy(frames)).numpy()
        assert np.abs(ours - run(["output"], {"input": frames})[0]).max() < 2e-6

    def test_material_has_the_noise_it_was_given(self) -> None:
        random = np.random.default_rng(0)
        speech = [random.normal(0.0, 0.05, 16000).astype(np.float32)]
        material = denoising.Material(speech, random.normal(0.0, 0.1, 20000).astype(np.float32), seed=1)
        found = [material.recording() for _ in range(5)]
        assert all(one.shape == (201, 161) and np.isfinite(one).all() for one in found)
        assert not np.array_equal(found[0], found[1])
        part = denoising.excerpt(found, 500, np.random.default_rng(2))
        assert part.shape == (500, 161)
        every = {row.tobytes() for one in found for row in one}
        assert all(row.tobytes() in every for row in part)

    @pytest.mark.parametrize(("exponent", "slope"), [(0.0, 0.0), (0.5, -1.0), (1.0, -2.0)])
    def test_coloured_noise_falls_with_frequency(self, exponent: float, slope: float) -> None:
        samples = denoising.coloured(1 << 16, exponent, np.random.default_rng(0))
        power = np.square(np.abs(np.fft.rfft(samples)))
        frequencies = np.fft.rfftfreq(len(samples), 1 / 16000)
        low, high = (power[(frequencies > f) & (frequencies < 1.2 * f)].mean() for f in (500, 5000))
        assert np.log10(high / low) == pytest.approx(slope, abs=0.1)
        assert samples.std() == pytest.approx(1.0, abs=1e-3)

    def test_nothing_of_the_test_is_trained_on(self) -> None:
        from examples.noise_suppression.mixture import sentences

        tested = sum(map(len, sentences()))
        assert tested <= denoising.NOISE_FROM

    def test_without_speech_it_says_so(self, tmp_path: Path) -> None:
        with pytest.raises(AbsentError, match="--speech FOLDER"):
            denoising.Denoising(None).calibration()
        with pytest.raises(AbsentError, match=r"no \.flac files"):
            denoising.Denoising(tmp_path).calibration()


class TestDigits:
    """The dozen recordings in the repository stand for the data set."""

    def test_counts_clips(self) -> None:
        task = digits.Digits(digits.EXAMPLE / "recordings")
        found = task.score({"network": grulet.load(digits.EXAMPLE / "digits.grulet")})
        assert found.details["clips"] == 12
        assert found.quality == pytest.approx(100.0 * found.details["right"] / 12)
        assert found.details["right"] == 12

    def test_without_recordings_it_says_so(self) -> None:
        with pytest.raises(AbsentError, match="--digits FOLDER"):
            digits.Digits(None).score({})


class TestPronunciation:
    """Batches of words against one word at a time."""

    def test_batched_answers_are_those_of_single_words(self) -> None:
        import torch
        from examples.spelling_to_sound.model import Decoder, Encoder

        torch.manual_seed(3)
        halves = {"encoder": Encoder().eval(), "decoder": Decoder().eval()}
        words = ["a", "hello", "incomprehensibility"]
        together = pronunciation.answers(halves, words, longest=6)
        assert together == [pronunciation.answers(halves, [word], longest=6)[0] for word in words]
        assert all(len(said) <= 6 for said in together)

    def test_logits_are_those_of_the_forward_functions(self) -> None:
        import torch
        from examples.spelling_to_sound.model import Decoder, Encoder

        torch.manual_seed(3)
        encoder, decoder = Encoder().eval(), Decoder().eval()
        letters, phonemes = [[3, 4, 2], [5, 2]], [[2, 9, 8], [2, 7]]
        with torch.no_grad():
            found = pronunciation.logits({"encoder": encoder, "decoder": decoder}, letters, phonemes)
            for row, (word, said) in enumerate(zip(letters, phonemes, strict=True)):
                state = encoder(torch.tensor([word]))[:, -1:].transpose(0, 1)
                states, _ = decoder.gru(decoder.embedding(torch.tensor([said])), state)
                assert torch.allclose(found[row, : len(said)], decoder.output(states)[0], atol=1e-5)


def test_exercises_score_is_that_of_the_example() -> None:
    """The shipped file."""
    from examples.watch_exercises import evaluate, frames, recordings

    model = grulet.load(evaluate.GRULET)
    found = exercises.Exercises().score({"network": model})
    wanted = evaluate.evaluate(evaluate.grulet_network(model), frames.sessions(recordings.load_test()))
    assert found.quality == pytest.approx(100.0 * wanted.accuracy)
    assert found.details["right"] == wanted.answers.trace()


def document_of(toy: dict[str, Any]) -> dict[str, Any]:
    """The toy as if it had been measured and timed."""
    facts = {"cpu": "a CPU", "isa": "generic", "load_before": 0.5}
    task = Toy()
    found = described(task) | toy | {"date": "today", "machine": facts}
    steps = {"toy": {name: 1.0 + number for number, name in enumerate(toy["variants"])}}
    timing = {"date": "today", "machine": facts, "compiler": "cc", "isa": "generic", "passes": 5, "steps": steps}
    return {"benchmark": "accuracy", "tasks": {"toy": found}, "timing": timing}


class TestPage:
    """Text and picture."""

    def test_has_every_figure(self, toy: dict[str, Any], tmp_path: Path) -> None:
        document = document_of(toy)
        page.write(document, tmp_path / "accuracy.md")
        text = (tmp_path / "accuracy.md").read_text()
        for number, (name, found) in enumerate(toy["variants"].items()):
            (row,) = [line for line in text.splitlines() if line.startswith("|") and f"| {name} |" in line]
            cells = [cell.strip() for cell in row.strip("|").split("|")]
            assert cells[2] == f"{found['quality']:.2f} %"
            assert cells[4] == f"{found['file_bytes'] / 1e3:,.0f}"
            assert float(cells[6]) == 1.0 + number
        assert (tmp_path / page.PICTURE).read_bytes().startswith(b"\x89PNG")
        assert picture.message(document) in text

    def test_the_guide_gets_the_summary_and_nothing_else(self, toy: dict[str, Any], tmp_path: Path) -> None:
        guide = tmp_path / page.GUIDE
        guide.write_text(f"before\n{page.SECTION_BEGIN}\nold\n{page.SECTION_END}\nafter\n")
        for _ in range(2):  # the second time nothing changes
            page.write(document_of(toy), tmp_path / "accuracy.md")
            text = guide.read_text()
            assert text.startswith(f"before\n{page.SECTION_BEGIN}\n| format |")
            assert text.endswith(f"[accuracy.md](accuracy.md).\n{page.SECTION_END}\nafter\n")
            assert text.count("| int4, trained |") == 1
        assert page.with_section("no comments", "x") == "no comments"

    def test_a_loss_beyond_the_limit_stands_out(self, toy: dict[str, Any]) -> None:
        document = document_of(copy.deepcopy(toy))
        task = document["tasks"]["toy"]
        task["variants"]["int8"]["quality"] = task["variants"][FLOAT]["quality"] - 1.5
        (line,) = page.verdicts(document)
        assert "int8 loses 1.50 (**more than the 1 wanted**)" in line
        del task["variants"][TRAINED]
        task["absent"][TRAINED] = "nobody trained it"
        assert "not measured (nobody trained it)" in page.verdicts(document)[0]

    def test_less_is_better_of_error_rates(self) -> None:
        facts = {"more_is_better": False, "variants": {FLOAT: {"quality": 10.0}, "int8": {"quality": 10.2}}}
        assert page.lost(facts, "int8") == pytest.approx(0.2)
        assert Toy.measure.loss(98.0, 99.0) == 1.0

    @pytest.mark.skipif(not RESULT.exists(), reason="nothing measured yet")
    def test_docs_are_what_the_results_say(self) -> None:
        """docs/accuracy.md is made of benchmarks/results/accuracy.json, not a word by hand."""
        document = json.loads(RESULT.read_text(encoding="utf-8"))
        assert page.page(document, picture.message(document)) == page.DOCS.read_text(encoding="utf-8")
        assert page.summary(document, page.DOCS.name) in (page.DOCS.parent / page.GUIDE).read_text(encoding="utf-8")
        assert (page.DOCS.parent / page.PICTURE).read_bytes().startswith(b"\x89PNG")
        for title, task in document["tasks"].items():
            assert FLOAT in task["variants"], title


@pytest.mark.parametrize("title", ["spoken digits", "noise suppression", "watch exercises", "spelling to sound"])
def test_trained_files_are_there_and_int4(title: str) -> None:
    """What training left is what the table is measured with."""
    found = sorted(files.TRAINED_FILES.glob(f"{files.slug(title)}.*.grulet"))
    assert found
    for path in found:
        assert "int4" in json.dumps(grulet.load(path).describe())


def test_an_unknown_task_is_one_line() -> None:
    """Said, not raised."""
    command = [sys.executable, "-m", "benchmarks.accuracy", "--only", "chess"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 2
    assert "no task 'chess'; there are: spoken digits" in done.stderr
    assert len(done.stderr.splitlines()) == 1
