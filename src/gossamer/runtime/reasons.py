"""Why generated code cannot run a node: what several operators ask alike."""

from __future__ import annotations

import numpy as np

from gossamer.runtime.graph import Node
from gossamer.runtime.kernels.pointwise import REGISTER_TYPES
from gossamer.runtime.onnx_import import why_unknown


def float32_reason(node: Node) -> str:
    """Of a node whose inputs and outputs must all be known, and float32."""
    for value in (*node.inputs, *node.outputs):
        if value is None or not value.known:
            return why_unknown(node)
        if value.dtype != np.float32:
            return f"no lowering for {node.op} of {value.dtype}"
    return ""


def fold_reason(node: Node) -> str:
    """Of a node that folds its first input, which must be of numbers that registers hold."""
    x = node.source(0)
    if not x.known or not node.output.known:
        return why_unknown(node)
    if x.dtype == np.bool_ or str(x.dtype) not in REGISTER_TYPES:
        return f"no lowering for {node.op} of {x.dtype}"
    return ""
