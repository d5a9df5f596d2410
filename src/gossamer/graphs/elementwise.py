"""Rules that elementwise operators share."""

from __future__ import annotations

import numpy as np

from gossamer.graphs.inferred import Inferred, broadcast
from gossamer.graphs.operation import Operation, dtype_of, shape_of
from gossamer.graphs.operator import Typed

BOOL, INT64 = np.dtype(bool), np.dtype(np.int64)


def same(node: Operation, inferred: Inferred) -> list[Typed]:
    """The first input's type and shape."""
    return [(dtype_of(node.input(0)), shape_of(node.input(0)))]


def broadcasted(node: Operation, inferred: Inferred) -> list[Typed]:
    """The first operand's type, and the shape that all broadcast to."""
    inputs = [value for value in node.inputs if value is not None]
    return [(dtype_of(inputs[0]), broadcast(inferred, *map(shape_of, inputs)))]


def compared(node: Operation, inferred: Inferred) -> list[Typed]:
    """Truth values of the shape that all operands broadcast to."""
    ((_, shape),) = broadcasted(node, inferred)
    return [(BOOL, shape)]
