"""MaxPool, AveragePool: the largest or the mean of each window."""

from __future__ import annotations

from gossamer.graphs.axes import Axes, labels, labels_of
from gossamer.graphs.dims import UnknownSize
from gossamer.graphs.inferred import Inferred
from gossamer.graphs.operation import Operation, dtype_of, shape_of
from gossamer.graphs.operator import Operator, Typed
from gossamer.graphs.windows import window, windowed


def _typed(node: Operation, inferred: Inferred) -> list[Typed]:
    shape = shape_of(node.input(0))
    kernel = list(node.attributes["kernel_shape"])
    if len(kernel) != len(shape) - 2:
        raise UnknownSize("a pooling whose ranks differ")
    before, after, _, dilation = window(node, shape[2:], kernel)
    if any(pad >= size for pad, size in zip(before + after, kernel + kernel, strict=True)):
        raise UnknownSize("a pooling with padding as large as its window")
    for length, less, more, gap in zip(shape[2:], before, after, dilation, strict=True):
        # All taps may lie beside a shorter axis: the largest, or the mean, of nothing.
        if less or more:
            inferred.at_least(length, gap)
    return [(dtype_of(node.input(0)), (*shape[:2], *windowed(node, shape[2:], kernel)))]


def axes(node: Operation, opset: int) -> Axes:
    """The axes of what windows slide over, and of what is made of each."""
    batch, channels, *pixels = labels(shape_of(node.input(0)))
    out = labels(shape_of(node.output)[2:])
    # Where the largest lies is counted through all of the input.
    return Axes(
        ((batch, channels, *pixels),),
        ((batch, channels, *out), *[None] * (len(node.outputs) - 1)),
        opaque=labels_of((*pixels, *out)),
    )


OPERATORS = {name: Operator(_typed, axes) for name in ("MaxPool", "AveragePool")}
