"""Sparse weights as lists of (offset, value), and the loop that walks them.

Linear layers and convolutions differ in where an input lies; how its nonzero weights are visited
is the same: inputs in blocks, so that the part of the tile in use stays in the first-level cache;
rows in chunks that threads share; and within a chunk from few to many nonzeros, so that the length
of the inner loop seldom changes and the processor predicts its end. A nonzero weight is one
broadcast and, for each vector of the tile, one multiply-add whose operand comes from memory.

Rows may go several together, where they have their nonzeros in the same columns: each vector of
inputs then feeds as many multiply-adds.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gossamer.graphs.dims import Dim
from gossamer.runtime.codegen.builder import I16, I32, I64, LANES, VEC, Builder, Term
from gossamer.runtime.codegen.kernel_builder import KernelBuilder
from gossamer.runtime.kernels.epilogue import Epilogue
from gossamer.runtime.kernels.tile import Shape, Tile, finish
from gossamer.runtime.signature import Input, symbols

# Nonzeros by which a list asks for what comes later. The lists of a large model do not stay in any
# cache from run to run, and what the processor foresees by itself comes too late from memory.
_AHEAD = 2048

NUMBERS = BLOCKS, CHUNKS, _ = symbols("blocks", "chunks", "x_block")
"""What the loop takes: blocks of inputs, chunks of rows, floats from a block to the next."""
LENGTHS = _NONZEROS, _LISTS = symbols("nonzeros", "lists")


def pointers(rows: Dim, wide: bool, together: int) -> tuple[Input, ...]:
    """What the loop takes: the numbers that rows' sums begin with, and the arrays of the lists."""
    return (
        Input("bias", "float32", rows),
        Input("offsets", "uint32" if wide else "uint16", _NONZEROS),
        Input("values", "float32", _NONZEROS * together),
        Input("firsts", "int32", _LISTS),
        Input("ends", "int32", _LISTS + 1),
        Input("segments", "int64", BLOCKS * (CHUNKS + 1)),
    )


@dataclass(frozen=True)
class SparseLists:
    """A weight matrix as the loop walks it: by block of inputs, then chunk of rows, then row."""

    values: NDArray[np.float32]
    """[nonzeros, rows together]"""
    offsets: NDArray[Any]
    """[nonzeros] where each nonzero's input lies, in units from where its block begins."""
    rows: NDArray[np.int32]
    """[blocks * lists] the first row that each list belongs to."""
    ends: NDArray[np.int32]
    """[1 + blocks * lists] where each list ends, and before it the previous one."""
    segments: NDArray[np.int64]
    """[blocks, chunks + 1] the first list of each chunk."""

    def arguments(self) -> dict[str, NDArray[Any] | int]:
        """What kernels take of them."""
        return {
            "values": self.values,
            "offsets": self.offsets,
            "firsts": self.rows,
            "ends": self.ends,
            "segments": self.segments,
            "blocks": self.segments.shape[0],
            "chunks": self.segments.shape[1] - 1,
        }


def make_lists(
    weight: NDArray[np.float32],
    places: NDArray[Any],
    blocks: Sequence[slice],
    chunks: int,
    together: int = 1,
) -> SparseLists:
    """Arrange a matrix `[rows, columns]`; zeros are left out.

    Args:
        weight: the matrix.
        places: where the input of each column lies, in units from where its block begins.
        blocks: the columns of each block.
        chunks: parts of about equal work into which the rows are divided.
        together: rows that are visited together, of which there must be a whole number.
    """
    grouped = weight.reshape(-1, together, weight.shape[1])
    lists = grouped.shape[0]
    nonzero = (grouped != 0).any(axis=1)
    work = np.concatenate([[0], np.cumsum(nonzero.sum(axis=1))])
    cuts = np.searchsorted(work, np.linspace(0, work[-1], chunks + 1), side="left")
    cuts[0], cuts[-1] = 0, lists
    chunk_of_list = np.searchsorted(cuts[1:-1], np.arange(lists), side="right")
    order: list[NDArray[np.intp]] = []
    values, offsets, counts, segments = [], [], [], []
    for block in blocks:
        kept = nonzero[:, block]
        count = kept.sum(axis=1)
        visit = np.lexsort((count, chunk_of_list))
        row, column = np.nonzero(kept[visit])
        values.append(grouped[visit[row], :, column + block.start])
        offsets.append(places[block][column])
        segments.append(len(order) * lists + cuts)
        order.append(visit)
        counts.append(count[visit])
    ends = np.concatenate([[0], np.cumsum(np.concatenate(counts))])
    return SparseLists(
        np.concatenate(values).astype(np.float32),
        np.concatenate(offsets),
        (np.concatenate(order) * together).astype(np.int32),
        ends.astype(np.int32),
        np.stack(segments).astype(np.int64),
    )


@dataclass(frozen=True)
class ListKernel:
    """Writes the loop over tiles, blocks and lists."""

    shapes: Sequence[Shape]
    epilogue: Epilogue
    wide: bool
    """Whether offsets have 32 bits; else 16."""
    unit: int
    """Floats that an offset counts in."""
    together: int = 1

    def write(
        self, b: KernelBuilder, tiles: Term, vectors: Term, find: Callable[[Term], Tile]
    ) -> None:
        """Compute the chunks of tiles that fall to this thread.

        Args:
            b: the builder.
            tiles: how many there are.
            vectors: of all tiles together.
            find: the tile of a number.
        """
        rows, ends, segments = b.arguments("firsts", "ends", "segments")
        x_block, blocks, chunks = b.arguments("x_block", "blocks", "chunks")
        with b.loop(0, tiles) as item:
            tile = find(item)
            first, last = tile.share(b, vectors, chunks)
            with b.loop(0, blocks) as block:
                source = b.at(tile.source, block * x_block)
                segment = b.at(segments, block * (chunks + 1), I64)
                begin, end = (b.load(b.at(segment, cut, I64), I64) for cut in (first, last))
                is_first = block.compare("==", 0)
                is_last = block.compare("==", blocks - 1)

                def lists(
                    number: int,
                    tile: Tile = tile,
                    source: Term = source,
                    begin: Term = begin,
                    end: Term = end,
                    is_first: Term = is_first,
                    is_last: Term = is_last,
                ) -> None:
                    shape = self.shapes[number - 1]
                    with b.loop(begin, end) as entry:
                        row = _integer(b, rows, entry)
                        span = _integer(b, ends, entry), _integer(b, ends, entry + 1)
                        sums = self._begin(b, tile, shape, row, is_first)
                        self._add(b, shape, source, span, sums)
                        self._end(b, tile, shape, row, is_last, sums)

                b.switch(tile.number, len(self.shapes), lists)

    def _begin(
        self, b: KernelBuilder, tile: Tile, shape: Shape, row: Term, is_first: Term
    ) -> list[list[Any]]:
        """The bias in the first block, what was stored before in later ones."""
        bias, zero = b.argument("bias"), b.number(VEC, 0)
        sums = [[b.variable(zero) for _ in shape.output] for _ in range(self.together)]

        def from_bias() -> None:
            for index, line in enumerate(sums):
                value = b.splat(b.load(b.at(bias, row + index)))
                for part in line:
                    part.set(value)

        def from_before() -> None:
            for index, line in enumerate(sums):
                for offset, part in zip(shape.output, line, strict=True):
                    address = tile.output.address(b, row + index, offset)
                    part.set(b.load(address, VEC, align=64))

        b.choose(is_first, from_bias, from_before)
        return sums

    def _add(
        self,
        b: KernelBuilder,
        shape: Shape,
        source: Term,
        span: tuple[Term, Term],
        sums: list[list[Any]],
    ) -> None:
        values, offsets = b.arguments("values", "offsets")
        kind = I32 if self.wide else I16
        ahead = span[0] + _AHEAD
        for further in (0, LANES):
            b.prefetch(b.at(values, ahead * self.together + further))
        b.prefetch(b.at(offsets, ahead, kind))
        with b.loop(*span) as nonzero:
            offset = b.widen(b.load(b.at(offsets, nonzero, kind), kind))
            place = b.at(source, offset * self.unit)
            weights = [
                b.splat(b.load(b.at(values, nonzero * self.together + index)))
                for index in range(self.together)
            ]
            for vector, distance in enumerate(shape.source):
                lanes = b.load(b.at(place, distance), VEC, align=64)
                for weight, line in zip(weights, sums, strict=True):
                    line[vector].set(b.fma(weight, lanes, line[vector].get()))

    def _end(
        self,
        b: Builder,
        tile: Tile,
        shape: Shape,
        row: Term,
        is_last: Term,
        sums: list[list[Any]],
    ) -> None:
        with b.when(is_last):
            for index, line in enumerate(sums):
                for vector, part in enumerate(line):
                    part.set(finish(b, self.epilogue, tile, shape, row + index, vector, part.get()))
        for index, line in enumerate(sums):
            for offset, part in zip(shape.output, line, strict=True):
                address = tile.output.address(b, row + index, offset)
                b.store(part.get(), address, align=64)


def _integer(b: Builder, array: Term, index: Term) -> Term:
    return b.cast(b.load(b.at(array, index, I32), I32), I64)
