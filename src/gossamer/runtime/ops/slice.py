"""Slice: a part of an axis, or every so many elements of it."""

from __future__ import annotations

from gossamer.graphs.inferred import Inferred
from gossamer.graphs.ops.slice import slices
from gossamer.runtime.codegen.builder import Term
from gossamer.runtime.expressions import movement
from gossamer.runtime.graph import Node
from gossamer.runtime.kernels.pointwise import Expression, Index, Writer
from gossamer.runtime.native import Attributes, Operands


def _element(w: Writer, expression: Expression, index: Index) -> Term:
    source = list(index)
    operand, *starts = expression.operands
    for (axis, step), start in zip(expression.attribute("cuts"), starts, strict=True):
        source[axis] = w.element(start, ()) + source[axis] * step
    return w.element(operand, tuple(source))


def _operands(node: Node) -> tuple[Operands, Attributes]:
    cuts = slices(node, Inferred(0, []))
    named = tuple((axis, step) for axis, _, step, _ in cuts)
    return [node.source(0), *(start for _, start, _, _ in cuts)], (("cuts", named),)


NATIVE = {"Slice": movement(_element, _operands)}
