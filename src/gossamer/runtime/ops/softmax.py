"""Softmax, LogSoftmax, Hardmax: along one axis, or along it and all behind it."""

from __future__ import annotations

from collections.abc import Sequence

from gossamer.graphs.dims import product
from gossamer.graphs.operation import shape_of
from gossamer.runtime.calls import call
from gossamer.runtime.codegen.target import Target
from gossamer.runtime.expansion import Expansion
from gossamer.runtime.graph import Node, Value
from gossamer.runtime.kernels.softmax import Softmax
from gossamer.runtime.native import Native
from gossamer.runtime.reasons import float32_reason
from gossamer.runtime.signature import Given
from gossamer.runtime.steps import Call


def _expanded(e: Expansion, node: Node) -> Sequence[Value] | None:
    """Before operator set 13, the axis and all after it were one."""
    x = node.source(0)
    shape = shape_of(x)
    if e.opset >= 13:
        return None
    axis = node.attributes.get("axis", 1) % max(len(shape), 1)
    if axis == len(shape) - 1:
        # Made explicit, as the default was another.
        node.attributes["axis"] = axis
        return None
    flat = e.reshaped(x, [product(shape[:axis]), product(shape[axis:])])
    return [e.reshaped(e(node.op, flat, axis=1), shape)]


def _hardmax(e: Expansion, node: Node) -> Sequence[Value] | None:
    x = node.source(0)
    shape = shape_of(x)
    axis = node.attributes.get("axis", -1 if e.opset >= 13 else 1) % len(shape)
    if e.opset < 13 and axis < len(shape) - 1:
        return None
    places = e("Range", e.size(0), e.size(shape[axis]), e.size(1))
    places = e.along(places, axis, len(shape))
    found = e("Equal", e("ArgMax", x, axis=axis, keepdims=1), places)
    return [e("Where", found, e.like(x, 1), e.like(x, 0))]


def _reason(node: Node) -> str:
    if reason := float32_reason(node):
        return reason
    rank = len(shape_of(node.source(0)))
    inside = -rank <= node.attributes.get("axis", -1) < rank
    return "" if inside else "an axis lies outside the shape"


def _lowered(node: Node, target: Target) -> Sequence[Call]:
    shape = shape_of(node.source(0))
    axis = node.attributes.get("axis", -1) % len(shape)
    inner = product(shape[axis + 1 :])
    given: dict[str, Given] = {"x": node.source(0), "y": node.output, "length": shape[axis]}
    given |= {"outer": product(shape[:axis]), "inner": inner}
    kernel = Softmax(node.op == "LogSoftmax", rows=inner == 1)
    return [call(kernel, "softmax", target, node, given)]


_NATIVE = Native(_reason, _expanded, lower=_lowered)

NATIVE = {"Softmax": _NATIVE, "LogSoftmax": _NATIVE, "Hardmax": Native(expand=_hardmax)}
