"""Elementary functions of one float or a vector of floats, written with arithmetic only.

The polynomials are Chebyshev interpolants, computed here rather than copied as digits; their
errors are below 4e-7 (absolute for erf, relative for exp), which is a few units in the last place.
In 64 bits, which models hardly use, the C library computes them.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import cache

import numpy as np
from llvmlite import ir
from numpy.polynomial import chebyshev

from gossamer.runtime.codegen.builder import F64, I32, VEC_I32, Builder, Term


@cache
def _interpolant(name: str, low: float, high: float, degree: int) -> tuple[float, ...]:
    """Coefficients, in the variable scaled to [-1, 1], lowest first."""
    function = np.vectorize(_EXACT[name])
    series = chebyshev.Chebyshev.interpolate(function, degree, domain=[low, high])
    return tuple(float(c) for c in chebyshev.cheb2poly(series.coef))


_EXACT: dict[str, Callable[[float], float]] = {
    # Both odd functions as f(z) with z = x^2, so that the function is x * f(x^2).
    "erf": lambda z: math.erf(math.sqrt(z)) / math.sqrt(z) if z > 1e-12 else 2 / math.sqrt(math.pi),
    "tanh": lambda z: math.tanh(math.sqrt(z)) / math.sqrt(z) if z > 1e-12 else 1.0,
    "exp": math.exp,
}


def _polynomial(b: Builder, name: str, x: Term, low: float, high: float, degree: int) -> Term:
    scaled = (x - (low + high) / 2) * (2 / (high - low))
    coefficients = _interpolant(name, low, high, degree)
    value = b.number(x.type, coefficients[-1])
    for coefficient in reversed(coefficients[:-1]):
        value = b.fma(value, scaled, b.number(x.type, coefficient))
    return value


def _clamp(b: Builder, x: Term, low: float, high: float) -> Term:
    """The value kept within bounds, `high` if they are crossed; NaN stays NaN, and bounds none."""
    x = b.select(x < low, b.number(x.type, low), x)
    return b.select(x > high, b.number(x.type, high), x)


def maximum(b: Builder, x: Term, y: Term) -> Term:
    """The larger of two, `x` where either is NaN."""
    return b.select(x < y, y, x)


def across(b: Builder, vector: Term, fold: Callable[[Builder, Term, Term], Term]) -> Term:
    """The lanes of a vector folded into one number, neighbours first."""
    count = vector.type.count
    lanes = [Term(b, b.ir.extract_element(vector.ir, b.number(I32, i).ir)) for i in range(count)]
    while len(lanes) > 1:
        lanes = [fold(b, one, other) for one, other in zip(lanes[::2], lanes[1::2], strict=True)]
    return lanes[0]


def exp(b: Builder, x: Term) -> Term:
    """e to the x: 0 below -86.6, infinite above 88.72."""
    if x.type == F64:
        return b.call("exp", F64, x)
    top, bottom = 88.72, -86.6
    bounded = _clamp(b, x, bottom, top)
    power = b.intrinsic("rint", bounded * (1 / math.log(2)))
    # ln 2 in two parts, the first exact in few bits, so that the remainder keeps its precision.
    high = 0.693359375
    rest = b.fma(power, b.number(x.type, -high), bounded)
    rest = b.fma(power, b.number(x.type, high - math.log(2)), rest)
    value = _polynomial(b, "exp", rest, -math.log(2) / 2, math.log(2) / 2, 6)
    integers = VEC_I32 if isinstance(x.type, ir.VectorType) else I32
    # NaN has no integer, and what LLVM knows to be one is no number at all: back through `value`.
    finite = b.select(power.compare("==", power), power, b.number(x.type, 0))
    exponent = b.cast(finite, integers)
    # Half the power of two, which near the top would itself be infinite.
    scale = b.bits((exponent + 126) << 23, x.type)
    value = b.select(x > top, b.number(x.type, math.inf), (value + value) * scale)
    return b.select(x < bottom, b.number(x.type, 0), value)


def erf(b: Builder, x: Term) -> Term:
    """The error function."""
    if x.type == F64:
        return b.call("erf", F64, x)
    # From here on it is 1 to the last place; any less would be left over where 1 is taken from it.
    limit = 3.92
    value = x * _polynomial(b, "erf", x * x, 0, limit * limit, 14)
    value = b.select(x > limit, b.number(x.type, 1), value)
    return b.select(x < -limit, b.number(x.type, -1), value)


def sigmoid(b: Builder, x: Term) -> Term:
    """1 / (1 + e^-x)."""
    return 1 / (exp(b, -x) + 1)


def tanh(b: Builder, x: Term) -> Term:
    """The hyperbolic tangent: a polynomial near zero, where the exponential loses digits."""
    if x.type == F64:
        return b.call("tanh", F64, x)
    edge = 0.6
    magnitude = b.intrinsic("fabs", x)
    small = b.select(magnitude < edge, x, b.number(x.type, edge))
    near = small * _polynomial(b, "tanh", small * small, 0, edge * edge, 6)
    far = 1 - 2 / (exp(b, magnitude * 2) + 1)
    far = b.intrinsic("copysign", far, x)
    return b.select(magnitude < edge, near, far)


def log1p(b: Builder, x: Term) -> Term:
    """log(1 + x), also where x is lost beside 1 (Goldberg 1991, theorem 4)."""
    whole = x + 1
    kept = whole - 1
    value = b.intrinsic("log", whole) * (x / kept)
    return b.select(kept.compare("==", 0), x, value)


def relu(b: Builder, x: Term) -> Term:
    """The positive part; NaN stays NaN."""
    zero = b.number(x.type, 0)
    return b.select(x < zero, zero, x)


def gelu(b: Builder, x: Term) -> Term:
    """x times the normal distribution function (Hendrycks & Gimpel 2016, equation 1)."""
    half = x * 0.5
    return b.fma(half, erf(b, x * math.sqrt(0.5)), half)


def gelu_tanh(b: Builder, x: Term) -> Term:
    """The tanh approximation of GELU (Hendrycks & Gimpel 2016, section 2)."""
    inner = (x + x * x * x * 0.044715) * math.sqrt(2 / math.pi)
    half = x * 0.5
    return b.fma(half, tanh(b, inner), half)


def hard_sigmoid(b: Builder, x: Term, alpha: float = 0.2, beta: float = 0.5) -> Term:
    """A straight line between 0 and 1."""
    return clip(b, x * alpha + beta, 0, 1)


def hard_swish(b: Builder, x: Term) -> Term:
    """x times a hard sigmoid (Howard et al. 2019, section 5.2)."""
    return x * hard_sigmoid(b, x, 1 / 6, 0.5)


def clip(b: Builder, x: Term, low: float = -math.inf, high: float = math.inf) -> Term:
    """The value kept within bounds; NaN stays NaN."""
    return _clamp(b, x, low, high)


def leaky_relu(b: Builder, x: Term, alpha: float = 0.01) -> Term:
    """The value, times `alpha` where it is negative."""
    return b.select(x < 0, x * alpha, x)


def elu(b: Builder, x: Term, alpha: float = 1.0) -> Term:
    """The value, alpha (e^x - 1) where it is negative (Clevert et al. 2016, equation 15)."""
    return b.select(x < 0, (exp(b, x) - 1) * alpha, x)


def mish(b: Builder, x: Term) -> Term:
    """x tanh(log(1 + e^x)) (Misra 2020, equation 1), written without the logarithm."""
    # tanh(log s) = (s^2 - 1) / (s^2 + 1), and beyond 20 it is 1 to the last place.
    bounded = b.select(x > 20, b.number(x.type, 20), x)
    power = exp(b, bounded)
    part = power * (power + 2)
    return x * (part / (part + 2))


def swish(b: Builder, x: Term, alpha: float = 1.0) -> Term:
    """x times the sigmoid of alpha x (Ramachandran et al. 2018, section 5)."""
    return x * sigmoid(b, x * alpha)


ACTIVATIONS: dict[str, Callable[..., Term]] = {
    "Relu": relu,
    "Gelu": gelu,
    "GeluTanh": gelu_tanh,
    "Sigmoid": sigmoid,
    "Tanh": tanh,
    "Erf": erf,
    "Exp": exp,
    "HardSigmoid": hard_sigmoid,
    "HardSwish": hard_swish,
    "Clip": clip,
    "LeakyRelu": leaky_relu,
    "Elu": elu,
    "Mish": mish,
    "Swish": swish,
}
"""Functions that kernels can apply to a vector before they store it; some take numbers as well."""
