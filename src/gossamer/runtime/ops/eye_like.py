"""EyeLike: ones on a diagonal."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from gossamer.graphs.operation import shape_of
from gossamer.runtime.expansion import Expansion
from gossamer.runtime.graph import Node, Value
from gossamer.runtime.native import Native


def _expanded(e: Expansion, node: Node) -> Sequence[Value]:
    rows, columns = (
        e.along(e("Range", e.size(0), e.size(size), e.size(1)), axis, 2)
        for axis, size in enumerate(shape_of(node.source(0)))
    )
    shifted = e("Add", rows, e.constant(np.array(node.attributes.get("k", 0), np.int64)))
    zero, one = (e.constant(np.asarray(number, node.output.dtype)) for number in (0, 1))
    return [e("Where", e("Equal", shifted, columns), one, zero)]


NATIVE = {"EyeLike": Native(expand=_expanded)}
