"""GatherElements: for each place, one along an axis."""

from __future__ import annotations

from gossamer.graphs.axes import Axes, labels, labels_of
from gossamer.graphs.dims import UnknownSize
from gossamer.graphs.inferred import Inferred
from gossamer.graphs.operation import Operation, dtype_of, shape_of
from gossamer.graphs.operator import Operator, Typed


def _typed(node: Operation, inferred: Inferred) -> list[Typed]:
    shape, indices = shape_of(node.input(0)), shape_of(node.input(1))
    if len(shape) != len(indices) or not -len(shape) <= node.attributes.get("axis", 0) < len(shape):
        raise UnknownSize("a gather of elements whose ranks or axis do not fit")
    return [(dtype_of(node.input(0)), indices)]


def _axes(node: Operation, opset: int) -> Axes:
    table, places = shape_of(node.input(0)), shape_of(node.input(1))
    axis = node.attributes.get("axis", 0) % len(table)
    out = labels(places)
    # Along the other axes a place is looked up beside itself, from the first on.
    read = [
        label if size == other and at != axis else labels([size])[0]
        for at, (size, other, label) in enumerate(zip(table, places, out, strict=True))
    ]
    opaque = labels_of(label for label, kept in zip(read, out, strict=True) if label is not kept)
    opaque |= labels_of(kept for at, kept in enumerate(out) if at != axis and read[at] is not kept)
    return Axes((tuple(read), out), (out,), opaque=opaque)


OPERATORS = {"GatherElements": Operator(_typed, _axes)}
