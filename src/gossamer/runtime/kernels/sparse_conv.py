"""Sparse convolution over planes: each nonzero weight is a tap at a constant distance.

A kernel's elements and its input channels are columns of one matrix, so the loop is that of a
sparse linear layer; vectors are neighbouring pixels. Depthwise layers run here too: each of their
rows has the taps of one channel.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from gossamer.errors import ModelError
from gossamer.runtime.codegen.builder import LANES
from gossamer.runtime.codegen.kernel_builder import KernelBuilder
from gossamer.runtime.kernels import planes, sparse_lists
from gossamer.runtime.kernels.epilogue import Epilogue
from gossamer.runtime.kernels.planes import Geometry
from gossamer.runtime.kernels.sparse_lists import ListKernel, SparseLists, make_lists
from gossamer.runtime.kernels.tile import Shape
from gossamer.runtime.signature import Signature


def pack(
    weight: NDArray[np.float32],
    group: int,
    geometry: Geometry,
    block: int,
    chunks: int,
    together: int = 1,
) -> SparseLists:
    """Arrange a kernel `[outputs, inputs / group, taps]` for the loop.

    Args:
        weight: the kernel; zeros are left out.
        group: how many groups the channels form; if several, there is one block.
        geometry: how the planes lie.
        block: input channels in a block.
        chunks: parts of about equal work into which the outputs are divided.
        together: outputs that are visited together.
    """
    rows, each, taps = weight.shape
    plane = geometry.source.plane // LANES
    if group > 1:
        return _pack_groups(weight, group, geometry, chunks)
    places = np.arange(each)[:, None] % block * plane + geometry.distances()
    starts = range(0, each, block)
    blocks = [slice(start * taps, (start + block) * taps) for start in starts]
    matrix = weight.reshape(rows, each * taps)
    kind = np.uint32 if is_wide(block, geometry) else np.uint16
    return make_lists(matrix, places.reshape(-1).astype(kind), blocks, chunks, together)


def is_wide(channels: int, geometry: Geometry) -> bool:
    """Whether offsets within so many input channels need 32 bits.

    Raises:
        ModelError: if they need more.
    """
    largest = channels * geometry.source.plane // LANES
    if largest >= 2**31:
        raise ModelError("a convolution's input is too large for one image; make the image smaller")
    return largest >= 2**16


def _pack_groups(
    weight: NDArray[np.float32], group: int, geometry: Geometry, chunks: int
) -> SparseLists:
    """One list a row, with offsets of its own group's channels."""
    rows, each, taps = weight.shape
    matrix = weight.reshape(rows, each * taps)
    lists = make_lists(matrix, np.arange(each * taps), [slice(0, each * taps)], chunks)
    plane = geometry.source.plane // LANES
    inside = np.arange(each)[:, None] * plane + geometry.distances()
    first = lists.rows // (rows // group) * each * plane
    places = np.repeat(first, np.diff(lists.ends)) + inside.reshape(-1)[lists.offsets]
    kind = np.uint32 if is_wide(each * group, geometry) else np.uint16
    return SparseLists(lists.values, places.astype(kind), lists.rows, lists.ends, lists.segments)


@dataclass(frozen=True)
class SparseConv:
    """The kernel, for the shapes of tiles."""

    shapes: tuple[Shape, ...]
    epilogue: Epilogue
    wide: bool
    """Whether offsets have 32 bits."""
    masked: bool
    """Whether some lanes of the output are no pixels, and must be zero."""
    together: int = 1

    @property
    def signature(self) -> Signature:
        """What it takes."""
        lists = sparse_lists.pointers(planes.ROWS, self.wide, self.together)
        counted = lists, sparse_lists.NUMBERS, sparse_lists.LENGTHS
        return planes.signature("SparseConv", self.epilogue.operands, self.masked, *counted)

    def write(self, b: KernelBuilder) -> None:
        """Write the body."""
        find = planes.find_tile(b, self.epilogue.operands, self.masked)
        kernel = ListKernel(self.shapes, self.epilogue, self.wide, LANES, self.together)
        kernel.write(b, *planes.counts(b), find)
