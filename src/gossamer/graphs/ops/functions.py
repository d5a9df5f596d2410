"""Functions of one number, element by element."""

from __future__ import annotations

from gossamer.graphs.axes import elementwise
from gossamer.graphs.elementwise import same
from gossamer.graphs.operator import Operator

_NAMES = (
    *("Exp", "Log", "Erf", "Sin", "Cos", "Tan", "Asin", "Acos", "Atan"),
    *("Sinh", "Cosh", "Asinh", "Acosh", "Atanh"),
)

OPERATORS = {name: Operator(same, elementwise) for name in _NAMES}
