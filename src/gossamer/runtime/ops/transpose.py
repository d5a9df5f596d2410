"""Transpose."""

from __future__ import annotations

from gossamer.graphs.operation import shape_of
from gossamer.graphs.ops.transpose import permutation
from gossamer.runtime.codegen.builder import Term
from gossamer.runtime.expressions import movement
from gossamer.runtime.graph import Node
from gossamer.runtime.kernels.pointwise import Expression, Index, Writer
from gossamer.runtime.native import Attributes, Operands


def _element(w: Writer, expression: Expression, index: Index) -> Term:
    (operand,) = expression.operands
    source = list(index)
    for position, axis in enumerate(expression.attribute("perm")):
        source[axis] = index[position]
    return w.element(operand, tuple(source))


def _operands(node: Node) -> tuple[Operands, Attributes]:
    order = permutation(node, len(shape_of(node.source(0))))
    return [node.source(0)], (("perm", tuple(order)),)


NATIVE = {"Transpose": movement(_element, _operands, is_cheap=True)}
