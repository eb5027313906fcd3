"""How far apart two runs of a model are, and the report of an export."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from grulet_export.graph import Array
from grulet_export.quality.result import Quality
from grulet_export.quantization.mixing import Mixture


@dataclass(frozen=True)
class Comparison:
    """One output of two runs over the same frames.

    ``largest`` and ``rms`` of the difference, ``snr_db`` of the first run's power over the difference's (None where
    they are equal), ``same_bits`` whether every float is the same.
    """

    left: str
    right: str
    output: str
    frames: int
    largest: float
    rms: float
    snr_db: float | None
    same_bits: bool

    @classmethod
    def of(cls, left: str, right: str, output: str, a: Array, b: Array) -> Comparison:
        """Compare runs ``a`` and ``b``, each (frames, width)."""
        frames = min(len(a), len(b))
        x, y = a[:frames].astype(np.float64), b[:frames].astype(np.float64)
        noise = float(np.mean((x - y) ** 2)) if x.size else 0.0
        signal = float(np.mean(x**2)) if x.size else 0.0
        return cls(
            left,
            right,
            output,
            frames,
            float(np.abs(x - y).max()) if x.size else 0.0,
            noise**0.5,
            10 * float(np.log10(signal / noise)) if noise and signal else None,
            a[:frames].tobytes() == b[:frames].tobytes(),
        )

    def __str__(self) -> str:
        error = "the same bits" if self.same_bits else f"{self.largest:>9.2e} {self.rms:>9.2e} {_snr(self.snr_db)}"
        return f"{self.left:<28} {self.right:<28} {self.output:<12} {error}"


def _snr(snr_db: float | None) -> str:
    return "        -" if snr_db is None else f"{snr_db:>9.1f}"


@dataclass(frozen=True)
class Report:
    """What an export or a verification saw."""

    model: str
    weights: str
    activations: str
    parameters: int
    onnx_bytes: int
    file_bytes: int
    weight_bytes: int
    frames: int
    comparisons: tuple[Comparison, ...]
    notes: tuple[str, ...] = ()  # what the conversion decided
    mixture: Mixture | None = None  # what `mix` chose, and from what
    quality: Quality | None = None  # what quantization did, where a report or a metric was asked for

    def between(self, left: str, right: str) -> tuple[Comparison, ...]:
        """Comparisons of two runs by name, one per output."""
        return tuple(c for c in self.comparisons if (c.left, c.right) == (left, right))

    def as_json(self) -> dict[str, Any]:
        """For ``--json``."""
        return asdict(self) | {"quality": None if self.quality is None else self.quality.as_json()}

    def __str__(self) -> str:
        lines = [
            f"{self.model}: {self.file_bytes:,} bytes ({self.weight_bytes:,} read per frame), "
            f"{self.parameters:,} parameters, weights {self.weights}, activations {self.activations}",
            f"ONNX: {self.onnx_bytes:,} bytes; the file is {self.file_bytes / max(1, self.onnx_bytes):.0%} of it",
            "",
            f"over {self.frames:,} frames:",
            f"{'':<28} {'against':<28} {'output':<12} {'largest':>9} {'RMS':>9} {'SNR dB':>9}",
            *map(str, self.comparisons),
            *([""] if self.notes else []),
            *(f"note: {note}" for note in self.notes),
            *([] if self.quality is None else ["", str(self.quality)]),
        ]
        return "\n".join(lines)
