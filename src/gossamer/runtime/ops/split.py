"""Split: parts of an axis."""

from __future__ import annotations

from collections.abc import Sequence

from gossamer.graphs.dims import Size
from gossamer.graphs.operation import shape_of
from gossamer.graphs.ops.split import parts_of
from gossamer.runtime.expansion import Expansion
from gossamer.runtime.graph import Node, Value
from gossamer.runtime.native import Native


def _expanded(e: Expansion, node: Node) -> Sequence[Value]:
    x = node.source(0)
    axis = node.attributes.get("axis", 0) % len(shape_of(x))
    begin: Size = 0
    results = []
    for part in parts_of(node):
        end = begin + part
        cut = [e.sizes([begin]), e.sizes([end]), e.sizes([axis])]
        results.append(e("Slice", x, *cut))
        begin = end
    return results


NATIVE = {"Split": Native(expand=_expanded)}
