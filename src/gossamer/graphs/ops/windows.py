"""Windows: what each tap of a window reads at each place, an operator of the compiler's own."""

from __future__ import annotations

from gossamer.graphs.operator import Operator
from gossamer.graphs.ops import pooling

OPERATORS = {"gossamer.Windows": Operator(axes=pooling.axes)}
