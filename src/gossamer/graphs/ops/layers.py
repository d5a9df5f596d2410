"""Layers that the compiler makes of several operators, in its own domain."""

from __future__ import annotations

from gossamer.graphs.axes import Axes, aligned, labels
from gossamer.graphs.dims import Size, divide, product
from gossamer.graphs.operation import Operation, known_shape, shape_of
from gossamer.graphs.operator import Operator
from gossamer.graphs.ops import conv, matmul


def _linear_axes(node: Operation, opset: int) -> Axes:
    """Rows by weights `[outputs, inputs]`; a bias, and what is added or multiplied."""
    shape = shape_of(node.input(0))
    out = labels(shape_of(node.output))
    inner = labels(shape[-1:])
    more = [aligned(known_shape(value), out) for value in node.inputs[2:]]
    return Axes(((*out[:-1], *inner), (out[-1], *inner), *more), (out,))


def _attention_axes(node: Operation, opset: int) -> Axes:
    """`[batch, places, heads * size]` of queries, keys and values; a mask of each head's scores."""
    shape, keys = shape_of(node.input(0)), shape_of(node.input(1))
    heads = node.attributes["heads"]
    batch, places, keyed, head, inner, outer = labels(
        [
            *(shape[0], shape[1], keys[1], heads, divide(shape[2], heads)),
            divide(shape_of(node.output)[2], heads),
        ]
    )
    scores = (batch, head, places, keyed)
    return Axes(
        (
            (batch, places, (*head, *inner)),
            (batch, keyed, (*head, *inner)),
            (batch, keyed, (*head, *outer)),
            *(aligned(known_shape(mask), scores) for mask in node.inputs[3:]),
        ),
        ((batch, places, (*head, *outer)),),
    )


def _attention_work(node: Operation) -> Size:
    return 2 * product(shape_of(node.output)) * shape_of(node.input(1))[1]


OPERATORS = {
    "gossamer.Linear": Operator(axes=_linear_axes, work=matmul.work),
    "gossamer.Convolution": Operator(axes=conv.axes, work=conv.work),
    "gossamer.Attention": Operator(axes=_attention_axes, work=_attention_work),
}
