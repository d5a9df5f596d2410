"""Arithmetic, element by element."""

from __future__ import annotations

import math
from typing import Any

from gossamer.runtime.codegen.builder import Builder, Term
from gossamer.runtime.expressions import binary, elementwise, intrinsic, unary, values
from gossamer.runtime.graph import Node, scalar
from gossamer.runtime.kernels.pointwise import Expression
from gossamer.runtime.native import Attributes, Operands


def _largest(b: Builder, expression: Expression, kind: Any, *terms: Term) -> Term:
    value = terms[0]
    for term in terms[1:]:
        value = _ordered(b, value, term, value > term)
    return value


def _smallest(b: Builder, expression: Expression, kind: Any, *terms: Term) -> Term:
    value = terms[0]
    for term in terms[1:]:
        value = _ordered(b, value, term, value < term)
    return value


def _ordered(b: Builder, x: Term, y: Term, first: Term) -> Term:
    """`x` where it comes first, else `y`; NaN where either is NaN."""
    chosen = b.select(first, x, y)
    return b.select(x.compare("!=", x), x, chosen) if x.is_float else chosen


def _power(b: Builder, expression: Expression, kind: Any, x: Term, y: Term) -> Term:
    exponent = expression.attribute("exponent")
    if exponent == 2:
        return x * x
    if exponent == 3:
        return x * x * x
    if exponent == 0.5:
        # The root of -0 is -0, and of minus infinity none; their powers are 0 and infinity.
        infinite = x.compare("==", -math.inf)
        return b.select(infinite, b.number(kind, math.inf), b.intrinsic("sqrt", x + 0.0))
    return b.intrinsic("pow", x, b.cast(y, kind))


def _power_operands(node: Node) -> tuple[Operands, Attributes]:
    exponent = scalar(node.input(1))
    return values(node.inputs), (() if exponent is None else (("exponent", exponent),))


def _sign(b: Builder, expression: Expression, kind: Any, x: Term) -> Term:
    one = b.number(kind, 1)
    signed = b.select(x > 0, one, b.select(x < 0, b.number(kind, -1), b.number(kind, 0)))
    return b.select(x.compare("!=", x), x, signed) if x.is_float else signed


def _divide(b: Builder, expression: Expression, kind: Any, x: Term, y: Term) -> Term:
    return x / y if x.is_float else _integer_division(b, x, y)[0]


def _integer_division(b: Builder, x: Term, y: Term) -> tuple[Term, Term]:
    """Quotient towards zero, and remainder; 0 for what processors would trap on."""
    # The least integer divided by -1 overflows, which traps like a division by zero.
    unsafe = (y.compare("==", 0)) | (y.compare("==", -1))
    divisor = b.select(unsafe, b.number(y.type, 1), y)
    zero = b.number(x.type, 0)
    whole = b.select(unsafe, b.select(y.compare("==", 0), zero, -x), x / divisor)
    return whole, b.select(unsafe, zero, x - (x / divisor) * divisor)


def _remainder(b: Builder, expression: Expression, kind: Any, x: Term, y: Term) -> Term:
    """With the dividend's sign if `fmod`, else with the divisor's."""
    rest = Term(b, b.ir.frem(x.ir, y.ir)) if x.is_float else _integer_division(b, x, y)[1]
    if expression.attribute("fmod", 0):
        return rest
    other_sign = ((rest < 0) ^ (y < 0)) & rest.compare("!=", 0)
    return b.select(other_sign, rest + y, rest)


def _sum(b: Builder, expression: Expression, kind: Any, *terms: Term) -> Term:
    total = terms[0]
    for term in terms[1:]:
        total = total + term
    return total


def _mean(b: Builder, expression: Expression, kind: Any, *terms: Term) -> Term:
    return _sum(b, expression, kind, *terms) / len(terms)


def _absolute(b: Builder, expression: Expression, kind: Any, x: Term) -> Term:
    return b.intrinsic("fabs", x) if x.is_float else b.select(x < 0, -x, x)


NATIVE = {
    "Add": elementwise(binary(lambda x, y: x + y)),
    "Sub": elementwise(binary(lambda x, y: x - y)),
    "Mul": elementwise(binary(lambda x, y: x * y)),
    "Div": elementwise(_divide),
    "Mod": elementwise(_remainder),
    "Pow": elementwise(_power, floats=True, fits=lambda node: True, operands=_power_operands),
    "Max": elementwise(_largest),
    "Min": elementwise(_smallest),
    "Sum": elementwise(_sum),
    "Mean": elementwise(_mean, floats=True),
    "Neg": elementwise(unary(lambda b, x: -x)),
    "Abs": elementwise(_absolute),
    "Sign": elementwise(_sign),
    "Reciprocal": elementwise(unary(lambda b, x: 1 / x), floats=True),
    "Sqrt": elementwise(intrinsic("sqrt"), floats=True),
    "Floor": elementwise(intrinsic("floor"), floats=True),
    "Ceil": elementwise(intrinsic("ceil"), floats=True),
    "Round": elementwise(intrinsic("rint"), floats=True),
}
