"""Sparse weights as lists of (offset, value), and the loop that walks them.

Linear layers and convolutions differ in where an input lies; how its nonzero weights are visited
is the same: inputs in blocks, rows in chunks that threads share, and within a chunk from few to
many nonzeros, so that the length of the inner loop seldom changes and the processor predicts its
end.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gossamer.runtime.codegen.builder import I32, I64, LANES, VEC, Builder, Term


@dataclass(frozen=True)
class SparseLists:
    """A weight matrix as the loop walks it: by block of inputs, then chunk of rows, then row."""

    values: NDArray[np.float32]
    """[nonzeros]"""
    offsets: NDArray[Any]
    """[nonzeros] where each nonzero's input lies, in floats from where its block begins."""
    rows: NDArray[np.int32]
    """[blocks * rows] which row each list belongs to."""
    ends: NDArray[np.int32]
    """[1 + blocks * rows] where each list ends, and before it the previous one."""
    segments: NDArray[np.int64]
    """[blocks, chunks + 1] the first list of each chunk."""

    def arrays(self) -> list[NDArray[Any]]:
        """The arrays in the order in which kernels take them."""
        return [self.values, self.offsets, self.rows, self.ends, self.segments]


def make_lists(
    weight: NDArray[np.float32], places: NDArray[Any], blocks: Sequence[slice], chunks: int
) -> SparseLists:
    """Arrange a matrix `[rows, columns]`; zeros are left out.

    Args:
        weight: the matrix.
        places: where the input of each column lies, in floats from where its block begins.
        blocks: the columns of each block.
        chunks: parts of about equal work into which the rows are divided.
    """
    rows = weight.shape[0]
    nonzero = weight != 0
    work = np.concatenate([[0], np.cumsum(nonzero.sum(axis=1))])
    cuts = np.searchsorted(work, np.linspace(0, work[-1], chunks + 1), side="left")
    cuts[0], cuts[-1] = 0, rows
    chunk_of_row = np.searchsorted(cuts[1:-1], np.arange(rows), side="right")
    order: list[NDArray[np.intp]] = []
    values, offsets, counts, segments = [], [], [], []
    for block in blocks:
        kept = nonzero[:, block]
        count = kept.sum(axis=1)
        visit = np.lexsort((count, chunk_of_row))
        row, column = np.nonzero(kept[visit])
        values.append(weight[visit, block][row, column])
        offsets.append(places[block][column])
        segments.append(len(order) * rows + cuts)
        order.append(visit)
        counts.append(count[visit])
    ends = np.concatenate([[0], np.cumsum(np.concatenate(counts))])
    return SparseLists(
        np.concatenate(values).astype(np.float32),
        np.concatenate(offsets),
        np.concatenate(order).astype(np.int32),
        ends.astype(np.int32),
        np.stack(segments).astype(np.int64),
    )


class ListKernel:
    """Writes the loop over the lists of some rows, for a few vectors of lanes."""

    def __init__(self, b: Builder, arrays: Sequence[Term], offset_type: Any, aligned: bool) -> None:
        self._b = b
        self._values, self._offsets, self._rows, self._ends, self._segments = map(b.pointer, arrays)
        self._offset_type, self._align = offset_type, 64 if aligned else 4

    def write(
        self,
        count: int,
        source: Term,
        block: Term,
        is_last: Term,
        mine: tuple[Term, Term],
        chunks: Term,
        initial: Callable[[Term, int], list[Term]],
        address: Callable[[Term, int], Term],
        final: Callable[[Term, int, Term], Term],
    ) -> None:
        """Add a block's products to the sums of the rows in the chunks that are `mine`.

        Args:
            count: vectors of lanes.
            source: where the block's inputs begin.
            block: the block's number; sums of later blocks go on from what was stored.
            is_last: whether to finish the sums.
            mine: the first and one past the last chunk.
            chunks: how many chunks there are.
            initial: what a row's sums begin with.
            address: where a row's sum of a vector is stored, aligned to a vector.
            final: what becomes of a sum before it is stored for good.
        """
        b = self._b
        segment = b.at(self._segments, block * (chunks + 1), I64)
        begin, end = (b.load(b.at(segment, chunk, I64), I64) for chunk in mine)
        with b.loop(begin, end) as entry:
            row = self._integer(self._rows, entry)
            start, stop = self._integer(self._ends, entry), self._integer(self._ends, entry + 1)
            sums = [b.variable(b.number(VEC, 0)) for _ in range(count)]

            def from_start() -> None:
                for part, value in zip(sums, initial(row, count), strict=True):
                    part.set(value)

            def from_before() -> None:
                for group, part in enumerate(sums):
                    part.set(b.load(address(row, group), VEC, align=64))

            b.choose(block.compare("==", 0), from_start, from_before)
            with b.loop(start, stop) as nonzero:
                weight = b.splat(b.load(b.at(self._values, nonzero)))
                offset = b.load(b.at(self._offsets, nonzero, self._offset_type), self._offset_type)
                wide = b.widen(offset) if self._offset_type.width < 32 else b.cast(offset, I64)
                place = b.at(source, wide)
                for group, part in enumerate(sums):
                    lanes = b.load(b.at(place, group * LANES), VEC, align=self._align)
                    part.set(b.fma(weight, lanes, part.get()))
            with b.when(is_last):
                for group, part in enumerate(sums):
                    part.set(final(row, group, part.get()))
            for group, part in enumerate(sums):
                b.store(part.get(), address(row, group), align=64)

    def _integer(self, array: Term, index: Term) -> Term:
        b = self._b
        return b.cast(b.load(b.at(array, index, I32), I32), I64)
