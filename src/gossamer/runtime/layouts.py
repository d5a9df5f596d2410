"""How a value lies in memory. Kernels agree on these; conversions between them are nodes."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

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


PLAIN = Plain()
PADDED = Padded()
TOKENS = Tokens()
