"""What an element of each elementwise operator's output is, for the kernels of `pointwise.py`."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, TypeAlias

from llvmlite import ir

from gossamer.runtime.codegen import math as functions
from gossamer.runtime.codegen.builder import F32, F64, I1, Builder, Term

if TYPE_CHECKING:
    from gossamer.runtime.kernels.pointwise import Expression

Compute: TypeAlias = "Callable[..., Term]"

_LIBRARY = ("tan", "asin", "acos", "atan", "sinh", "cosh", "asinh", "acosh", "atanh")


# Each rule: (builder, expression, type of the result, operands ...) -> element


def _binary(operate: Callable[[Term, Term], Term]) -> Compute:
    return lambda b, expression, kind, x, y: operate(x, y)


def _unary(function: Callable[[Builder, Term], Term]) -> Compute:
    return lambda b, expression, kind, x: function(b, x)


def _compare(sign: str) -> Compute:
    return lambda b, expression, kind, x, y: x.compare(sign, y)


def _intrinsic(name: str) -> Compute:
    return lambda b, expression, kind, x: b.intrinsic(name, x)


def _cast(b: Builder, expression: Expression, kind: Any, x: Term) -> Term:
    if kind == I1:
        return x.compare("!=", 0) if x.type != I1 else x
    if x.is_float and not isinstance(kind, (ir.FloatType, ir.DoubleType)):
        source = "f32" if x.type == F32 else "f64"
        return b.call(f"llvm.fptosi.sat.i{kind.width}.{source}", kind, x)
    return b.cast(x, kind)


def _where(b: Builder, expression: Expression, kind: Any, test: Term, x: Term, y: Term) -> Term:
    return b.select(test, x, y)


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


def _clip(b: Builder, expression: Expression, kind: Any, x: Term, *bounds: Term) -> Term:
    for name, bound in zip(expression.attribute("bounds"), bounds, strict=True):
        x = b.select(x < bound if name == "low" else x > bound, bound, x)
    return x


def _gelu(b: Builder, expression: Expression, kind: Any, x: Term) -> Term:
    exact = expression.attribute("approximate", "none") == "none"
    return functions.gelu(b, x) if exact else functions.gelu_tanh(b, x)


def _with(function: Callable[..., Term], **defaults: float) -> Compute:
    """A function of one operand and numbers, which ONNX has defaults for."""

    def compute(b: Builder, expression: Expression, kind: Any, x: Term) -> Term:
        numbers = [expression.attribute(name, number) for name, number in defaults.items()]
        return function(b, x, *numbers)

    return compute


def _selu(b: Builder, x: Term, alpha: float, gamma: float) -> Term:
    return functions.elu(b, x, alpha) * gamma


def _celu(b: Builder, x: Term, alpha: float) -> Term:
    return b.select(x < 0, (functions.exp(b, x * (1 / alpha)) - 1) * alpha, x)


def _softplus(b: Builder, expression: Expression, kind: Any, x: Term) -> Term:
    """log(1 + e^x) without its overflow."""
    tail = functions.log1p(b, functions.exp(b, -b.intrinsic("fabs", x)))
    return functions.relu(b, x) + tail


def _shrink(b: Builder, x: Term, threshold: float, bias: float) -> Term:
    zero = b.number(x.type, 0)
    return b.select(x < -threshold, x + bias, b.select(x > threshold, x - bias, zero))


def _sign(b: Builder, expression: Expression, kind: Any, x: Term) -> Term:
    one = b.number(kind, 1)
    signed = b.select(x > 0, one, b.select(x < 0, b.number(kind, -1), b.number(kind, 0)))
    return b.select(x.compare("!=", x), x, signed) if x.is_float else signed


def _library(name: str) -> Compute:
    """A function of C's library; in 64 bits, as those for 32 have no symbol everywhere."""
    return lambda b, expression, kind, x: b.cast(b.call(name, F64, b.cast(x, F64)), x.type)


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


def _is_infinite(b: Builder, expression: Expression, kind: Any, x: Term) -> Term:
    found = b.number(I1, 0)
    if expression.attribute("detect_positive", 1):
        found = found | x.compare("==", math.inf)
    if expression.attribute("detect_negative", 1):
        found = found | x.compare("==", -math.inf)
    return found


def _sum(b: Builder, expression: Expression, kind: Any, *terms: Term) -> Term:
    total = terms[0]
    for term in terms[1:]:
        total = total + term
    return total


def _thresholded(b: Builder, x: Term, alpha: float) -> Term:
    return b.select(x > alpha, x, b.number(x.type, 0))


def _mean(b: Builder, expression: Expression, kind: Any, *terms: Term) -> Term:
    return _sum(b, expression, kind, *terms) / len(terms)


def _constant(b: Builder, expression: Expression, kind: Any) -> Term:
    return b.number(kind, expression.attribute("value"))


ELEMENTWISE: dict[str, Compute] = {
    "Constant": _constant,
    "Add": _binary(lambda x, y: x + y),
    "Sub": _binary(lambda x, y: x - y),
    "Mul": _binary(lambda x, y: x * y),
    "Div": _divide,
    "Mod": _remainder,
    "Pow": _power,
    "Max": _largest,
    "Min": _smallest,
    "Sum": _sum,
    "Mean": _mean,
    "And": _binary(lambda x, y: x & y),
    "Or": _binary(lambda x, y: x | y),
    "Xor": _binary(lambda x, y: x ^ y),
    "Not": lambda b, expression, kind, x: x ^ 1,
    "BitwiseAnd": _binary(lambda x, y: x & y),
    "BitwiseOr": _binary(lambda x, y: x | y),
    "BitwiseXor": _binary(lambda x, y: x ^ y),
    "BitwiseNot": lambda b, expression, kind, x: x ^ -1,
    "Equal": _compare("=="),
    "Greater": _compare(">"),
    "GreaterOrEqual": _compare(">="),
    "Less": _compare("<"),
    "LessOrEqual": _compare("<="),
    "IsNaN": lambda b, expression, kind, x: x.compare("!=", x),
    "IsInf": _is_infinite,
    "Where": _where,
    "Cast": _cast,
    "Clip": _clip,
    "Identity": lambda b, expression, kind, x: x,
    "Neg": lambda b, expression, kind, x: -x,
    "Abs": lambda b, expression, kind, x: (
        b.intrinsic("fabs", x) if x.is_float else b.select(x < 0, -x, x)
    ),
    "Sign": _sign,
    "Sqrt": _intrinsic("sqrt"),
    "Floor": _intrinsic("floor"),
    "Ceil": _intrinsic("ceil"),
    "Round": _intrinsic("rint"),
    "Log": _intrinsic("log"),
    "Sin": _intrinsic("sin"),
    "Cos": _intrinsic("cos"),
    **{name.capitalize(): _library(name) for name in _LIBRARY},
    "Reciprocal": lambda b, expression, kind, x: 1 / x,
    "Relu": _unary(functions.relu),
    "Sigmoid": _unary(functions.sigmoid),
    "Tanh": _unary(functions.tanh),
    "Erf": _unary(functions.erf),
    "Exp": _unary(functions.exp),
    "Gelu": _gelu,
    "LeakyRelu": _with(functions.leaky_relu, alpha=0.01),
    "PRelu": lambda b, expression, kind, x, slope: b.select(x < 0, x * slope, x),
    "ThresholdedRelu": _with(_thresholded, alpha=1.0),
    "HardSigmoid": _with(functions.hard_sigmoid, alpha=0.2, beta=0.5),
    "HardSwish": _unary(functions.hard_swish),
    "Swish": _with(functions.swish, alpha=1.0),
    "Mish": _unary(functions.mish),
    "Elu": _with(functions.elu, alpha=1.0),
    "Selu": _with(_selu, alpha=1.67326319217681884765625, gamma=1.05070102214813232421875),
    "Celu": _with(_celu, alpha=1.0),
    "Softplus": _softplus,
    "Softsign": lambda b, expression, kind, x: x / (b.intrinsic("fabs", x) + 1),
    "Shrink": _with(_shrink, lambd=0.5, bias=0.0),
}

FLOAT_ONLY = {
    *("Sigmoid", "Tanh", "Erf", "Exp", "Gelu", "Pow", "Sqrt", "Floor", "Ceil", "Round", "Log"),
    *("Sin", "Cos", "Reciprocal", "Relu", "LeakyRelu", "PRelu", "ThresholdedRelu"),
    *("HardSigmoid", "HardSwish", "Swish", "Mish", "Elu", "Selu", "Celu", "Softplus", "Softsign"),
    *("Shrink", "IsNaN", "IsInf", "Mean"),
    *(name.capitalize() for name in _LIBRARY),
}
"""Operators that run natively on floats only; on integers they are rare."""
