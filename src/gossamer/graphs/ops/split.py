"""Split: parts of an axis."""

from __future__ import annotations

import numpy as np

from gossamer.graphs.axes import Axes, Joined, labels
from gossamer.graphs.dims import Dim, Size, UnknownSize, divide
from gossamer.graphs.inferred import Inferred
from gossamer.graphs.operation import (
    Array,
    Operation,
    content_of,
    data_of,
    dtype_of,
    fixed,
    shape_of,
)
from gossamer.graphs.operator import Operator, Typed


def _typed(node: Operation, inferred: Inferred) -> list[Typed]:
    shape = shape_of(node.source(0))
    axis = node.attributes.get("axis", 0) % len(shape)
    dtype, parts = dtype_of(node.input(0)), parts_of(node)
    total: Size = 0
    for part in parts:
        total = total + part
    if len(parts) != len(node.outputs):
        raise UnknownSize("a split whose parts do not add up")
    inferred.same(total, shape[axis])
    return [(dtype, (*shape[:axis], part, *shape[axis + 1 :])) for part in parts]


def parts_of(node: Operation) -> list[Size]:
    """The length of each output of a Split along its axis."""
    shape = shape_of(node.source(0))
    total = shape[node.attributes.get("axis", 0)]
    count = node.attributes.get("num_outputs", len(node.outputs))
    if node.input(1) is not None:
        return content_of(node.input(1))
    if "split" in node.attributes:
        return list(node.attributes["split"])
    if count != len(node.outputs):
        raise UnknownSize("a split into another number of parts than it has outputs")
    if isinstance(total, Dim):
        return [divide(total, count)] * count
    each = -(-total // count)
    return [min(each, total - each * position) for position in range(count)]


def _exact(node: Operation, inferred: Inferred) -> list[Array]:
    ends = np.cumsum(fixed(parts_of(node)))[:-1]
    return list(np.split(data_of(node, 0), ends, axis=node.attributes.get("axis", 0)))


def _axes(node: Operation, opset: int) -> Axes:
    common = labels(shape_of(node.input(0)))
    axis = node.attributes.get("axis", 0) % len(common)
    parts = labels(parts_of(node))
    before, after = common[:axis], common[axis + 1 :]
    return Axes(
        ((*before, Joined(parts), *after), *[None] * (len(node.inputs) - 1)),
        tuple((*before, part, *after) for part in parts),
    )


OPERATORS = {"Split": Operator(_typed, _axes, exact=_exact)}
