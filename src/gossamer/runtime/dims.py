"""Sizes that are known only when the model runs: polynomials in the symbols of the input shapes."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from typing import TypeAlias

Size: TypeAlias = "int | Dim"
"""A size of a shape: a number, or a polynomial where it depends on the input."""

_Terms: TypeAlias = "dict[tuple[str, ...], int]"


LARGEST = 2**63 - 1
"""The largest number that a tensor of sizes can hold."""
# Real models need one or two terms; each multiplication of what a hostile one writes doubles them.
_TERMS, _DEGREE = 64, 16


class UnknownSize(Exception):
    """A size that no polynomial in the input's sizes describes."""


class Dim:
    """A polynomial with integer coefficients; every symbol stands for a number of at least 1.

    Arithmetic gives a plain `int` where the symbols cancel, and raises `UnknownSize` where the
    polynomial grows out of hand. Equality is equality of polynomials.
    """

    __slots__ = ("_terms",)

    def __init__(self, terms: _Terms) -> None:
        self._terms = terms

    @staticmethod
    def symbol(name: str) -> Dim:
        """The size that the input gives under this name."""
        return Dim({(name,): 1})

    @property
    def symbols(self) -> set[str]:
        """The names that the size depends on."""
        return {name for monomial in self._terms for name in monomial}

    def evaluate(self, values: Mapping[str, int]) -> int:
        """The number, given the symbols' numbers."""
        return sum(
            factor * math.prod(values[name] for name in monomial)
            for monomial, factor in self._terms.items()
        )

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Dim) and self._terms == other._terms

    def __hash__(self) -> int:
        return hash(frozenset(self._terms.items()))

    def __add__(self, other: Size) -> Size:
        total = dict(self._terms)
        for monomial, factor in _terms(other).items():
            total[monomial] = total.get(monomial, 0) + factor
        return _simplest(total)

    __radd__ = __add__

    def __neg__(self) -> Size:
        return self * -1

    def __sub__(self, other: Size) -> Size:
        return self + -other

    def __rsub__(self, other: Size) -> Size:
        return -self + other

    def __mul__(self, other: Size) -> Size:
        total: _Terms = {}
        for left, one in self._terms.items():
            for right, two in _terms(other).items():
                monomial = tuple(sorted(left + right))
                total[monomial] = total.get(monomial, 0) + one * two
        return _simplest(total)

    __rmul__ = __mul__

    def __floordiv__(self, other: Size) -> Size:
        return divide(self, other)

    def __rfloordiv__(self, other: int) -> Size:
        return divide(other, self)

    def __mod__(self, other: Size) -> Size:
        divide(self, other)
        return 0

    def __gt__(self, other: Size) -> bool:
        return _bound(self - other) > 0

    def __ge__(self, other: Size) -> bool:
        return _bound(self - other) >= 0

    def __lt__(self, other: Size) -> bool:
        return _bound(other - self) > 0

    def __le__(self, other: Size) -> bool:
        return _bound(other - self) >= 0

    def __repr__(self) -> str:
        parts = []
        for monomial, factor in sorted(self._terms.items(), reverse=True):
            names = "*".join(monomial)
            if not names:
                parts.append(str(factor))
            else:
                parts.append(names if factor == 1 else f"{factor}*{names}")
        return " + ".join(parts)


def _terms(size: Size) -> _Terms:
    return size._terms if isinstance(size, Dim) else {(): int(size)}


def _simplest(terms: _Terms) -> Size:
    kept = {monomial: factor for monomial, factor in terms.items() if factor}
    if not kept:
        return 0
    if list(kept) == [()]:
        return kept[()]
    if len(kept) > _TERMS or max(map(len, kept)) > _DEGREE:
        raise UnknownSize("a size too complicated to follow")
    if max(map(abs, kept.values())) > LARGEST:
        raise UnknownSize("a size too large to follow")
    return Dim(kept)


def _bound(size: Size) -> int:
    """The least value that a size with no negative terms but a constant can take.

    Raises:
        UnknownSize: where the sign depends on the symbols.
    """
    terms = _terms(size)
    rising = [factor for monomial, factor in terms.items() if monomial]
    if all(factor > 0 for factor in rising):
        return sum(terms.values())
    if all(factor < 0 for factor in rising) and sum(terms.values()) < 0:
        return sum(terms.values())
    raise UnknownSize(f"the sign of {size} depends on the input")


def divide(size: Size, by: Size) -> Size:
    """The quotient, where it is exact whatever the symbols are.

    Raises:
        UnknownSize: where it is not.
    """
    if by == 0:
        raise UnknownSize(f"{size} divided by nothing")
    if size == 0:
        return 0
    if isinstance(size, int) and isinstance(by, int):
        if size % by:
            raise UnknownSize(f"{size} is not a multiple of {by}")
        return size // by
    divisor = _terms(by)
    if len(divisor) == 1:
        ((monomial, factor),) = divisor.items()
        quotient: _Terms = {}
        for names, count in _terms(size).items():
            rest = list(names)
            for name in monomial:
                if name not in rest:
                    raise UnknownSize(f"{size} is not a multiple of {by}")
                rest.remove(name)
            if count % factor:
                raise UnknownSize(f"{size} is not a multiple of {by}")
            quotient[tuple(rest)] = count // factor
        return _simplest(quotient)
    if size == by:
        return 1
    raise UnknownSize(f"{size} is not a multiple of {by}")


def product(sizes: Iterable[Size]) -> Size:
    """The product of sizes, 1 if there are none."""
    total: Size = 1
    for size in sizes:
        total = total * size
    return total


def number(size: Size, values: Mapping[str, int]) -> int:
    """A size as a number, given the symbols' numbers."""
    return size.evaluate(values) if isinstance(size, Dim) else int(size)
