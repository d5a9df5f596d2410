"""Shapes of the operators that move data about: rules like those of `shapes.py`."""

from __future__ import annotations

from gossamer.graphs.dims import Dim, Size, UnknownSize, divide
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


def slices(node: Node, inferred: Inferred) -> list[tuple[int, Size, int, Size]]:
    """For each axis that a Slice cuts: the axis, the first element, the step and the count."""
    shape = shape_of(node.source(0))
    if len(node.inputs) > 1:
        starts, ends = content_of(node.input(1)), content_of(node.input(2))
        axes = numbers_of(node.input(3)) if node.input(3) is not None else list(range(len(starts)))
        steps = numbers_of(node.input(4)) if node.input(4) is not None else [1] * len(starts)
    else:
        starts, ends = list(node.attributes["starts"]), list(node.attributes["ends"])
        axes = list(node.attributes.get("axes", range(len(starts))))
        steps = [1] * len(starts)
    if len({axis % len(shape) for axis in axes}) < len(axes):
        raise UnknownSize("a slice cuts an axis twice")
    cuts = []
    for start, end, axis, step in zip(starts, ends, axes, steps, strict=True):
        if not -len(shape) <= axis < len(shape) or step == 0:
            raise UnknownSize("a slice names an axis or step that is not there")
        axis %= len(shape)
        cuts.append((axis, *_cut(shape[axis], start, end, step, inferred)))
    return cuts


# No axis is longer: it would not fit into an address space.
_FAR = 1 << 48
# What exporters write for "to the end"; ONNX Runtime takes the largest numbers for just that.
_LONG, _TO_THE_END = 2**31 - 1, (2**31 - 1, 2**63 - 1)


def _cut(
    size: Size, start: Size, end: Size, step: int, inferred: Inferred
) -> tuple[Size, int, Size]:
    """The first element, the step and the count of what a slice takes along an axis.

    Where positions may lie outside an axis of open size, the input is limited to sizes for which
    they do not.
    """
    if size == 0:
        return 0, step, 0
    first, last = (0, size) if step > 0 else (0, size - 1)
    start = _placed(size, start, first, last, inferred)
    first, last = (0, size) if step > 0 else (-1, size)
    if end in _TO_THE_END:
        end = last if step > 0 else first
    else:
        if isinstance(size, Dim) and isinstance(end, int) and 1 < end < _LONG:
            # As likely shorter as longer: neither is worth a limit.
            raise UnknownSize("where a slice ends depends on the input")
        end = _placed(size, end, first, last, inferred)
    count = end - start if step > 0 else start - end
    if isinstance(count, int):
        return start, step, max(0, -(-count // abs(step)))
    return start, step, divide(count, abs(step))


def _placed(size: Size, position: Size, first: Size, last: Size, inferred: Inferred) -> Size:
    """A position, which counts from the end if it is negative, between the first and the last."""
    if isinstance(position, int) and isinstance(size, Dim) and abs(position) >= _LONG:
        if abs(position) < _FAR:
            inferred.at_most(size, abs(position))
        return last if position > 0 else first
    if _is_less(position, 0, inferred):
        position = size + position
    if _is_less(position, first, inferred):
        return first
    return last if _is_less(last, position, inferred) else position


def _is_less(left: Size, right: Size, inferred: Inferred) -> bool:
    """Whether one size is less than another; where it depends on the input, the input is limited
    to sizes for which it is not."""
    try:
        return left < right
    except UnknownSize:
        inferred.at_least(left - right, 0)
        return False


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


def _concat(node: Node, inferred: Inferred) -> list[Typed]:
    shapes = [shape_of(value) for value in node.inputs]
    rank = len(shapes[0])
    if not -rank <= node.attributes["axis"] < rank:
        raise UnknownSize("a concatenation names an axis that is not there")
    axis = node.attributes["axis"] % rank
    if any(len(shape) != rank for shape in shapes):
        raise UnknownSize("shapes to concatenate differ")
    for other, sizes in enumerate(zip(*shapes, strict=True)):
        for size in sizes[1:] if other != axis else ():
            inferred.same(sizes[0], size)
    total: Size = 0
    for shape in shapes:
        total = total + shape[axis]
    return [(dtype_of(node.input(0)), (*shapes[0][:axis], total, *shapes[0][axis + 1 :]))]


def _slice(node: Node, inferred: Inferred) -> list[Typed]:
    shape = list(shape_of(node.input(0)))
    for axis, _, _, count in slices(node, inferred):
        shape[axis] = count
    return [(dtype_of(node.input(0)), tuple(shape))]


def _gather(node: Node, inferred: Inferred) -> list[Typed]:
    shape, indices = shape_of(node.input(0)), shape_of(node.input(1))
    axis = node.attributes.get("axis", 0)
    if not -len(shape) <= axis < len(shape):
        raise UnknownSize("a gather names an axis that is not there")
    axis %= len(shape)
    return [(dtype_of(node.input(0)), (*shape[:axis], *indices, *shape[axis + 1 :]))]


def _gather_elements(node: Node, inferred: Inferred) -> list[Typed]:
    shape, indices = shape_of(node.input(0)), shape_of(node.input(1))
    if len(shape) != len(indices) or not -len(shape) <= node.attributes.get("axis", 0) < len(shape):
        raise UnknownSize("a gather of elements whose ranks or axis do not fit")
    return [(dtype_of(node.input(0)), indices)]


def _gather_nd(node: Node, inferred: Inferred) -> list[Typed]:
    shape, indices = shape_of(node.input(0)), shape_of(node.input(1))
    depth = indices[-1]
    batch = node.attributes.get("batch_dims", 0)
    if not isinstance(depth, int) or not (0 <= batch < len(indices) and depth >= 1):
        raise UnknownSize("how deep a gather goes depends on the input")
    if batch + depth > len(shape):
        raise UnknownSize("how deep a gather goes depends on the input")
    return [(dtype_of(node.input(0)), (*indices[:-1], *shape[batch + depth :]))]


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
    if len(parts) != len(node.outputs):
        raise UnknownSize("a split whose parts do not add up")
    inferred.same(total, shape[axis])
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
    "Concat": _concat,
    "Slice": _slice,
    "Gather": _gather,
    "GatherElements": _gather_elements,
    "GatherND": _gather_nd,
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
