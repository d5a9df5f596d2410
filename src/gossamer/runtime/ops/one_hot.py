"""OneHot: one element of many by its place."""

from __future__ import annotations

from collections.abc import Sequence

from onnx import TensorProto

from gossamer.graphs.operation import content_of, shape_of
from gossamer.runtime.expansion import Expansion
from gossamer.runtime.graph import Node, Value
from gossamer.runtime.native import Native


def _expanded(e: Expansion, node: Node) -> Sequence[Value]:
    indices, values = node.source(0), node.source(2)
    (depth,) = content_of(node.input(1))
    rank = len(shape_of(indices)) + 1
    axis = node.attributes.get("axis", -1) % rank
    indices = e("Unsqueeze", e("Cast", indices, to=TensorProto.INT64), e.sizes([axis]))
    size = e.size(depth)
    indices = e("Where", e("Less", indices, e.size(0)), e("Add", indices, size), indices)
    places = e.along(e("Range", e.size(0), size, e.size(1)), axis, rank)
    off, on = (e("Gather", values, e.size(place)) for place in (0, 1))
    return [e("Where", e("Equal", indices, places), on, off)]


NATIVE = {"OneHot": Native(expand=_expanded)}
