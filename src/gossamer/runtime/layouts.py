"""How a value lies in memory. Kernels agree on these; conversions between them are nodes."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from gossamer.graphs.dims import Size, ceiling, number, product

TILE = 64
"""Lanes of a tile: 256 bytes a channel, four vectors."""
GROUP = 16
"""Lanes that belong to one sequence: its length is rounded up to a multiple of this."""


class Layout(ABC):
    """Where the elements of a value of some shape lie."""

    @abstractmethod
    def elements(self, shape: Sequence[Size]) -> Size:
        """How many a value of this shape has room for."""

    def size(self, shape: Sequence[int], item: int) -> int:
        """Bytes of a value of this shape whose elements take `item` bytes."""
        return number(self.elements(shape), {}) * item


@dataclass(frozen=True)
class Plain(Layout):
    """Row-major, as in ONNX and NumPy."""

    def elements(self, shape: Sequence[Size]) -> Size:
        """How many a value of this shape has room for."""
        return product(shape)


@dataclass(frozen=True)
class Tokens(Layout):
    """Tiles `[tile][channel][lane]` of a value `[..., tokens, channels]`.

    One nonzero weight then meets whole vectors of activations. The leading axes are sequences;
    each begins a new group of lanes, and lanes beyond its end repeat its last token.
    """

    @staticmethod
    def groups(shape: Sequence[Size]) -> Size:
        """Groups of lanes that a value of this shape fills."""
        return product(shape[:-2]) * ceiling(shape[-2], GROUP)

    def tiles(self, shape: Sequence[Size]) -> Size:
        """Tiles, the last one perhaps in part."""
        return ceiling(self.groups(shape), TILE // GROUP)

    def elements(self, shape: Sequence[Size]) -> Size:
        """How many a value of this shape has room for."""
        return self.tiles(shape) * TILE * shape[-1]


@dataclass(frozen=True)
class Padded(Layout):
    """Row-major with each row filled up to a whole group of lanes: an attention mask by key."""

    def elements(self, shape: Sequence[Size]) -> Size:
        """How many a value of this shape has room for."""
        return product(shape[:-1]) * ceiling(shape[-1], GROUP) * GROUP


@dataclass(frozen=True)
class Planes(Layout):
    """Images `[batch, channel, plane]` cut into 16 parts, one a lane.

    A vector holds the pixels at one place within each part: vector (t, s) has in lane (j, i) the
    pixel `(j * down + t, i * across + s)`, or a zero outside of the image. A neighbouring pixel is
    then the same lane of another vector, so that each tap of a convolution is an aligned load at a
    constant distance, also with a stride. Vectors around the part proper repeat what the
    neighbouring parts hold there, as far as some kernel reaches.
    """

    height: int
    width: int
    rows: int
    """Parts from top to bottom."""
    columns: int
    """Parts from left to right; `rows * columns` is 16."""
    down: int
    """Vectors of a part from top to bottom."""
    across: int
    """Vectors of a part from left to right."""
    above: int = 0
    """Rows of vectors before the part proper; likewise below, left and right of it."""
    below: int = 0
    left: int = 0
    right: int = 0

    @property
    def pitch(self) -> int:
        """Vectors from one row of vectors to the next."""
        return self.left + self.across + self.right

    @property
    def vectors(self) -> int:
        """Vectors of a plane, those around the part proper included."""
        return (self.above + self.down + self.below) * self.pitch

    @property
    def plane(self) -> int:
        """Floats from plane to plane; not a multiple of 1 KiB, which would crowd the cache."""
        return (self.vectors + (self.vectors % 16 == 0)) * GROUP

    @property
    def exact(self) -> bool:
        """Whether every lane of the part proper holds a pixel."""
        return self.height == self.rows * self.down and self.width == self.columns * self.across

    def place(self, row: int, column: int) -> int:
        """Floats from the plane's beginning to a vector, counted from the part proper."""
        return ((row + self.above) * self.pitch + column + self.left) * GROUP

    def bare(self) -> Planes:
        """The same parts with nothing around them."""
        return replace(self, above=0, below=0, left=0, right=0)

    def pixels(self) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
        """[vectors, 16] the row, and the column, that each lane stands for, also outside."""
        lane = np.arange(GROUP)
        row = np.arange(-self.above, self.down + self.below)[:, None, None]
        column = np.arange(-self.left, self.across + self.right)[None, :, None]
        rows = (lane // self.columns * self.down + row) + 0 * column
        columns = (lane % self.columns * self.across + column) + 0 * row
        return rows.reshape(-1, GROUP), columns.reshape(-1, GROUP)

    def kept(self) -> NDArray[np.int32]:
        """[vectors, 16] all bits set where a lane holds a pixel, none where it is outside."""
        rows, columns = self.pixels()
        inside = (rows >= 0) & (rows < self.height) & (columns >= 0) & (columns < self.width)
        return np.where(inside, np.int32(-1), np.int32(0))

    def elements(self, shape: Sequence[Size]) -> Size:
        """How many a value `[batch, channels, height, width]` has room for."""
        return shape[0] * shape[1] * self.plane


def cut(height: int, width: int) -> Planes:
    """The parts that leave the fewest lanes empty for images of up to this size."""

    def cost(parts: Planes) -> tuple[int, int, int]:
        around = (parts.down + 2) * (parts.across + 2)
        return parts.down * parts.across, around, -parts.across

    choices = []
    for rows in (1, 2, 4, 8, 16):
        columns = GROUP // rows
        choices.append(
            Planes(height, width, rows, columns, -(-height // rows), -(-width // columns))
        )
    return min(choices, key=cost)


PLAIN = Plain()
PADDED = Padded()
TOKENS = Tokens()
