"""Reductions: sums, means, extremes and norms along axes."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
from onnx import TensorProto

from gossamer.graphs.dims import UnknownSize
from gossamer.graphs.operation import shape_of
from gossamer.graphs.ops.reduction import keeps_axes, reduced_axes
from gossamer.runtime.calls import call, elements
from gossamer.runtime.codegen.target import Target
from gossamer.runtime.expansion import Expansion
from gossamer.runtime.graph import Node, Value
from gossamer.runtime.kernels.reduction import Reduction
from gossamer.runtime.native import Native
from gossamer.runtime.reasons import fold_reason
from gossamer.runtime.steps import Call


def _reduce(e: Expansion, node: Node, op: str, x: Value) -> Value:
    """A reduction of something else along the same axes."""
    axes = reduced_axes(node, len(shape_of(x)))
    return e.reduced(op, x, axes, keepdims=keeps_axes(node))


def _plain_reduction(e: Expansion, node: Node) -> Sequence[Value] | None:
    """A reduction along no axis does nothing."""
    x = node.source(0)
    if not reduced_axes(node, len(shape_of(x))):
        return [e("Identity", x)]
    if node.op == "ReduceMean" and x.dtype == np.int32:
        # Their sum may be beyond 32 bits, their mean is not.
        mean = _reduce(e, node, "ReduceMean", e("Cast", x, to=TensorProto.INT64))
        return [e("Cast", mean, to=TensorProto.INT32)]
    return None


def _sum_of(op: str) -> Callable[[Expansion, Node], Sequence[Value]]:
    def rule(e: Expansion, node: Node) -> Sequence[Value]:
        x = node.source(0)
        made = e("Mul", x, x) if op == "Square" else e(op, x)
        return [_reduce(e, node, "ReduceSum", made)]

    return rule


def _norm(e: Expansion, node: Node) -> Sequence[Value]:
    return [e("Sqrt", *_sum_of("Square")(e, node))]


def _log_sum(e: Expansion, node: Node) -> Sequence[Value]:
    return [e("Log", _reduce(e, node, "ReduceSum", node.source(0)))]


def _log_sum_exp(e: Expansion, node: Node) -> Sequence[Value]:
    """With the largest element subtracted first, so that nothing overflows."""
    x = node.source(0)
    axes = reduced_axes(node, len(shape_of(x)))
    top = e.reduced("ReduceMax", x, axes)
    top = e("Where", e("IsInf", top), e.like(x, 0), top)
    rest = e("Exp", e("Sub", x, top))
    total = e("Log", e.reduced("ReduceSum", rest, axes))
    result = e("Add", total, top)
    return [e.reshaped(result, shape_of(node.output))]


def _reason(node: Node) -> str:
    if reason := fold_reason(node):
        return reason
    try:
        # Along no axis it is no reduction, and is written as what it is.
        named = reduced_axes(node, len(shape_of(node.source(0))))
        return "" if named else f"no lowering for {node.op} along no axis"
    except UnknownSize as why:
        return str(why)


def _lowered(node: Node, target: Target) -> Sequence[Call]:
    expression = node.attributes["expression"]
    root, sizes = node.attributes["nodes"][0], len(node.attributes["sizes"])
    axes = tuple(sorted(reduced_axes(root, len(expression.shape))))
    kernel = Reduction(node.op, expression, axes, sizes)
    return [call(kernel, "reduction", target, node, elements(node))]


_FOLD = Native(_reason, _plain_reduction, lower=_lowered, lies="anywhere")

NATIVE = {
    "ReduceSum": _FOLD,
    "ReduceMean": _FOLD,
    "ReduceProd": _FOLD,
    "ReduceMax": _FOLD,
    "ReduceMin": _FOLD,
    "ReduceL1": Native(expand=_sum_of("Abs")),
    "ReduceSumSquare": Native(expand=_sum_of("Square")),
    "ReduceL2": Native(expand=_norm),
    "ReduceLogSum": Native(expand=_log_sum),
    "ReduceLogSumExp": Native(expand=_log_sum_exp),
}
