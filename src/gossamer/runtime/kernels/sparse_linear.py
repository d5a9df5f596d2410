"""Sparse weights times dense activations in tiles: the kernel that the package exists for.

`y[n] = f(bias[n] + sum_k weight[n, k] x[k])` for every lane of every tile.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from gossamer.runtime.codegen.kernel_builder import KernelBuilder
from gossamer.runtime.kernels import sparse_lists, tokens
from gossamer.runtime.kernels.epilogue import Epilogue
from gossamer.runtime.kernels.sparse_lists import ListKernel, SparseLists, make_lists
from gossamer.runtime.layouts import TILE
from gossamer.runtime.signature import Signature, symbols


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
    """The kernel, for one way of finishing each output before it is stored."""

    epilogue: Epilogue
    together: int = 1

    @property
    def signature(self) -> Signature:
        """What it takes."""
        (rows,) = symbols("rows")
        pointers = (
            *sparse_lists.pointers(rows, wide=False, together=self.together),
            *tokens.pointers(tokens.TILES * tokens.X_TILE, rows, self.epilogue.operands),
        )
        numbers = tokens.NUMBERS + sparse_lists.NUMBERS
        return Signature("SparseLinear", pointers, numbers, (rows, *sparse_lists.LENGTHS))

    def write(self, b: KernelBuilder) -> None:
        """Write the body."""
        operands = self.epilogue.operands
        every = tokens.shapes(len(operands))
        kernel = ListKernel(every, self.epilogue, False, 1, self.together)
        find = tokens.find_tile(b, operands)
        kernel.write(b, b.argument("tiles"), tokens.all_vectors(b), find)
