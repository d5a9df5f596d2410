"""Logic on truth values and on bits, element by element."""

from __future__ import annotations

import numpy as np

from gossamer.graphs.axes import elementwise
from gossamer.graphs.elementwise import broadcasted, same
from gossamer.graphs.exact import on
from gossamer.graphs.operator import Operator

_TRUTH = {"bool"}

OPERATORS = {
    "Not": Operator(same, elementwise, exact=on(np.logical_not, _TRUTH)),
    "And": Operator(broadcasted, elementwise, exact=on(np.logical_and, _TRUTH)),
    "Or": Operator(broadcasted, elementwise, exact=on(np.logical_or, _TRUTH)),
    "Xor": Operator(broadcasted, elementwise, exact=on(np.logical_xor, _TRUTH)),
    "BitwiseNot": Operator(same, elementwise),
    **{
        name: Operator(broadcasted, elementwise)
        for name in ("BitwiseAnd", "BitwiseOr", "BitwiseXor")
    },
}
