"""Clip: between two bounds."""

from __future__ import annotations

from typing import Any

import numpy as np

from gossamer.graphs.operation import dtype_of
from gossamer.runtime.codegen.builder import Builder, Term
from gossamer.runtime.expressions import elementwise
from gossamer.runtime.graph import Node, constant
from gossamer.runtime.kernels.pointwise import Expression
from gossamer.runtime.native import Attributes, Operands


def _clipped(b: Builder, expression: Expression, kind: Any, x: Term, *bounds: Term) -> Term:
    for name, bound in zip(expression.attribute("bounds"), bounds, strict=True):
        x = b.select(x < bound if name == "low" else x > bound, bound, x)
    return x


def _operands(node: Node) -> tuple[Operands, Attributes]:
    x = node.source(0)
    operands: Operands = [x]
    names = []
    for position, (name, attribute) in enumerate((("low", "min"), ("high", "max")), start=1):
        value, given = node.input(position), node.attributes.get(attribute)
        if value is None and given is None and dtype_of(x).kind == "f":
            # Without a bound it is the last finite number, which infinities become.
            given = getattr(np.finfo(dtype_of(x)), attribute)
        if value is None and given is not None:
            value = constant("", np.asarray(given, x.dtype))
        if value is not None:
            names.append(name)
            operands.append(value)
    return operands, (("bounds", tuple(names)),)


NATIVE = {"Clip": elementwise(_clipped, operands=_operands)}
