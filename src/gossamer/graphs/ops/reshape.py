"""Reshape, Flatten, Squeeze, Unsqueeze: the same elements under another shape."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

from gossamer.graphs import contents, exact
from gossamer.graphs.axes import Axes, regrouped
from gossamer.graphs.dims import Dim, Size, UnknownSize, divide, product
from gossamer.graphs.inferred import Inferred
from gossamer.graphs.operation import Operation, axes_of, content_of, dtype_of, numbers_of, shape_of
from gossamer.graphs.operator import Operator, Typed


def _reshape(node: Operation, inferred: Inferred) -> list[Typed]:
    shape = shape_of(node.input(0))
    wanted = content_of(node.input(1)) if node.input(1) else list(node.attributes["shape"])
    sizes: list[Size] = []
    for axis, size in enumerate(wanted):
        if size == 0 and not node.attributes.get("allowzero", 0):
            if axis >= len(shape):
                raise UnknownSize("a reshape copies a size that is not there")
            size = shape[axis]
        sizes.append(size)
    if -1 in sizes:
        known = product(size for size in sizes if size != -1)
        sizes[sizes.index(-1)] = divide(product(shape), known)
    if -1 in sizes:
        raise UnknownSize(f"{shape} cannot become {sizes}")
    inferred.same(product(shape), product(sizes))
    return [(dtype_of(node.input(0)), tuple(sizes))]


def _flatten(node: Operation, inferred: Inferred) -> list[Typed]:
    shape = shape_of(node.input(0))
    axis = node.attributes.get("axis", 1)
    if not -len(shape) <= axis <= len(shape):
        raise UnknownSize("a flatten names an axis that is not there")
    axis = axis % len(shape) if axis < 0 else axis
    return [(dtype_of(node.input(0)), (product(shape[:axis]), product(shape[axis:])))]


def _squeeze(node: Operation, inferred: Inferred) -> list[Typed]:
    shape = shape_of(node.input(0))
    axes = squeezed_axes(node)
    for axis in axes:
        inferred.same(shape[axis], 1)
    kept = tuple(size for axis, size in enumerate(shape) if axis not in axes)
    return [(dtype_of(node.input(0)), kept)]


def squeezed_axes(node: Operation) -> list[int]:
    """The axes that a Squeeze removes: those that it names, or all of size 1."""
    shape = shape_of(node.input(0))
    axes = axes_of(node, 1, len(shape))
    if axes:
        return axes
    if any(isinstance(size, Dim) for size in shape):
        raise UnknownSize("which axes are squeezed depends on the input")
    return [axis for axis, size in enumerate(shape) if size == 1]


def _unsqueeze(node: Operation, inferred: Inferred) -> list[Typed]:
    shape = list(shape_of(node.input(0)))
    count = len(numbers_of(node.input(1))) if node.input(1) else len(node.attributes["axes"])
    axes = axes_of(node, 1, len(shape) + count) or []
    for axis in sorted(axes):
        shape.insert(axis, 1)
    return [(dtype_of(node.input(0)), tuple(shape))]


def _axes(node: Operation, opset: int) -> Axes:
    found = regrouped(shape_of(node.input(0)), shape_of(node.output))
    return replace(found, inputs=(*found.inputs, *[None] * (len(node.inputs) - 1)))


def _operator(typed: Callable[[Operation, Inferred], list[Typed]]) -> Operator:
    return Operator(typed, _axes, contents.reshaped, exact.reshaped, is_view=True)


OPERATORS = {
    "Reshape": _operator(_reshape),
    "Flatten": _operator(_flatten),
    "Squeeze": _operator(_squeeze),
    "Unsqueeze": _operator(_unsqueeze),
}
