"""OneHot: one element of many by its place."""

from __future__ import annotations

from gossamer.graphs.axes import Axes, labels
from gossamer.graphs.inferred import Inferred
from gossamer.graphs.operation import Operation, content_of, dtype_of, shape_of
from gossamer.graphs.operator import Operator, Typed


def _typed(node: Operation, inferred: Inferred) -> list[Typed]:
    shape = list(shape_of(node.source(0)))
    (depth,) = content_of(node.input(1))
    axis = node.attributes.get("axis", -1)
    shape.insert(axis % (len(shape) + 1), depth)
    return [(dtype_of(node.input(2)), tuple(shape))]


def _axes(node: Operation, opset: int) -> Axes:
    given = labels(shape_of(node.input(0)))
    axis = node.attributes.get("axis", -1) % (len(given) + 1)
    (places,) = labels(content_of(node.input(1)))
    out = (*given[:axis], places, *given[axis:])
    return Axes((given, None, None), (out,), opaque=frozenset(places))


OPERATORS = {"OneHot": Operator(_typed, _axes)}
