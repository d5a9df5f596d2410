"""Decide for each node whether generated code runs it, and if not, why."""

from __future__ import annotations

import math

import numpy as np

from gossamer.graphs.dims import UnknownSize
from gossamer.graphs.operation import shape_of
from gossamer.graphs.ops.reduction import reduced_axes
from gossamer.runtime.graph import Graph, Node
from gossamer.runtime.kernels.pointwise import REGISTER_TYPES
from gossamer.runtime.kernels.reduction import REDUCTIONS
from gossamer.runtime.onnx_import import follows_rule, why_unknown
from gossamer.runtime.passes.group_pointwise import pointwise_reason
from gossamer.runtime.passes.place_images import IMAGE_OPS, image_reason

ALIASES = {"Reshape", "Flatten"}
"""Operators that only look at the same elements under another shape."""

PLAIN_OPS = {"Softmax", "LogSoftmax", "MatMul"}
"""Operators with kernels over plain arrays."""

HEAVY = {"Linear", "Attention", "Convolution"}
"""Operators of our own that are worth a region of generated code."""


# Code is written for each operand of a node and each element of a window: more than these would
# take minutes to compile.
_MOST_OPERANDS, LARGEST_WINDOW = 128, 4096


def partition(graph: Graph) -> None:
    """Mark the nodes that have a lowering; note the reason on the others."""
    for node in graph.nodes:
        node.reason = reason_against(node)
        node.native = not node.reason
        if node.native and node.op in ALIASES:
            # The shape is known; what it was computed from need not be.
            node.inputs = node.inputs[:1]


def reason_against(node: Node) -> str:
    """Why a node has no lowering; empty if it has one."""
    if len(node.inputs) > _MOST_OPERANDS:
        return f"no lowering for {node.op} of {len(node.inputs)} inputs"
    if node.op in HEAVY and node.domain == "gossamer":
        return ""
    if not node.domain and node.output.known and not follows_rule(node):
        return f"the shapes of {node.op} do not follow from its inputs"
    if node.op == "LayerNormalization" and not node.domain:
        return _layer_norm_reason(node)
    if node.op in IMAGE_OPS and not node.domain:
        return image_reason(node) or _window_reason(node)
    if node.op in ALIASES and not node.domain:
        known = node.output.known and node.source(0).known
        return "" if known else why_unknown(node)
    if node.op in REDUCTIONS and not node.domain:
        return _reduction_reason(node)
    if node.op in PLAIN_OPS and not node.domain:
        return _plain_reason(node)
    return pointwise_reason(node) or ""


def _reduction_reason(node: Node) -> str:
    x = node.source(0)
    if not x.known or not node.output.known:
        return why_unknown(node)
    if x.dtype == np.bool_ or str(x.dtype) not in REGISTER_TYPES:
        return f"no lowering for {node.op} of {x.dtype}"
    try:
        if node.op in ("ArgMax", "ArgMin"):
            return _arg_reduction_reason(node)
        # Along no axis it is no reduction, and is written as what it is.
        named = reduced_axes(node, len(shape_of(x)))
        return "" if named else f"no lowering for {node.op} along no axis"
    except UnknownSize as reason:
        return str(reason)


def _arg_reduction_reason(node: Node) -> str:
    shape = shape_of(node.source(0))
    axis = node.attributes.get("axis", 0)
    if not -len(shape) <= axis < len(shape):
        return "an axis lies outside the shape"
    return "" if shape[axis] > 0 else f"no lowering for {node.op} of nothing"


def _plain_reason(node: Node) -> str:
    for value in (*node.inputs, *node.outputs):
        if value is None or not value.known:
            return why_unknown(node)
        if value.dtype != np.float32:
            return f"no lowering for {node.op} of {value.dtype}"
    ranks = [len(shape_of(value)) for value in node.inputs]
    if node.op == "MatMul":
        return "" if min(ranks) >= 2 else "no lowering for a product of vectors"
    inside = -ranks[0] <= node.attributes.get("axis", -1) < ranks[0]
    return "" if inside else "an axis lies outside the shape"


def _window_reason(node: Node) -> str:
    elements = math.prod(node.attributes.get("kernel_shape", ()))
    most = LARGEST_WINDOW
    return f"no lowering for {node.op} over {elements} elements" if elements > most else ""


def _layer_norm_reason(node: Node) -> str:
    x, scale, bias = node.source(0), node.input(1), node.input(2)
    if not x.known or not node.output.known:
        return why_unknown(node)
    if x.dtype != np.float32:
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
