"""Reductions, softmax and normalisations."""

from __future__ import annotations

import numpy as np

from differential.builder import FLOATS, Graph, Refused, Value
from differential.numbers import POSITIVE
from differential.registry import operators, version

F32 = FLOATS[0]


def axes_as(
    g: Graph, op: str, since: int, axes: list[int] | None
) -> tuple[Value | None, list[int] | None]:
    """Axes as an input or an attribute, as the operator set has them."""
    if axes is None:
        return None, None
    if g.opset >= since:
        return g.constant(np.array(axes, np.int64)), None
    return None, axes


@operators("ReduceSum ReduceMean ReduceMax ReduceMin ReduceProd ReduceL1 ReduceL2")
@operators("ReduceSumSquare ReduceLogSum ReduceLogSumExp")
def reduction(g: Graph, op: str) -> None:
    x = g.pick(g.types(op), (1, 2, 3, 4))
    if op == "ReduceLogSum" and x.dtype.kind == "f":
        x = g.add("Add", g.add("Abs", x), g.constant(0.5, x.dtype))
    axes: list[int] | None = [a for a in range(x.rank) if g.chance(0.4)]
    if g.chance(0.3):
        axes = [a - x.rank for a in axes or []]
        if g.opset < 11:
            raise Refused("negative axes")
    if not axes and g.chance(0.6):
        axes = None
    since = 13 if op == "ReduceSum" else 18
    given, named = axes_as(g, op, since, axes)
    noop = g.choice((None, None, 0, 1)) if g.opset >= since else None
    keep = g.choice((None, 0, 1))
    exact = op in ("ReduceMax", "ReduceMin")
    g.add(op, x, given, axes=named, keepdims=keep, noop_with_empty_axes=noop, exact=exact)


@operators("ArgMax ArgMin")
def place(g: Graph, op: str) -> None:
    x = g.pick(g.types(op), (1, 2, 3, 4))
    low = -x.rank if g.opset >= 11 else 0
    axis = g.choice((None, g.number(low, x.rank - 1)))
    last = g.choice((None, None, 0)) if g.opset >= 12 else None
    g.add(op, x, axis=axis, keepdims=g.choice((None, 0, 1)), select_last_index=last, exact=True)


@operators("Softmax LogSoftmax Hardmax")
def soft(g: Graph, op: str) -> None:
    x = g.pick(g.types(op), (1, 2, 3, 4))
    if op == "Hardmax" and not x.ordered:
        raise Refused("the largest of what holds NaN")
    low = -x.rank if g.opset >= 11 else 0
    g.add(op, x, axis=g.choice((None, g.number(low, x.rank - 1))) if x.rank > 1 else 0)


def channelled(g: Graph, op: str, ranks: tuple[int, ...]) -> Value:
    """A float whose second axis is fixed."""
    return g.pick(g.types(op), ranks, where=lambda v: v.size(1) is not None)


def vector(g: Graph, size: int, dtype: np.dtype[np.generic], positive: bool = False) -> Value:
    if g.chance(0.08):
        return g.input(dtype, [size], style=POSITIVE if positive else None)
    return g.random(dtype, [size], POSITIVE if positive else None)


@operators("BatchNormalization", weight=1.5)
def batch_norm(g: Graph, op: str) -> None:
    x = channelled(g, op, (2, 3, 4, 5))
    batch_norm_of(g, x, training=g.chance(0.15))


def batch_norm_of(g: Graph, x: Value, training: bool = False) -> Value:
    size = x.size(1) if x.rank > 1 else 1
    if size is None:
        raise Refused("open channels")
    numbers = [vector(g, size, x.dtype, positive=i in (0, 3)) for i in range(4)]
    epsilon = g.choice((None, 1e-3, 0.1))
    if training and g.opset >= 14:
        outputs: list[bool] = [True] if g.chance(0.6) else [True, True, True]
        made = g.node(
            "BatchNormalization",
            [x, *numbers],
            outputs,
            epsilon=epsilon,
            training_mode=1,
            momentum=g.choice((None, 0.5)),
        )
        return made[0]
    mode = g.choice((None, 0)) if g.opset >= 14 else None
    return g.add("BatchNormalization", x, *numbers, epsilon=epsilon, training_mode=mode)


@operators("InstanceNormalization")
def instance_norm(g: Graph, op: str) -> None:
    x = channelled(g, op, (3, 4))
    size = x.shape[1]
    scale, bias = vector(g, size, x.dtype), vector(g, size, x.dtype)
    if not scale.finite:
        # ONNX Runtime multiplies element and mean by it before it takes their difference.
        raise Refused("a scale that is not finite")
    g.add(op, x, scale, bias, epsilon=g.choice((None, 1e-2)))


@operators("GroupNormalization")
def group_norm(g: Graph, op: str) -> None:
    x = channelled(g, op, (3, 4))
    size = x.shape[1]
    groups = g.choice([d for d in range(1, size + 1) if size % d == 0])
    count = groups if version(op, g.opset) == 18 else size
    scale, bias = vector(g, count, x.dtype), vector(g, count, x.dtype)
    g.add(op, x, scale, bias, num_groups=groups, epsilon=g.choice((None, 1e-2)))


@operators("LayerNormalization")
def layer_norm(g: Graph, op: str) -> None:
    x = g.pick(g.types(op), (1, 2, 3, 4), where=lambda v: v.size(v.rank - 1) is not None)
    axis = x.rank - 1
    while axis > 0 and x.size(axis - 1) is not None and g.chance(0.3):
        axis -= 1
    shape = x.shape[axis:]
    scale = g.random(x.dtype, shape) if g.chance(0.9) else g.input(x.dtype, shape)
    bias = g.random(x.dtype, shape) if g.chance(0.7) else None
    given = None if axis == x.rank - 1 and g.chance(0.5) else g.choice((axis, axis - x.rank))
    outputs = [True] if g.chance(0.8) else [True, True, True]
    g.node(op, [x, scale, bias], outputs, axis=given, epsilon=g.choice((None, 1e-2)))


@operators("RMSNormalization")
def rms_norm(g: Graph, op: str) -> None:
    x = g.pick(g.types(op), (1, 2, 3, 4), where=lambda v: v.size(v.rank - 1) is not None)
    axis = x.rank - 1
    while axis > 0 and x.size(axis - 1) is not None and g.chance(0.3):
        axis -= 1
    scale = g.random(x.dtype, x.shape[axis:])
    given = None if axis == x.rank - 1 and g.chance(0.5) else g.choice((axis, axis - x.rank))
    g.add(op, x, scale, axis=given, epsilon=g.choice((None, 1e-2)))


@operators("LpNormalization")
def lp_norm(g: Graph, op: str) -> None:
    x = g.pick(g.types(op), (1, 2, 3))
    axis = g.choice((None, g.number(-x.rank, x.rank - 1)))
    g.add(op, x, axis=axis, p=g.choice((None, 1, 2)))


@operators("MeanVarianceNormalization")
def mean_variance(g: Graph, op: str) -> None:
    x = g.pick(g.types(op), 4)
    axes = None if g.chance(0.4) else [a for a in range(4) if g.chance(0.5)] or [1]
    g.add(op, x, axes=axes)


@operators("LRN")
def local_response(g: Graph, op: str) -> None:
    x = g.pick(g.types(op), 4)
    attributes = {"alpha": g.choice((None, 0.1)), "beta": g.choice((None, 0.5))}
    g.add(op, x, size=g.choice((1, 3, 5, 2)), bias=g.choice((None, 2.0)), **attributes)
