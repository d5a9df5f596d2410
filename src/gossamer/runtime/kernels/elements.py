"""What an element of each operator's output is, for the kernels of `pointwise.py`."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, TypeAlias

from llvmlite import ir

from gossamer.runtime.codegen import math as functions
from gossamer.runtime.codegen.builder import F32, I1, Builder, Term

if TYPE_CHECKING:
    from gossamer.runtime.kernels.pointwise import Expression, Index, Writer

Compute: TypeAlias = "Callable[..., Term]"
Move: TypeAlias = "Callable[[Writer, Expression, Index], Term]"


# Elementwise: (builder, expression, type of the result, operands ...) -> element


def _binary(operate: Callable[[Term, Term], Term]) -> Compute:
    return lambda b, expression, kind, x, y: operate(x, y)


def _unary(function: Callable[[Builder, Term], Term]) -> Compute:
    return lambda b, expression, kind, x: function(b, x)


def _compare(sign: str) -> Compute:
    return lambda b, expression, kind, x, y: x.compare(sign, y)


def _intrinsic(name: str) -> Compute:
    return lambda b, expression, kind, x: b.intrinsic(name, x)


def _cast(b: Builder, expression: Expression, kind: Any, x: Term) -> Term:
    if kind == I1:
        return x.compare("!=", 0) if x.type != I1 else x
    if x.is_float and not isinstance(kind, (ir.FloatType, ir.DoubleType)):
        source = "f32" if x.type == F32 else "f64"
        return b.call(f"llvm.fptosi.sat.i{kind.width}.{source}", kind, x)
    return b.cast(x, kind)


def _where(b: Builder, expression: Expression, kind: Any, test: Term, x: Term, y: Term) -> Term:
    return b.select(test, x, y)


def _largest(b: Builder, expression: Expression, kind: Any, *terms: Term) -> Term:
    value = terms[0]
    for term in terms[1:]:
        value = _ordered(b, value, term, value > term)
    return value


def _smallest(b: Builder, expression: Expression, kind: Any, *terms: Term) -> Term:
    value = terms[0]
    for term in terms[1:]:
        value = _ordered(b, value, term, value < term)
    return value


def _ordered(b: Builder, x: Term, y: Term, first: Term) -> Term:
    """`x` where it comes first, else `y`; NaN where either is NaN."""
    chosen = b.select(first, x, y)
    return b.select(x.compare("!=", x), x, chosen) if x.is_float else chosen


def _power(b: Builder, expression: Expression, kind: Any, x: Term, y: Term) -> Term:
    exponent = expression.attribute("exponent")
    if exponent == 2:
        return x * x
    if exponent == 3:
        return x * x * x
    if exponent == 0.5:
        return b.intrinsic("sqrt", x)
    return b.intrinsic("pow", x, b.cast(y, kind))


def _clip(b: Builder, expression: Expression, kind: Any, x: Term, *bounds: Term) -> Term:
    low, high = expression.attribute("low"), expression.attribute("high")
    if low is not None:
        x = b.select(x < low, b.number(kind, low), x)
    if high is not None:
        x = b.select(x > high, b.number(kind, high), x)
    return x


def _gelu(b: Builder, expression: Expression, kind: Any, x: Term) -> Term:
    exact = expression.attribute("approximate", "none") == "none"
    return functions.gelu(b, x) if exact else functions.gelu_tanh(b, x)


def _leaky(b: Builder, expression: Expression, kind: Any, x: Term) -> Term:
    return b.select(x < 0, x * expression.attribute("alpha", 0.01), x)


def _hard_sigmoid(b: Builder, expression: Expression, kind: Any, x: Term) -> Term:
    alpha, beta = expression.attribute("alpha", 0.2), expression.attribute("beta", 0.5)
    value = x * alpha + beta
    value = b.select(value < 0, b.number(kind, 0), value)
    return b.select(value > 1, b.number(kind, 1), value)


def _hard_swish(b: Builder, expression: Expression, kind: Any, x: Term) -> Term:
    gate = x * (1 / 6) + 0.5
    gate = b.select(gate < 0, b.number(kind, 0), gate)
    return x * b.select(gate > 1, b.number(kind, 1), gate)


def _constant(b: Builder, expression: Expression, kind: Any) -> Term:
    return b.number(kind, expression.attribute("value"))


ELEMENTWISE: dict[str, Compute] = {
    "Constant": _constant,
    "Add": _binary(lambda x, y: x + y),
    "Sub": _binary(lambda x, y: x - y),
    "Mul": _binary(lambda x, y: x * y),
    "Div": _binary(lambda x, y: x / y),
    "Pow": _power,
    "Max": _largest,
    "Min": _smallest,
    "And": _binary(lambda x, y: x & y),
    "Or": _binary(lambda x, y: x | y),
    "Xor": _binary(lambda x, y: x ^ y),
    "Not": lambda b, expression, kind, x: x ^ 1,
    "Equal": _compare("=="),
    "Greater": _compare(">"),
    "GreaterOrEqual": _compare(">="),
    "Less": _compare("<"),
    "LessOrEqual": _compare("<="),
    "IsNaN": lambda b, expression, kind, x: x.compare("!=", x),
    "Where": _where,
    "Cast": _cast,
    "Clip": _clip,
    "Identity": lambda b, expression, kind, x: x,
    "Neg": lambda b, expression, kind, x: -x,
    "Abs": lambda b, expression, kind, x: (
        b.intrinsic("fabs", x) if x.is_float else b.select(x < 0, -x, x)
    ),
    "Sqrt": _intrinsic("sqrt"),
    "Floor": _intrinsic("floor"),
    "Ceil": _intrinsic("ceil"),
    "Round": _intrinsic("rint"),
    "Log": _intrinsic("log"),
    "Sin": _intrinsic("sin"),
    "Cos": _intrinsic("cos"),
    "Reciprocal": lambda b, expression, kind, x: 1 / x,
    "Relu": _unary(functions.relu),
    "Sigmoid": _unary(functions.sigmoid),
    "Tanh": _unary(functions.tanh),
    "Erf": _unary(functions.erf),
    "Exp": _unary(functions.exp),
    "Gelu": _gelu,
    "LeakyRelu": _leaky,
    "HardSigmoid": _hard_sigmoid,
    "HardSwish": _hard_swish,
}

FLOAT32_ONLY = {"Sigmoid", "Tanh", "Erf", "Exp", "Gelu"}
"""Operators whose polynomials are made for 32-bit floats."""

FLOAT_ONLY = {
    *FLOAT32_ONLY,
    *("Pow", "Sqrt", "Floor", "Ceil", "Round", "Log", "Sin", "Cos", "Reciprocal"),
    *("Relu", "LeakyRelu", "HardSigmoid", "HardSwish", "Clip", "IsNaN"),
}
"""Operators that run natively on floats only; on integers they are rare."""


# Movement: (writer, expression, index) -> element


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
    position = w.element(indices, index[axis : axis + depth])
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
    "Range": _range,
    "Sizes": _sizes,
}
