"""Rules that write an operator as simpler ones, for `expand.py`."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
from onnx import TensorProto, helper

from gossamer.graphs.dims import Size, UnknownSize, divide, product
from gossamer.graphs.operation import content_of, dtype_of, numbers_of, shape_of
from gossamer.graphs.ops.reduction import keeps_axes, reduced_axes
from gossamer.graphs.ops.split import parts_of
from gossamer.runtime.graph import Node, Value
from gossamer.runtime.passes.expansion import Expansion, Rule
from gossamer.runtime.passes.fold_batch_norm import by_running_statistics
from gossamer.runtime.passes.partition import reason_against

_LONGEST_SCAN = 4096
"""Elements along an axis that are added up in quadratic time; what is longer is left."""


# Reductions


def _reduce(e: Expansion, node: Node, op: str, x: Value) -> Value:
    """A reduction of something else along the same axes."""
    axes = reduced_axes(node, len(shape_of(x)))
    return e.reduced(op, x, axes, keepdims=keeps_axes(node))


def _plain_reduction(e: Expansion, node: Node) -> Sequence[Value] | None:
    """A reduction along no axis does nothing."""
    x = node.source(0)
    if not reduced_axes(node, len(shape_of(x))):
        return [e("Identity", x)]
    if node.op == "ReduceMean" and x.dtype == np.int32:
        # Their sum may be beyond 32 bits, their mean is not.
        mean = _reduce(e, node, "ReduceMean", e("Cast", x, to=TensorProto.INT64))
        return [e("Cast", mean, to=TensorProto.INT32)]
    return None


def _sum_of(op: str) -> Callable[[Expansion, Node], Sequence[Value]]:
    def rule(e: Expansion, node: Node) -> Sequence[Value]:
        x = node.source(0)
        made = e("Mul", x, x) if op == "Square" else e(op, x)
        return [_reduce(e, node, "ReduceSum", made)]

    return rule


def _norm(e: Expansion, node: Node) -> Sequence[Value]:
    return [e("Sqrt", *_sum_of("Square")(e, node))]


def _log_sum(e: Expansion, node: Node) -> Sequence[Value]:
    return [e("Log", _reduce(e, node, "ReduceSum", node.source(0)))]


def _log_sum_exp(e: Expansion, node: Node) -> Sequence[Value]:
    """With the largest element subtracted first, so that nothing overflows."""
    x = node.source(0)
    axes = reduced_axes(node, len(shape_of(x)))
    top = e.reduced("ReduceMax", x, axes)
    top = e("Where", e("IsInf", top), e.like(x, 0), top)
    rest = e("Exp", e("Sub", x, top))
    total = e("Log", e.reduced("ReduceSum", rest, axes))
    result = e("Add", total, top)
    return [e.reshaped(result, shape_of(node.output))]


# Softmax and normalisations


def _softmax(e: Expansion, node: Node) -> Sequence[Value] | None:
    """Before operator set 13, the axis and all after it were one."""
    x = node.source(0)
    shape = shape_of(x)
    if e.opset >= 13:
        return None
    axis = node.attributes.get("axis", 1) % max(len(shape), 1)
    if axis == len(shape) - 1:
        # Made explicit, as the default was another.
        node.attributes["axis"] = axis
        return None
    flat = e.reshaped(x, [product(shape[:axis]), product(shape[axis:])])
    return [e.reshaped(e(node.op, flat, axis=1), shape)]


def _hardmax(e: Expansion, node: Node) -> Sequence[Value] | None:
    x = node.source(0)
    shape = shape_of(x)
    axis = node.attributes.get("axis", -1 if e.opset >= 13 else 1) % len(shape)
    if e.opset < 13 and axis < len(shape) - 1:
        return None
    places = e("Range", e.size(0), e.size(shape[axis]), e.size(1))
    places = _along(e, places, axis, len(shape))
    found = e("Equal", e("ArgMax", x, axis=axis, keepdims=1), places)
    return [e("Where", found, e.like(x, 1), e.like(x, 0))]


def _along(e: Expansion, vector: Value, axis: int, rank: int) -> Value:
    """A vector as an array of a rank, along one axis of it."""
    (size,) = shape_of(vector)
    return e.reshaped(vector, [size if at == axis else 1 for at in range(rank)])


# ONNX's own definitions have the variance as a difference of squares, of which little is left where
# the mean is large, and which may even come out negative.


def _centred(e: Expansion, x: Value, axes: list[int]) -> tuple[Value, Value, Value]:
    """The mean along some axes together, what is left without it, and the variance."""
    mean = e.reduced("ReduceMean", x, axes)
    rest = e("Sub", x, mean)
    return mean, rest, e.reduced("ReduceMean", e("Mul", rest, rest), axes)


def _deviation(e: Expansion, node: Node, variance: Value) -> Value:
    epsilon = e.like(variance, node.attributes.get("epsilon", 1e-5))
    return e("Sqrt", e("Add", variance, epsilon))


def _standardised(e: Expansion, node: Node, x: Value, axes: list[int]) -> Value:
    """Of mean 0 and variance 1 along some axes together."""
    _, rest, variance = _centred(e, x, axes)
    return e("Div", rest, _deviation(e, node, variance))


def _by_channel(e: Expansion, node: Node, normal: Value) -> Value:
    """Scaled and shifted by numbers of each channel."""
    rank = len(shape_of(normal)) - 1
    scale, bias = (_along(e, node.source(position), 0, rank) for position in (1, 2))
    return e("Add", e("Mul", normal, scale), bias)


def _instance_norm(e: Expansion, node: Node) -> Sequence[Value]:
    """Over the pixels of each channel (Ulyanov et al. 2016, equation 1)."""
    x = node.source(0)
    axes = list(range(2, len(shape_of(x))))
    return [_by_channel(e, node, _standardised(e, node, x, axes))]


def _group_norm(e: Expansion, node: Node) -> Sequence[Value] | None:
    """Over the pixels of each group of channels (Wu & He 2018, equation 3)."""
    x, groups = node.source(0), node.attributes["num_groups"]
    shape = shape_of(x)
    parts = e.reshaped(x, [shape[0], groups, divide(product(shape[1:]), groups)])
    normal = _standardised(e, node, parts, [2])
    if e.opset < 21:
        # A scale a group, not a channel.
        return [e.reshaped(_by_channel(e, node, normal), shape)]
    return [_by_channel(e, node, e.reshaped(normal, shape))]


def _layer_norm(e: Expansion, node: Node) -> Sequence[Value] | None:
    if not reason_against(node):
        return None
    x = node.source(0)
    if len(node.outputs) > 1 and x.dtype != np.float32:
        raise UnknownSize(f"no lowering for the mean that {node.op} of {x.dtype} gives")
    rank = len(shape_of(x))
    axes = list(range(node.attributes.get("axis", -1) % rank, rank))
    mean, rest, variance = _centred(e, x, axes)
    deviation = _deviation(e, node, variance)
    result = e("Mul", e("Div", rest, deviation), node.source(1))
    if node.input(2) is not None:
        result = e("Add", result, node.input(2))
    if len(node.outputs) == 1:
        return [result]
    return [result, mean, e("Reciprocal", deviation)][: len(node.outputs)]


def _mean_variance_norm(e: Expansion, node: Node) -> Sequence[Value]:
    x = node.source(0)
    axes = [axis % len(shape_of(x)) for axis in node.attributes.get("axes", (0, 2, 3))]
    _, rest, variance = _centred(e, x, axes)
    # What ONNX adds where nothing varies.
    return [e("Div", rest, e("Add", e("Sqrt", variance), e.like(x, 1e-9)))]


def _batch_norm(e: Expansion, node: Node) -> Sequence[Value] | None:
    """With the running mean and variance; one factor and one shift a channel."""
    if not by_running_statistics(node, e.opset):
        return None
    x, scale, bias, mean, variance = (node.source(position) for position in range(5))
    rank = len(shape_of(x))
    epsilon = e.like(x, node.attributes.get("epsilon", 1e-5))
    factor = e("Div", scale, e("Sqrt", e("Add", variance, epsilon)))
    shift = e("Sub", bias, e("Mul", mean, factor))
    factor, shift = (
        _along(e, value, 0, rank - 1) if rank > 1 else value for value in (factor, shift)
    )
    return [e("Add", e("Mul", x, factor), shift)]


def _lp_norm(e: Expansion, node: Node) -> Sequence[Value]:
    x = node.source(0)
    axis = node.attributes.get("axis", -1)
    order = node.attributes.get("p", 2)
    if order not in (1, 2):
        raise UnknownSize(f"no lowering for LpNormalization of order {order}")
    norm = e.reduced(f"ReduceL{order}", x, [axis])
    # Zeros stay zeros.
    norm = e("Where", e("Equal", norm, e.like(x, 0)), e.like(x, 1), norm)
    return [e("Div", x, norm)]


# Products of matrices


def _matmul(e: Expansion, node: Node) -> Sequence[Value] | None:
    left, right = node.source(0), node.source(1)
    if len(shape_of(left)) == 1:
        left = e("Unsqueeze", left, e.sizes([0]))
    if len(shape_of(right)) == 1:
        right = e("Unsqueeze", right, e.sizes([1]))
    if (left, right) != (node.source(0), node.source(1)):
        return [e.reshaped(e("MatMul", left, right), shape_of(node.output))]
    if left.dtype == np.float32:
        return None
    # Other types are too rare for a kernel: a sum of products, fused.
    rank = len(shape_of(left))
    left = e("Unsqueeze", left, e.sizes([rank]))
    right = e("Unsqueeze", right, e.sizes([len(shape_of(right)) - 2]))
    return [e.reduced("ReduceSum", e("Mul", left, right), [-2], keepdims=False)]


def _gemm(e: Expansion, node: Node) -> Sequence[Value]:
    left, right, added = node.source(0), node.source(1), node.input(2)
    given = node.attributes
    if given.get("transA", 0):
        left = e("Transpose", left, perm=[1, 0])
    if given.get("transB", 0):
        right = e("Transpose", right, perm=[1, 0])
    alpha, beta = given.get("alpha", 1.0), given.get("beta", 1.0)
    if alpha != 1:
        right = e("Mul", right, e.like(right, alpha))
    result = e("MatMul", left, right)
    # What is multiplied by 0 is not looked at, whatever it holds.
    if added is not None and beta != 0:
        if beta != 1:
            added = e("Mul", added, e.like(added, beta))
        result = e("Add", result, added)
    return [result]


# Movement


def _split(e: Expansion, node: Node) -> Sequence[Value]:
    x = node.source(0)
    axis = node.attributes.get("axis", 0) % len(shape_of(x))
    begin: Size = 0
    results = []
    for part in parts_of(node):
        end = begin + part
        cut = [e.sizes([begin]), e.sizes([end]), e.sizes([axis])]
        results.append(e("Slice", x, *cut))
        begin = end
    return results


def _depth_to_space(e: Expansion, node: Node) -> Sequence[Value]:
    x = node.source(0)
    batch, _, height, width = shape_of(x)
    _, channels, high, wide = shape_of(node.output)
    block = node.attributes["blocksize"]
    if node.attributes.get("mode", "DCR") == "DCR":
        split = e.reshaped(x, [batch, block, block, channels, height, width])
        moved = e("Transpose", split, perm=[0, 3, 4, 1, 5, 2])
    else:
        split = e.reshaped(x, [batch, channels, block, block, height, width])
        moved = e("Transpose", split, perm=[0, 1, 4, 2, 5, 3])
    return [e.reshaped(moved, [batch, channels, high, wide])]


def _space_to_depth(e: Expansion, node: Node) -> Sequence[Value]:
    x = node.source(0)
    batch, channels, _, _ = shape_of(x)
    _, _, height, width = shape_of(node.output)
    block = node.attributes["blocksize"]
    split = e.reshaped(x, [batch, channels, height, block, width, block])
    by_column = node.attributes.get("mode", "DCR") == "CRD"
    moved = e("Transpose", split, perm=[0, 1, 3, 5, 2, 4] if by_column else [0, 3, 5, 1, 2, 4])
    return [e.reshaped(moved, shape_of(node.output))]


def _one_hot(e: Expansion, node: Node) -> Sequence[Value]:
    indices, values = node.source(0), node.source(2)
    (depth,) = content_of(node.input(1))
    rank = len(shape_of(indices)) + 1
    axis = node.attributes.get("axis", -1) % rank
    indices = e("Unsqueeze", e("Cast", indices, to=TensorProto.INT64), e.sizes([axis]))
    size = e.size(depth)
    indices = e("Where", e("Less", indices, e.size(0)), e("Add", indices, size), indices)
    places = _along(e, e("Range", e.size(0), size, e.size(1)), axis, rank)
    off, on = (e("Gather", values, e.size(place)) for place in (0, 1))
    return [e("Where", e("Equal", indices, places), on, off)]


def _cumulative_sum(e: Expansion, node: Node) -> Sequence[Value]:
    """The sums along the rows of a triangle: quadratic, for axes that are not long."""
    x = node.source(0)
    shape = shape_of(x)
    rank = len(shape)
    (axis,) = numbers_of(node.input(1))
    axis %= rank
    length = shape[axis]
    if isinstance(length, int) and length > _LONGEST_SCAN:
        raise UnknownSize(f"no lowering for CumSum of {length} elements")
    # [..., place of the result, place of what is added]
    order = [*(a for a in range(rank) if a != axis), axis]
    rows = e("Unsqueeze", e("Transpose", x, perm=order), e.sizes([rank - 1]))
    others = [shape[a] for a in order[:-1]]
    square = e("Expand", rows, e.sizes([*others, length, length]))
    backwards = node.attributes.get("reverse", 0)
    first = node.attributes.get("exclusive", 0)
    diagonal = e.size(first if backwards else -first)
    kept = e("Trilu", square, diagonal, upper=int(bool(backwards)))
    sums = e.reduced("ReduceSum", kept, [rank], keepdims=False)
    return [e("Transpose", sums, perm=[order.index(a) for a in range(rank)])]


def _cast_like(e: Expansion, node: Node) -> Sequence[Value]:
    kind = helper.np_dtype_to_tensor_dtype(dtype_of(node.input(1)))
    return [e("Cast", node.source(0), to=kind)]


EXPANSIONS: dict[str, Rule] = {
    **dict.fromkeys(
        ("ReduceSum", "ReduceMean", "ReduceProd", "ReduceMax", "ReduceMin"), _plain_reduction
    ),
    "ReduceL1": _sum_of("Abs"),
    "ReduceSumSquare": _sum_of("Square"),
    "ReduceL2": _norm,
    "ReduceLogSum": _log_sum,
    "ReduceLogSumExp": _log_sum_exp,
    "Softmax": _softmax,
    "LogSoftmax": _softmax,
    "Hardmax": _hardmax,
    "LayerNormalization": _layer_norm,
    "GroupNormalization": _group_norm,
    "InstanceNormalization": _instance_norm,
    "MeanVarianceNormalization": _mean_variance_norm,
    "BatchNormalization": _batch_norm,
    "LpNormalization": _lp_norm,
    "MatMul": _matmul,
    "Gemm": _gemm,
    "Split": _split,
    "DepthToSpace": _depth_to_space,
    "SpaceToDepth": _space_to_depth,
    "OneHot": _one_hot,
    "CumSum": _cumulative_sum,
    "CastLike": _cast_like,
}
