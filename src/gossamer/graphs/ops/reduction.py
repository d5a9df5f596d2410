"""Reductions: sums, means, extremes and norms along axes."""

from __future__ import annotations

from gossamer.graphs.axes import Axes, labels
from gossamer.graphs.contents import objects
from gossamer.graphs.dims import product
from gossamer.graphs.inferred import Inferred
from gossamer.graphs.operation import Operation, axes_of, content_of, dtype_of, fixed, shape_of
from gossamer.graphs.operator import Content, Operator, Typed


def reduced_axes(node: Operation, rank: int) -> list[int]:
    """The axes that a reduction folds: those that it names, or all of them."""
    axes = axes_of(node, 1, rank)
    if axes or node.attributes.get("noop_with_empty_axes", 0):
        return axes or []
    return list(range(rank))


def keeps_axes(node: Operation) -> bool:
    """Whether a reduction keeps the axes that it folds; to ONNX Runtime only 1 means that."""
    return bool(node.attributes.get("keepdims", 1) == 1)


def _typed(node: Operation, inferred: Inferred) -> list[Typed]:
    shape = shape_of(node.input(0))
    axes = reduced_axes(node, len(shape))
    result = [1 if axis in axes else size for axis, size in enumerate(shape)]
    if not keeps_axes(node):
        result = [size for axis, size in enumerate(result) if axis not in axes]
    return [(dtype_of(node.input(0)), tuple(result))]


def _product(node: Operation, inferred: Inferred) -> Content:
    return objects([product(content_of(node.input(0)))]).reshape(fixed(shape_of(node.output)))


def _axes(node: Operation, opset: int) -> Axes:
    given = labels(shape_of(node.input(0)))
    gone = reduced_axes(node, len(given))
    kept = tuple(() if axis in gone else label for axis, label in enumerate(given))
    if not keeps_axes(node):
        kept = tuple(label for axis, label in enumerate(given) if axis not in gone)
    return Axes((given, *[None] * (len(node.inputs) - 1)), (kept,))


_NAMES = (
    *("ReduceMean", "ReduceSum", "ReduceMax", "ReduceMin", "ReduceL1", "ReduceL2"),
    *("ReduceSumSquare", "ReduceLogSum", "ReduceLogSumExp"),
)

OPERATORS = {
    **{name: Operator(_typed, _axes) for name in _NAMES},
    "ReduceProd": Operator(_typed, _axes, _product),
}
