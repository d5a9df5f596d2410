"""Concat: one after the other along an axis."""

from __future__ import annotations

from gossamer.graphs.operation import shape_of
from gossamer.runtime.codegen.builder import Term
from gossamer.runtime.expressions import are_of_one_type, movement, values
from gossamer.runtime.graph import Node
from gossamer.runtime.kernels.pointwise import Expression, Index, Writer
from gossamer.runtime.native import Attributes, Operands


def _element(w: Writer, expression: Expression, index: Index) -> Term:
    """The first operand whose part the index lies in; each is read at an index of its own."""
    b, axis = w.b, expression.attribute("axis")
    begin = b.i64(0)
    result: Term | None = None
    for operand in expression.operands:
        size = w.extents(operand)[axis]
        inside = b.smaller(b.larger(index[axis] - begin, 0), size - 1)
        value = w.element(operand, (*index[:axis], inside, *index[axis + 1 :]))
        result = value if result is None else b.select(index[axis] >= begin, value, result)
        begin = begin + size
    assert result is not None
    return result


def _operands(node: Node) -> tuple[Operands, Attributes]:
    rank = len(shape_of(node.source(0)))
    return values(node.inputs), (("axis", node.attributes["axis"] % rank),)


NATIVE = {"Concat": movement(_element, _operands, fits=are_of_one_type, is_cheap=True)}
