"""Functions of one number, element by element."""

from __future__ import annotations

from gossamer.runtime.codegen import math as functions
from gossamer.runtime.codegen.builder import F64
from gossamer.runtime.expressions import Compute, elementwise, intrinsic, unary


def _library(name: str) -> Compute:
    """A function of C's library; in 64 bits, as those for 32 have no symbol everywhere."""
    return lambda b, expression, kind, x: b.cast(b.call(name, F64, b.cast(x, F64)), x.type)


_LIBRARY = ("Tan", "Asin", "Acos", "Atan", "Sinh", "Cosh", "Asinh", "Acosh", "Atanh")

NATIVE = {
    "Exp": elementwise(unary(functions.exp), floats=True),
    "Log": elementwise(intrinsic("log"), floats=True),
    "Erf": elementwise(unary(functions.erf), floats=True),
    "Sin": elementwise(intrinsic("sin"), floats=True),
    "Cos": elementwise(intrinsic("cos"), floats=True),
    **{name: elementwise(_library(name.lower()), floats=True) for name in _LIBRARY},
}
