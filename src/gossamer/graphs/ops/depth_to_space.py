"""DepthToSpace, SpaceToDepth: channels as pixels, and pixels as channels."""

from __future__ import annotations

from gossamer.graphs.axes import Axes, Labelled, labels
from gossamer.graphs.dims import divide
from gossamer.graphs.inferred import Inferred
from gossamer.graphs.operation import Operation, Shape, dtype_of, shape_of
from gossamer.graphs.operator import Operator, Typed


def _to_space(node: Operation, inferred: Inferred) -> list[Typed]:
    batch, channels, height, width = shape_of(node.source(0))
    block = node.attributes["blocksize"]
    shape = (batch, divide(channels, block * block), height * block, width * block)
    return [(dtype_of(node.input(0)), shape)]


def _to_depth(node: Operation, inferred: Inferred) -> list[Typed]:
    batch, channels, height, width = shape_of(node.source(0))
    block = node.attributes["blocksize"]
    shape = (batch, channels * (block * block), divide(height, block), divide(width, block))
    return [(dtype_of(node.input(0)), shape)]


def _axes(node: Operation, deep: Shape, *, by_column: bool) -> tuple[Labelled, Labelled]:
    """The axes of what is deep and of what is wide, given the shape of what is deep."""
    block = node.attributes["blocksize"]
    batch, height, width = labels((deep[0], *deep[2:]))
    down, across, channels = labels([block, block, divide(deep[1], block * block)])
    order = (*channels, *down, *across) if by_column else (*down, *across, *channels)
    wide = (batch, channels, (*height, *down), (*width, *across))
    return (batch, order, height, width), wide


def _space_axes(node: Operation, opset: int) -> Axes:
    by_column = node.attributes.get("mode", "DCR") == "CRD"
    deep, wide = _axes(node, shape_of(node.input(0)), by_column=by_column)
    return Axes((deep,), (wide,))


def _depth_axes(node: Operation, opset: int) -> Axes:
    by_column = node.attributes.get("mode", "DCR") == "CRD"
    deep, wide = _axes(node, shape_of(node.output), by_column=by_column)
    return Axes((wide,), (deep,))


OPERATORS = {
    "DepthToSpace": Operator(_to_space, _space_axes),
    "SpaceToDepth": Operator(_to_depth, _depth_axes),
}
