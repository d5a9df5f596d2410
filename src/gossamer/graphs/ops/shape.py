"""Shape: the sizes of a tensor."""

from __future__ import annotations

from gossamer.graphs.axes import made
from gossamer.graphs.contents import objects
from gossamer.graphs.elementwise import INT64
from gossamer.graphs.inferred import Inferred
from gossamer.graphs.operation import Operation, shape_of
from gossamer.graphs.operator import Content, Operator, Typed


def _typed(node: Operation, inferred: Inferred) -> list[Typed]:
    shape = shape_of(node.input(0))
    return [(INT64, (len(shape[_bounds(node)]),))]


def _bounds(node: Operation) -> slice:
    """The axes that a Shape tells of."""
    return slice(node.attributes.get("start", 0), node.attributes.get("end"))


def _content(node: Operation, inferred: Inferred) -> Content:
    return objects(shape_of(node.input(0))[_bounds(node)])


OPERATORS = {"Shape": Operator(_typed, made, _content)}
