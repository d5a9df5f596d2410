"""Expand: repetitions along axes of one element."""

from __future__ import annotations

from gossamer.runtime.codegen.builder import Term
from gossamer.runtime.expressions import first_operand, movement
from gossamer.runtime.kernels.pointwise import Expression, Index, Writer


def _element(w: Writer, expression: Expression, index: Index) -> Term:
    return w.broadcast(expression.operands[0], index)


NATIVE = {"Expand": movement(_element, first_operand, is_cheap=True)}
