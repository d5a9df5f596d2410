"""ArgMax, ArgMin: where along an axis an extreme lies."""

from __future__ import annotations

from collections.abc import Sequence

from gossamer.graphs.dims import UnknownSize
from gossamer.graphs.operation import shape_of
from gossamer.runtime.calls import call, elements
from gossamer.runtime.codegen.target import Target
from gossamer.runtime.graph import Node
from gossamer.runtime.kernels.reduction import ArgReduction
from gossamer.runtime.native import Native
from gossamer.runtime.reasons import fold_reason
from gossamer.runtime.steps import Call


def _reason(node: Node) -> str:
    if reason := fold_reason(node):
        return reason
    shape = shape_of(node.source(0))
    axis = node.attributes.get("axis", 0)
    if not -len(shape) <= axis < len(shape):
        return "an axis lies outside the shape"
    try:
        return "" if shape[axis] > 0 else f"no lowering for {node.op} of nothing"
    except UnknownSize as why:
        return str(why)


def _lowered(node: Node, target: Target) -> Sequence[Call]:
    expression, root = node.attributes["expression"], node.attributes["nodes"][0]
    axis = root.attributes.get("axis", 0) % len(expression.shape)
    last = bool(root.attributes.get("select_last_index", 0))
    kernel = ArgReduction(node.op, expression, axis, last, len(node.attributes["sizes"]))
    return [call(kernel, "reduction", target, node, elements(node))]


NATIVE = {name: Native(_reason, lower=_lowered, lies="anywhere") for name in ("ArgMax", "ArgMin")}
