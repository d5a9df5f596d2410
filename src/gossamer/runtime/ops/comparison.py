"""Comparisons and tests, element by element."""

from __future__ import annotations

import math
from typing import Any

from gossamer.graphs.dims import UnknownSize
from gossamer.runtime.codegen.builder import I1, Builder, Term
from gossamer.runtime.expressions import Compute, are_of_one_type, elementwise, unary, values
from gossamer.runtime.graph import Node
from gossamer.runtime.kernels.pointwise import Expression
from gossamer.runtime.native import Attributes, Operands


def _compare(sign: str) -> Compute:
    return lambda b, expression, kind, x, y: x.compare(sign, y)


def _is_infinite(b: Builder, expression: Expression, kind: Any, x: Term) -> Term:
    found = b.number(I1, 0)
    if expression.attribute("detect_positive", 1):
        found = found | x.compare("==", math.inf)
    if expression.attribute("detect_negative", 1):
        found = found | x.compare("==", -math.inf)
    return found


def _equal(node: Node) -> tuple[Operands, Attributes]:
    if str(node.source(0).dtype) == "bool":
        raise UnknownSize("no lowering for Equal of bool")
    return values(node.inputs), ()


NATIVE = {
    "Equal": elementwise(_compare("=="), fits=are_of_one_type, operands=_equal),
    "Greater": elementwise(_compare(">")),
    "GreaterOrEqual": elementwise(_compare(">=")),
    "Less": elementwise(_compare("<")),
    "LessOrEqual": elementwise(_compare("<=")),
    "IsNaN": elementwise(unary(lambda b, x: x.compare("!=", x)), floats=True),
    "IsInf": elementwise(_is_infinite, floats=True),
}
