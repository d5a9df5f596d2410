"""Tile: all of it again and again."""

from __future__ import annotations

from gossamer.runtime.codegen.builder import Term
from gossamer.runtime.expressions import first_operand, movement
from gossamer.runtime.kernels.pointwise import Expression, Index, Writer


def _element(w: Writer, expression: Expression, index: Index) -> Term:
    (operand,) = expression.operands
    sizes = w.extents(operand)
    return w.element(operand, tuple(t % size for t, size in zip(index, sizes, strict=True)))


NATIVE = {"Tile": movement(_element, first_operand)}
