"""Derive the constants of grulet's polynomial for 2^f (c_src/grulet_functions.h, grulet/reference.py).

On |f| <= 1/2:  (2^f - 1) / ln 2 ~ f + f^2 * (C2 + C3 f + C4 f^2 + C5 f^3 + C6 f^4).

Divided by ln 2 the coefficient of f is 1, which saves a multiplication and keeps small f exact.  ln 2 as float32, which
undoes the division, is part of the contract too; the fit counts its rounding.

Minimax of the RELATIVE error of 2^f - 1 by Lawson's iteratively reweighted least squares on Chebyshev points; the
coefficients are then rounded to float32 from the lowest order up, refitting the rest after each rounding, so that
the rounding of one is compensated by the others.  numpy's long double (64-bit mantissa) carries the fit.

    python tools/derive_exp2.py
"""

import numpy as np

LN2 = np.log(np.longdouble(2))
SCALE = np.longdouble(np.float32(LN2))
POWERS = range(5)


def expm1(r):
    """Taylor series to r^24: exact to long double on |r| <= 0.35."""
    total = np.zeros_like(r)
    term = np.ones_like(r)
    for k in range(1, 25):
        term = term * r / k
        total = total + term
    return total


def fit(basis, target, steps=200):
    """Lawson: reweight least squares until the largest error is level."""
    weight = np.ones(len(target))
    for _ in range(steps):
        root = np.sqrt(weight)
        solution = np.linalg.lstsq((basis * root[:, None]).astype(float), (target * root).astype(float), rcond=None)[0]
        error = np.abs(target - basis @ solution).astype(float)
        weight = weight * (error + 1e-30)
        weight /= weight.sum()
    return solution


def main():
    """Print the constants, their bits, and the error of the rounded polynomial in exact arithmetic."""
    f = np.cos(np.pi * (np.arange(2000, dtype=np.longdouble) + 0.5) / 2000) / 2
    exact = expm1(f * LN2)
    scale = SCALE * f * f / exact  # relative error of 2^f - 1 = scale * error of q
    target = (exact / SCALE - f) / (f * f) * scale
    columns = [scale * f**k for k in POWERS]
    fixed: list[np.float32] = []
    for k in POWERS:
        rest = np.stack(columns[k:], axis=1)
        known = sum((np.longdouble(c) * columns[j] for j, c in enumerate(fixed)), np.zeros_like(f))
        fixed.append(np.float32(fit(rest, target - known)[0]))
    q = sum(np.longdouble(c) * f**k for k, c in enumerate(fixed))
    error = np.abs((SCALE * (f + f * f * q) - exact) / exact).max()
    for k, c in enumerate(fixed):
        print(f"C{k + 2} = {float(c):.9e}f  /* {float(c).hex()} */")
    print(f"largest relative error in exact arithmetic: {float(error):.2e} (float32 rounds at {2.0**-24:.2e})")


if __name__ == "__main__":
    main()
