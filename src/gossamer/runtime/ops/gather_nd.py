"""GatherND: parts of a table at places of several axes."""

from __future__ import annotations

from gossamer.graphs.dims import UnknownSize
from gossamer.graphs.operation import shape_of
from gossamer.runtime.codegen.builder import Term
from gossamer.runtime.expressions import are_indexed, movement, values
from gossamer.runtime.graph import Node
from gossamer.runtime.kernels.pointwise import Expression, Index, Writer
from gossamer.runtime.native import Attributes, Operands


def _element(w: Writer, expression: Expression, index: Index) -> Term:
    operand, indices = expression.operands
    batch, depth = expression.attribute("batch"), indices.shape[-1]
    assert isinstance(depth, int)
    sizes = w.extents(operand)
    which = index[: len(indices.shape) - 1]
    positions = [
        w.checked(w.element(indices, (*which, w.b.i64(part))), sizes[batch + part])
        for part in range(depth)
    ]
    rest = index[len(indices.shape) - 1 :]
    return w.element(operand, (*index[:batch], *positions, *rest))


def _operands(node: Node) -> tuple[Operands, Attributes]:
    batch = node.attributes.get("batch_dims", 0)
    if shape_of(node.source(0))[:batch] != shape_of(node.source(1))[:batch]:
        raise UnknownSize("no lowering for GatherND whose batch axes differ")
    return values(node.inputs), (("batch", batch),)


NATIVE = {"GatherND": movement(_element, _operands, fits=are_indexed)}
