"""Concat: one after the other along an axis."""

from __future__ import annotations

import numpy as np

from gossamer.graphs.axes import Axes, Joined, labels
from gossamer.graphs.contents import array_of
from gossamer.graphs.dims import Size, UnknownSize
from gossamer.graphs.exact import arrays_of
from gossamer.graphs.inferred import Inferred
from gossamer.graphs.operation import Array, Operation, dtype_of, shape_of
from gossamer.graphs.operator import Content, Operator, Typed


def _typed(node: Operation, inferred: Inferred) -> list[Typed]:
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


def _content(node: Operation, inferred: Inferred) -> Content:
    parts = [array_of(value) for value in node.inputs]
    return np.concatenate(parts, axis=node.attributes["axis"])


def _exact(node: Operation, inferred: Inferred) -> list[Array]:
    return [np.concatenate(arrays_of(node), axis=node.attributes["axis"])]


def _axes(node: Operation, opset: int) -> Axes:
    shapes = [shape_of(value) for value in node.inputs]
    axis = node.attributes["axis"] % len(shapes[0])
    common = labels(shapes[0])
    parts = labels([shape[axis] for shape in shapes])
    given = tuple((*common[:axis], part, *common[axis + 1 :]) for part in parts)
    return Axes(given, ((*common[:axis], Joined(parts), *common[axis + 1 :]),))


OPERATORS = {"Concat": Operator(_typed, _axes, _content, _exact)}
