"""Dense weights times dense activations in tiles, blocked for registers.

The same contract as the sparse kernel, for layers that are not sparse enough to gain: a block of
rows keeps its sums in registers while the input channels stream by, so that each vector of
activations feeds several multiply-adds.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from gossamer.runtime.codegen.builder import LANES, VEC, Builder, Term, write_kernel
from gossamer.runtime.codegen.target import Target
from gossamer.runtime.kernels.epilogue import Epilogue
from gossamer.runtime.layouts import TILE

GROUPS = TILE // LANES


def rows_in_block(target: Target) -> int:
    """Rows whose sums stay in registers together."""
    return 6 if target.registers >= 32 else 2


def pack(weight: NDArray[np.float32], block: int) -> NDArray[np.float32]:
    """Arrange a matrix `[rows, columns]` as `[row block, column, row]`, filled up with zeros."""
    rows, columns = weight.shape
    filled = np.zeros((-(-rows // block) * block, columns), np.float32)
    filled[:rows] = weight
    return np.ascontiguousarray(filled.reshape(-1, block, columns).transpose(0, 2, 1))


@dataclass(frozen=True)
class DenseLinear:
    """The kernel, for one way of finishing each output before it is stored.

    Arguments: x, y, bias, weights, tiles, groups in the last tile, floats in a tile of x, floats
    in a tile of y, columns, rows, and a pointer for each operand of the epilogue.
    """

    epilogue: Epilogue

    def source(self, target: Target) -> str:
        """The LLVM module."""
        block = rows_in_block(target)
        # Half a tile at a time where registers are few.
        together = GROUPS if target.registers >= 32 else 2

        def body(b: Builder, arguments: Sequence[Term], thread: Term, threads: Term) -> None:
            self._body(b, arguments, thread, threads, block, together)

        return write_kernel(body, 10 + self.epilogue.operands)

    def _body(
        self,
        b: Builder,
        arguments: Sequence[Term],
        thread: Term,
        threads: Term,
        block: int,
        together: int,
    ) -> None:
        x, y, bias, weights = map(b.pointer, arguments[:4])
        tiles, last_groups, x_tile, y_tile, columns, rows = arguments[4:10]
        operands = [b.pointer(argument) for argument in arguments[10:]]
        row_blocks = (rows + block - 1) // block
        low, high = b.share(tiles * row_blocks, thread, threads)

        with b.loop(low, high) as item:
            tile, row_block = item // row_blocks, item % row_blocks
            all_groups = b.select(tile.compare("==", tiles - 1), last_groups, b.i64(GROUPS))
            row = row_block * block
            packed = b.at(weights, row * columns)
            with b.loop(0, all_groups, together) as skipped:
                lanes = skipped * LANES
                input_ = b.at(x, tile * x_tile + lanes)
                output = tile * y_tile + row * TILE + lanes

                def width(
                    groups: int,
                    input_: Term = input_,
                    output: Term = output,
                    packed: Term = packed,
                    row: Term = row,
                ) -> None:
                    sums = [
                        [b.variable(b.number(VEC, 0)) for _ in range(groups)] for _ in range(block)
                    ]
                    with b.loop(0, columns) as column:
                        source = b.at(input_, column * TILE)
                        vectors = [
                            b.load(b.at(source, group * LANES), VEC, align=64)
                            for group in range(groups)
                        ]
                        for index, line in enumerate(sums):
                            weight = b.splat(b.load(b.at(packed, column * block + index)))
                            for part, vector in zip(line, vectors, strict=True):
                                part.set(b.fma(weight, vector, part.get()))
                    for index, line in enumerate(sums):
                        with b.when(row + index < rows):
                            added = b.splat(b.load(b.at(bias, row + index)))
                            for group, part in enumerate(line):
                                position = output + index * TILE + group * LANES
                                others = [
                                    b.load(b.at(operand, position), VEC, align=64)
                                    for operand in operands
                                ]
                                value = self.epilogue.apply(b, part.get() + added, others)
                                b.store(value, b.at(y, position), align=64)

                b.switch(b.smaller(all_groups - skipped, together), together, width)
