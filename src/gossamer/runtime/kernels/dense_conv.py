"""Dense convolution over planes, blocked for registers: first layers, and those left dense."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gossamer.runtime.codegen.builder import I32, LANES, Term
from gossamer.runtime.codegen.kernel_builder import KernelBuilder
from gossamer.runtime.kernels import dense_rows, planes
from gossamer.runtime.kernels.dense_rows import DenseRows, rows_in_block
from gossamer.runtime.kernels.epilogue import Epilogue
from gossamer.runtime.kernels.planes import Geometry
from gossamer.runtime.kernels.tile import Shape
from gossamer.runtime.signature import Input, Signature


def places(geometry: Geometry, channels: int) -> NDArray[np.int32]:
    """[channels * taps] where the input of each column lies, in vectors."""
    plane = geometry.source.plane // LANES
    found = np.arange(channels)[:, None] * plane + geometry.distances()
    return found.reshape(-1).astype(np.int32)


@dataclass(frozen=True)
class DenseConv:
    """The kernel, for the shapes of tiles."""

    shapes: tuple[Shape, ...]
    epilogue: Epilogue
    masked: bool
    """Whether some lanes of the output are no pixels, and must be zero."""
    registers: int
    """Vector registers of the target."""

    @property
    def block(self) -> int:
        """Rows whose sums stay in registers together."""
        return rows_in_block(self.registers, max(len(shape.output) for shape in self.shapes))

    def arguments(
        self, weights: NDArray[np.float32], geometry: Geometry
    ) -> dict[str, NDArray[Any] | int]:
        """What it takes of a kernel `[outputs, inputs, taps]`."""
        matrix = weights.reshape(len(weights), -1)
        return {
            "weights": dense_rows.pack(matrix, self.block),
            "places": places(geometry, weights.shape[1]),
            "columns": matrix.shape[1],
        }

    @property
    def signature(self) -> Signature:
        """What it takes, `places` of the columns' inputs among it."""
        places = Input("places", "int32", dense_rows.COLUMNS)
        pointers = *dense_rows.pointers(self.block), places
        given = self.epilogue.operands, self.masked, pointers, (dense_rows.COLUMNS,)
        return planes.signature("DenseConv", *given)

    def write(self, b: KernelBuilder) -> None:
        """Write the body."""
        offsets = b.argument("places")

        def place(column: Term) -> Term:
            return b.widen(b.load(b.at(offsets, column, I32), I32)) * LANES

        find = planes.find_tile(b, self.epilogue.operands, self.masked)
        kernel = DenseRows(self.shapes, self.epilogue, self.block)
        kernel.write(b, *planes.counts(b), place, find)
