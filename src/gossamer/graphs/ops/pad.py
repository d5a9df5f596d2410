"""Pad: more elements at either end of an axis, or fewer."""

from __future__ import annotations

from gossamer.graphs.axes import Axes, Axis, Joined, Label, labels, labels_of
from gossamer.graphs.dims import Size, UnknownSize
from gossamer.graphs.inferred import Inferred
from gossamer.graphs.operation import Operation, content_of, dtype_of, numbers_of, shape_of
from gossamer.graphs.operator import Operator, Typed


def _typed(node: Operation, inferred: Inferred) -> list[Typed]:
    shape = shape_of(node.source(0))
    before, after = pads_of(node)
    padded = tuple(a + size + b for a, size, b in zip(before, shape, after, strict=True))
    if node.attributes.get("mode", "constant") == "reflect":
        # The element at the edge is not repeated: there must be as many others.
        for size, *counts in zip(shape, before, after, strict=True):
            for count in counts:
                inferred.at_least(size - count, 1)
    return [(dtype_of(node.input(0)), padded)]


def pads_of(node: Operation) -> tuple[list[Size], list[Size]]:
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


def _axes(node: Operation, opset: int) -> Axes:
    """What is put before and after is a part of the axis that only the output has."""
    given = labels(shape_of(node.input(0)))
    out: list[Axis] = []
    opaque: frozenset[Label] = frozenset()
    for axis, before, after, size in zip(given, *pads_of(node), shape_of(node.output), strict=True):
        if (before, after) == (0, 0):
            out.append(axis)
        elif node.attributes.get("mode", "constant") == "constant" and before >= 0 <= after:
            first, last = labels([before, after])
            out.append(Joined((first, axis, last)))
            opaque |= labels_of((first, last))
        else:
            out += labels([size])
            opaque |= labels_of((axis, out[-1]))
    return Axes((given, *[None] * (len(node.inputs) - 1)), (tuple(out),), opaque=opaque)


OPERATORS = {"Pad": Operator(_typed, _axes)}
