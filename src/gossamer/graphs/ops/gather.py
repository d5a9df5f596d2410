"""Gather: rows of a table, or any places along an axis."""

from __future__ import annotations

import numpy as np

from gossamer.graphs.axes import Axes, labels
from gossamer.graphs.contents import array_of
from gossamer.graphs.dims import UnknownSize
from gossamer.graphs.inferred import Inferred
from gossamer.graphs.operation import Array, Operation, data_of, dtype_of, shape_of
from gossamer.graphs.operator import Content, Operator, Typed


def _typed(node: Operation, inferred: Inferred) -> list[Typed]:
    shape, indices = shape_of(node.input(0)), shape_of(node.input(1))
    axis = node.attributes.get("axis", 0)
    if not -len(shape) <= axis < len(shape):
        raise UnknownSize("a gather names an axis that is not there")
    axis %= len(shape)
    return [(dtype_of(node.input(0)), (*shape[:axis], *indices, *shape[axis + 1 :]))]


def _content(node: Operation, inferred: Inferred) -> Content:
    indices = np.array(array_of(node.input(1)), dtype=np.int64)
    source = array_of(node.input(0))
    axis = node.attributes.get("axis", 0)
    if indices.size and not (
        -source.shape[axis] <= indices.min() <= indices.max() < source.shape[axis]
    ):
        raise UnknownSize("a gather points outside")
    return np.asarray(np.take(source, indices, axis=axis), dtype=object)


def _exact(node: Operation, inferred: Inferred) -> list[Array]:
    x, indices = data_of(node, 0), data_of(node, 1)
    axis = node.attributes.get("axis", 0)
    if indices.size and not -x.shape[axis] <= indices.min() <= indices.max() < x.shape[axis]:
        raise UnknownSize("a gather points outside")
    return [np.asarray(np.take(x, indices, axis=axis))]


def _axes(node: Operation, opset: int) -> Axes:
    table, places = labels(shape_of(node.input(0))), labels(shape_of(node.input(1)))
    axis = node.attributes.get("axis", 0) % len(table)
    out = (*table[:axis], *places, *table[axis + 1 :])
    return Axes((table, places), (out,), opaque=frozenset(table[axis]))


OPERATORS = {"Gather": Operator(_typed, _axes, _content, _exact)}
