"""Dropout: outside training all is kept; in training ONNX Runtime draws."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from gossamer.graphs.operation import shape_of
from gossamer.graphs.ops.dropout import is_training
from gossamer.runtime.expansion import Expansion
from gossamer.runtime.graph import Node, Value
from gossamer.runtime.native import Native


def _kept(e: Expansion, node: Node) -> Sequence[Value] | None:
    # In older operator sets the mask is another.
    if is_training(node, e.opset) or (len(node.outputs) > 1 and e.opset < 12):
        return None
    x = node.source(0)
    mask = e("Expand", e.constant(np.array(True)), e.sizes(shape_of(x)))
    return [e("Identity", x), mask][: len(node.outputs)]


NATIVE = {"Dropout": Native(expand=_kept)}
