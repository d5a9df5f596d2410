"""Decide for each node whether generated code runs it, and if not, why."""

from __future__ import annotations

import numpy as np

from gossamer.runtime.graph import Graph, Node
from gossamer.runtime.passes.group_pointwise import pointwise_reason
from gossamer.runtime.passes.place_images import IMAGE_OPS, image_reason

ALIASES = {"Reshape", "Flatten"}
"""Operators that only look at the same elements under another shape."""

HEAVY = {"Linear", "Attention", "Convolution"}
"""Operators of our own that are worth a region of generated code."""


def partition(graph: Graph) -> None:
    """Mark the nodes that have a lowering; note the reason on the others."""
    for node in graph.nodes:
        node.reason = _reason(node)
        node.native = not node.reason
        if node.native and node.op in ALIASES:
            # The shape is known; what it was computed from need not be.
            node.inputs = node.inputs[:1]


def _reason(node: Node) -> str:
    if node.op in HEAVY and node.domain == "gossamer":
        return ""
    if node.op == "LayerNormalization" and not node.domain:
        return _layer_norm_reason(node)
    if node.op in IMAGE_OPS and not node.domain:
        return image_reason(node)
    if node.op in ALIASES and not node.domain:
        known = node.output.known and node.source(0).known
        return "" if known else "a shape is known only when the model runs"
    return pointwise_reason(node) or ""


def _layer_norm_reason(node: Node) -> str:
    x, scale, bias = node.source(0), node.input(1), node.input(2)
    if not x.known or x.dtype != np.float32:
        return f"no lowering for LayerNormalization of {x.dtype}"
    assert x.shape is not None
    if node.attributes.get("axis", -1) not in (-1, len(x.shape) - 1) or len(x.shape) < 2:
        return "no lowering for LayerNormalization over several axes"
    if len(node.outputs) > 1:
        return "no lowering for the mean that LayerNormalization gives beside its output"
    for value in (scale, bias):
        if value is not None and (value.data is None or value.data.shape != (x.shape[-1],)):
            return "no lowering for LayerNormalization with a computed scale"
    return ""
