"""Gemm: a product of two matrices, either of them transposed, and a sum."""

from __future__ import annotations

from gossamer.graphs.axes import Axes, aligned, labels
from gossamer.graphs.dims import Size, product
from gossamer.graphs.inferred import Inferred
from gossamer.graphs.operation import Operation, dtype_of, known_shape, shape_of
from gossamer.graphs.operator import Operator, Typed


def _typed(node: Operation, inferred: Inferred) -> list[Typed]:
    left, right = shape_of(node.input(0)), shape_of(node.input(1))
    rows, inner = left[::-1] if node.attributes.get("transA", 0) else left
    other, columns = right[::-1] if node.attributes.get("transB", 0) else right
    inferred.same(inner, other)
    return [(dtype_of(node.input(0)), (rows, columns))]


def _axes(node: Operation, opset: int) -> Axes:
    inner = labels([_inner(node)])
    rows, columns = labels(shape_of(node.output))
    first, second = (rows, *inner), (*inner, columns)
    if node.attributes.get("transA", 0):
        first = first[::-1]
    if node.attributes.get("transB", 0):
        second = second[::-1]
    added = [aligned(known_shape(value), (rows, columns)) for value in node.inputs[2:]]
    return Axes((first, second, *added), ((rows, columns),))


def _work(node: Operation) -> Size:
    return product(shape_of(node.output)) * _inner(node)


def _inner(node: Operation) -> Size:
    return shape_of(node.input(0))[0 if node.attributes.get("transA", 0) else 1]


OPERATORS = {"Gemm": Operator(_typed, _axes, work=_work)}
