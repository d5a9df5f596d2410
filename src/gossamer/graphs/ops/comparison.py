"""Comparisons and tests, element by element."""

from __future__ import annotations

from typing import Any

import numpy as np

from gossamer.graphs.axes import elementwise
from gossamer.graphs.contents import computed
from gossamer.graphs.dims import equal
from gossamer.graphs.elementwise import BOOL, compared
from gossamer.graphs.exact import NUMBERS, on
from gossamer.graphs.inferred import Inferred
from gossamer.graphs.operation import Operation, shape_of
from gossamer.graphs.operator import Content, Operator, Typed


def _same(left: Content, right: Content) -> Any:
    return np.frompyfunc(equal, 2, 1)(left, right)


def _tested(node: Operation, inferred: Inferred) -> list[Typed]:
    return [(BOOL, shape_of(node.input(0)))]


OPERATORS = {
    "Equal": Operator(compared, elementwise, computed(_same), on(np.equal, NUMBERS)),
    "Less": Operator(compared, elementwise, exact=on(np.less, NUMBERS)),
    "LessOrEqual": Operator(compared, elementwise, exact=on(np.less_equal, NUMBERS)),
    "Greater": Operator(compared, elementwise, exact=on(np.greater, NUMBERS)),
    "GreaterOrEqual": Operator(compared, elementwise, exact=on(np.greater_equal, NUMBERS)),
    "IsNaN": Operator(_tested, elementwise),
    "IsInf": Operator(_tested, elementwise),
}
