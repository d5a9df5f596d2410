"""What the kernels over planes of images take."""

from __future__ import annotations

import math

import numpy as np

from gossamer.graphs.dims import Dim
from gossamer.runtime.graph import Node
from gossamer.runtime.onnx_import import why_unknown

LARGEST_WINDOW = 4096
"""Elements of a window for each of which code is written: more would take minutes to compile."""


def image_reason(node: Node) -> str:
    """Why a convolution or pooling has no kernel over planes; empty if it has."""
    x, output = node.source(0), node.output
    if not x.known or not output.known:
        return why_unknown(node)
    if x.dtype != np.float32:
        return f"no lowering for {node.op} of {x.dtype}"
    assert x.shape is not None and output.shape is not None
    if len(x.shape) != 4 or any(
        isinstance(size, Dim) for size in (*x.shape[1:], *output.shape[1:])
    ):
        return f"no lowering for {node.op} of other than images of a fixed size"
    if len(node.outputs) > 1:
        return "no lowering for the indices that MaxPool gives beside its output"
    if node.op == "Conv" and any(v is not None and v.data is None for v in node.inputs[1:3]):
        return "no lowering for a convolution with computed weights"
    if node.op == "AveragePool":
        pads = node.attributes.get("pads", [0])
        even = not any(pads) and node.attributes.get("auto_pad", "NOTSET") in ("NOTSET", "VALID")
        if not even or node.attributes.get("ceil_mode", 0):
            return "no lowering for AveragePool with padding"
    return ""


def reason(node: Node) -> str:
    """Why generated code cannot run a convolution or pooling as it is; empty if it can."""
    elements = math.prod(node.attributes.get("kernel_shape", ()))
    too_large = f"no lowering for {node.op} over {elements} elements"
    return image_reason(node) or (too_large if elements > LARGEST_WINDOW else "")
