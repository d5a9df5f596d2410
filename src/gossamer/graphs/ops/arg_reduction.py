"""ArgMax, ArgMin: where along an axis an extreme lies."""

from __future__ import annotations

from gossamer.graphs.axes import Axes, labels
from gossamer.graphs.elementwise import INT64
from gossamer.graphs.inferred import Inferred
from gossamer.graphs.operation import Operation, shape_of
from gossamer.graphs.operator import Operator, Typed
from gossamer.graphs.ops.reduction import keeps_axes


def _typed(node: Operation, inferred: Inferred) -> list[Typed]:
    shape = list(shape_of(node.source(0)))
    axis = node.attributes.get("axis", 0) % len(shape)
    kept = [1] if keeps_axes(node) else []
    return [(INT64, (*shape[:axis], *kept, *shape[axis + 1 :]))]


def _axes(node: Operation, opset: int) -> Axes:
    given = labels(shape_of(node.input(0)))
    axis = node.attributes.get("axis", 0) % len(given)
    kept = [()] if keeps_axes(node) else []
    return Axes(
        (given,), ((*given[:axis], *kept, *given[axis + 1 :]),), opaque=frozenset(given[axis])
    )


OPERATORS = {name: Operator(_typed, _axes) for name in ("ArgMax", "ArgMin")}
