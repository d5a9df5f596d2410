"""Copy images between row-major order and planes, or from planes to others."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from gossamer.errors import ModelError
from gossamer.runtime.codegen.builder import I32, I64, Builder, Term, write_kernel
from gossamer.runtime.codegen.target import Target
from gossamer.runtime.layouts import GROUP, Plain, Planes

# Of a plane, so that threads share even a few planes evenly.
_PARTS = 8


@dataclass(frozen=True)
class Rearrange:
    """The kernel. Elements that no pixel goes to get the number `fill`.

    Arguments: x, y, for each element of a plane of y which one of x it is (-1: none), elements of
    a plane of y, floats from plane to plane of x, floats from plane to plane of y, planes in all.
    """

    fill: float = 0.0

    def source(self, target: Target) -> str:
        """The LLVM module."""
        del target
        return write_kernel(self._body, 7)

    def _body(self, b: Builder, arguments: Sequence[Term], thread: Term, threads: Term) -> None:
        x, y, places = map(b.pointer, arguments[:3])
        count, x_plane, y_plane, planes = arguments[3:]
        low, high = b.share(planes * _PARTS, thread, threads)
        with b.loop(low, high) as item:
            plane = item // _PARTS
            source, output = b.at(x, plane * x_plane), b.at(y, plane * y_plane)
            with b.loop(*b.share(count, item % _PARTS, b.i64(_PARTS))) as element:
                place = b.cast(b.load(b.at(places, element, I32), I32), I64)
                value = b.load(b.at(source, b.larger(place, 0)))
                value = b.select(place < 0, b.number(value.type, self.fill), value)
                b.store(value, b.at(output, element))


def places(
    size: tuple[int, int],
    source: Plain | Planes,
    output: Plain | Planes,
    strides: tuple[int, int] = (1, 1),
) -> NDArray[np.int32]:
    """[elements of an output's plane] which element of a source's plane goes there.

    Args:
        size: height and width of the source's image.
        source: how it lies.
        output: how the output lies.
        strides: of the source's rows and columns, every how manyth goes to the output.

    Raises:
        ModelError: if a plane of the source has too many elements for places of 32 bits.
    """
    height, width = size
    if max(height * width, source.plane if isinstance(source, Planes) else 0) >= 2**31:
        raise ModelError(f"an image of {height} x {width} pixels is too large; make it smaller")
    if isinstance(output, Planes):
        rows, columns = output.pixels()
        inside = output.kept() != 0
    else:
        shape = -(-height // strides[0]), -(-width // strides[1])
        rows, columns = np.indices(shape)
        inside = np.ones(shape, bool)
    rows, columns = rows * strides[0], columns * strides[1]
    inside &= (rows >= 0) & (rows < height) & (columns >= 0) & (columns < width)
    rows, columns = rows * inside, columns * inside
    if isinstance(source, Planes):
        lane = rows // source.down * source.columns + columns // source.across
        vector = rows % source.down + source.above, columns % source.across + source.left
        found = (vector[0] * source.pitch + vector[1]) * GROUP + lane
    else:
        found = rows * width + columns
    return np.where(inside, found, -1).reshape(-1).astype(np.int32)
