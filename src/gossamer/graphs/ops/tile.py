"""Tile: all of it again and again."""

from __future__ import annotations

from gossamer.graphs.axes import Axes, labels
from gossamer.graphs.inferred import Inferred
from gossamer.graphs.operation import Operation, content_of, dtype_of, shape_of
from gossamer.graphs.operator import Operator, Typed


def _typed(node: Operation, inferred: Inferred) -> list[Typed]:
    shape, repeats = shape_of(node.source(0)), content_of(node.input(1))
    tiled = tuple(size * count for size, count in zip(shape, repeats, strict=True))
    return [(dtype_of(node.input(0)), tiled)]


def _axes(node: Operation, opset: int) -> Axes:
    given = labels(shape_of(node.input(0)))
    times = labels(content_of(node.input(1)))
    return Axes(
        (given, None), (tuple((*more, *axis) for more, axis in zip(times, given, strict=True)),)
    )


OPERATORS = {"Tile": Operator(_typed, _axes)}
