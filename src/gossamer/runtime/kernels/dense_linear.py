"""Dense weights times dense activations in tiles: for layers that are not sparse enough to gain."""

from __future__ import annotations

from dataclasses import dataclass

from gossamer.runtime.codegen.kernel_builder import KernelBuilder
from gossamer.runtime.kernels import dense_rows, tokens
from gossamer.runtime.kernels.dense_rows import DenseRows, rows_in_block
from gossamer.runtime.kernels.epilogue import Epilogue
from gossamer.runtime.kernels.tokens import GROUPS
from gossamer.runtime.layouts import TILE
from gossamer.runtime.signature import Signature


@dataclass(frozen=True)
class DenseLinear:
    """The kernel, for one way of finishing each output before it is stored."""

    epilogue: Epilogue
    registers: int
    """Vector registers of the target."""

    @property
    def together(self) -> int:
        """Groups of lanes whose sums stay in registers together: half a tile where they are few."""
        return GROUPS if self.registers >= 32 else 2

    @property
    def block(self) -> int:
        """Rows whose sums stay in registers together."""
        return rows_in_block(self.registers, self.together)

    @property
    def signature(self) -> Signature:
        """What it takes."""
        x = (tokens.TILES - 1) * tokens.X_TILE + dense_rows.COLUMNS * TILE
        pointers = (
            *tokens.pointers(x, dense_rows.ROWS, self.epilogue.operands),
            *dense_rows.pointers(self.block),
        )
        return Signature("DenseLinear", pointers, tokens.NUMBERS + dense_rows.NUMBERS)

    def write(self, b: KernelBuilder) -> None:
        """Write the body."""
        operands, together = self.epilogue.operands, self.together
        every = tokens.shapes(len(operands))[:together]
        tiles = b.argument("tiles") * (GROUPS // together)
        find = tokens.find_tile(b, operands, together)
        kernel = DenseRows(every, self.epilogue, self.block)
        kernel.write(b, tiles, tokens.all_vectors(b), lambda column: column * TILE, find)
