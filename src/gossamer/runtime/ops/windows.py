"""Windows: what each tap of a window reads, an operator of our own (`taps.py`)."""

from __future__ import annotations

from gossamer.runtime.codegen.builder import I1, Term
from gossamer.runtime.expressions import movement
from gossamer.runtime.graph import Node
from gossamer.runtime.kernels.pointwise import Expression, Index, Writer
from gossamer.runtime.native import Attributes, Operands


def _element(w: Writer, expression: Expression, index: Index) -> Term:
    """`[batch, channel, *taps, *places]`: what each tap of a window reads at each place."""
    b = w.b
    operand = expression.operands[0]
    rank = len(operand.shape) - 2
    taps, places = index[2 : 2 + rank], index[2 + rank :]
    inside, source = b.number(I1, 1), []
    for axis, size in enumerate(w.extents(operand)[2:]):
        stride, dilation, before, hole = (
            expression.attribute(name)[axis] for name in ("strides", "dilations", "before", "holes")
        )
        place = places[axis] * stride + taps[axis] * dilation - before
        inside = inside & (place >= 0) & (place < size * hole)
        place = b.larger(b.smaller(place, size * hole - 1), 0)
        if hole > 1:
            inside = inside & (place % hole).compare("==", 0)
            place = place // hole
        source.append(place)
    value = w.element(operand, (*index[:2], *source))
    return b.select(inside, value, b.number(value.type, expression.attribute("fill")))


def _operands(node: Node) -> tuple[Operands, Attributes]:
    """What a pass made bears its attributes in plain form."""
    return [node.source(0)], tuple(sorted(node.attributes.items()))


NATIVE = {"gossamer.Windows": movement(_element, _operands)}
