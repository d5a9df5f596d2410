"""Sizes that are known only when the model runs: polynomials in the symbols of the input shapes."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, TypeAlias, TypeVar

Size: TypeAlias = "int | Dim"
"""A size of a shape: a number, or a polynomial where it depends on the input."""

_Number = TypeVar("_Number")
_Atom: TypeAlias = "str | Ceiling"
_Terms: TypeAlias = "dict[tuple[_Atom, ...], int]"


LARGEST = 2**63 - 1
"""The largest number that a tensor of sizes can hold."""
# Real models need one or two terms; each multiplication of what a hostile one writes doubles them.
_TERMS, _DEGREE = 64, 16


class UnknownSize(Exception):
    """A size that no polynomial in the input's sizes describes."""


class Misfit(UnknownSize):
    """Sizes that do not fit each other, whatever the input's sizes are."""


class Dim:
    """A polynomial with integer coefficients; every symbol stands for a number of at least 1.

    Beside symbols there may be quotients rounded up (`ceiling`) among its factors. Arithmetic gives
    a plain `int` where the symbols cancel, and raises `UnknownSize` where the polynomial grows out
    of hand. Equality is equality of polynomials. A comparison is True or False only if it is that
    whatever the symbols are, and raises `UnknownSize` otherwise.
    """

    __slots__ = ("_symbols", "_terms")

    def __init__(self, terms: _Terms) -> None:
        self._terms = terms
        self._symbols: frozenset[str] | None = None

    @staticmethod
    def symbol(name: str) -> Dim:
        """The size that the input gives under this name."""
        return Dim({(name,): 1})

    @property
    def symbols(self) -> frozenset[str]:
        """The names that the size depends on."""
        # Asked in each run, so found once; `evaluate` is short of calls likewise.
        if self._symbols is None:
            atoms = {atom for monomial in self._terms for atom in monomial}
            named = ({a} if isinstance(a, str) else a.size.symbols for a in atoms)
            self._symbols = frozenset().union(*named)
        return self._symbols

    def evaluate(self, values: Mapping[str, _Number]) -> _Number:
        """What the size is, given what the symbols stand for: numbers, or sizes in their turn."""
        total: Any = 0
        for monomial, factor in self._terms.items():
            term: Any = factor
            for atom in monomial:
                term = term * (values[atom] if isinstance(atom, str) else atom.evaluate(values))
            total = total + term
        return total  # type: ignore[no-any-return]

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
                monomial = tuple(sorted(left + right, key=str))
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
        return _reaches(self - other, 1)

    def __ge__(self, other: Size) -> bool:
        return _reaches(self - other, 0)

    def __lt__(self, other: Size) -> bool:
        return _reaches(other - self, 1)

    def __le__(self, other: Size) -> bool:
        return _reaches(other - self, 0)

    def __repr__(self) -> str:
        parts = []
        terms = {tuple(map(str, monomial)): factor for monomial, factor in self._terms.items()}
        for words, factor in sorted(terms.items(), reverse=True):
            names = "*".join(words)
            if not names:
                parts.append(str(factor))
            else:
                parts.append(names if factor == 1 else f"{factor}*{names}")
        return " + ".join(parts)


@dataclass(frozen=True)
class Ceiling:
    """A quotient rounded up: how many parts of `by` it takes to hold a size; see `ceiling`."""

    size: Dim
    by: int

    def evaluate(self, values: Mapping[str, Any]) -> Any:
        """What it is, given what the symbols stand for."""
        return ceiling(self.size.evaluate(values), self.by)

    def __str__(self) -> str:
        return f"ceil(({self.size})/{self.by})"


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


def _range(size: Size) -> tuple[int | None, int | None]:
    """The least and the greatest value that a size can take; None where it has none.

    None as well where terms of both signs leave it open.
    """
    terms = _terms(size)
    if any(isinstance(atom, Ceiling) for monomial in terms for atom in monomial):
        # Unlike a symbol, it may stand for 0 or less.
        return None, None
    rising = [factor > 0 for monomial, factor in terms.items() if monomial]
    at_one = sum(terms.values())
    return at_one if all(rising) else None, at_one if not any(rising) else None


def _reaches(size: Size, number: int) -> bool:
    """Whether a size is at least a number.

    Raises:
        UnknownSize: where it depends on the symbols.
    """
    least, greatest = _range(size)
    if least is not None and least >= number:
        return True
    if greatest is not None and greatest < number:
        return False
    raise UnknownSize(f"whether {size} is {number} or more depends on the input")


def equal(left: Size, right: Size) -> bool:
    """Whether two sizes are equal.

    Raises:
        UnknownSize: where it depends on the symbols.
    """
    difference = left - right
    if difference == 0:
        return True
    least, greatest = _range(difference)
    if (least is not None and least > 0) or (greatest is not None and greatest < 0):
        return False
    raise UnknownSize(f"whether {left} is {right} depends on the input")


def solved(left: Size, right: Size) -> tuple[str, int] | None:
    """The one symbol of two sizes, and what it must stand for if they are equal.

    None if they have several symbols or powers of one, or if nothing makes them equal.
    """
    difference = left - right
    if not isinstance(difference, Dim) or len(difference.symbols) > 1:
        return None
    terms = _terms(difference)
    constant = terms.pop((), 0)
    ((monomial, factor), *others) = terms.items()
    (atom, *more) = monomial
    if others or more or -constant % factor or -constant // factor < 1:
        return None
    return (atom, -constant // factor) if isinstance(atom, str) else None


def limit_below(size: Size, least: int) -> tuple[Size, int] | None:
    """What must hold for a size to be at least a number: a size and the most that it may be.

    None if it holds whatever the symbols are.

    Raises:
        Misfit: if it never holds.
    """
    try:
        if size >= least:
            return None
    except UnknownSize:
        terms = _terms(size)
        constant = terms.get((), 0)
        # Without its constant: what is left is a size that a user knows, or its opposite.
        return constant - size, constant - least
    raise Misfit(f"{size} is less than {least}")


def worded(limit: tuple[Size, int], values: Mapping[str, int]) -> str | None:
    """How sizes break a limit, for the message of an error; None if they keep it.

    Args:
        limit: a size and the most that it may be.
        values: the symbols' numbers.
    """
    size, most = limit
    found = number(size, values)
    if found <= most:
        return None
    if most < 0:
        return f"{-size} is {-found}; the compiled model takes at least {-most}"
    return f"{size} is {found}; the compiled model takes at most {most}"


def divide(size: Size, by: Size) -> Size:
    """The quotient, where it is exact whatever the symbols are.

    Raises:
        UnknownSize: where it is not; a `Misfit` where both are numbers.
    """
    if by == 0:
        raise UnknownSize(f"{size} divided by nothing")
    if size == 0:
        return 0
    if isinstance(size, int) and isinstance(by, int):
        if size % by:
            raise Misfit(f"{size} is not a multiple of {by}")
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


def ceiling(size: Size, by: int) -> Size:
    """How many parts of `by` it takes to hold a size; equal ones are written alike."""
    if not isinstance(size, Dim):
        return -(-size // by)
    common = math.gcd(by, *_terms(size).values())
    if common > 1:
        return ceiling(divide(size, common), by // common)
    return Dim({(Ceiling(size, by),): 1}) if by > 1 else size


def product(sizes: Iterable[Size]) -> Size:
    """The product of sizes, 1 if there are none."""
    total: Size = 1
    for size in sizes:
        total = total * size
    return total


def symbols_of(sizes: Iterable[Size]) -> set[str]:
    """The names of all that sizes depend on."""
    return {symbol for size in sizes if isinstance(size, Dim) for symbol in size.symbols}


def number(size: Size, values: Mapping[str, _Number]) -> int | _Number:
    """A size as a number, given the symbols' numbers, or whatever else they stand for."""
    return size.evaluate(values) if isinstance(size, Dim) else int(size)
