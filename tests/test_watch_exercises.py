"""The watch: its answers are counted rightly, its file is torch's network, and nobody who is tested trains."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

import grulet

ROOT = Path(__file__).parents[1]
sys.path.insert(0, str(ROOT))

from examples.watch_exercises import answers, compare, evaluate, frames, recordings, tables  # noqa: E402
from examples.watch_exercises.__main__ import lines, stream  # noqa: E402

EXAMPLE = ROOT / "examples" / "watch_exercises"


def recording(exercise: int, samples: int, subject: int = 9) -> recordings.Recording:
    """A recording whose first channel counts."""
    values = np.zeros((samples, 6), np.float32)
    values[:, 0] = np.arange(samples)
    return recordings.Recording(subject, exercise, True, values)


def sure_of(exercises: np.ndarray) -> np.ndarray:
    """Logits (T, 7) that are sure of one exercise after another."""
    return 9.0 * np.eye(7, dtype=np.float32)[exercises]


class TestRecordings:
    """What is in the repository."""

    def test_are_all_sets_of_both_people_with_both_arms(self) -> None:
        found = recordings.load_test()
        sets = {(one.subject, one.exercise, one.is_right_arm) for one in found}
        assert sets == {(who, what, arm) for who in (9, 10) for what in range(7) for arm in (False, True)}
        assert len(found) == len(sets)
        assert sum(len(one.samples) for one in found) == 52_057
        assert all(one.samples.dtype == np.float32 and one.samples.shape[1] == 6 for one in found)

    def test_nobody_is_trained_and_tested_on(self) -> None:
        groups = recordings.TRAINING_SUBJECTS, recordings.VALIDATION_SUBJECTS, recordings.TEST_SUBJECTS
        assert sorted(sum(groups, ())) == list(range(1, 11))


class TestFrames:
    """Samples to frames."""

    def test_hold_four_samples_each_and_leave_the_rest_out(self) -> None:
        found = frames.frames_of(recording(0, 11).samples)
        assert found.shape == (2, 24)
        assert found[:, ::6].tolist() == [[0, 1, 2, 3], [4, 5, 6, 7]]

    def test_a_session_is_all_recordings_one_after_the_other(self) -> None:
        given = [recording(what, 40 + 4 * what) for what in range(7)]
        session = frames.Session.of(given)
        assert sorted(session.exercises) == list(range(7))
        assert session.exercises != list(range(7))
        for exercise, part in zip(session.exercises, session.parts, strict=True):
            assert np.array_equal(session.frames[part], frames.frames_of(given[exercise].samples))
            assert (session.truth[part] == exercise).all()
        assert session.parts[-1].stop == len(session.frames) == len(session.truth)

    def test_a_session_is_of_one_person(self) -> None:
        with pytest.raises(ValueError, match="too many values"):
            frames.Session.of([recording(0, 40), recording(0, 40, subject=10)])


class TestAnswers:
    """What is shown."""

    def test_are_the_same_at_once_and_frame_by_frame(self) -> None:
        logits = np.random.default_rng(0).normal(0.0, 3.0, (300, 7)).astype(np.float32)
        display = answers.Display()
        assert [display.step(frame)[0] for frame in logits] == answers.shown(logits).tolist()

    def test_look_back_four_seconds(self) -> None:
        assert answers.MEMORY == 50
        shown = answers.shown(sure_of(np.repeat([2, 5], 100)))
        assert (shown[:100] == 2).all()
        assert (shown[126:] == 5).all()
        assert (shown[100:124] == 2).all()


class TestEvaluation:
    """Counting, against a network that is told what to say."""

    def evaluated(self, said: np.ndarray) -> evaluate.Result:
        """Two sets, exercise 3 and then 1, and a network that says this."""
        session = frames.Session(9, np.zeros((300, 24), np.float32), [3, 1], [slice(0, 100), slice(100, 300)])
        return evaluate.evaluate(lambda _: sure_of(said), [session])

    def test_counts_answers_whose_four_seconds_lie_in_one_exercise(self) -> None:
        result = self.evaluated(np.repeat([3, 1], [100, 200]))
        assert result.answers.sum() == (100 - 49) + (200 - 49)
        assert (result.accuracy, result.sets, result.right_sets) == (1.0, 2, 2)

    def test_a_wrong_set_is_wrong(self) -> None:
        result = self.evaluated(np.full(300, 3))
        assert result.answers[3, 3] == 51
        assert result.answers[1, 3] == 151
        assert result.accuracy == pytest.approx(51 / 202)
        assert (result.sets, result.right_sets) == (2, 1)
        assert result.as_json()["right"] == 51


class TestNetwork:
    """The shipped weights."""

    def test_the_file_recognizes_people_it_has_not_met(self) -> None:
        result = evaluate.evaluate(
            evaluate.grulet_network(grulet.load(evaluate.GRULET)), frames.sessions(recordings.load_test())
        )
        assert result.accuracy > 0.91
        assert result.right_sets >= 27

    def test_the_file_is_the_checkpoint(self, tmp_path: Path) -> None:
        torch = pytest.importorskip("torch")
        from examples.watch_exercises import model

        from grulet_export import export

        module = model.load()
        export(module, tmp_path / "f32.grulet", weights="f32", frames=20)
        given = frames.sessions(recordings.load_test())[0].frames[:500]
        wanted = evaluate.torch_network(module)(given)
        assert not module.training
        assert np.abs(grulet.load(tmp_path / "f32.grulet").stream().run(given) - wanted).max() < 1e-4
        shipped = grulet.load(evaluate.GRULET)
        assert np.abs(shipped.stream().run(given) - wanted).mean() < 0.05
        assert shipped.metadata["labels"] == list(recordings.EXERCISES)
        assert isinstance(module.recurrent, torch.nn.GRU)

    def test_training_lowers_the_loss(self) -> None:
        pytest.importorskip("torch")
        from examples.watch_exercises.train import train

        given = [recordings.Recording(one.subject, one.exercise, one.is_right_arm, one.samples[:400])
                 for one in recordings.load_test()]  # fmt: skip
        few = train(given, given, "LSTM", 8, seed=1, batches=2)
        more = train(given, given, "LSTM", 8, seed=1, batches=25)
        assert more.validation_accuracy > max(few.validation_accuracy, 0.4)
        again = train(given, given, "LSTM", 8, seed=1, batches=2)
        assert again.validation_accuracy == few.validation_accuracy


class TestStreams:
    """Training material."""

    def test_targets_are_those_of_the_samples(self) -> None:
        pytest.importorskip("torch")
        from examples.watch_exercises.streams import StreamMaker

        # Each recording says which it is in every sample, and a turn of the watch keeps lengths.
        given = [
            recordings.Recording(1, what, True, np.full((600, 6), 10.0 * (what + 1), np.float32)) for what in range(7)
        ]
        made, exercises, counts = StreamMaker(given, seed=1).batch(4, 500)
        assert made.shape == (4, 500, 24)
        size = made[:, :, 18:21].norm(dim=-1) / (10.0 * 3**0.5)
        assert (size / (exercises + 1) - 1.0).abs().max() < 0.11
        changes = (exercises[:, 1:] != exercises[:, :-1]).nonzero()
        assert len(changes)
        for row, before in changes.tolist():
            assert counts[row, before + 1] == 0.0
        assert 0.5 < counts.mean() < 1.0


def test_the_demo_says_what_happens_when() -> None:
    """Every line is a change of what is shown or done."""
    session = frames.Session.of([one for one in recordings.load_test() if one.subject == 10])
    said = lines(session, stream(grulet.load(evaluate.GRULET), session))
    assert len(said) > 14
    assert len(set(said)) == len(said)
    assert said[1].startswith("  0:04")


@pytest.mark.parametrize("module", ["", ".evaluate", ".train", ".compare"])
def test_help(module: str) -> None:
    """Every command explains itself."""
    command = [sys.executable, "-m", f"examples.watch_exercises{module}", "--help"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


def test_a_wrong_file_is_one_line() -> None:
    """Said, not raised."""
    command = [sys.executable, "-m", "examples.watch_exercises.evaluate", "--model", "README.md"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 2
    assert len(done.stderr.splitlines()) == 1


def test_readme_says_what_was_measured() -> None:
    """The table of the cells is made from cells.json."""
    document = json.loads((EXAMPLE / "cells.json").read_text())
    assert tables.cells_table(document) in (EXAMPLE / "README.md").read_text()
    assert list(document["accuracy"]) == [f"{cell} {units}" for units in compare.UNITS for cell in ("GRU", "LSTM")]
