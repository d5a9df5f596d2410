"""Shapes of normalisations, whose scale and shift must fit: rules like those of `shapes.py`."""

from __future__ import annotations

from gossamer.graphs.dims import Misfit, Size, divide
from gossamer.runtime.graph import Node, Shape, Value
from gossamer.runtime.shapes import Inferred, Rule, Typed, dtype_of, shape_of


def _by_channel(node: Node, inferred: Inferred) -> list[Typed]:
    """The first input's, where the others may have an element a channel."""
    shape = shape_of(node.input(0))
    groups = node.attributes.get("num_groups")
    for channels in shape[1:2]:
        if groups is not None and isinstance(channels, int):
            divide(channels, groups)
        for value in node.inputs[1:]:
            for size in _vector(value):
                # Or one a group, before operator set 21.
                if size != groups:
                    _must_fit(size, channels)
    return [(dtype_of(node.input(0)), shape)]


def _by_row(node: Node, inferred: Inferred) -> list[Typed]:
    """The first input's, where the others may broadcast to its last axes."""
    shape = shape_of(node.input(0))
    for value in node.inputs[1:]:
        for size, whole in zip(reversed(_sizes_known(value)), reversed(shape), strict=False):
            if size != 1:
                _must_fit(size, whole)
    return [(dtype_of(node.input(0)), shape)]


def _sizes_known(value: Value | None) -> Shape:
    return () if value is None or value.shape is None else value.shape


def _vector(value: Value | None) -> Shape:
    """The size of what has one axis; nothing for what has others."""
    shape = _sizes_known(value)
    return shape if len(shape) == 1 else ()


def _must_fit(left: Size, right: Size) -> None:
    """Refuse two numbers that differ."""
    if isinstance(left, int) and isinstance(right, int) and left != right:
        raise Misfit(f"sizes {left} and {right} differ")


NORM_SHAPES: dict[str, Rule] = {
    "BatchNormalization": _by_channel,
    "GroupNormalization": _by_channel,
    "InstanceNormalization": _by_channel,
    "LayerNormalization": _by_row,
    "RMSNormalization": _by_row,
}
