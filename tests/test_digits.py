"""The flagship: the shipped checkpoint hears the shipped recordings, alone and in one noisy stream."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import pytest

EXAMPLE = Path(__file__).parent.parent / "examples" / "spoken_digits"
sys.path.insert(0, str(EXAMPLE))

torch = pytest.importorskip("torch")

import clips  # noqa: E402
import decode  # noqa: E402
import evaluate  # noqa: E402
import model  # noqa: E402
import recurrence  # noqa: E402

from grulet.audio import LogMel, read_wav  # noqa: E402


@pytest.fixture(scope="module")
def recordings() -> list[clips.Clip]:
    """The dozen test recordings in the repository."""
    return clips.load_clips(evaluate.RECORDINGS)


@pytest.fixture(scope="module")
def network() -> evaluate.Network:
    """The shipped checkpoint in torch."""
    return evaluate.torch_network(model.load())


def logits(*classes: int, frames: int = 10) -> np.ndarray:
    """Logits that are sure of one class after another, each for some frames."""
    return np.repeat(6.0 * np.eye(11, dtype=np.float32)[list(classes)], frames, axis=0)


def heard(frames: np.ndarray, **settings: float) -> list[decode.Event]:
    """Everything a detector announces."""
    detector = decode.DigitDetector(**settings)
    return [event for frame in frames if (event := detector.step(frame)) is not None]


class TestCheckpoint:
    """The file and the network in it."""

    def test_is_small(self) -> None:
        assert model.CHECKPOINT.stat().st_size < 250_000

    def test_has_no_more_parameters_than_two_layers_of_64_units_on_40_bands(self) -> None:
        bound = sum(p.numel() for p in torch.nn.GRU(40, 64, num_layers=2).parameters()) + 64 * 11 + 11
        assert sum(p.numel() for p in model.load().parameters()) <= bound

    def test_is_ready_for_inference(self) -> None:
        assert not model.load().training
        assert model.load(model.CHECKPOINT)(torch.zeros(2, 7, 32)).shape == (2, 7, 11)

    def test_metadata_says_how_to_feed_it_and_what_it_answers(self) -> None:
        metadata = model.SpokenDigits.grulet_metadata
        audio = LogMel.from_metadata(metadata["audio"])
        assert audio.bands == model.load().gru.input_size
        assert audio.sample_rate == clips.SAMPLE_RATE
        assert metadata["labels"] == [*"0123456789", "nothing"]

    def test_initial_weights_are_orthogonal_gate_by_gate(self) -> None:
        for name, parameter in model.SpokenDigits().gru.named_parameters():
            if name.startswith("weight_hh"):
                for gate in parameter.split(64):
                    torch.testing.assert_close(gate @ gate.T, torch.eye(64), atol=1e-5, rtol=0.0)


class TestRecordings:
    """Real speech."""

    def test_every_digit_and_several_speakers_are_there(self, recordings: list[clips.Clip]) -> None:
        assert len(recordings) == 12
        assert all(clip.is_test for clip in recordings)
        assert {clip.digit for clip in recordings} == set(range(10))
        assert len({clip.speaker for clip in recordings}) >= 3

    def test_clip_by_clip(self, recordings: list[clips.Clip], network: evaluate.Network) -> None:
        result = evaluate.clip_accuracy(network, model.AUDIO, recordings)
        assert result["right"] >= 11, result["wrong"]

    def test_the_right_sequence_in_a_noisy_stream(
        self, recordings: list[clips.Clip], network: evaluate.Network
    ) -> None:
        background, sample_rate = read_wav(evaluate.RECORDINGS / "background.wav")
        assert sample_rate == clips.SAMPLE_RATE
        samples, words = evaluate.continuous(recordings, background, 20.0)
        events = evaluate.detect(network(model.AUDIO.frames(samples)), model.AUDIO)
        assert [event.label for event in events] == [word.label for word in words]
        assert evaluate.match(events, words)["hits"] == len(words)

    def test_no_digit_is_heard_in_the_background_alone(self, network: evaluate.Network) -> None:
        background, _ = read_wav(evaluate.RECORDINGS / "background.wav")
        assert evaluate.background_alone(network, model.AUDIO, background)["false_alarms"] <= 1

    def test_a_continuous_recording_is_reproducible_and_as_noisy_as_asked(self, recordings: list[clips.Clip]) -> None:
        background, _ = read_wav(evaluate.RECORDINGS / "background.wav")
        quiet, words = evaluate.continuous(recordings, background, 200.0, seed=3)
        noisy, again = evaluate.continuous(recordings, background, 10.0, seed=3)
        assert words == again
        assert noisy.tobytes() == evaluate.continuous(recordings, background, 10.0, seed=3)[0].tobytes()
        first = words[0]
        word = quiet[round(first.start * 8000) : round(first.end * 8000)]
        decibel = 10.0 * np.log10(np.square(word).mean() / np.square(noisy - quiet).mean())
        assert decibel == pytest.approx(10.0, abs=0.1)


class TestDecoder:
    """Rules, on logits made by hand."""

    def test_classify_takes_the_digit_with_the_most_evidence(self) -> None:
        assert decode.classify(np.concatenate((logits(10, 4, 10), logits(7, frames=9)))) == 4

    def test_a_word_is_announced_once(self) -> None:
        events = heard(logits(10, 3, 3, 3, 10))
        assert [event.label for event in events] == [3]
        assert events[0].confidence > 0.9
        assert 0.1 < events[0].start < events[0].end
        assert events[0].end < 0.3 + 0.025

    def test_the_same_digit_twice_is_heard_twice_if_nothing_is_between(self) -> None:
        assert [event.label for event in heard(logits(10, 5, 5, 10, 5, 5, 10))] == [5, 5]

    def test_a_flash_is_no_word(self) -> None:
        assert not heard(logits(10, 10, 2, 10, 10, frames=8))

    def test_two_digits_that_are_equally_likely_are_not_announced(self) -> None:
        undecided = logits(10, 10, 10, 10)
        undecided[10:30] = 0.0
        undecided[10:30, [1, 9]] = 9.0
        assert not heard(undecided)

    def test_reset_starts_again(self) -> None:
        detector = decode.DigitDetector()
        frames = logits(10, 8, 8, 8)
        first = [detector.step(frame) for frame in frames]
        detector.reset()
        assert [detector.step(frame) for frame in frames] == first

    def test_match_counts_every_kind_of_mistake(self) -> None:
        words = [evaluate.Word(1, 0.0, 0.5), evaluate.Word(2, 2.0, 2.5), evaluate.Word(3, 4.0, 4.5)]
        events = [decode.Event(label, end - 0.1, end, 1.0) for label, end in ((1, 0.4), (9, 2.6), (5, 7.0))]
        assert evaluate.match(events, words) == {
            "words": 3,
            "hits": 1,
            "substitutions": 1,
            "misses": 1,
            "insertions": 1,
        }


class TestTraining:
    """What trains is what is exported, and what it is trained on is what a device hears."""

    def test_features_are_those_of_the_streaming_front_end(self, recordings: list[clips.Clip]) -> None:
        pytest.importorskip("scipy")
        from streams import Recipe, StreamMaker

        noise = np.random.default_rng(0).normal(0.0, 0.01, 20_000).astype(np.float32)
        unspoiled = Recipe(warp=(1.0, 1.0), tilt_decibel=0.0, mask_share=0.0)
        maker = StreamMaker(recordings, noise, model.AUDIO, unspoiled, seed=0)
        samples = np.stack([noise[:5000], noise[5000:10_000]])
        features = maker.features(samples).numpy()
        for row in range(2):
            np.testing.assert_allclose(features[row], model.AUDIO.frames(samples[row]), atol=1e-4)

    def test_targets_are_the_digits_that_are_said(self, recordings: list[clips.Clip]) -> None:
        pytest.importorskip("scipy")
        from streams import Recipe, StreamMaker

        noise = np.random.default_rng(0).normal(0.0, 0.01, 100_000).astype(np.float32)
        eight = [clip for clip in recordings if clip.digit == 8]
        maker = StreamMaker(eight, noise, model.AUDIO, Recipe(wordless_share=0.0, noise_decibel=(40.0, 45.0)), seed=0)
        features, targets, weights = maker.batch(4, 600)
        assert features.shape == (4, 600, model.AUDIO.bands)
        assert set(targets.unique().tolist()) == {8, 10}
        assert 0.2 < float((targets == 8).float().mean()) < 0.8
        assert float(weights.min()) >= 0.0
        assert float(weights.max()) == 1.0

    def test_same_states_and_gradients_as_torch(self) -> None:
        torch.manual_seed(0)
        gru = torch.nn.GRU(5, 16, num_layers=2, batch_first=True).double()
        frames = torch.randn(3, 9, 5, dtype=torch.float64)
        start = torch.randn(2, 3, 16, dtype=torch.float64)
        weights = torch.randn(3, 9, 16, dtype=torch.float64)

        expected, expected_last = gru(frames, start)
        expected_gradients = torch.autograd.grad((expected * weights).sum(), list(gru.parameters()))
        states, last = recurrence.run_layers(gru, frames, start)
        gradients = torch.autograd.grad((states * weights).sum(), list(gru.parameters()))

        torch.testing.assert_close(states, expected)
        torch.testing.assert_close(last, expected_last.detach())
        for gradient, expected_gradient in zip(gradients, expected_gradients, strict=True):
            torch.testing.assert_close(gradient, expected_gradient)
