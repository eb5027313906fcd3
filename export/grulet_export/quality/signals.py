"""Ratios of powers, in decibels."""

from __future__ import annotations

import math

import numpy as np

from grulet_export.graph import Array


def snr_db(signal: float, noise: float) -> float | None:
    """Power of a signal over that of its error, dB; None where there is no error, or no signal to compare it with."""
    return 10 * math.log10(signal / noise) if signal > 0 and noise > 0 else None


def snr_of(exact: Array, approximate: Array) -> float | None:
    """`snr_db` of one array against another of its shape."""
    wide = exact.astype(np.float64)
    return snr_db(float(np.square(wide).sum()), float(np.square(wide - approximate).sum()))
