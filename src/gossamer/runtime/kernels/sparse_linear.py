"""Sparse weights times dense activations in tiles: the kernel that the package exists for.

`y[n] = f(bias[n] + sum_k weight[n, k] x[k])` for every lane of every tile. A nonzero weight is one
broadcast and, for each group of lanes, one fused multiply-add whose operand comes from memory.
Input channels are taken in blocks, so that the part of the tile in use stays in the first-level
cache; within a block the rows are visited from few to many nonzeros, so that the length of the
inner loop seldom changes and the processor predicts its end.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gossamer.runtime.codegen.builder import (
    F32,
    I16,
    I32,
    I64,
    LANES,
    VEC,
    Builder,
    Term,
    write_kernel,
)
from gossamer.runtime.codegen.target import Target
from gossamer.runtime.kernels.epilogue import Epilogue
from gossamer.runtime.layouts import TILE

GROUPS = TILE // LANES


@dataclass(frozen=True)
class SparseWeights:
    """A weight matrix as the kernel walks it: by block of inputs, then chunk of rows, then row."""

    values: NDArray[np.float32]
    """[nonzeros]"""
    offsets: NDArray[np.uint16]
    """[nonzeros] where each nonzero's input lies within its block's part of the tile, in floats."""
    rows: NDArray[np.int32]
    """[blocks * rows] which row each list belongs to."""
    ends: NDArray[np.int32]
    """[1 + blocks * rows] where each list ends, and before it the previous one."""
    segments: NDArray[np.int64]
    """[blocks, chunks + 1] the first list of each chunk."""

    def arrays(self) -> list[NDArray[Any]]:
        """The arrays in the order in which the kernel takes them."""
        return [self.values, self.offsets, self.rows, self.ends, self.segments]


def pack(weight: NDArray[np.float32], block: int, chunks: int) -> SparseWeights:
    """Arrange a matrix `[rows, columns]` for the kernel.

    Args:
        weight: the matrix; zeros are left out.
        block: input channels in a block, at most 1,023.
        chunks: parts of about equal work into which the rows are divided, for threads to share.
    """
    rows, columns = weight.shape
    nonzero = weight != 0
    bounds = np.linspace(0, nonzero.sum(), chunks + 1)
    work = np.concatenate([[0], np.cumsum(nonzero.sum(axis=1))])
    cuts = np.searchsorted(work, bounds, side="left")
    cuts[0], cuts[-1] = 0, rows
    cuts = np.maximum.accumulate(cuts)
    values, offsets, order, counts, segments = [], [], [], [], []
    for start in range(0, columns, block):
        part = weight[:, start : start + block]
        kept = nonzero[:, start : start + block]
        length = kept.sum(axis=1)
        # Within each chunk from few to many nonzeros.
        chunk_of_row = np.searchsorted(cuts[1:-1], np.arange(rows), side="right")
        visit = np.lexsort((length, chunk_of_row))
        row, column = np.nonzero(kept[visit])
        values.append(part[visit][row, column])
        offsets.append((column * TILE).astype(np.uint16))
        segments.append(len(order) * rows + cuts)
        order.append(visit)
        counts.append(length[visit])
    ends = np.concatenate([[0], np.cumsum(np.concatenate(counts))])
    return SparseWeights(
        np.concatenate(values).astype(np.float32),
        np.concatenate(offsets),
        np.concatenate(order).astype(np.int32),
        ends.astype(np.int32),
        np.stack(segments).astype(np.int64),
    )


@dataclass(frozen=True)
class SparseLinear:
    """The kernel, for one way of finishing each output before it is stored.

    Arguments: x, y, bias, values, offsets, rows, ends, segments, tiles, groups in the last tile,
    floats in a tile of x, floats in a tile of y, floats in a block of x, blocks, chunks, and a
    pointer for each operand of the epilogue.
    """

    epilogue: Epilogue

    def source(self, target: Target) -> str:
        """The LLVM module."""
        del target
        return write_kernel(self._body, 15 + self.epilogue.operands)

    def _body(self, b: Builder, arguments: Sequence[Term], thread: Term, threads: Term) -> None:
        x, y, bias, values, offsets, rows, ends, segments = map(b.pointer, arguments[:8])
        tiles, last_groups, x_tile, y_tile, x_block, blocks, chunks = arguments[8:15]
        operands = [b.pointer(argument) for argument in arguments[15:]]
        low, high = b.share(tiles * chunks, thread, threads)

        with b.loop(low // chunks, (high + chunks - 1) // chunks) as tile:
            first_chunk = b.larger(low - tile * chunks, 0)
            end_chunk = b.smaller(high - tile * chunks, chunks)
            groups = b.select(
                tile.compare("==", tiles - 1), last_groups, b.int(GROUPS)
            )
            place = tile * y_tile
            with b.loop(0, blocks) as block:
                input_ = b.at(x, tile * x_tile + block * x_block)
                is_first = block.compare("==", 0)
                is_last = block.compare("==", blocks - 1)
                segment = b.at(segments, block * (chunks + 1), I64)
                begin = b.load(b.at(segment, first_chunk, I64), I64)
                end = b.load(b.at(segment, end_chunk, I64), I64)

                def width(
                    groups: int,
                    input_: Term = input_,
                    place: Term = place,
                    is_first: Term = is_first,
                    is_last: Term = is_last,
                    begin: Term = begin,
                    end: Term = end,
                ) -> None:
                    with b.loop(begin, end) as entry:
                        row = b.cast(b.load(b.at(rows, entry, I32), I32), I64)
                        start = b.cast(b.load(b.at(ends, entry, I32), I32), I64)
                        stop = b.cast(b.load(b.at(ends, entry + 1, I32), I32), I64)
                        output = place + row * TILE
                        sums = [b.variable(b.number(VEC, 0)) for _ in range(groups)]

                        def from_bias() -> None:
                            for part in sums:
                                part.set(b.splat(b.load(b.at(bias, row))))

                        def from_before() -> None:
                            for group, part in enumerate(sums):
                                address = b.at(y, output + group * LANES)
                                part.set(b.load(address, VEC, align=64))

                        b.choose(is_first, from_bias, from_before)
                        with b.loop(start, stop) as nonzero:
                            weight = b.splat(b.load(b.at(values, nonzero)))
                            offset = b.widen(b.load(b.at(offsets, nonzero, I16), I16))
                            source = b.at(input_, offset)
                            for group, part in enumerate(sums):
                                lanes = b.load(b.at(source, group * LANES), VEC, align=64)
                                part.set(b.fma(weight, lanes, part.get()))

                        def finish() -> None:
                            for group, part in enumerate(sums):
                                position = output + group * LANES
                                others = [
                                    b.load(b.at(operand, position), VEC, align=64)
                                    for operand in operands
                                ]
                                part.set(self.epilogue.apply(b, part.get(), others))

                        if self.epilogue.steps:
                            with b.when(is_last):
                                finish()
                        for group, part in enumerate(sums):
                            b.store(part.get(), b.at(y, output + group * LANES), align=64)

                b.switch(groups, GROUPS, width)
