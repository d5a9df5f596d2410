"""Conv: convolutions of any rank, in groups."""

from __future__ import annotations

from gossamer.graphs.axes import Axes, aligned, labels, labels_of
from gossamer.graphs.dims import Size, UnknownSize, divide, product
from gossamer.graphs.inferred import Inferred
from gossamer.graphs.operation import Operation, dtype_of, fixed, known_shape, shape_of
from gossamer.graphs.operator import Operator, Typed
from gossamer.graphs.windows import windowed


def _typed(node: Operation, inferred: Inferred) -> list[Typed]:
    shape, weight = shape_of(node.input(0)), shape_of(node.input(1))
    kernel = [size for size in weight[2:] if isinstance(size, int)]
    if len(shape) != len(weight) or len(kernel) != len(shape) - 2:
        raise UnknownSize("a convolution whose ranks differ")
    group = node.attributes.get("group", 1)
    rows, each = fixed(weight[:2])
    if not rows or not each:
        raise UnknownSize("a convolution without weights")
    if group < 1 or rows % group:
        raise UnknownSize("a convolution whose channels do not fit its groups")
    inferred.same(shape[1], each * group)
    bias = node.input(2)
    if bias is not None and shape_of(bias) != (rows,):
        raise UnknownSize("a convolution whose bias does not fit its outputs")
    sizes = windowed(node, shape[2:], kernel)
    return [(dtype_of(node.input(0)), (shape[0], weight[0], *sizes))]


def axes(node: Operation, opset: int) -> Axes:
    """By group; a window of one pixel that goes from pixel to pixel keeps them.

    A layer that the compiler makes may take images beside the bias, which broadcast to the output.
    """
    shape, weight = shape_of(node.input(0)), shape_of(node.input(1))
    groups = node.attributes.get("group", 1)
    group, each, made = labels([groups, weight[1], divide(weight[0], groups)])
    batch, *_ = labels(shape[:1])
    taps, out = labels(weight[2:]), labels(shape_of(node.output)[2:])
    sizes = zip(shape[2:], shape_of(node.output)[2:], weight[2:], out, strict=True)
    read = tuple(
        axis if kernel == 1 and before == after else labels([before])[0]
        for before, after, kernel, axis in sizes
    )
    given = [(batch, (*group, *each), *read), ((*group, *made), each, *taps)]
    bias = [((*group, *made),)] * len(node.inputs[2:3])
    whole = (batch, (*group, *made), *out)
    more = [aligned(known_shape(value), whole) for value in node.inputs[3:]]
    kept = {label for axis in read if axis in out for label in axis}
    return Axes(
        (*given, *bias, *more),
        (whole,),
        opaque=labels_of((*read, *out, *taps)) - kept,
    )


def work(node: Operation) -> Size:
    """Multiply-adds."""
    return product(shape_of(node.output)) * product(shape_of(node.input(1))[1:])


OPERATORS = {"Conv": Operator(_typed, axes, work=work)}
