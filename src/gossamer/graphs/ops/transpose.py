"""Transpose."""

from __future__ import annotations

from gossamer.graphs.axes import Axes, labels
from gossamer.graphs.dims import UnknownSize
from gossamer.graphs.inferred import Inferred
from gossamer.graphs.operation import Array, Operation, data_of, dtype_of, shape_of
from gossamer.graphs.operator import Operator, Typed


def _typed(node: Operation, inferred: Inferred) -> list[Typed]:
    shape = shape_of(node.input(0))
    order = permutation(node, len(shape))
    return [(dtype_of(node.input(0)), tuple(shape[axis] for axis in order))]


def permutation(node: Operation, rank: int) -> list[int]:
    """The order of axes of a Transpose."""
    order = list(node.attributes.get("perm", range(rank - 1, -1, -1)))
    if sorted(order) != list(range(rank)):
        raise UnknownSize("a transpose does not name each axis once")
    return order


def _exact(node: Operation, inferred: Inferred) -> list[Array]:
    x = data_of(node, 0)
    return [x.transpose(permutation(node, x.ndim))]


def _axes(node: Operation, opset: int) -> Axes:
    given = labels(shape_of(node.input(0)))
    return Axes((given,), (tuple(given[axis] for axis in permutation(node, len(given))),))


OPERATORS = {"Transpose": Operator(_typed, _axes, exact=_exact, is_view=True)}
