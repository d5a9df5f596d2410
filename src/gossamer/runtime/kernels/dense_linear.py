"""Dense weights times dense activations in tiles: for layers that are not sparse enough to gain."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from gossamer.runtime.codegen.builder import LANES, Builder, Term, write_kernel
from gossamer.runtime.codegen.target import Target
from gossamer.runtime.kernels.dense_rows import DenseRows, rows_in_block
from gossamer.runtime.kernels.epilogue import Epilogue
from gossamer.runtime.kernels.tile import Lines, Tile
from gossamer.runtime.kernels.tokens import GROUPS, shapes
from gossamer.runtime.layouts import TILE


def groups_together(target: Target) -> int:
    """Groups of lanes whose sums stay in registers together: half a tile where they are few."""
    return GROUPS if target.registers >= 32 else 2


def block_of(target: Target) -> int:
    """Rows whose sums stay in registers together."""
    return rows_in_block(target, groups_together(target))


@dataclass(frozen=True)
class DenseLinear:
    """The kernel, for one way of finishing each output before it is stored.

    Arguments: x, y, bias, weights, tiles, groups in the last tile, floats in a tile of x, floats
    in a tile of y, columns, rows, and a pointer for each operand of the epilogue.
    """

    epilogue: Epilogue

    def source(self, target: Target) -> str:
        """The LLVM module."""
        together = groups_together(target)

        def body(b: Builder, arguments: Sequence[Term], thread: Term, threads: Term) -> None:
            self._body(b, arguments, thread, threads, block_of(target), together)

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
        parts = GROUPS // together

        def find(number: Term) -> Tile:
            tile, part = number // parts, number % parts
            all_groups = b.select(tile.compare("==", tiles - 1), last_groups, b.i64(GROUPS))
            groups = b.smaller(all_groups - part * together, together)
            lanes, step = part * (together * LANES), b.i64(TILE)
            place = tile * y_tile + lanes
            return Tile(
                groups,
                b.larger(groups, 1),
                tile * GROUPS + part * together,
                b.at(x, tile * x_tile + lanes),
                Lines(b.at(y, place), step),
                [Lines(b.at(operand, place), step) for operand in operands],
            )

        kernel = DenseRows(shapes(self.epilogue.operands)[:together], self.epilogue, block)
        kernel.write(
            b,
            weights,
            bias,
            tiles * parts,
            (tiles - 1) * GROUPS + last_groups,
            rows,
            columns,
            lambda column: column * TILE,
            thread,
            threads,
            find,
        )
