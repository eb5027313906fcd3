"""Rows of weights that int8 will hurt: one weight sets the scale, and the others are lost in the rounding."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from grulet_export.doctor.facts import Facts, name_of, operator_of
from grulet_export.doctor.finding import Finding
from grulet_export.doctor.matrices import Numbers, matrices

#: Below this SNR, in dB, the weights of a row other than its largest keep less than 4 of their 8 bits (6.02 dB each).
#: Rows of trained networks lie above: of 10,486 in the denoiser NSNet2, a spelling-to-sound network and the digits
#: example the worst has 26 dB, the median 42; of Laplacian noise in rows of 16 to 2,048 the worst of 1,000 has 28.
LEAST_SNR_DB = 24.0

#: Shorter rows are not judged: there it is chance that one weight exceeds the few others by far.
SHORTEST_ROW = 16

#: Rows named in a finding.
NAMED_ROWS = 3


def outliers(facts: Facts) -> Iterator[Finding]:
    """Find matrices in which single weights set the scale of a row so large that int8 loses the others."""
    for matrix in matrices(facts):
        if matrix.rows.shape[1] < SHORTEST_ROW or not np.isfinite(matrix.rows).all():
            continue
        rounding = Rounding.of(matrix.rows)
        others = rounding.others_snr_db
        count = int(np.count_nonzero(others < LEAST_SNR_DB))
        if count:
            worst = np.argsort(others)[: min(count, NAMED_ROWS)]
            yield Finding(
                "outliers",
                name_of(matrix.node),
                operator_of(matrix.node),
                f"In {count:,} of {len(others):,} rows of '{matrix.name}' one weight sets the scale of int8, so that "
                f"the others keep less than {LEAST_SNR_DB:.0f} dB (4 bits).",
                "Keep float weights for this operator, or normalize its inputs so that training needs no such weights.",
                rounding.snr_db,
                "dB SNR in int8",
                tuple(
                    f"row {row}: max/RMS {rounding.peak[row]:.1f}, {others[row]:.1f} dB for its others" for row in worst
                ),
            )


@dataclass(frozen=True)
class Rounding:
    """What plain int8 rounding (docs/quantization.md) does to a matrix (rows, inputs): sums over each row, float64."""

    inputs: int
    largest: Numbers
    power: Numbers
    noise: Numbers

    @classmethod
    def of(cls, rows: Numbers) -> Rounding:
        """Round a matrix, some rows at a time: float64 copies of all of a large one would fill the memory."""
        blocks = np.array_split(rows, max(1, rows.size >> 22))
        sums = np.concatenate([_rounding_sums(block.astype(np.float64)) for block in blocks], axis=1)
        return cls(rows.shape[1], *sums)

    @property
    def snr_db(self) -> float:
        """SNR of the whole matrix in dB."""
        return float(_decibels(self.power.sum(), self.noise.sum()))

    @property
    def peak(self) -> Numbers:
        """Largest magnitude over RMS of each row; 0 if all is zero."""
        rms = np.sqrt(self.power / self.inputs)
        return self.largest / np.where(rms > 0, rms, 1.0)

    @property
    def others_snr_db(self) -> Numbers:
        """SNR of each row without its largest weight, in dB; infinite where nothing is lost.

        The largest weight is left out because its own power hides the error of the others, and its input may well be
        the one that moves least.
        """
        # What is below double precision is no error: a single weight in its row is exact but for that.
        noise = np.where(self.noise > 1e-24 * self.power, self.noise, 0.0)
        return _decibels(self.power - np.square(self.largest), noise)


def _rounding_sums(rows: Numbers) -> Numbers:
    """Return the largest magnitude, the power and the power of the error of each row."""
    largest = np.abs(rows).max(axis=1)
    step = np.where(largest > 0, largest / 127, 1.0)[:, None]
    error = rows - np.rint(rows / step) * step
    return np.stack([largest, np.square(rows).sum(axis=1), np.square(error).sum(axis=1)])


def _decibels(signal: Numbers, noise: Numbers) -> Numbers:
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.where(noise > 0, 10 * np.log10(np.maximum(signal, 0) / noise), np.inf)
