"""Softmax, LogSoftmax, Hardmax: along one axis, or along it and all behind it."""

from __future__ import annotations

from dataclasses import replace

from gossamer.graphs.axes import Axes, mixing
from gossamer.graphs.elementwise import same
from gossamer.graphs.operation import Operation, shape_of
from gossamer.graphs.operator import Operator


def _axes(node: Operation, opset: int) -> Axes:
    rank = len(shape_of(node.input(0)))
    # Before operator set 13 the axis and all behind it were one.
    axis = node.attributes.get("axis", -1 if opset >= 13 else 1) % max(rank, 1)
    return mixing(node, [axis] if opset >= 13 else range(axis, rank))


def _first_axes(node: Operation, opset: int) -> Axes:
    """Of several that are the largest, the first counts."""
    found = _axes(node, opset)
    return replace(found, opaque=found.mixed)


OPERATORS = {
    "Softmax": Operator(same, _axes),
    "LogSoftmax": Operator(same, _axes),
    "Hardmax": Operator(same, _first_axes),
}
