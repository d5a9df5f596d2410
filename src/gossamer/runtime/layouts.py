"""How a value lies in memory. Kernels agree on these; conversions between them are nodes."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

TILE = 64
"""Lanes of a tile: 256 bytes a channel, four vectors."""
GROUP = 16
"""Lanes that belong to one sequence: its length is rounded up to a multiple of this."""


@dataclass(frozen=True)
class Plain:
    """Row-major, as in ONNX and NumPy."""

    def size(self, shape: Sequence[int], item: int) -> int:
        """Bytes of a value of this shape whose elements take `item` bytes."""
        return math.prod(shape) * item


@dataclass(frozen=True)
class Tokens:
    """Tiles `[tile][channel][lane]` of a value `[..., tokens, channels]`.

    One nonzero weight then meets whole vectors of activations. The leading axes are sequences;
    each begins a new group of lanes, and lanes beyond its end hold finite numbers of no meaning.
    """

    @staticmethod
    def groups(shape: Sequence[int]) -> int:
        """Groups of lanes that a value of this shape fills."""
        return math.prod(shape[:-2]) * -(-shape[-2] // GROUP)

    def tiles(self, shape: Sequence[int]) -> int:
        """Tiles, the last one perhaps in part."""
        return -(-self.groups(shape) * GROUP // TILE)

    def size(self, shape: Sequence[int], item: int) -> int:
        """Bytes of a value of this shape whose elements take `item` bytes."""
        return self.tiles(shape) * TILE * shape[-1] * item


@dataclass(frozen=True)
class Padded:
    """Row-major with each row filled up to a whole group of lanes: an attention mask by key."""

    def size(self, shape: Sequence[int], item: int) -> int:
        """Bytes of a value of this shape whose elements take `item` bytes."""
        return math.prod(shape[:-1]) * -(-shape[-1] // GROUP) * GROUP * item


@dataclass(frozen=True)
class Planes:
    """Images `[batch, channel, plane]`: rows follow each other with zeros between them.

    The zeros after a row are also those before the next, so that each tap of a convolution is a
    constant distance, and nothing is copied. Every plane begins with zeros and ends with zeros,
    and its first element is aligned to a vector.
    """

    height: int
    width: int
    row: int
    """Floats from row to row: the width, and the zeros after it."""
    above: int
    """Rows of zeros before the first and after the last row."""
    left: int
    """Zeros that are needed before a row, at most what lies between rows."""

    @property
    def front(self) -> int:
        """Floats before the first element."""
        return _up(self.above * self.row + self.left, GROUP)

    @property
    def vectors(self) -> int:
        """Vectors from the first element to the last, zeros between rows included."""
        return -(-self.height * self.row // GROUP)

    @property
    def plane(self) -> int:
        """Floats from plane to plane; never a multiple of 1 KiB, which would crowd the cache."""
        # One more row at the end, for the lanes of the last vector that lie beyond the last pixel.
        after = _up((self.above + 1) * self.row, GROUP) + GROUP
        size = self.front + self.vectors * GROUP + after
        return size + GROUP if size % 256 == 0 else size

    def kept(self) -> NDArray[np.int32]:
        """[vectors * GROUP] all bits set where a lane holds an element, none where it is a zero."""
        place = np.arange(self.vectors * GROUP)
        inside = (place % self.row < self.width) & (place // self.row < self.height)
        return np.where(inside, np.int32(-1), np.int32(0))

    def size(self, shape: Sequence[int], item: int) -> int:
        """Bytes of a value `[batch, channels, height, width]`."""
        return shape[0] * shape[1] * self.plane * item


def _up(number: int, to: int) -> int:
    return -(-number // to) * to


PLAIN = Plain()
PADDED = Padded()
TOKENS = Tokens()
