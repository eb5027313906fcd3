"""The audio front end: the same bits in any chunks, the right numbers, and no silent acceptance of nonsense."""

from __future__ import annotations

import json
import struct
import wave
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from grulet.audio import LogMel, hertz_to_mel, mel_filters, mel_to_hertz, read_wav
from grulet.errors import FormatError, FrameError

PARAMETERS: dict[str, Any] = {
    "sample_rate": 8000,
    "window": 200,
    "hop": 80,
    "fft": 256,
    "bands": 32,
    "low_hz": 100.0,
    "high_hz": 3800.0,
    "floor": 1e-7,
    "shift": 6.0,
    "scale": 0.25,
}


def front_end(**changes: Any) -> LogMel:
    """The front end of the tests, with some parameters changed."""
    return LogMel(**{**PARAMETERS, **changes})


def noise(length: int, seed: int = 0) -> np.ndarray:
    """White noise ``(length,)``."""
    return np.random.default_rng(seed).normal(0.0, 0.1, length).astype(np.float32)


class TestStreaming:
    """Chunks, carried samples, refusals."""

    @settings(max_examples=60, deadline=None)
    @given(
        length=st.integers(0, 1500),
        cuts=st.lists(st.integers(0, 1500), max_size=12),
        window=st.integers(2, 256),
        hop_share=st.floats(0.01, 1.0),
    )
    def test_any_chunks_give_the_bits_of_the_whole(
        self, length: int, cuts: list[int], window: int, hop_share: float
    ) -> None:
        audio = front_end(window=window, hop=max(1, int(window * hop_share)))
        samples = noise(length)
        chunks = np.split(samples, sorted(min(cut, length) for cut in cuts))
        streamed = np.concatenate([audio.push(chunk) for chunk in chunks])
        whole = front_end(window=window, hop=audio.hop).frames(samples)
        assert streamed.dtype == np.float32
        assert streamed.tobytes() == whole.tobytes()

    def test_sample_by_sample_gives_the_bits_of_the_whole(self) -> None:
        audio = front_end()
        samples = noise(700)
        streamed = np.concatenate([audio.push(samples[i : i + 1]) for i in range(len(samples))])
        assert streamed.tobytes() == audio.frames(samples).tobytes()

    def test_bits_do_not_depend_on_where_the_samples_lie_in_memory(self) -> None:
        audio = front_end()
        samples = noise(1000)
        memory = np.zeros(1100, np.float32)
        for offset in range(17):
            memory[offset : offset + 1000] = samples
            assert audio.frames(memory[offset : offset + 1000]).tobytes() == audio.frames(samples).tobytes()

    def test_first_frame_comes_with_the_last_sample_of_its_window(self) -> None:
        audio = front_end()
        assert audio.push(noise(199)).shape == (0, 32)
        assert audio.push(noise(1)).shape == (1, 32)
        assert audio.push(noise(79)).shape == (0, 32)
        assert audio.push(noise(1)).shape == (1, 32)
        assert audio.push(noise(0)).shape == (0, 32)

    def test_frames_of_a_whole_recording_leave_the_stream_alone(self) -> None:
        audio, other = front_end(), front_end()
        samples = noise(1000)
        audio.push(samples[:500])
        other.push(samples[:500])
        audio.frames(noise(900, seed=1))
        assert audio.push(samples[500:]).tobytes() == other.push(samples[500:]).tobytes()

    def test_reset_forgets(self) -> None:
        audio = front_end()
        audio.push(noise(1003, seed=1))
        audio.reset()
        assert audio.push(noise(1000)).tobytes() == audio.frames(noise(1000)).tobytes()

    @pytest.mark.parametrize(
        "samples",
        [
            np.array([0.0, np.nan]),
            np.array([np.inf]),
            np.array([1e300]),
            np.zeros((2, 100), np.float32),
            np.zeros(100, np.int16),
            np.zeros(100, bool),
            np.zeros(100, complex),
            np.array(["a"]),
            0.5,
        ],
    )
    def test_bad_samples_are_refused_and_change_nothing(self, samples: Any) -> None:
        audio, other = front_end(), front_end()
        audio.push(noise(150))
        other.push(noise(150))
        with pytest.raises(FrameError, match="samples"):
            audio.push(samples)
        with pytest.raises(FrameError, match="samples"):
            audio.frames(samples)
        assert audio.push(noise(300)).tobytes() == other.push(noise(300)).tobytes()


class TestNumbers:
    """Values against formulations of their own."""

    def test_mel_scale(self) -> None:
        assert hertz_to_mel(0.0) == 0.0
        assert hertz_to_mel(1000.0) == pytest.approx(1000.0, abs=0.1)  # by the scale's definition
        for hertz in (20.0, 440.0, 3999.0):
            assert mel_to_hertz(hertz_to_mel(hertz)) == pytest.approx(hertz)

    @pytest.mark.parametrize(("bands", "low", "high"), [(32, 100.0, 3800.0), (40, 0.0, 4000.0), (1, 300.0, 900.0)])
    def test_filters_against_interpolation(self, bands: int, low: float, high: float) -> None:
        """Each filter drawn by itself as a tent through three points, with the scale in natural logarithms."""
        mel = np.linspace(np.log1p(low / 700), np.log1p(high / 700), bands + 2)
        corners = 700 * np.expm1(mel)
        frequencies = np.fft.rfftfreq(256, 1 / 8000)
        tents = [np.interp(frequencies, corners[b : b + 3], [0, 1, 0], left=0, right=0) for b in range(bands)]
        np.testing.assert_allclose(mel_filters(8000, 256, bands, low, high), tents, atol=1e-12)

    def test_frame_against_a_direct_fourier_sum(self) -> None:
        audio = front_end()
        samples = noise(200)
        n = np.arange(200)
        windowed = samples * np.sin(np.pi * n / 200) ** 2
        spectrum = np.exp(-2j * np.pi * np.outer(np.arange(129), n) / 256) @ windowed
        energy = mel_filters(8000, 256, 32, 100.0, 3800.0) @ np.abs(spectrum) ** 2
        np.testing.assert_allclose(audio.frames(samples)[0], (np.log(energy + 1e-7) + 6.0) * 0.25, atol=1e-5)

    def test_silence_is_the_floor(self) -> None:
        frames = front_end().frames(np.zeros(1000, np.float32))
        np.testing.assert_allclose(frames, (np.log(1e-7) + 6.0) * 0.25, rtol=1e-6)

    def test_a_tone_is_loudest_in_its_band(self) -> None:
        audio = front_end()
        for band in (3, 15, 28):
            hertz = mel_to_hertz(np.linspace(hertz_to_mel(100.0), hertz_to_mel(3800.0), 34)[band + 1])
            frame = audio.frames(np.sin(2 * np.pi * hertz * np.arange(200) / 8000).astype(np.float32))[0]
            assert frame.argmax() == band

    def test_durations(self) -> None:
        assert front_end().hop_seconds == 0.010
        assert front_end().window_seconds == 0.025


class TestMetadata:
    """The description in a model file."""

    def test_round_trip_through_json(self) -> None:
        audio = front_end()
        again = LogMel.from_metadata(json.loads(json.dumps(audio.metadata())))
        assert again == audio
        assert again.metadata() == audio.metadata()
        assert again.frames(noise(1000)).tobytes() == audio.frames(noise(1000)).tobytes()

    @pytest.mark.parametrize(
        ("key", "value"),
        [
            *((key, "8000") for key in PARAMETERS),
            *((key, None) for key in PARAMETERS),
            *((key, True) for key in PARAMETERS),
            *((key, float("nan")) for key in PARAMETERS),
            ("kind", "mfcc"),
            ("colour", 1),
            ("sample_rate", 8000.0),
            ("sample_rate", 0),
            ("sample_rate", 10**9),
            ("window", 1),
            ("window", 257),
            ("hop", 0),
            ("hop", 201),
            ("fft", 255),
            ("fft", 1 << 17),
            ("bands", 0),
            ("bands", 129),
            ("bands", 100),  # some would contain no FFT bin
            ("low_hz", -1.0),
            ("low_hz", 4000.0),
            ("high_hz", 100.0),
            ("high_hz", 4001.0),
            ("floor", 0.0),
            ("floor", 10**400),
            ("scale", 0),
            ("shift", float("inf")),
        ],
    )
    def test_impossible_values_are_refused_by_name(self, key: str, value: Any) -> None:
        metadata = front_end().metadata() | {key: value}
        with pytest.raises(FormatError, match=key) as caught:
            LogMel.from_metadata(metadata)
        assert "\n" not in str(caught.value)

    @pytest.mark.parametrize("key", ["kind", *PARAMETERS])
    def test_a_missing_key_is_refused_by_name(self, key: str) -> None:
        metadata = front_end().metadata()
        del metadata[key]
        with pytest.raises(FormatError, match=key):
            LogMel.from_metadata(metadata)

    @pytest.mark.parametrize("metadata", [None, [], "log_mel", 3])
    def test_what_is_no_table_is_refused(self, metadata: Any) -> None:
        with pytest.raises(FormatError, match="table"):
            LogMel.from_metadata(metadata)


def write_wav(path: Path, data: bytes, width: int, channels: int = 1, sample_rate: int = 8000) -> Path:
    """Write PCM bytes as a wav file."""
    with wave.open(str(path), "wb") as file:
        file.setnchannels(channels)
        file.setsampwidth(width)
        file.setframerate(sample_rate)
        file.writeframes(data)
    return path


class TestReadWav:
    """PCM files of every width, and everything else."""

    @pytest.mark.parametrize(
        ("width", "data", "expected"),
        [
            (1, bytes([0, 128, 255]), [-1.0, 0.0, 127 / 128]),
            (2, struct.pack("<3h", -32768, 1, 32767), [-1.0, 2.0**-15, 1 - 2.0**-15]),
            (3, b"\x00\x00\x80\x01\x00\x00\xff\xff\x7f", [-1.0, 2.0**-23, 1 - 2.0**-23]),
            (4, struct.pack("<3i", -(2**31), 1, 2**30), [-1.0, 2.0**-31, 0.5]),
        ],
    )
    def test_widths(self, tmp_path: Path, width: int, data: bytes, expected: list[float]) -> None:
        samples, sample_rate = read_wav(write_wav(tmp_path / "a.wav", data, width, sample_rate=16000))
        assert sample_rate == 16000
        assert samples.dtype == np.float32
        np.testing.assert_array_equal(samples, np.array(expected, np.float32))

    def test_channels_are_averaged(self, tmp_path: Path) -> None:
        path = write_wav(tmp_path / "a.wav", struct.pack("<4h", 16384, 0, -8192, -8192), 2, channels=2)
        np.testing.assert_array_equal(read_wav(path)[0], np.array([0.25, -0.25], np.float32))

    def test_an_empty_recording_has_no_samples(self, tmp_path: Path) -> None:
        assert read_wav(write_wav(tmp_path / "a.wav", b"", 2))[0].shape == (0,)

    def test_what_is_no_wav_is_refused(self, tmp_path: Path) -> None:
        whole = write_wav(tmp_path / "whole.wav", bytes(1000), 2).read_bytes()
        float_wav = bytearray(whole)
        float_wav[20:22] = struct.pack("<H", 3)
        for junk in (b"", b"hello", b"RIFF", bytes(100), whole[:30], whole[:600], bytes(float_wav)):
            path = tmp_path / "junk.wav"
            path.write_bytes(junk)
            with pytest.raises(FormatError, match=r"junk\.wav") as caught:
                read_wav(path)
            assert "\n" not in str(caught.value)

    def test_a_width_that_cannot_be_read_is_refused(self, tmp_path: Path) -> None:
        data = bytearray(write_wav(tmp_path / "a.wav", bytes(40), 4).read_bytes())
        data[34:36] = struct.pack("<H", 40)  # bits per sample
        data[32:34] = struct.pack("<H", 5)
        (tmp_path / "a.wav").write_bytes(bytes(data))
        with pytest.raises(FormatError, match="40 bits"):
            read_wav(tmp_path / "a.wav")

    def test_a_missing_file_is_an_os_error(self, tmp_path: Path) -> None:
        with pytest.raises(FileNotFoundError):
            read_wav(tmp_path / "missing.wav")
