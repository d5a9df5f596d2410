"""Expand: repetitions along axes of one element."""

from __future__ import annotations

import math

import numpy as np

from gossamer.graphs.axes import Axes, aligned, labels
from gossamer.graphs.contents import LIMIT, array_of
from gossamer.graphs.dims import UnknownSize
from gossamer.graphs.inferred import Inferred, broadcast
from gossamer.graphs.operation import (
    Array,
    Operand,
    Operation,
    Shape,
    content_of,
    data_of,
    dtype_of,
    fixed,
    shape_of,
)
from gossamer.graphs.operator import Content, Operator, Typed


def _typed(node: Operation, inferred: Inferred) -> list[Typed]:
    shape = broadcast(inferred, shape_of(node.input(0)), sizes_of(node.input(1)))
    return [(dtype_of(node.input(0)), shape)]


def sizes_of(value: Operand | None) -> Shape:
    """The elements of a tensor of sizes, as a shape."""
    sizes = content_of(value)
    if any(isinstance(size, int) and size < 0 for size in sizes):
        raise UnknownSize("a size is negative")
    return tuple(sizes)


def _content(node: Operation, inferred: Inferred) -> Content:
    shape = fixed(shape_of(node.output))
    if math.prod(shape) > LIMIT:
        raise UnknownSize("too large to hold sizes")
    return np.broadcast_to(array_of(node.input(0)), shape)


def _exact(node: Operation, inferred: Inferred) -> list[Array]:
    return [np.array(np.broadcast_to(data_of(node, 0), fixed(shape_of(node.output))))]


def _axes(node: Operation, opset: int) -> Axes:
    out = labels(shape_of(node.output))
    return Axes((aligned(shape_of(node.input(0)), out), None), (out,))


OPERATORS = {"Expand": Operator(_typed, _axes, _content, _exact)}
