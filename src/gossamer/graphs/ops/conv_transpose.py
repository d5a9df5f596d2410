"""ConvTranspose: transposed convolutions of any rank, in groups."""

from __future__ import annotations

from gossamer.graphs.axes import Axes, labels, labels_of
from gossamer.graphs.dims import Misfit, Size, UnknownSize, divide, product
from gossamer.graphs.inferred import Inferred
from gossamer.graphs.operation import Operation, dtype_of, fixed, shape_of
from gossamer.graphs.operator import Operator, Typed
from gossamer.graphs.windows import transposed_window


def _typed(node: Operation, inferred: Inferred) -> list[Typed]:
    shape, weight = shape_of(node.input(0)), fixed(shape_of(node.input(1)))
    group = node.attributes.get("group", 1)
    if len(shape) != len(weight) or group < 1 or weight[0] % group:
        raise UnknownSize("a convolution whose channels do not fit its groups")
    inferred.same(shape[1], weight[0])
    bias = node.input(2)
    if bias is not None and shape_of(bias) != (weight[1] * group,):
        raise UnknownSize("a convolution whose bias does not fit its outputs")
    _, _, _, out = transposed_window(node, fixed(shape[2:]), weight[2:])
    if min(out) < 1:
        raise Misfit("a window larger than what it slides over")
    return [(dtype_of(node.input(0)), (shape[0], weight[1] * group, *out))]


def _axes(node: Operation, opset: int) -> Axes:
    shape, weight = shape_of(node.input(0)), shape_of(node.input(1))
    groups = node.attributes.get("group", 1)
    group, each, made = labels([groups, divide(weight[0], groups), weight[1]])
    batch, *pixels = labels((shape[0], *shape[2:]))
    taps, out = labels(weight[2:]), labels(shape_of(node.output)[2:])
    given = [(batch, (*group, *each), *pixels), ((*group, *each), made, *taps)]
    bias = [((*group, *made),)] * (len(node.inputs) - 2)
    return Axes(
        (*given, *bias),
        ((batch, (*group, *made), *out),),
        opaque=labels_of((*pixels, *out, *taps)),
    )


def _work(node: Operation) -> Size:
    return product(shape_of(node.input(0))) * product(shape_of(node.input(1))[1:])


OPERATORS = {"ConvTranspose": Operator(_typed, _axes, work=_work)}
