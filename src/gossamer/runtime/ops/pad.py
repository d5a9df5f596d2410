"""Pad: more elements at either end of an axis, or fewer."""

from __future__ import annotations

import numpy as np

from gossamer.graphs.dims import UnknownSize
from gossamer.graphs.operation import shape_of
from gossamer.graphs.ops.pad import pads_of
from gossamer.runtime.codegen.builder import I1, Term
from gossamer.runtime.expressions import movement
from gossamer.runtime.graph import Node, constant
from gossamer.runtime.kernels.pointwise import Expression, Index, Writer
from gossamer.runtime.native import Attributes, Operands


def _element(w: Writer, expression: Expression, index: Index) -> Term:
    """The element before which `before` others were put, or what the mode puts there."""
    b, mode = w.b, expression.attribute("mode")
    operand, fill, *before = expression.operands
    inside, source = b.number(I1, 1), []
    for term, size, skipped in zip(index, w.extents(operand), before, strict=True):
        place = term - w.element(skipped, ())
        if mode == "wrap":
            # Made positive, as remainders are unsigned.
            place = (place + size * b.larger(w.element(skipped, ()), 0)) % size
        elif mode == "reflect":
            period = b.larger((size - 1) * 2, 1)
            place = (place + period * b.larger(w.element(skipped, ()), 0)) % period
            place = b.smaller(place, period - place)
        else:
            inside = inside & (place >= 0) & (place < size)
        source.append(b.larger(b.smaller(place, size - 1), 0))
    value = w.element(operand, tuple(source))
    return b.select(inside, value, w.only(fill)) if mode == "constant" else value


def _operands(node: Node) -> tuple[Operands, Attributes]:
    x = node.source(0)
    before, after = pads_of(node)
    mode = node.attributes.get("mode", "constant")
    if mode not in ("constant", "edge", "reflect", "wrap"):
        raise UnknownSize(f"no lowering for Pad of mode {mode}")
    # Comparisons raise where an open size decides.
    if mode in ("reflect", "wrap") and any(size < 0 for size in (*before, *after)):
        raise UnknownSize(f"no lowering for Pad of mode {mode} that takes away")
    if not all(size > 0 for size in shape_of(x)):
        raise UnknownSize("no lowering for Pad of what is empty")
    given = node.input(2)
    fill = given or constant("", np.asarray(node.attributes.get("value", 0), x.dtype))
    if any(size != 1 for size in shape_of(fill)):
        raise UnknownSize("a pad with several elements")
    return [x, fill, *before], (("mode", mode),)


NATIVE = {"Pad": movement(_element, _operands)}
