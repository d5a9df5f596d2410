"""Operators on elements: arithmetic, comparisons, activations, casts."""

from __future__ import annotations

import numpy as np
from onnx import helper

from differential.builder import FLOATS, Graph, Refused, Value
from differential.numbers import POSITIVE, TAILS
from differential.registry import operators

F32, F64, F16 = FLOATS


def operand(g: Graph, op: str, position: int = 0) -> Value:
    return g.pick(g.types(op, position))


def positive(g: Graph, op: str) -> Value:
    """A value without negative elements, or nearly any where NaN may come of it."""
    kinds = [kind for kind in g.types(op) if kind.kind == "f"]
    if g.special and g.chance(0.5):
        return g.pick(kinds)
    if g.chance(0.4):
        return g.fresh(g.kind(kinds), style=POSITIVE)
    x = g.pick(kinds)
    if all((array >= (0 if op == "Sqrt" else 1e-2)).all() for array in x.arrays):
        return x
    return g.add("Abs" if g.chance(0.5) or x.dtype == F64 else "Sigmoid", x)


@operators("Relu Sigmoid Tanh Erf Neg Abs Sign Floor Ceil Exp Softplus Softsign HardSwish Mish")
@operators("Sin Cos Atan Sinh Cosh Asinh Identity")
def plain(g: Graph, op: str) -> None:
    g.add(
        op, operand(g, op), exact=op in ("Relu", "Neg", "Abs", "Sign", "Floor", "Ceil", "Identity")
    )


@operators("Gelu")
def gelu(g: Graph, op: str) -> None:
    x = g.fresh(F32, style=TAILS) if g.chance(0.3) else operand(g, op)
    y = g.add(op, x, approximate=g.choice((None, "none", "tanh")))
    largest = [np.abs(array[np.isfinite(array)]).max(initial=0) for array in y.arrays]
    if any(0 < most < 1e-2 for most in largest):
        # All of it lies where 1 + erf is a few last places; whether that is kept is a matter of
        # how it is written. Far below zero it is 0.
        raise Refused("a tail alone")


@operators("Round")
def round_(g: Graph, op: str) -> None:
    g.add(op, operand(g, op), exact=True)


@operators("Sqrt Log")
def of_positive(g: Graph, op: str) -> None:
    g.add(op, positive(g, op))


@operators("Reciprocal")
def reciprocal(g: Graph, op: str) -> None:
    x = g.pick(g.types(op), where=lambda v: g.special or _nonzero(v))
    g.add(op, x)


def _nonzero(value: Value) -> bool:
    return all(bool((np.abs(array) > 1e-2).all()) for array in value.arrays)


@operators("Tan")
def tan(g: Graph, op: str) -> None:
    g.add(op, g.pick(g.types(op), where=lambda v: _within(v, 1.4)))


@operators("Asin Acos Atanh")
def of_unit(g: Graph, op: str) -> None:
    kinds = g.types(op)
    if g.chance(0.3):
        g.add(op, g.pick(kinds, where=lambda v: g.special or _within(v, 0.99)))
        return
    x = g.pick(kinds)
    if not _within(x, 0.95):
        x = g.add("Mul", g.add("Tanh", x), g.constant(0.9, x.dtype))
    g.add(op, x)


@operators("Acosh")
def acosh(g: Graph, op: str) -> None:
    x = g.pick(g.types(op))
    if not all((array > 1.01).all() for array in x.arrays):
        x = g.add("Add", g.add("Abs", x), g.constant(1.1, x.dtype))
    g.add(op, x)


def _within(value: Value, bound: float) -> bool:
    return all(bool((np.abs(array) < bound).all()) for array in value.arrays)


@operators("LeakyRelu Elu Celu ThresholdedRelu")
def with_alpha(g: Graph, op: str) -> None:
    g.add(op, operand(g, op), alpha=g.choice((None, 0.2, 1.0, 2.5, 0.7)))


@operators("HardSigmoid")
def hard_sigmoid(g: Graph, op: str) -> None:
    alpha = g.choice((None, 1 / 6, 0.25, -0.3))
    g.add(op, operand(g, op), alpha=alpha, beta=g.choice((None, 0.5, 0.1, 0.6)))


@operators("Selu")
def selu(g: Graph, op: str) -> None:
    g.add(op, operand(g, op), alpha=g.choice((None, 1.1)), gamma=g.choice((None, 2.0)))


@operators("Shrink")
def shrink(g: Graph, op: str) -> None:
    g.add(op, operand(g, op), lambd=g.choice((None, 0.8)), bias=g.choice((None, 0.3)))


@operators("Swish")
def swish(g: Graph, op: str) -> None:
    g.add(op, operand(g, op), alpha=g.choice((None, 1.0, 1.702, 0.5)))


@operators("Add Sub Mul")
def arithmetic(g: Graph, op: str) -> None:
    x = operand(g, op)
    y = x if g.chance(0.06) else g.beside(x)
    pair = (x, y) if g.chance(0.6) else (y, x)
    g.add(op, *pair)


@operators("Div")
def divide(g: Graph, op: str) -> None:
    x = operand(g, op)
    y = g.beside(x)
    if g.chance(0.4):
        x, y = y, x
    if not (g.special and x.dtype.kind == "f") and not _nonzero(y):
        if x.dtype.kind == "f":
            y = g.add("Add", g.add("Abs", y), g.constant(0.5, y.dtype))
        else:
            y = g.constant(g.choice((1, 2, 3, -2 if y.dtype.kind == "i" else 5)), y.dtype)
    g.add(op, x, y)


@operators("Pow")
def power(g: Graph, op: str) -> None:
    kinds = g.types(op)
    x = g.pick(kinds)
    other = g.choice(g.types(op, 1)) if g.opset >= 12 and g.chance(0.25) else x.dtype
    if g.chance(0.6):
        exponents: list[float] = [2, 3, 1, 0] if x.dtype.kind != "f" else [2, 3, 1, 0.5, -1, 0, -2]
        number = g.choice(exponents)
        if np.dtype(other).kind != "f":
            number = abs(int(number))
        if number in (0.5, -1, -2) and not g.special:
            x = g.add("Add", g.add("Abs", x), g.constant(0.5, x.dtype))
        shape = [1] * g.choice((0, 0, 0, 1, x.rank))
        g.add(op, x, g.constant(np.full(shape, number), other))
        return
    if x.dtype.kind == "f":
        x = g.add("Add", g.add("Abs", x), g.constant(0.5, x.dtype))
    y = g.beside(x, other)
    if not all((np.abs(array) < 4).all() for array in y.arrays):
        raise Refused("an exponent that is too large")
    if np.dtype(other).kind == "i" and x.dtype.kind == "i":
        y = g.add("Abs", y)
    g.add(op, x, y)


@operators("Mod")
def remainder(g: Graph, op: str) -> None:
    x = operand(g, op)
    fmod = 1 if x.dtype.kind == "f" else g.choice((None, 0, 1))
    if x.dtype.kind == "f" and g.opset >= 28 and g.chance(0.5):
        fmod = g.choice((None, 0))
    y = g.beside(x)
    if not _nonzero(y):
        y = g.constant(g.choice((2, 3, 5)), x.dtype)
    g.add(op, x, y, fmod=fmod)


@operators("And Or Xor")
def logical(g: Graph, op: str) -> None:
    x = operand(g, op)
    g.add(op, x, g.beside(x), exact=True)


@operators("Not BitwiseNot")
def inverse(g: Graph, op: str) -> None:
    g.add(op, operand(g, op), exact=True)


@operators("BitwiseAnd BitwiseOr BitwiseXor")
def bitwise(g: Graph, op: str) -> None:
    x = operand(g, op)
    g.add(op, x, g.beside(x), exact=True)


@operators("Equal Greater GreaterOrEqual Less LessOrEqual")
def comparison(g: Graph, op: str) -> None:
    x = operand(g, op)
    y = g.beside(x)
    if g.chance(0.3):
        y = g.constant(g.choice((0, 1, 0.5)), x.dtype)
    g.add(op, *((x, y) if g.chance(0.6) else (y, x)), exact=True)


@operators("Max Min Sum Mean")
def several(g: Graph, op: str) -> None:
    x = operand(g, op)
    more = [g.beside(x) for _ in range(g.choice((0, 1, 1, 1, 2, 3)))]
    taken = [x, *more]
    g.rng.shuffle(taken)  # type: ignore[arg-type]
    g.add(op, *taken, exact=op in ("Max", "Min"))


@operators("IsNaN")
def is_nan(g: Graph, op: str) -> None:
    g.add(op, operand(g, op), exact=True)


@operators("IsInf")
def is_inf(g: Graph, op: str) -> None:
    positive, negative = g.choice((None, 0, 1)), g.choice((None, 0, 1))
    g.add(op, operand(g, op), detect_positive=positive, detect_negative=negative, exact=True)


@operators("Where")
def where(g: Graph, op: str) -> None:
    x = operand(g, op, 1)
    g.add(op, g.beside(x, np.bool_), *((x, g.beside(x)) if g.chance(0.5) else (g.beside(x), x)))


@operators("PRelu")
def prelu(g: Graph, op: str) -> None:
    x = g.pick(g.types(op), (1, 2, 3, 4))
    g.add(op, x, g.beside(x, spread=False))


@operators("Clip")
def clip(g: Graph, op: str) -> None:
    x = operand(g, op)
    low, high = bounds(g)
    if x.dtype.kind == "u":
        low, high = (None if bound is None else abs(bound) for bound in (low, high))
    if g.opset < 11:
        g.add(op, x, min=low, max=high, exact=True)
        return
    given = [None if bound is None else g.constant(bound, x.dtype) for bound in (low, high)]
    if g.chance(0.15):
        shape: list[int] = []
        given = [None if v is None else g.input(x.dtype, shape) for v in given]
    g.add(op, x, *given, exact=True)


def bounds(g: Graph) -> tuple[float | None, float | None]:
    """Of a Clip: one, both, in the wrong order, or none."""
    options = [(0.0, 6.0), (-1.0, 1.0), (0.0, None), (None, 1.0), (1.0, 0.0), (2.0, -1.0)]
    return g.choice([*options, (None, None), (0.0, 0.0)])


@operators("Cast")
def cast(g: Graph, op: str) -> None:
    x = operand(g, op)
    kinds = [kind for kind in g.types(op) if g.opset >= 9 or kind != F16]
    kind = g.kind(kinds)
    if x.dtype.kind == "f" and kind.kind in "iu":
        # What does not fit is not defined.
        low = 0 if kind.kind == "u" else -100
        if not all((np.isfinite(a) & (a >= low) & (a < 100)).all() for a in x.arrays):
            raise Refused("a cast of what does not fit")
    if x.dtype.kind == "i" and kind.kind == "u" and not all((a >= 0).all() for a in x.arrays):
        raise Refused("a cast of what does not fit")
    g.add(op, x, to=helper.np_dtype_to_tensor_dtype(kind), exact=kind != F16)


@operators("CastLike")
def cast_like(g: Graph, op: str) -> None:
    x = g.pick((F32, F64, np.dtype(np.int64), np.dtype(np.int32)))
    like = g.pick((F32, F64))
    g.add(op, x, like, exact=True)


@operators("Dropout")
def dropout(g: Graph, op: str) -> None:
    x = operand(g, op)
    outputs = g.choice((1, 1, 2))
    if g.opset < 12:
        # The mask is a float before operator set 10.
        g.node(op, [x], outputs, ratio=g.choice((None, 0.5, 0.0)), exact=True)
        return
    ratio = g.choice((None, None, g.constant(0.5, np.float32)))
    training = g.constant(False) if g.chance(0.2) else None
    if g.chance(0.1):
        # Training, but nothing is dropped.
        ratio, training = g.constant(0.0, np.float32), g.constant(True)
    g.node(op, [x, ratio, training], outputs, exact=True)
