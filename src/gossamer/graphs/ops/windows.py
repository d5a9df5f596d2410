"""Windows: what each tap of a window reads at each place, an operator of the compiler's own."""

from __future__ import annotations

from gossamer.graphs.axes import Axes, labels, labels_of
from gossamer.graphs.operation import Operation, shape_of
from gossamer.graphs.operator import Operator


def _axes(node: Operation, opset: int) -> Axes:
    batch, channels, *pixels = labels(shape_of(node.input(0)))
    read = labels(shape_of(node.output)[2:])
    return Axes(
        ((batch, channels, *pixels),),
        ((batch, channels, *read),),
        opaque=labels_of((*pixels, *read)),
    )


OPERATORS = {"gossamer.Windows": Operator(axes=_axes)}
