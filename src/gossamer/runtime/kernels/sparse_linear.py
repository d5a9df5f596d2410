"""Sparse weights times dense activations in tiles: the kernel that the package exists for.

`y[n] = f(bias[n] + sum_k weight[n, k] x[k])` for every lane of every tile.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from gossamer.runtime.codegen.builder import Builder, Term, write_kernel
from gossamer.runtime.codegen.target import Target
from gossamer.runtime.kernels.epilogue import Epilogue
from gossamer.runtime.kernels.sparse_lists import ListKernel, SparseLists, make_lists
from gossamer.runtime.kernels.tokens import GROUPS, find_tile, shapes
from gossamer.runtime.layouts import TILE


def pack(weight: NDArray[np.float32], block: int, chunks: int, together: int = 1) -> SparseLists:
    """Arrange a matrix `[rows, columns]` for the kernel.

    Args:
        weight: the matrix; zeros are left out.
        block: input channels in a block, at most 1,023.
        chunks: parts of about equal work into which the rows are divided, for threads to share.
        together: rows that are visited together.
    """
    # Already in floats, so that addressing costs no instruction.
    places = (np.arange(weight.shape[1]) % block * TILE).astype(np.uint16)
    starts = range(0, weight.shape[1], block)
    blocks = [slice(start, start + block) for start in starts]
    return make_lists(weight, places, blocks, chunks, together)


@dataclass(frozen=True)
class SparseLinear:
    """The kernel, for one way of finishing each output before it is stored.

    Arguments: x, y, bias, values, offsets, rows, ends, segments, tiles, groups in the last tile,
    floats in a tile of x, floats in a tile of y, floats in a block of x, blocks, chunks, and a
    pointer for each operand of the epilogue.
    """

    epilogue: Epilogue
    together: int = 1

    def source(self, target: Target) -> str:
        """The LLVM module."""
        del target
        return write_kernel(self._body, 15 + self.epilogue.operands)

    def _body(self, b: Builder, arguments: Sequence[Term], thread: Term, threads: Term) -> None:
        x, y, bias = map(b.pointer, arguments[:3])
        tiles, last_groups, x_tile, y_tile, x_block, blocks, chunks = arguments[8:15]
        operands = [b.pointer(argument) for argument in arguments[15:]]
        kernel = ListKernel(shapes(self.epilogue.operands), self.epilogue, False, 1, self.together)
        find = find_tile(b, x, y, operands, tiles, last_groups, x_tile, y_tile)
        counts = (tiles, x_block, blocks, chunks, (tiles - 1) * GROUPS + last_groups)
        kernel.write(b, arguments[3:8], bias, *counts, thread, threads, find)
