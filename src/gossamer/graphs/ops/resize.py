"""Resize, Upsample: sizes and factors, as ONNX Runtime computes them, in float32.

0.7 in 32 bits times 10 is 7; in 64 bits it is a little less, and would be rounded down to 6.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from gossamer.graphs.axes import Axes, labels, labels_of
from gossamer.graphs.dims import Size, UnknownSize
from gossamer.graphs.inferred import Inferred
from gossamer.graphs.operation import Operand, Operation, content_of, dtype_of, fixed, shape_of
from gossamer.graphs.operator import Operator, Typed


def resized(node: Operation) -> tuple[list[Size], list[np.float32 | None]]:
    """The sizes that a Resize or Upsample gives, and its factor along each axis.

    A factor is None where it depends on the input.

    Raises:
        UnknownSize: where only a run knows the sizes.
    """
    shape = list(shape_of(node.source(0)))
    axes = [axis % len(shape) for axis in node.attributes.get("axes", range(len(shape)))]
    new = list(shape)
    found: list[np.float32 | None] = [np.float32(1) for _ in shape]
    sizes = node.input(3)
    if sizes is None:
        for axis, factor in zip(axes, _given_factors(node), strict=True):
            found[axis] = factor
            if factor != 1:
                (old,) = fixed([shape[axis]])
                new[axis] = int(np.float32(old) * factor)
        return new, found
    for axis, size in zip(axes, content_of(sizes), strict=True):
        new[axis], found[axis] = size, _ratio(shape[axis], size)
    policy = node.attributes.get("keep_aspect_ratio_policy", "stretch")
    if policy != "stretch":
        ratios = [ratio for axis in axes if (ratio := found[axis]) is not None]
        if len(ratios) < len(axes):
            raise UnknownSize("a ratio of sizes depends on the input")
        ratio = min(ratios) if policy == "not_larger" else max(ratios)
        for axis, size in zip(axes, fixed([shape[axis] for axis in axes]), strict=True):
            # Rounded to the nearest, halves up; exact in 64 bits.
            new[axis] = math.floor(float(np.float32(size) * ratio) + 0.5)
            found[axis] = ratio
    return new, found


def _ratio(old: Size, new: Size) -> np.float32 | None:
    if old == new:
        return np.float32(1)
    if not isinstance(old, int) or not isinstance(new, int):
        return None
    if old < 1:
        raise UnknownSize("nothing cannot be resized")
    return np.float32(new) / np.float32(old)


def _given_factors(node: Operation) -> Sequence[np.float32]:
    if "scales" in node.attributes:
        return [np.float32(factor) for factor in node.attributes["scales"]]
    scales: Operand | None = node.input(1 if is_old(node) else 2)
    if scales is None or scales.data is None:
        raise UnknownSize("a size is scaled by what is known only when the model runs")
    return [np.float32(factor) for factor in scales.data]


def is_old(node: Operation) -> bool:
    """Whether a node is an Upsample, or a Resize of operator set 10, which had two inputs and knew
    neither coordinates but asymmetric ones nor ways to round."""
    return node.op == "Upsample" or len(node.inputs) == 2


def _typed(node: Operation, inferred: Inferred) -> list[Typed]:
    return [(dtype_of(node.input(0)), tuple(resized(node)[0]))]


def _axes(node: Operation, opset: int) -> Axes:
    given = labels(shape_of(node.input(0)))
    sizes, factors = resized(node)
    # A part that is cut out decides of every axis.
    crops = node.attributes.get("coordinate_transformation_mode") == "tf_crop_and_resize"
    out = tuple(
        axis if factor == 1 and not crops else labels([size])[0]
        for axis, size, factor in zip(given, sizes, factors, strict=True)
    )
    changed = [axes for axes in zip(given, out, strict=True) if axes[0] is not axes[1]]
    opaque = labels_of(axis for axes in changed for axis in axes)
    return Axes((given, *[None] * (len(node.inputs) - 1)), (out,), opaque=opaque)


OPERATORS = {name: Operator(_typed, _axes) for name in ("Resize", "Upsample")}
