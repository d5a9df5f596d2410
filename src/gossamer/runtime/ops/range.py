"""Range: numbers at equal distances."""

from __future__ import annotations

import numpy as np

from gossamer.graphs.dims import UnknownSize
from gossamer.graphs.operation import content_of
from gossamer.runtime.codegen.builder import Term
from gossamer.runtime.expressions import movement
from gossamer.runtime.graph import Node
from gossamer.runtime.kernels.pointwise import Expression, Index, Writer
from gossamer.runtime.native import Attributes, Operands


def _element(w: Writer, expression: Expression, index: Index) -> Term:
    start, step = (w.element(operand, ()) for operand in expression.operands)
    return start + w.b.cast(index[0], start.type) * step


def _operands(node: Node) -> tuple[Operands, Attributes]:
    if node.output.dtype != np.int64:
        raise UnknownSize(f"no lowering for Range of {node.output.dtype}")
    (start,), (step,) = (content_of(node.input(i)) for i in (0, 2))
    return [start, step], ()


NATIVE = {"Range": movement(_element, _operands, is_cheap=True)}
