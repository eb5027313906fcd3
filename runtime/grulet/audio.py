"""The audio front end: samples in, log-mel frames out, a chunk of any size at a time.

A frame of features is ``(log(filters @ |FFT(hann * samples)|^2 + floor) + shift) * scale``: the energy of
``window`` samples in mel-spaced bands, on a logarithmic scale, moved to roughly zero mean and unit spread so
that it quantizes well. Frame ``t`` is made of samples ``t * hop`` to ``t * hop + window``, and of nothing
else: the front end is causal, its latency is one window.

Every frame is computed by itself, by the same calls on the same buffers. That costs some Python per frame,
and buys that a recording pushed in chunks of any size gives the same bits as the whole of it at once; a
batched FFT or matrix product would not promise that.
"""

from __future__ import annotations

import math
import wave
from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from os import PathLike
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import ArrayLike, NDArray

from grulet.errors import FormatError, FrameError

Samples: TypeAlias = NDArray[np.float32]
Frames: TypeAlias = NDArray[np.float32]

#: The value of the key ``kind`` in the metadata of this front end.
KIND = "log_mel"

_LARGEST_SAMPLE_RATE = 768_000
_LARGEST_FFT = 65_536


def hertz_to_mel(hertz: float) -> float:
    """Pitch in mel of a frequency in Hz: ``2595 log10(1 + f / 700)`` (the HTK Book, section 5.4)."""
    return 2595.0 * math.log10(1.0 + hertz / 700.0)


def mel_to_hertz(mel: float) -> float:
    """Frequency in Hz of a pitch in mel, the inverse of `hertz_to_mel`."""
    return 700.0 * (math.pow(10.0, mel / 2595.0) - 1.0)


def mel_filters(sample_rate: int, fft_size: int, bands: int, low_hz: float, high_hz: float) -> NDArray[np.float64]:
    """Triangular filters ``(bands, fft_size // 2 + 1)`` that add FFT bin powers up to band powers.

    ``bands + 2`` corners lie evenly in mel from ``low_hz`` to ``high_hz``. Filter ``b`` rises from 0 at
    corner ``b`` to 1 at corner ``b + 1`` and falls to 0 at corner ``b + 2``, in straight lines over Hz, and
    is not normalized by area (as torchaudio's ``melscale_fbanks`` with ``mel_scale="htk", norm=None``).
    """
    mels = np.linspace(hertz_to_mel(low_hz), hertz_to_mel(high_hz), bands + 2)
    corners = np.array([mel_to_hertz(float(mel)) for mel in mels])[:, np.newaxis]
    bins = np.arange(fft_size // 2 + 1) * (sample_rate / fft_size)
    lower, peak, upper = corners[:-2], corners[1:-1], corners[2:]
    rising = (bins - lower) / (peak - lower)
    falling = (upper - bins) / (upper - peak)
    filters: NDArray[np.float64] = np.maximum(0.0, np.minimum(rising, falling))
    return filters


@dataclass
class LogMel:
    """Streaming log-mel features. The parameters are set once; only the carried overlap ever changes.

    A value that cannot work raises `FormatError` with the parameter's name.
    """

    #: Samples per second, Hz.
    sample_rate: int
    #: Samples under the (periodic) Hann window of one frame.
    window: int
    #: Samples from the start of one frame to the start of the next.
    hop: int
    #: Length of the FFT, a power of two; the windowed samples are followed by zeros up to it.
    fft: int
    #: Mel bands, the width of a frame.
    bands: int
    #: Lower edge of the lowest band, Hz.
    low_hz: float
    #: Upper edge of the highest band, Hz.
    high_hz: float
    #: Added to a band's power before the logarithm: what is quieter than this is silence.
    floor: float
    #: Added to the logarithm.
    shift: float
    #: What the shifted logarithm is multiplied by.
    scale: float

    #: The periodic Hann window, ``(window,)``.
    hann: NDArray[np.float64] = field(init=False, repr=False, compare=False)
    #: The mel filters, ``(bands, fft // 2 + 1)``.
    filters: NDArray[np.float64] = field(init=False, repr=False, compare=False)
    _carried: Samples = field(init=False, repr=False, compare=False)
    _windowed: NDArray[np.float64] = field(init=False, repr=False, compare=False)
    _power: NDArray[np.float64] = field(init=False, repr=False, compare=False)
    _energy: NDArray[np.float64] = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        self._check()
        self.hann = 0.5 - 0.5 * np.cos(2.0 * np.pi * np.arange(self.window) / self.window)
        self.filters = mel_filters(self.sample_rate, self.fft, self.bands, self.low_hz, self.high_hz)
        empty = np.flatnonzero(self.filters.max(axis=1) <= 0.0)
        if empty.size:
            raise FormatError(
                f"audio: bands: {self.bands} bands are too narrow for an FFT of {self.fft}: "
                f"band {empty[0]} contains no FFT bin"
            )
        self._carried = np.empty(0, np.float32)
        self._windowed = np.zeros(self.fft)  # stays zero behind the window
        self._power = np.empty(self.fft // 2 + 1)
        self._energy = np.empty(self.bands)

    def _check(self) -> None:
        """Refuse parameters of a wrong type or an impossible value, by name."""
        for name in ("sample_rate", "window", "hop", "fft", "bands"):
            value = getattr(self, name)
            if isinstance(value, bool) or not isinstance(value, int):
                raise FormatError(f"audio: {name}: must be a whole number, not {value!r}")
        for name in ("low_hz", "high_hz", "floor", "shift", "scale"):
            value = getattr(self, name)
            if isinstance(value, bool) or not isinstance(value, (int, float)):
                raise FormatError(f"audio: {name}: must be a number, not {value!r}")
            try:
                number = float(value)
            except OverflowError:
                number = math.inf
            if not math.isfinite(number):
                raise FormatError(f"audio: {name}: must be finite, not {value!r}")
            setattr(self, name, number)
        for name, possible, rule in (
            ("sample_rate", 1 <= self.sample_rate <= _LARGEST_SAMPLE_RATE, f"1 to {_LARGEST_SAMPLE_RATE}"),
            ("fft", 2 <= self.fft <= _LARGEST_FFT and self.fft.bit_count() == 1,
             f"a power of two from 2 to {_LARGEST_FFT}"),
            ("window", 2 <= self.window <= self.fft, "from 2 to the FFT size"),
            ("hop", 1 <= self.hop <= self.window, "from 1 to the window"),
            ("bands", 1 <= self.bands <= self.fft // 2, "from 1 to half the FFT size"),
            ("low_hz", 0.0 <= self.low_hz < self.sample_rate / 2, "from 0 to below half the sample rate"),
            ("high_hz", self.low_hz < self.high_hz <= self.sample_rate / 2,
             "above low_hz and at most half the sample rate"),
            ("floor", self.floor > 0.0, "greater than 0"),
            ("scale", self.scale != 0.0, "other than 0"),
        ):  # fmt: skip
            if not possible:
                raise FormatError(f"audio: {name}: must be {rule}, not {getattr(self, name)!r}")

    @classmethod
    def from_metadata(cls, metadata: Mapping[str, Any]) -> LogMel:
        """Make the front end that `metadata` described; a missing or unknown key raises `FormatError`."""
        if not isinstance(metadata, Mapping):
            raise FormatError(f"audio: must be a table of parameters, not {metadata!r}")
        names = [parameter.name for parameter in fields(cls) if parameter.init]
        if metadata.get("kind") != KIND:
            raise FormatError(f"audio: kind: must be {KIND!r}, not {metadata.get('kind')!r}")
        for key in metadata:
            if key != "kind" and key not in names:
                raise FormatError(f"audio: {key}: is not a parameter of {KIND!r}")
        for name in names:
            if name not in metadata:
                raise FormatError(f"audio: {name}: is missing")
        return cls(**{name: metadata[name] for name in names})

    def metadata(self) -> dict[str, str | int | float]:
        """All parameters as a dictionary that JSON can hold; `from_metadata` reads it."""
        return {"kind": KIND} | {
            parameter.name: getattr(self, parameter.name) for parameter in fields(self) if parameter.init
        }

    @property
    def hop_seconds(self) -> float:
        """Time from one frame to the next, s."""
        return self.hop / self.sample_rate

    @property
    def window_seconds(self) -> float:
        """Time that one frame sees, and the latency of the front end, s."""
        return self.window / self.sample_rate

    def reset(self) -> None:
        """Forget the carried samples: the next sample is the first of a new recording."""
        self._carried = np.empty(0, np.float32)

    def push(self, samples: ArrayLike) -> Frames:
        """Take the next samples ``(n,)`` in [-1, 1], any ``n``; give the frames ``(t, bands)`` they complete.

        The samples that later frames still need are carried. Samples that are not finite floating-point
        numbers in one dimension raise `FrameError`, and nothing is carried from them.
        """
        fresh = _checked(samples)
        known = np.concatenate((self._carried, fresh))
        frames = self._frames(known)
        self._carried = known[len(frames) * self.hop :].copy()
        return frames

    def frames(self, samples: ArrayLike) -> Frames:
        """Give all frames ``(t, bands)`` of a whole recording ``(n,)``, leaving the carried samples alone."""
        return self._frames(_checked(samples))

    def _frames(self, samples: Samples) -> Frames:
        count = max(0, (len(samples) - self.window) // self.hop + 1)
        frames = np.empty((count, self.bands), np.float32)
        for index in range(count):
            start = index * self.hop
            np.multiply(samples[start : start + self.window], self.hann, out=self._windowed[: self.window])
            spectrum = np.fft.rfft(self._windowed)
            np.square(spectrum.real, out=self._power)
            self._power += np.square(spectrum.imag)
            np.dot(self.filters, self._power, out=self._energy)
            self._energy += self.floor
            np.log(self._energy, out=self._energy)
            self._energy += self.shift
            self._energy *= self.scale
            frames[index] = self._energy
        return frames


def _checked(samples: ArrayLike) -> Samples:
    """The samples as a float32 vector, or `FrameError`."""
    array = np.asarray(samples)
    if array.ndim != 1:
        raise FrameError(f"samples: must have one dimension, not the shape {array.shape}")
    if array.size and array.dtype.kind != "f":
        # Integers are almost always unscaled PCM, 32,768 times too loud: refuse rather than guess.
        raise FrameError(f"samples: must be floating point in [-1, 1], not {array.dtype}")
    with np.errstate(over="ignore"):  # what float32 cannot hold becomes Inf, and is refused as such
        checked = array.astype(np.float32)
    if not np.isfinite(checked).all():
        raise FrameError("samples: must be finite, found NaN or Inf")
    return checked


def read_wav(path: str | PathLike[str]) -> tuple[Samples, int]:
    """Read a PCM wav file of 8, 16, 24 or 32 bits: mono samples ``(n,)`` in [-1, 1), and samples per second.

    Several channels are averaged. Anything that is not such a file raises `FormatError`; a file that cannot
    be opened raises `OSError`.
    """
    with open(path, "rb") as file:
        try:
            with wave.open(file) as reader:
                channels, width, sample_rate, frames = reader.getparams()[:4]
                data = reader.readframes(frames)
        except (wave.Error, EOFError) as error:
            reason = str(error) or "it ends early"
            raise FormatError(f"{path}: is not a PCM wav file ({reason})") from error
    if width not in (1, 2, 3, 4):
        raise FormatError(f"{path}: has samples of {8 * width} bits; 8, 16, 24 and 32 can be read")
    if len(data) != frames * channels * width:
        raise FormatError(f"{path}: ends early: {len(data)} of {frames * channels * width} bytes of samples")
    samples = _pcm(data, width).reshape(frames, channels).mean(axis=1)
    return samples.astype(np.float32), sample_rate


def _pcm(data: bytes, width: int) -> NDArray[np.float64]:
    """Little-endian PCM of ``width`` bytes a sample as numbers in [-1, 1)."""
    if width == 1:  # the only width that is unsigned
        return (np.frombuffer(data, np.uint8).astype(np.float64) - 128.0) / 128.0
    if width == 3:
        # The three bytes become the upper ones of an int32.
        wide = np.zeros((len(data) // 3, 4), np.uint8)
        wide[:, 1:] = np.frombuffer(data, np.uint8).reshape(-1, 3)
        data, width = wide.tobytes(), 4
    return np.frombuffer(data, f"<i{width}").astype(np.float64) / 2.0 ** (8 * width - 1)
