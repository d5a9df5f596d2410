"""MatMul: products of matrices, or of batches of them."""

from __future__ import annotations

from gossamer.graphs.axes import Axes, aligned, labels
from gossamer.graphs.dims import Size, UnknownSize, product
from gossamer.graphs.inferred import Inferred, broadcast
from gossamer.graphs.operation import Operation, dtype_of, shape_of
from gossamer.graphs.operator import Operator, Typed


def _typed(node: Operation, inferred: Inferred) -> list[Typed]:
    left, right = shape_of(node.input(0)), shape_of(node.input(1))
    rows, columns = left[-2:-1], right[-1:] if len(right) > 1 else ()
    if not left or not right:
        raise UnknownSize("a product of what is no matrix")
    inferred.same(left[-1], right[-2:][0])
    batch = broadcast(inferred, left[:-2], right[:-2]) if len(left) > 2 or len(right) > 2 else ()
    return [(dtype_of(node.input(0)), (*batch, *rows, *columns))]


def _axes(node: Operation, opset: int) -> Axes:
    left, right = shape_of(node.input(0)), shape_of(node.input(1))
    inner = labels(left[-1:])
    out = labels(shape_of(node.output))
    rows, columns = len(left) > 1, len(right) > 1
    batch = out[: len(out) - rows - columns]
    ends = out[len(batch) :]
    return Axes(
        (
            (*(aligned(left[:-2], batch) or ()), *ends[:rows], *inner),
            (*(aligned(right[:-2], batch) or ()), *inner, *ends[rows:]),
        ),
        (out,),
    )


def work(node: Operation) -> Size:
    """Multiply-adds."""
    return product(shape_of(node.output)) * shape_of(node.input(0))[-1]


OPERATORS = {"MatMul": Operator(_typed, _axes, work=work)}
