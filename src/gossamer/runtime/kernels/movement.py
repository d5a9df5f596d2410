"""Which element of its inputs each element of a data movement is, for `pointwise.py`.

A rule takes (writer, expression, index) and gives the element at that index.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, TypeAlias

from gossamer.runtime.codegen.builder import I1, I64, Term

if TYPE_CHECKING:
    from gossamer.runtime.kernels.pointwise import Expression, Index, Writer

Move: TypeAlias = "Callable[[Writer, Expression, Index], Term]"


def _transpose(w: Writer, expression: Expression, index: Index) -> Term:
    (operand,) = expression.operands
    source = list(index)
    for position, axis in enumerate(expression.attribute("perm")):
        source[axis] = index[position]
    return w.element(operand, tuple(source))


def _expand(w: Writer, expression: Expression, index: Index) -> Term:
    return w.broadcast(expression.operands[0], index)


def _insert_axes(w: Writer, expression: Expression, index: Index) -> Term:
    dropped = expression.attribute("axes")
    kept = tuple(term for axis, term in enumerate(index) if axis not in dropped)
    return w.element(expression.operands[0], kept)


def _remove_axes(w: Writer, expression: Expression, index: Index) -> Term:
    source = list(index)
    for axis in sorted(expression.attribute("axes")):
        source.insert(axis, w.b.i64(0))
    return w.element(expression.operands[0], tuple(source))


def _slice(w: Writer, expression: Expression, index: Index) -> Term:
    source = list(index)
    operand, *starts = expression.operands
    for (axis, step), start in zip(expression.attribute("cuts"), starts, strict=True):
        source[axis] = w.element(start, ()) + source[axis] * step
    return w.element(operand, tuple(source))


def _concat(w: Writer, expression: Expression, index: Index) -> Term:
    """The first operand whose part the index lies in; each is read at an index of its own."""
    b, axis = w.b, expression.attribute("axis")
    begin = b.i64(0)
    result: Term | None = None
    for operand in expression.operands:
        size = w.extents(operand)[axis]
        inside = b.smaller(b.larger(index[axis] - begin, 0), size - 1)
        value = w.element(operand, (*index[:axis], inside, *index[axis + 1 :]))
        result = value if result is None else b.select(index[axis] >= begin, value, result)
        begin = begin + size
    assert result is not None
    return result


def _gather(w: Writer, expression: Expression, index: Index) -> Term:
    operand, indices = expression.operands
    axis, depth = expression.attribute("axis"), len(indices.shape)
    position = w.b.cast(w.element(indices, index[axis : axis + depth]), I64)
    if not expression.attribute("proved"):
        position = w.checked(position, w.extents(operand)[axis])
    return w.element(operand, (*index[:axis], position, *index[axis + depth :]))


def _gather_elements(w: Writer, expression: Expression, index: Index) -> Term:
    operand, indices = expression.operands
    axis = expression.attribute("axis")
    position = w.checked(w.element(indices, index), w.extents(operand)[axis])
    return w.element(operand, (*index[:axis], position, *index[axis + 1 :]))


def _gather_nd(w: Writer, expression: Expression, index: Index) -> Term:
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


def _range(w: Writer, expression: Expression, index: Index) -> Term:
    start, step = (w.element(operand, ()) for operand in expression.operands)
    return start + w.b.cast(index[0], start.type) * step


def _repeat(w: Writer, expression: Expression, index: Index) -> Term:
    (operand,) = expression.operands
    sizes = w.extents(operand)
    return w.element(operand, tuple(t % size for t, size in zip(index, sizes, strict=True)))


def _only(w: Writer, expression: Expression) -> Term:
    """The element of what has one, of whatever rank."""
    return w.element(expression, tuple(w.b.i64(0) for _ in expression.shape))


def _pad(w: Writer, expression: Expression, index: Index) -> Term:
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
    return b.select(inside, value, _only(w, fill)) if mode == "constant" else value


def _triangle(w: Writer, expression: Expression, index: Index) -> Term:
    """What lies on one side of a diagonal, that included; 0 on the other."""
    b = w.b
    operand, diagonal = expression.operands
    distance = index[-1] - index[-2] - b.cast(_only(w, diagonal), I64)
    kept = distance >= 0 if expression.attribute("upper", 1) else distance <= 0
    value = w.element(operand, index)
    return b.select(kept, value, b.number(value.type, 0))


def _windows(w: Writer, expression: Expression, index: Index) -> Term:
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


def _sizes(w: Writer, expression: Expression, index: Index) -> Term:
    """A small integer tensor that depends on shapes only, one operand an element."""
    place = w.b.i64(0)
    for size, term in zip(w.extents(expression), index, strict=True):
        place = place * size + term
    first, *rest = (w.element(operand, ()) for operand in expression.operands)
    result = first
    for position, term in enumerate(rest, start=1):
        result = w.b.select(place.compare("==", position), term, result)
    return result


MOVEMENT: dict[str, Move] = {
    "Transpose": _transpose,
    "Expand": _expand,
    "Unsqueeze": _insert_axes,
    "Squeeze": _remove_axes,
    "Slice": _slice,
    "Concat": _concat,
    "Gather": _gather,
    "GatherElements": _gather_elements,
    "GatherND": _gather_nd,
    "Tile": _repeat,
    "Pad": _pad,
    "Trilu": _triangle,
    "Windows": _windows,
    "Range": _range,
    "Sizes": _sizes,
}
