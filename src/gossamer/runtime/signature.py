"""What a kernel takes, by name and type, and what a call gives it.

Generated code has no bounds checks. A kernel therefore says how many elements lie behind each
pointer, in terms of the numbers that it takes beside it, and a call is made only if what it gives
has just as many, whatever the sizes of the input are.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np

from gossamer.graphs.dims import Dim, Size, number
from gossamer.graphs.operation import Array
from gossamer.runtime.graph import Value
from gossamer.runtime.layouts import PLAIN, Layout


class SignatureError(TypeError):
    """A kernel and what calls it disagree: a fault of this package, not of its user."""


@dataclass(frozen=True)
class Pointer:
    """The address of elements."""

    name: str
    dtype: str
    elements: Size
    """How many there are, in the numbers of the signature."""
    layout: Layout | type[Layout] = PLAIN
    """How a value must lie, or of which kind that must be."""


class Input(Pointer):
    """Elements that the kernel reads."""


class Output(Pointer):
    """Elements that the kernel writes."""


class Scratch(Pointer):
    """Memory that each thread has for itself during a call, which no caller gives.

    `elements` are those of one thread: whole cache lines.
    """


@dataclass(frozen=True)
class Flag:
    """Where a kernel reports that an index from the data lies outside; no caller gives it."""

    name: str = "flag"


@dataclass(frozen=True)
class Address:
    """Where a constant lies in this process."""

    number: int


@dataclass(frozen=True, eq=False)
class Room:
    """The scratch of one call."""

    size: Size
    """Bytes for one thread."""


Given: TypeAlias = "Value | Array | Size"
"""An array holds a constant, arranged as the kernel takes it."""
Argument: TypeAlias = "Value | Array | Address | Room | Flag | Size"
"""What a call gives, as data: what is not known until the model runs is a size to evaluate."""


@dataclass(frozen=True)
class Signature:
    """The arguments of a kernel, in the order in which its function finds them in memory."""

    kernel: str
    pointers: tuple[Pointer | Flag, ...]
    numbers: tuple[Dim, ...]
    """Sizes and counts, 64-bit integers; each is the symbol of its name."""
    lengths: tuple[Dim, ...] = ()
    """What else the pointers' elements are counted in: not given, but whatever the first pointer
    has of which it is the number of elements."""

    def __post_init__(self) -> None:
        known = {str(symbol) for symbol in (*self.numbers, *self.lengths)}
        for pointer in self.pointers:
            if isinstance(pointer, Pointer) and isinstance(pointer.elements, Dim):
                strange = pointer.elements.symbols - known
                if strange:
                    raise SignatureError(f"{self.kernel} has no numbers {sorted(strange)}")
        if len(set(self.names)) < len(self.names):
            raise SignatureError(f"{self.kernel} has two arguments of one name: {self.names}")

    @property
    def names(self) -> list[str]:
        """The arguments' names, in order."""
        return [*(pointer.name for pointer in self.pointers), *map(str, self.numbers)]

    def bind(self, given: Mapping[str, Given]) -> dict[str, Argument]:
        """The arguments of a call, in order.

        Raises:
            SignatureError: if an argument is missing or unknown, of another type or layout than the
                kernel takes, or has another number of elements for some sizes of the input.
        """
        wanted = [p.name for p in self.pointers if isinstance(p, Input | Output)]
        wanted += map(str, self.numbers)
        if set(wanted) != given.keys():
            missing, unknown = set(wanted) - given.keys(), given.keys() - set(wanted)
            raise SignatureError(
                f"{self.kernel} is called without {sorted(missing)}, and with {sorted(unknown)}, "
                "which it does not take"
            )
        sizes: dict[str, Size] = {}
        for name in map(str, self.numbers):
            size = given[name]
            if not isinstance(size, int | Dim):
                raise self._mismatch(name, "a number", type(size).__name__)
            sizes[name] = size
        pointers = {pointer.name: self._bound(pointer, given, sizes) for pointer in self.pointers}
        return pointers | {name: sizes[name] for name in map(str, self.numbers)}

    def _bound(
        self, pointer: Pointer | Flag, given: Mapping[str, Given], sizes: dict[str, Size]
    ) -> Argument:
        if isinstance(pointer, Flag):
            return pointer
        if isinstance(pointer, Scratch):
            return Room(number(pointer.elements, sizes) * np.dtype(pointer.dtype).itemsize)
        one = given[pointer.name]
        if isinstance(one, int | Dim):
            raise self._mismatch(pointer.name, pointer.dtype, f"the number {one}")
        found = _count(one)
        if pointer.elements in self.lengths:
            sizes.setdefault(str(pointer.elements), found)
        if isinstance(one, Value) and not _lies(one.layout, pointer.layout):
            raise self._mismatch(pointer.name, pointer.layout, one.layout)
        if isinstance(one, Value) and one.data is not None and isinstance(pointer, Output):
            raise self._mismatch(pointer.name, "an output", f"the constant {one.name!r}")
        wanted = number(pointer.elements, sizes)
        if (pointer.dtype, wanted) != (str(one.dtype), found):
            expected = f"{wanted} of {pointer.dtype}"
            raise self._mismatch(pointer.name, expected, f"{found} of {one.dtype}")
        return one

    def _mismatch(self, name: str, wanted: object, found: object) -> SignatureError:
        return SignatureError(f"{self.kernel} takes {name!r} as {wanted}, not {found}")


def symbols(*names: str) -> tuple[Dim, ...]:
    """Numbers of these names."""
    return tuple(map(Dim.symbol, names))


def _lies(layout: Layout, wanted: Layout | type[Layout]) -> bool:
    return isinstance(layout, wanted) if isinstance(wanted, type) else layout == wanted


def _count(given: Value | Array) -> Size:
    if isinstance(given, Value):
        assert given.shape is not None, f"{given.name} is of unknown shape"
        return given.layout.elements(given.shape)
    return int(given.size)
