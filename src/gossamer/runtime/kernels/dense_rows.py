"""Dense weights, blocked for registers: the loop that linear layers and convolutions share.

A block of rows keeps its sums in registers while the inputs stream by, so that each vector of
inputs feeds several multiply-adds.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from gossamer.graphs.dims import ceiling
from gossamer.runtime.codegen.builder import VEC, Term
from gossamer.runtime.codegen.kernel_builder import KernelBuilder
from gossamer.runtime.kernels.epilogue import Epilogue
from gossamer.runtime.kernels.tile import Shape, Tile, finish
from gossamer.runtime.signature import Input, symbols

NUMBERS = ROWS, COLUMNS = symbols("rows", "columns")
"""What the loop takes: the shape of the weights."""


def pointers(block: int) -> tuple[Input, ...]:
    """What the loop takes: the numbers that rows' sums begin with, and the packed weights."""
    packed = ceiling(ROWS, block) * block * COLUMNS
    return Input("bias", "float32", ROWS), Input("weights", "float32", packed)


def rows_in_block(registers: int, vectors: int) -> int:
    """Rows whose sums stay in registers together, for tiles of so many vectors."""
    # A few are left for the inputs and a weight.
    return max(1, min(6, (registers - 3) // vectors))


def pack(weight: NDArray[np.float32], block: int) -> NDArray[np.float32]:
    """Arrange a matrix `[rows, columns]` as `[row block, column, row]`, filled up with zeros."""
    rows, columns = weight.shape
    filled = np.zeros((-(-rows // block) * block, columns), np.float32)
    filled[:rows] = weight
    return np.ascontiguousarray(filled.reshape(-1, block, columns).transpose(0, 2, 1))


@dataclass(frozen=True)
class DenseRows:
    """Writes the loop over tiles, blocks of rows and columns."""

    shapes: Sequence[Shape]
    epilogue: Epilogue
    block: int
    """Rows whose sums stay in registers."""

    def write(
        self,
        b: KernelBuilder,
        tiles: Term,
        vectors: Term,
        place: Callable[[Term], Term],
        find: Callable[[Term], Tile],
    ) -> None:
        """Compute the tiles and blocks of rows that fall to this thread.

        Args:
            b: the builder.
            tiles: how many there are.
            vectors: of all tiles together.
            place: how many floats after a tile's beginning a column's inputs lie.
            find: the tile of a number.
        """
        rows = b.argument("rows")
        row_blocks = (rows + self.block - 1) // self.block
        with b.loop(0, tiles) as item:
            tile = find(item)
            first, last = tile.share(b, vectors, row_blocks)
            with b.loop(first, last) as row_block:
                self._block(b, tile, row_block, place)

    def _block(
        self, b: KernelBuilder, tile: Tile, row_block: Term, place: Callable[[Term], Term]
    ) -> None:
        bias, weights, rows, columns = b.arguments("bias", "weights", "rows", "columns")
        row = row_block * self.block
        packed = b.at(weights, row * columns)

        def block(number: int) -> None:
            shape = self.shapes[number - 1]
            zero = b.number(VEC, 0)
            sums = [[b.variable(zero) for _ in shape.output] for _ in range(self.block)]
            with b.loop(0, columns) as column:
                source = b.at(tile.source, place(column))
                vectors = [
                    b.load(b.at(source, distance), VEC, align=64) for distance in shape.source
                ]
                for index, line in enumerate(sums):
                    weight = b.splat(b.load(b.at(packed, column * self.block + index)))
                    for part, input_ in zip(line, vectors, strict=True):
                        part.set(b.fma(weight, input_, part.get()))
            for index, line in enumerate(sums):
                with b.when(row + index < rows):
                    added = b.splat(b.load(b.at(bias, row + index)))
                    for vector, (part, offset) in enumerate(zip(line, shape.output, strict=True)):
                        value = part.get() + added
                        value = finish(b, self.epilogue, tile, shape, row + index, vector, value)
                        address = tile.output.address(b, row + index, offset)
                        b.store(value, address, align=64)

        b.switch(tile.number, len(self.shapes), block)
