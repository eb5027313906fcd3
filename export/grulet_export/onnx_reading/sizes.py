"""Sizes that a file leaves open: polynomials in the number of frames and the number of streams.

Files compute shapes at run time (``Shape``, ``Gather``, ``Mul``, ...). Here the same arithmetic runs at conversion, on
numpy object arrays that hold integers and `Size`s.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NoReturn, TypeAlias

import numpy as np
from numpy.typing import NDArray

from grulet_export.errors import Refusal

#: Powers of the number of frames and of the number of streams.
Powers: TypeAlias = tuple[int, int]

ONE: Powers = (0, 0)


class Size:
    """A polynomial that is not a plain integer; arithmetic that ends in a plain integer returns an int.

    A size that is left open equals no integer: exporters compare sizes with 1 and -1 to find broken shapes.
    """

    def __init__(self, terms: Mapping[Powers, int]):
        self.terms = dict(terms)

    def __add__(self, other: Any) -> Length:
        total = dict(self.terms)
        for powers, factor in _terms(other).items():
            total[powers] = total.get(powers, 0) + factor
        return _simplest(total)

    def __mul__(self, other: Any) -> Length:
        total: dict[Powers, int] = {}
        for (frames, streams), factor in self.terms.items():
            for (more_frames, more_streams), other_factor in _terms(other).items():
                powers = (frames + more_frames, streams + more_streams)
                total[powers] = total.get(powers, 0) + factor * other_factor
        return _simplest(total)

    def __neg__(self) -> Length:
        return self * -1

    def __sub__(self, other: Any) -> Length:
        return self + (-other if isinstance(other, Size) else -int(other))

    def __rsub__(self, other: Any) -> Length:
        return (self * -1) + int(other)

    __radd__ = __add__
    __rmul__ = __mul__

    def __floordiv__(self, other: Any) -> Length:
        quotient = divided(self, other)
        if quotient is None:
            raise Refusal(f"it divides the size {self} by {other}", "export with sizes that divide without a rest")
        return quotient

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Size) and self.terms == other.terms

    def __hash__(self) -> int:
        return hash(frozenset(self.terms.items()))

    def _ordered(self, other: Any) -> NoReturn:
        raise Refusal(f"it compares the size {self} with {other}", "export without branches on the number of frames")

    __lt__ = __le__ = __gt__ = __ge__ = _ordered

    def _calculated(self, other: Any) -> NoReturn:
        raise Refusal(f"it calculates with the size {self} and {other}", "export without such arithmetic of sizes")

    __rfloordiv__ = __mod__ = __rmod__ = __truediv__ = __rtruediv__ = __pow__ = __rpow__ = _calculated

    def __str__(self) -> str:
        def term(powers: Powers, factor: int) -> str:
            names = ["frames"] * powers[0] + ["streams"] * powers[1]
            return " * ".join([*([str(factor)] if factor != 1 or not names else []), *names])

        terms = " + ".join(term(powers, factor) for powers, factor in self.terms.items())
        return terms.replace("+ -", "- ")

    __repr__ = __str__


Length: TypeAlias = int | Size

FRAMES = Size({(1, 0): 1})
STREAMS = Size({(0, 1): 1})


def divided(size: Length, by: Length) -> Length | None:
    """Return ``size / by`` if that is a polynomial with whole factors; ``by`` may have one term only."""
    ((powers, divisor), *rest) = _terms(by).items()
    if rest or divisor == 0:
        return None
    quotient: dict[Powers, int] = {}
    for (frames, streams), factor in _terms(size).items():
        left = (frames - powers[0], streams - powers[1])
        if factor % divisor or min(left) < 0:
            return None
        quotient[left] = factor // divisor
    return _simplest(quotient)


def product(sizes: list[Length]) -> Length:
    """Return the product of any number of sizes."""
    total: Length = 1
    for size in sizes:
        total = total * size
    return total


def as_numbers(sizes: list[Length]) -> NDArray[Any]:
    """Return a vector of sizes: int64 if all are known, else objects."""
    return settled(np.array([*sizes, None], dtype=object)[:-1])


def settled(numbers: NDArray[Any]) -> NDArray[Any]:
    """Return an object array as int64 or bool if no size in it is left open."""
    if numbers.dtype != object or any(isinstance(number, Size) for number in numbers.reshape(-1)):
        return numbers
    only_bools = numbers.size > 0 and all(isinstance(number, bool | np.bool_) for number in numbers.reshape(-1))
    try:
        return numbers.astype(bool if only_bools else np.int64)
    except (OverflowError, ValueError, TypeError) as error:
        raise Refusal("it computes a size beyond 64 bits", "repair the file") from error


def _terms(size: Any) -> dict[Powers, int]:
    return size.terms if isinstance(size, Size) else {ONE: int(size)}


def _simplest(terms: Mapping[Powers, int]) -> Length:
    kept = {powers: factor for powers, factor in terms.items() if factor}
    if not kept.keys() - {ONE}:
        return kept.get(ONE, 0)
    return Size(kept)
