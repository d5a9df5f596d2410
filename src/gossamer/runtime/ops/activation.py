"""Activations, element by element."""

from __future__ import annotations

from typing import Any

from gossamer.runtime.codegen import math as functions
from gossamer.runtime.codegen.builder import Builder, Term
from gossamer.runtime.expressions import Compute, elementwise, numbered, unary
from gossamer.runtime.kernels.pointwise import Expression
from gossamer.runtime.native import Native


def _gelu(b: Builder, expression: Expression, kind: Any, x: Term) -> Term:
    exact = expression.attribute("approximate", "none") == "none"
    return functions.gelu(b, x) if exact else functions.gelu_tanh(b, x)


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


def _thresholded(b: Builder, x: Term, alpha: float) -> Term:
    return b.select(x > alpha, x, b.number(x.type, 0))


def _softsign(b: Builder, expression: Expression, kind: Any, x: Term) -> Term:
    return x / (b.intrinsic("fabs", x) + 1)


def _sloped(b: Builder, expression: Expression, kind: Any, x: Term, slope: Term) -> Term:
    return b.select(x < 0, x * slope, x)


def _floats(compute: Compute) -> Native:
    return elementwise(compute, floats=True)


NATIVE = {
    "Relu": _floats(unary(functions.relu)),
    "Sigmoid": _floats(unary(functions.sigmoid)),
    "Tanh": _floats(unary(functions.tanh)),
    "Gelu": _floats(_gelu),
    "LeakyRelu": _floats(numbered(functions.leaky_relu, alpha=0.01)),
    "PRelu": _floats(_sloped),
    "ThresholdedRelu": _floats(numbered(_thresholded, alpha=1.0)),
    "HardSigmoid": _floats(numbered(functions.hard_sigmoid, alpha=0.2, beta=0.5)),
    "HardSwish": _floats(unary(functions.hard_swish)),
    "Swish": _floats(numbered(functions.swish, alpha=1.0)),
    "Mish": _floats(unary(functions.mish)),
    "Elu": _floats(numbered(functions.elu, alpha=1.0)),
    "Selu": _floats(
        numbered(_selu, alpha=1.67326319217681884765625, gamma=1.05070102214813232421875)
    ),
    "Celu": _floats(numbered(_celu, alpha=1.0)),
    "Softplus": _floats(_softplus),
    "Softsign": _floats(_softsign),
    "Shrink": _floats(numbered(_shrink, lambd=0.5, bias=0.0)),
}
