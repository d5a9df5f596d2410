"""Trilu: what lies on one side of a diagonal."""

from __future__ import annotations

from gossamer.graphs.dims import UnknownSize
from gossamer.graphs.operation import shape_of
from gossamer.runtime.codegen.builder import I64, Term
from gossamer.runtime.expressions import movement
from gossamer.runtime.graph import Node
from gossamer.runtime.kernels.pointwise import Expression, Index, Writer
from gossamer.runtime.native import Attributes, Operands


def _element(w: Writer, expression: Expression, index: Index) -> Term:
    """What lies on one side of a diagonal, that included; 0 on the other."""
    b = w.b
    operand, diagonal = expression.operands
    distance = index[-1] - index[-2] - b.cast(w.only(diagonal), I64)
    kept = distance >= 0 if expression.attribute("upper", 1) else distance <= 0
    value = w.element(operand, index)
    return b.select(kept, value, b.number(value.type, 0))


def _operands(node: Node) -> tuple[Operands, Attributes]:
    given = node.input(1)
    diagonal = given if given is not None else 0
    if given is not None and any(size != 1 for size in shape_of(given)):
        raise UnknownSize("a triangle with several diagonals")
    return [node.source(0), diagonal], (("upper", node.attributes.get("upper", 1)),)


NATIVE = {"Trilu": movement(_element, _operands)}
