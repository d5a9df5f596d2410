"""GlobalMaxPool, GlobalAveragePool: the largest or the mean of each channel."""

from __future__ import annotations

from gossamer.graphs.axes import Axes, labels
from gossamer.graphs.inferred import Inferred
from gossamer.graphs.operation import Operation, dtype_of, shape_of
from gossamer.graphs.operator import Operator, Typed


def _typed(node: Operation, inferred: Inferred) -> list[Typed]:
    shape = shape_of(node.input(0))
    return [(dtype_of(node.input(0)), (*shape[:2], *([1] * (len(shape) - 2))))]


def _axes(node: Operation, opset: int) -> Axes:
    given = labels(shape_of(node.input(0)))
    return Axes((given,), ((*given[:2], *[()] * (len(given) - 2)),))


OPERATORS = {name: Operator(_typed, _axes) for name in ("GlobalMaxPool", "GlobalAveragePool")}
