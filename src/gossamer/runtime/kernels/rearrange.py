"""Copy images between row-major order and planes, or from planes to others."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from gossamer.errors import ModelError
from gossamer.runtime.codegen.builder import I32, I64
from gossamer.runtime.codegen.kernel_builder import KernelBuilder
from gossamer.runtime.layouts import GROUP, Layout, Plain, Planes
from gossamer.runtime.signature import Input, Output, Signature, symbols

# Of a plane, so that threads share even a few planes evenly.
_PARTS = 8


@dataclass(frozen=True)
class Rearrange:
    """The kernel. Elements that no pixel goes to get the number `fill`."""

    fill: float = 0.0

    @property
    def signature(self) -> Signature:
        """What it takes: `places`, for each of the `count` elements of a plane of y which one of x
        it is (-1: none), and the floats from plane to plane of x and y, of which there are
        `planes` in all."""
        count, x_plane, y_plane, planes = numbers = symbols("count", "x_plane", "y_plane", "planes")
        pointers = (
            Input("x", "float32", planes * x_plane, Layout),
            Output("y", "float32", planes * y_plane, Layout),
            Input("places", "int32", count),
        )
        return Signature("Rearrange", pointers, numbers)

    def write(self, b: KernelBuilder) -> None:
        """Write the body."""
        x, y, places = b.arguments("x", "y", "places")
        count, x_plane, y_plane, planes = b.arguments("count", "x_plane", "y_plane", "planes")
        low, high = b.own_share(planes * _PARTS)
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
