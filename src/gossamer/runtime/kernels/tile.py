"""Tiles: the vectors of an output that a kernel computes together, and what becomes of them.

Linear layers and convolutions, sparse and dense, differ in where a tile's vectors lie; that is all
that the loops over their weights need to know.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from gossamer.runtime.codegen.builder import I32, VEC, VEC_I32, Builder, Term
from gossamer.runtime.codegen.kernel_builder import KernelBuilder
from gossamer.runtime.kernels.epilogue import Epilogue


@dataclass(frozen=True)
class Shape:
    """Where a tile's vectors lie, in floats from where the tile begins."""

    source: tuple[int, ...]
    output: tuple[int, ...]
    operands: tuple[tuple[int, ...], ...] = ()
    """Likewise for each operand of the epilogue."""


@dataclass(frozen=True)
class Lines:
    """Where a tile's vectors of the first row begin, and how many floats later the next row's."""

    begin: Term
    step: Term

    def address(self, b: Builder, row: Term, offset: int) -> Term:
        """The address of a vector of a row."""
        return b.at(b.at(self.begin, row * self.step), offset)


@dataclass(frozen=True)
class Tile:
    """A tile, found while the kernel runs."""

    number: Term
    """Which of the kernel's shapes it has, counted from 1."""
    vectors: Term
    """How many it has."""
    before: Term
    """How many all tiles before it have."""
    source: Term
    """Where its inputs begin."""
    output: Lines
    operands: Sequence[Lines] = ()
    kept: Term | None = None
    """Where the masks of its lanes begin, if some lanes must be zero."""

    def share(self, b: KernelBuilder, vectors: Term, parts: Term) -> tuple[Term, Term]:
        """The first and one past the last of the tile's `parts` that fall to this thread.

        Each thread gets as much of the `vectors` of all tiles, whatever their sizes.
        """
        low, high = b.own_share(vectors * parts)

        def part(place: Term) -> Term:
            inside = b.larger(place - self.before * parts, 0)
            return b.smaller(inside, self.vectors * parts) // self.vectors

        return part(low), part(high)


def finish(
    b: Builder, epilogue: Epilogue, tile: Tile, shape: Shape, row: Term, vector: int, value: Term
) -> Term:
    """What becomes of a sum before it is stored for good."""
    others = [
        b.load(lines.address(b, row, offsets[vector]), VEC, align=64)
        for lines, offsets in zip(tile.operands, shape.operands, strict=True)
    ]
    value = epilogue.apply(b, value, others)
    if tile.kept is None:
        return value
    return keep_lanes(b, value, b.at(tile.kept, shape.output[vector], I32))


def keep_lanes(b: Builder, value: Term, mask: Term) -> Term:
    """The value with zeros in the lanes where the mask has none of its bits set."""
    return b.bits(b.bits(value, VEC_I32) & b.load(mask, VEC_I32, align=64), VEC)
