"""Shapes of the operators that move data about: rules like those of `shapes.py`."""

from __future__ import annotations

from gossamer.runtime.dims import Dim, Size, UnknownSize, divide
from gossamer.runtime.graph import Node
from gossamer.runtime.shapes import (
    INT64,
    Inferred,
    Rule,
    Typed,
    content_of,
    dtype_of,
    keeps_axes,
    numbers_of,
    shape_of,
)


def pads_of(node: Node) -> tuple[list[Size], list[Size]]:
    """How many elements a Pad puts before and after those along each axis; negative: takes away."""
    rank = len(shape_of(node.source(0)))
    given = content_of(node.input(1)) if node.input(1) is not None else node.attributes["pads"]
    axes = numbers_of(node.input(3)) if node.input(3) is not None else list(range(rank))
    if len(given) != 2 * len(axes):
        raise UnknownSize("a pad of other axes than it names")
    before: list[Size] = [0] * rank
    after: list[Size] = [0] * rank
    for position, axis in enumerate(axes):
        if not -rank <= axis < rank:
            raise UnknownSize("a pad names an axis that is not there")
        before[axis], after[axis] = given[position], given[position + len(axes)]
    return before, after


def parts_of(node: Node) -> list[Size]:
    """The length of each output of a Split along its axis."""
    shape = shape_of(node.source(0))
    total = shape[node.attributes.get("axis", 0)]
    count = node.attributes.get("num_outputs", len(node.outputs))
    if node.input(1) is not None:
        return content_of(node.input(1))
    if "split" in node.attributes:
        return list(node.attributes["split"])
    if count != len(node.outputs):
        raise UnknownSize("a split into another number of parts than it has outputs")
    if isinstance(total, Dim):
        return [divide(total, count)] * count
    each = -(-total // count)
    return [min(each, total - each * position) for position in range(count)]


def _pad(node: Node, inferred: Inferred) -> list[Typed]:
    shape = shape_of(node.source(0))
    before, after = pads_of(node)
    padded = tuple(a + size + b for a, size, b in zip(before, shape, after, strict=True))
    if node.attributes.get("mode", "constant") == "reflect":
        # The element at the edge is not repeated: there must be as many others.
        for size, *counts in zip(shape, before, after, strict=True):
            for count in counts:
                inferred.at_least(size - count, 1)
    return [(dtype_of(node.input(0)), padded)]


def _tile(node: Node, inferred: Inferred) -> list[Typed]:
    shape, repeats = shape_of(node.source(0)), content_of(node.input(1))
    tiled = tuple(size * count for size, count in zip(shape, repeats, strict=True))
    return [(dtype_of(node.input(0)), tiled)]


def _split(node: Node, inferred: Inferred) -> list[Typed]:
    shape = shape_of(node.source(0))
    axis = node.attributes.get("axis", 0) % len(shape)
    dtype, parts = dtype_of(node.input(0)), parts_of(node)
    total: Size = 0
    for part in parts:
        total = total + part
    if total != shape[axis] or len(parts) != len(node.outputs):
        raise UnknownSize("a split whose parts do not add up")
    return [(dtype, (*shape[:axis], part, *shape[axis + 1 :])) for part in parts]


def _depth_to_space(node: Node, inferred: Inferred) -> list[Typed]:
    batch, channels, height, width = shape_of(node.source(0))
    block = node.attributes["blocksize"]
    shape = (batch, divide(channels, block * block), height * block, width * block)
    return [(dtype_of(node.input(0)), shape)]


def _space_to_depth(node: Node, inferred: Inferred) -> list[Typed]:
    batch, channels, height, width = shape_of(node.source(0))
    block = node.attributes["blocksize"]
    shape = (batch, channels * (block * block), divide(height, block), divide(width, block))
    return [(dtype_of(node.input(0)), shape)]


def _same(node: Node, inferred: Inferred) -> list[Typed]:
    return [(dtype_of(node.input(0)), shape_of(node.input(0)))]


def _one_hot(node: Node, inferred: Inferred) -> list[Typed]:
    shape = list(shape_of(node.source(0)))
    (depth,) = content_of(node.input(1))
    axis = node.attributes.get("axis", -1)
    shape.insert(axis % (len(shape) + 1), depth)
    return [(dtype_of(node.input(2)), tuple(shape))]


def _arg_reduction(node: Node, inferred: Inferred) -> list[Typed]:
    shape = list(shape_of(node.source(0)))
    axis = node.attributes.get("axis", 0) % len(shape)
    kept = [1] if keeps_axes(node) else []
    return [(INT64, (*shape[:axis], *kept, *shape[axis + 1 :]))]


def _size(node: Node, inferred: Inferred) -> list[Typed]:
    return [(INT64, ())]


MOVEMENT_SHAPES: dict[str, Rule] = {
    "Pad": _pad,
    "Tile": _tile,
    "Split": _split,
    "DepthToSpace": _depth_to_space,
    "SpaceToDepth": _space_to_depth,
    "Trilu": _same,
    "CumSum": _same,
    "OneHot": _one_hot,
    "ArgMax": _arg_reduction,
    "ArgMin": _arg_reduction,
    "Size": _size,
}
