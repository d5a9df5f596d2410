"""GatherND: parts of a table at places of several axes."""

from __future__ import annotations

from gossamer.graphs.axes import Axes, labels, labels_of
from gossamer.graphs.dims import UnknownSize
from gossamer.graphs.inferred import Inferred
from gossamer.graphs.operation import Operation, dtype_of, fixed, shape_of
from gossamer.graphs.operator import Operator, Typed


def _typed(node: Operation, inferred: Inferred) -> list[Typed]:
    shape, indices = shape_of(node.input(0)), shape_of(node.input(1))
    depth = indices[-1]
    batch = node.attributes.get("batch_dims", 0)
    if not isinstance(depth, int) or not (0 <= batch < len(indices) and depth >= 1):
        raise UnknownSize("how deep a gather goes depends on the input")
    if batch + depth > len(shape):
        raise UnknownSize("how deep a gather goes depends on the input")
    return [(dtype_of(node.input(0)), (*indices[:-1], *shape[batch + depth :]))]


def _axes(node: Operation, opset: int) -> Axes:
    table, places = labels(shape_of(node.input(0))), labels(shape_of(node.input(1)))
    batch = node.attributes.get("batch_dims", 0)
    (depth,) = fixed(shape_of(node.input(1))[-1:])
    *which, parts = places
    read = (*which[:batch], *table[batch:])
    return Axes(
        (read, places),
        ((*which, *table[batch + depth :]),),
        opaque=labels_of((*table[batch : batch + depth], parts)),
    )


OPERATORS = {"GatherND": Operator(_typed, _axes)}
