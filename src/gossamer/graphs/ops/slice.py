"""Slice: a part of an axis, or every so many elements of it."""

from __future__ import annotations

import numpy as np

from gossamer.graphs.axes import Axes, Axis, Joined, Label, labels, labels_of
from gossamer.graphs.contents import array_of
from gossamer.graphs.dims import Dim, Size, UnknownSize, divide
from gossamer.graphs.inferred import Inferred
from gossamer.graphs.operation import (
    Array,
    Operation,
    content_of,
    data_of,
    dtype_of,
    fixed,
    numbers_of,
    shape_of,
)
from gossamer.graphs.operator import Content, Operator, Typed


def slices(node: Operation, inferred: Inferred) -> list[tuple[int, Size, int, Size]]:
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


def _typed(node: Operation, inferred: Inferred) -> list[Typed]:
    shape = list(shape_of(node.input(0)))
    for axis, _, _, count in slices(node, inferred):
        shape[axis] = count
    return [(dtype_of(node.input(0)), tuple(shape))]


def _content(node: Operation, inferred: Inferred) -> Content:
    result = array_of(node.input(0))
    for axis, start, step, count in slices(node, inferred):
        first, number = fixed([start, count])
        result = np.take(result, np.arange(number) * step + first, axis=axis)
    return result


def _exact(node: Operation, inferred: Inferred) -> list[Array]:
    x = data_of(node, 0)
    for axis, begin, step, count in slices(node, inferred):
        start, number = fixed([begin, count])
        end = start + number * step
        cut = slice(start, end if end >= 0 else None, step) if number else slice(0)
        x = x[(slice(None),) * axis + (cut,)]
    # A view of a small part would keep all of it.
    return [x if 2 * x.size >= data_of(node, 0).size else x.copy()]


def _axes(node: Operation, opset: int) -> Axes:
    """What is cut off is a part of the axis that only the input has."""
    given: list[Axis] = list(labels(shape_of(node.input(0))))
    kept = list(given)
    opaque: frozenset[Label] = frozenset()
    for axis, start, step, count in slices(node, Inferred(opset, [])):
        size = shape_of(node.input(0))[axis]
        if step == 1 and (start, count) == (0, size):
            continue
        (part,) = labels([count])
        kept[axis] = part
        if step == 1:
            before, after = labels([start, size - start - count])
            given[axis] = Joined((before, part, after))
            opaque |= labels_of((before, after))
        else:
            opaque |= labels_of((part, given[axis]))
    return Axes((tuple(given), *[None] * (len(node.inputs) - 1)), (tuple(kept),), opaque=opaque)


OPERATORS = {"Slice": Operator(_typed, _axes, _content, _exact, is_view=True)}
