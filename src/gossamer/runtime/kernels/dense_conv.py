"""Dense convolution over planes, blocked for registers: first layers, and those left dense."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from gossamer.runtime.codegen.builder import I32, LANES, Builder, Term, write_kernel
from gossamer.runtime.codegen.target import Target
from gossamer.runtime.kernels.dense_rows import DenseRows, rows_in_block
from gossamer.runtime.kernels.epilogue import Epilogue
from gossamer.runtime.kernels.planes import Geometry, find_tile
from gossamer.runtime.kernels.tile import Shape


def places(geometry: Geometry, channels: int) -> NDArray[np.int32]:
    """[channels * taps] where the input of each column lies, in vectors."""
    plane = geometry.source.plane // LANES
    found = np.arange(channels)[:, None] * plane + geometry.distances()
    return found.reshape(-1).astype(np.int32)


@dataclass(frozen=True)
class DenseConv:
    """The kernel, for the shapes of tiles.

    Arguments: x, y, bias, weights, places of the columns' inputs, table of tiles, tiles and vectors
    in an image, images, floats in an image of x, floats in a plane of y, rows, columns, kept lanes
    of the output's plane, and for each operand of the epilogue a pointer and the floats in a plane.
    """

    shapes: tuple[Shape, ...]
    epilogue: Epilogue
    masked: bool
    """Whether some lanes of the output are no pixels, and must be zero."""

    def block(self, target: Target) -> int:
        """Rows whose sums stay in registers together."""
        return rows_in_block(target, max(len(shape.output) for shape in self.shapes))

    def source(self, target: Target) -> str:
        """The LLVM module."""
        block = self.block(target)

        def body(b: Builder, arguments: Sequence[Term], thread: Term, threads: Term) -> None:
            self._body(b, arguments, thread, threads, block)

        return write_kernel(body, 14 + 2 * self.epilogue.operands)

    def _body(
        self, b: Builder, arguments: Sequence[Term], thread: Term, threads: Term, block: int
    ) -> None:
        x, y, bias, weights, offsets, table = map(b.pointer, arguments[:6])
        tiles, vectors, images, x_image, y_plane, rows, columns = arguments[6:13]
        kept = b.pointer(arguments[13]) if self.masked else None
        operands = [
            (b.pointer(base), plane)
            for base, plane in zip(arguments[14::2], arguments[15::2], strict=True)
        ]

        def place(column: Term) -> Term:
            return b.widen(b.load(b.at(offsets, column, I32), I32)) * LANES

        find = find_tile(b, x, y, operands, table, tiles, vectors, rows, x_image, y_plane, kept)
        kernel = DenseRows(self.shapes, self.epilogue, block)
        counts = (images * tiles, images * vectors, rows, columns)
        kernel.write(b, weights, bias, *counts, place, thread, threads, find)
