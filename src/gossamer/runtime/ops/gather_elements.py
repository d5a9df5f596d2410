"""GatherElements: for each place, one along an axis."""

from __future__ import annotations

from gossamer.graphs.dims import UnknownSize
from gossamer.graphs.operation import shape_of
from gossamer.runtime.codegen.builder import Term
from gossamer.runtime.expressions import are_indexed, movement, values
from gossamer.runtime.graph import Node
from gossamer.runtime.kernels.pointwise import Expression, Index, Writer
from gossamer.runtime.native import Attributes, Operands


def _element(w: Writer, expression: Expression, index: Index) -> Term:
    operand, indices = expression.operands
    axis = expression.attribute("axis")
    position = w.checked(w.element(indices, index), w.extents(operand)[axis])
    return w.element(operand, (*index[:axis], position, *index[axis + 1 :]))


def _operands(node: Node) -> tuple[Operands, Attributes]:
    axis = node.attributes.get("axis", 0) % len(shape_of(node.source(0)))
    rest = [shape_of(v)[:axis] + shape_of(v)[axis + 1 :] for v in node.inputs]
    if rest[0] != rest[1]:
        raise UnknownSize("no lowering for GatherElements of a part of the other axes")
    return values(node.inputs), (("axis", axis),)


NATIVE = {"GatherElements": movement(_element, _operands, fits=are_indexed)}
