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

import numpy as np
from numpy.typing import NDArray

from gossamer.runtime.codegen.builder import I16, LANES, VEC, Builder, Term, write_kernel
from gossamer.runtime.codegen.target import Target
from gossamer.runtime.kernels.epilogue import Epilogue
from gossamer.runtime.kernels.sparse_lists import ListKernel, SparseLists, make_lists
from gossamer.runtime.layouts import TILE

GROUPS = TILE // LANES


def pack(weight: NDArray[np.float32], block: int, chunks: int) -> SparseLists:
    """Arrange a matrix `[rows, columns]` for the kernel.

    Args:
        weight: the matrix; zeros are left out.
        block: input channels in a block, at most 1,023.
        chunks: parts of about equal work into which the rows are divided, for threads to share.
    """
    places = (np.arange(weight.shape[1]) % block * TILE).astype(np.uint16)
    starts = range(0, weight.shape[1], block)
    return make_lists(weight, places, [slice(start, start + block) for start in starts], chunks)


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
        x, y, bias = map(b.pointer, arguments[:3])
        tiles, last_groups, x_tile, y_tile, x_block, blocks, chunks = arguments[8:15]
        operands = [b.pointer(argument) for argument in arguments[15:]]
        lists = ListKernel(b, arguments[3:8], I16, aligned=True)
        low, high = b.share(tiles * chunks, thread, threads)

        with b.loop(low // chunks, (high + chunks - 1) // chunks) as tile:
            mine = (b.larger(low - tile * chunks, 0), b.smaller(high - tile * chunks, chunks))
            is_last_tile = tile.compare("==", tiles - 1)
            groups = b.select(is_last_tile, last_groups, b.i64(GROUPS))
            place = tile * y_tile
            with b.loop(0, blocks) as block:
                source = b.at(x, tile * x_tile + block * x_block)
                is_last = block.compare("==", blocks - 1)

                def initial(row: Term, count: int) -> list[Term]:
                    return [b.splat(b.load(b.at(bias, row)))] * count

                def address(row: Term, group: int, place: Term = place) -> Term:
                    return b.at(y, place + row * TILE + group * LANES)

                def final(row: Term, group: int, value: Term, place: Term = place) -> Term:
                    position = place + row * TILE + group * LANES
                    others = [b.load(b.at(other, position), VEC, align=64) for other in operands]
                    return self.epilogue.apply(b, value, others)

                def width(
                    count: int,
                    source: Term = source,
                    block: Term = block,
                    is_last: Term = is_last,
                    mine: tuple[Term, Term] = mine,
                ) -> None:
                    lists.write(
                        count, source, block, is_last, mine, chunks, initial, address, final
                    )

                b.switch(groups, GROUPS, width)
