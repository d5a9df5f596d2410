"""CumSum: sums of all before, along an axis."""

from __future__ import annotations

from collections.abc import Sequence

from gossamer.graphs.dims import UnknownSize
from gossamer.graphs.operation import numbers_of, shape_of
from gossamer.runtime.expansion import Expansion
from gossamer.runtime.graph import Node, Value
from gossamer.runtime.native import Native

_LONGEST_SCAN = 4096
"""Elements along an axis that are added up in quadratic time; what is longer is left."""


def _expanded(e: Expansion, node: Node) -> Sequence[Value]:
    """The sums along the rows of a triangle: quadratic, for axes that are not long."""
    x = node.source(0)
    shape = shape_of(x)
    rank = len(shape)
    (axis,) = numbers_of(node.input(1))
    axis %= rank
    length = shape[axis]
    if isinstance(length, int) and length > _LONGEST_SCAN:
        raise UnknownSize(f"no lowering for CumSum of {length} elements")
    # [..., place of the result, place of what is added]
    order = [*(a for a in range(rank) if a != axis), axis]
    rows = e("Unsqueeze", e("Transpose", x, perm=order), e.sizes([rank - 1]))
    others = [shape[a] for a in order[:-1]]
    square = e("Expand", rows, e.sizes([*others, length, length]))
    backwards = node.attributes.get("reverse", 0)
    first = node.attributes.get("exclusive", 0)
    diagonal = e.size(first if backwards else -first)
    kept = e("Trilu", square, diagonal, upper=int(bool(backwards)))
    sums = e.reduced("ReduceSum", kept, [rank], keepdims=False)
    return [e("Transpose", sums, perm=[order.index(a) for a in range(rank)])]


NATIVE = {"CumSum": Native(expand=_expanded)}
