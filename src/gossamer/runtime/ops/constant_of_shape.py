"""ConstantOfShape: one number throughout."""

from __future__ import annotations

import numpy as np

from gossamer.runtime.codegen.builder import Term
from gossamer.runtime.expressions import movement
from gossamer.runtime.graph import Node, constant
from gossamer.runtime.kernels.pointwise import Expression, Index, Writer
from gossamer.runtime.native import Attributes, Operands


def _element(w: Writer, expression: Expression, index: Index) -> Term:
    return w.broadcast(expression.operands[0], index)


def _operands(node: Node) -> tuple[Operands, Attributes]:
    given = node.attributes.get("value", np.zeros(1, np.float32))
    return [constant("", given.reshape(()))], ()


NATIVE = {"ConstantOfShape": movement(_element, _operands, is_cheap=True)}
