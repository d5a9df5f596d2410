"""Gather: rows of a table, or any places along an axis."""

from __future__ import annotations

from gossamer.graphs.operation import shape_of
from gossamer.runtime.codegen.builder import I64, Term
from gossamer.runtime.expressions import are_indexed, movement, values
from gossamer.runtime.graph import Node
from gossamer.runtime.kernels.pointwise import Expression, Index, Writer
from gossamer.runtime.native import Attributes, Operands


def _element(w: Writer, expression: Expression, index: Index) -> Term:
    operand, indices = expression.operands
    axis, depth = expression.attribute("axis"), len(indices.shape)
    position = w.b.cast(w.element(indices, index[axis : axis + depth]), I64)
    if not expression.attribute("proved"):
        position = w.checked(position, w.extents(operand)[axis])
    return w.element(operand, (*index[:axis], position, *index[axis + depth :]))


def _operands(node: Node) -> tuple[Operands, Attributes]:
    shape = shape_of(node.source(0))
    axis = node.attributes.get("axis", 0) % len(shape)
    size, indices = shape[axis], node.source(1).data
    # Indices that are constants need no look at each run.
    proved = isinstance(size, int) and indices is not None and indices.size > 0
    if proved and indices is not None:
        proved = bool(indices.min() >= 0 and indices.max() < size)
    return values(node.inputs), (("axis", axis), ("proved", proved))


NATIVE = {"Gather": movement(_element, _operands, fits=are_indexed)}
