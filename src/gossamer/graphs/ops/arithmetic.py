"""Arithmetic, element by element."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from gossamer.graphs.axes import elementwise
from gossamer.graphs.contents import computed
from gossamer.graphs.dims import UnknownSize
from gossamer.graphs.elementwise import broadcasted, same
from gossamer.graphs.exact import FLOATS, NUMBERS, on
from gossamer.graphs.operator import Content, Operator


def _quotient(left: Content, right: Content) -> Any:
    # ONNX rounds towards zero, Python downwards: the same where nothing is negative.
    if any(item < 0 for item in left.reshape(-1)) or any(item <= 0 for item in right.reshape(-1)):
        raise UnknownSize("a division of negative sizes or by zero")
    return left // right


def _operator(
    content: Callable[..., Any], function: Callable[..., Any], types: set[str] = NUMBERS
) -> Operator:
    return Operator(broadcasted, elementwise, computed(content), on(function, types))


OPERATORS = {
    "Add": _operator(lambda x, y: x + y, np.add),
    "Sub": _operator(lambda x, y: x - y, np.subtract),
    "Mul": _operator(lambda x, y: x * y, np.multiply),
    "Div": _operator(_quotient, np.divide, FLOATS),
    "Neg": _operator(lambda x: -x, np.negative),
    "Sqrt": Operator(same, elementwise, exact=on(np.sqrt, FLOATS)),
    **{
        name: Operator(broadcasted, elementwise)
        for name in ("Mod", "Pow", "Max", "Min", "Sum", "Mean")
    },
    **{
        name: Operator(same, elementwise)
        for name in ("Abs", "Sign", "Reciprocal", "Floor", "Ceil", "Round")
    },
}
