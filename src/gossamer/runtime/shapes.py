"""Types and shapes of each operator's outputs.

`SHAPES` covers the operators that have a lowering, and those that exporters put around them.
A rule raises `UnknownSize` where the shape depends on numbers that only a run can know; the node
then runs in ONNX Runtime.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np
from onnx import helper

from gossamer.runtime.dims import Dim, Size, UnknownSize, divide, limit_below, product
from gossamer.runtime.graph import Node, Shape, Value

Typed: TypeAlias = tuple[np.dtype[Any], Shape]

BOOL, INT64 = np.dtype(bool), np.dtype(np.int64)


@dataclass
class Inferred:
    """What rules share: the model's operator set, and limits on the input's sizes found so far."""

    opset: int
    limits: list[tuple[Size, int]]
    may_fold: int = 16 << 20
    """Bytes of constants that may still be computed ahead; by default what one operator needs."""

    def at_least(self, size: Size, least: int) -> None:
        """Limit the input's sizes to those for which a size is at least a number.

        Raises:
            UnknownSize: if it never is.
        """
        limit = limit_below(size, least)
        if limit is None:
            return
        bounded, most = limit
        for position, (other, before) in enumerate(self.limits):
            if other == bounded:
                self.limits[position] = bounded, min(most, before)
                return
        self.limits.append(limit)

    def at_most(self, size: Size, most: int) -> None:
        """Limit the input's sizes to those for which a size is at most a number.

        Raises:
            UnknownSize: if it never is.
        """
        self.at_least(-size, -most)


def shape_of(value: Value | None) -> Shape:
    """A value's shape.

    Raises:
        UnknownSize: if it is not known.
    """
    if value is None or value.shape is None:
        raise UnknownSize("an input's shape is not known")
    return value.shape


def dtype_of(value: Value | None) -> np.dtype[Any]:
    """A value's type.

    Raises:
        UnknownSize: if it is not known.
    """
    if value is None or value.dtype is None:
        raise UnknownSize("an input's type is not known")
    return value.dtype


def content_of(value: Value | None) -> list[Size]:
    """The elements of an integer tensor that depends on shapes only.

    Raises:
        UnknownSize: if it depends on anything else.
    """
    if value is None or value.content is None:
        raise UnknownSize("a shape is computed from data")
    return [item if isinstance(item, Dim) else int(item) for item in value.content.reshape(-1)]


def numbers_of(value: Value | None) -> list[int]:
    """The elements of a constant integer tensor."""
    return list(fixed(content_of(value)))


def axes_of(node: Node, index: int, rank: int) -> list[int] | None:
    """The axes that a node names, as an attribute or (in newer models) as an input."""
    if node.input(index) is not None:
        axes = numbers_of(node.input(index))
    elif "axes" in node.attributes:
        axes = list(node.attributes["axes"])
    else:
        return None
    if any(not -rank <= axis < rank for axis in axes):
        raise UnknownSize("an axis lies outside the shape")
    if len({axis % rank for axis in axes}) < len(axes):
        raise UnknownSize("an axis is named twice")
    return [axis % rank for axis in axes]


def fixed(sizes: Sequence[Size]) -> tuple[int, ...]:
    """Sizes as numbers.

    Raises:
        UnknownSize: if one of them depends on the input.
    """
    numbers = tuple(size for size in sizes if isinstance(size, int))
    if len(numbers) < len(sizes):
        raise UnknownSize("a size depends on the input")
    return numbers


def broadcast(*shapes: Shape) -> Shape:
    """The shape that arrays of these shapes broadcast to (NumPy's rule).

    Raises:
        UnknownSize: where it depends on the input which size is 1.
    """
    rank = max(map(len, shapes))
    result: list[Size] = []
    padded = [(*[1] * (rank - len(shape)), *shape) for shape in shapes]
    for column in zip(*padded, strict=True):
        sizes = {size for size in column if size != 1}
        if len(sizes) > 1:
            raise UnknownSize(f"sizes {column} may not broadcast")
        result.append(sizes.pop() if sizes else 1)
    return tuple(result)


def slices(node: Node, inferred: Inferred) -> list[tuple[int, Size, int, Size]]:
    """For each axis that a Slice cuts: the axis, the first element, the step and the count."""
    shape = shape_of(node.source(0))
    if len(node.inputs) > 1:
        starts, ends = content_of(node.input(1)), content_of(node.input(2))
        axes = numbers_of(node.input(3)) if node.input(3) is not None else list(range(len(starts)))
        steps = numbers_of(node.input(4)) if node.input(4) is not None else [1] * len(starts)
    else:
        starts, ends = list(node.attributes["starts"]), list(node.attributes["ends"])
        axes = list(node.attributes.get("axes", range(len(starts))))
        steps = [1] * len(starts)
    if len({axis % len(shape) for axis in axes}) < len(axes):
        raise UnknownSize("a slice cuts an axis twice")
    cuts = []
    for start, end, axis, step in zip(starts, ends, axes, steps, strict=True):
        if not -len(shape) <= axis < len(shape) or step == 0:
            raise UnknownSize("a slice names an axis or step that is not there")
        axis %= len(shape)
        cuts.append((axis, *_cut(shape[axis], start, end, step, inferred)))
    return cuts


# No axis is longer: it would not fit into an address space.
_FAR = 1 << 48
# What exporters write for "to the end"; ONNX Runtime takes the largest numbers for just that.
_LONG, _TO_THE_END = 2**31 - 1, (2**31 - 1, 2**63 - 1)


def _cut(
    size: Size, start: Size, end: Size, step: int, inferred: Inferred
) -> tuple[Size, int, Size]:
    """The first element, the step and the count of what a slice takes along an axis.

    Where positions may lie outside an axis of open size, the input is limited to sizes for which
    they do not.
    """
    if size == 0:
        return 0, step, 0
    first, last = (0, size) if step > 0 else (0, size - 1)
    start = _placed(size, start, first, last, inferred)
    first, last = (0, size) if step > 0 else (-1, size)
    if end in _TO_THE_END:
        end = last if step > 0 else first
    else:
        if isinstance(size, Dim) and isinstance(end, int) and 1 < end < _LONG:
            # As likely shorter as longer: neither is worth a limit.
            raise UnknownSize("where a slice ends depends on the input")
        end = _placed(size, end, first, last, inferred)
    count = end - start if step > 0 else start - end
    if isinstance(count, int):
        return start, step, max(0, -(-count // abs(step)))
    return start, step, divide(count, abs(step))


def _placed(size: Size, position: Size, first: Size, last: Size, inferred: Inferred) -> Size:
    """A position, which counts from the end if it is negative, between the first and the last."""
    if isinstance(position, int) and isinstance(size, Dim) and abs(position) >= _LONG:
        if abs(position) < _FAR:
            inferred.at_most(size, abs(position))
        return last if position > 0 else first
    if _is_less(position, 0, inferred):
        position = size + position
    if _is_less(position, first, inferred):
        return first
    return last if _is_less(last, position, inferred) else position


def _is_less(left: Size, right: Size, inferred: Inferred) -> bool:
    """Whether one size is less than another; where it depends on the input, the input is limited
    to sizes for which it is not."""
    try:
        return left < right
    except UnknownSize:
        inferred.at_least(left - right, 0)
        return False


# Rules for shapes


def _same(node: Node, inferred: Inferred) -> list[Typed]:
    return [(dtype_of(node.input(0)), shape_of(node.input(0)))]


def _elementwise(node: Node, inferred: Inferred) -> list[Typed]:
    inputs = [value for value in node.inputs if value is not None]
    return [(dtype_of(inputs[0]), broadcast(*map(shape_of, inputs)))]


def _comparison(node: Node, inferred: Inferred) -> list[Typed]:
    ((_, shape),) = _elementwise(node, inferred)
    return [(BOOL, shape)]


def _where(node: Node, inferred: Inferred) -> list[Typed]:
    return [(dtype_of(node.input(1)), broadcast(*(shape_of(value) for value in node.inputs)))]


def _cast(node: Node, inferred: Inferred) -> list[Typed]:
    dtype = np.dtype(helper.tensor_dtype_to_np_dtype(node.attributes["to"]))
    return [(dtype, shape_of(node.input(0)))]


def _clip(node: Node, inferred: Inferred) -> list[Typed]:
    return [(dtype_of(node.input(0)), shape_of(node.input(0)))]


def _shape(node: Node, inferred: Inferred) -> list[Typed]:
    shape = shape_of(node.input(0))
    return [(INT64, (len(shape[bounds_of(node)]),))]


def bounds_of(node: Node) -> slice:
    """The axes that a Shape tells of."""
    return slice(node.attributes.get("start", 0), node.attributes.get("end"))


def _reshape(node: Node, inferred: Inferred) -> list[Typed]:
    shape = shape_of(node.input(0))
    wanted = content_of(node.input(1)) if node.input(1) else list(node.attributes["shape"])
    sizes: list[Size] = []
    for axis, size in enumerate(wanted):
        if size == 0 and not node.attributes.get("allowzero", 0):
            if axis >= len(shape):
                raise UnknownSize("a reshape copies a size that is not there")
            size = shape[axis]
        sizes.append(size)
    if -1 in sizes:
        known = product(size for size in sizes if size != -1)
        sizes[sizes.index(-1)] = divide(product(shape), known)
    if -1 in sizes or product(sizes) != product(shape):
        raise UnknownSize(f"{shape} cannot become {sizes}")
    return [(dtype_of(node.input(0)), tuple(sizes))]


def _transpose(node: Node, inferred: Inferred) -> list[Typed]:
    shape = shape_of(node.input(0))
    order = permutation(node, len(shape))
    return [(dtype_of(node.input(0)), tuple(shape[axis] for axis in order))]


def permutation(node: Node, rank: int) -> list[int]:
    """The order of axes of a Transpose."""
    order = list(node.attributes.get("perm", range(rank - 1, -1, -1)))
    if sorted(order) != list(range(rank)):
        raise UnknownSize("a transpose does not name each axis once")
    return order


def _unsqueeze(node: Node, inferred: Inferred) -> list[Typed]:
    shape = list(shape_of(node.input(0)))
    count = len(numbers_of(node.input(1))) if node.input(1) else len(node.attributes["axes"])
    axes = axes_of(node, 1, len(shape) + count) or []
    for axis in sorted(axes):
        shape.insert(axis, 1)
    return [(dtype_of(node.input(0)), tuple(shape))]


def _squeeze(node: Node, inferred: Inferred) -> list[Typed]:
    shape = shape_of(node.input(0))
    axes = axes_of(node, 1, len(shape))
    if axes is None:
        if any(isinstance(size, Dim) for size in shape):
            raise UnknownSize("which axes are squeezed depends on the input")
        axes = [axis for axis, size in enumerate(shape) if size == 1]
    if any(shape[axis] != 1 for axis in axes):
        raise UnknownSize("an axis that is squeezed may not be 1")
    kept = tuple(size for axis, size in enumerate(shape) if axis not in axes)
    return [(dtype_of(node.input(0)), kept)]


def _flatten(node: Node, inferred: Inferred) -> list[Typed]:
    shape = shape_of(node.input(0))
    axis = node.attributes.get("axis", 1)
    if not -len(shape) <= axis <= len(shape):
        raise UnknownSize("a flatten names an axis that is not there")
    axis = axis % len(shape) if axis < 0 else axis
    return [(dtype_of(node.input(0)), (product(shape[:axis]), product(shape[axis:])))]


def _expand(node: Node, inferred: Inferred) -> list[Typed]:
    return [(dtype_of(node.input(0)), broadcast(shape_of(node.input(0)), _sizes(node.input(1))))]


def _sizes(value: Value | None) -> Shape:
    sizes = content_of(value)
    if any(isinstance(size, int) and size < 0 for size in sizes):
        raise UnknownSize("a size is negative")
    return tuple(sizes)


def _constant_of_shape(node: Node, inferred: Inferred) -> list[Typed]:
    value = node.attributes.get("value", np.zeros(1, np.float32))
    return [(value.dtype, _sizes(node.input(0)))]


def _range(node: Node, inferred: Inferred) -> list[Typed]:
    (start,), (end,), (step,) = (content_of(value) for value in node.inputs)
    count: Size
    if isinstance(start, int) and isinstance(end, int) and isinstance(step, int) and step:
        count = len(range(start, end, step))
    elif step == 1:
        count = end - start
    else:
        raise UnknownSize("the length of a range depends on the input")
    return [(dtype_of(node.input(0)), (count,))]


def _concat(node: Node, inferred: Inferred) -> list[Typed]:
    shapes = [shape_of(value) for value in node.inputs]
    rank = len(shapes[0])
    if not -rank <= node.attributes["axis"] < rank:
        raise UnknownSize("a concatenation names an axis that is not there")
    axis = node.attributes["axis"] % rank
    rest = {shape[:axis] + shape[axis + 1 :] for shape in shapes if len(shape) == rank}
    if len(rest) != 1 or any(len(shape) != rank for shape in shapes):
        raise UnknownSize("shapes to concatenate differ")
    total: Size = 0
    for shape in shapes:
        total = total + shape[axis]
    return [(dtype_of(node.input(0)), (*shapes[0][:axis], total, *shapes[0][axis + 1 :]))]


def _slice(node: Node, inferred: Inferred) -> list[Typed]:
    shape = list(shape_of(node.input(0)))
    for axis, _, _, count in slices(node, inferred):
        shape[axis] = count
    return [(dtype_of(node.input(0)), tuple(shape))]


def _gather(node: Node, inferred: Inferred) -> list[Typed]:
    shape, indices = shape_of(node.input(0)), shape_of(node.input(1))
    axis = node.attributes.get("axis", 0)
    if not -len(shape) <= axis < len(shape):
        raise UnknownSize("a gather names an axis that is not there")
    axis %= len(shape)
    return [(dtype_of(node.input(0)), (*shape[:axis], *indices, *shape[axis + 1 :]))]


def _gather_elements(node: Node, inferred: Inferred) -> list[Typed]:
    shape, indices = shape_of(node.input(0)), shape_of(node.input(1))
    if len(shape) != len(indices) or not -len(shape) <= node.attributes.get("axis", 0) < len(shape):
        raise UnknownSize("a gather of elements whose ranks or axis do not fit")
    return [(dtype_of(node.input(0)), indices)]


def _gather_nd(node: Node, inferred: Inferred) -> list[Typed]:
    shape, indices = shape_of(node.input(0)), shape_of(node.input(1))
    depth = indices[-1]
    batch = node.attributes.get("batch_dims", 0)
    if not isinstance(depth, int) or not (0 <= batch < len(indices) and depth >= 1):
        raise UnknownSize("how deep a gather goes depends on the input")
    if batch + depth > len(shape):
        raise UnknownSize("how deep a gather goes depends on the input")
    return [(dtype_of(node.input(0)), (*indices[:-1], *shape[batch + depth :]))]


def _matmul(node: Node, inferred: Inferred) -> list[Typed]:
    left, right = shape_of(node.input(0)), shape_of(node.input(1))
    rows, columns = left[-2:-1], right[-1:] if len(right) > 1 else ()
    if not left or not right or left[-1] != right[-2:][0]:
        raise UnknownSize("matrices that may not fit")
    batch = broadcast(left[:-2], right[:-2]) if len(left) > 2 or len(right) > 2 else ()
    return [(dtype_of(node.input(0)), (*batch, *rows, *columns))]


def _gemm(node: Node, inferred: Inferred) -> list[Typed]:
    left, right = shape_of(node.input(0)), shape_of(node.input(1))
    rows, inner = left[::-1] if node.attributes.get("transA", 0) else left
    other, columns = right[::-1] if node.attributes.get("transB", 0) else right
    if inner != other:
        raise UnknownSize("matrices that may not fit")
    return [(dtype_of(node.input(0)), (rows, columns))]


def window(
    node: Node, size: Sequence[Size], kernel: Sequence[int]
) -> tuple[list[int], list[int], list[int], list[int]]:
    """Padding before and after, stride and dilation of a convolution or pooling, for each axis.

    Raises:
        UnknownSize: where padding depends on sizes that are not known.
    """
    rank = len(kernel)
    stride = list(node.attributes.get("strides", [1] * rank))
    dilation = list(node.attributes.get("dilations", [1] * rank))
    mode = node.attributes.get("auto_pad", "NOTSET")
    pads = list(node.attributes.get("pads", [0] * (2 * rank)))
    if not rank == len(size) == len(stride) == len(dilation) or len(pads) != 2 * rank:
        raise UnknownSize("a window of other axes than what it slides over")
    if mode == "VALID":
        pads = [0] * (2 * rank)
    elif mode.startswith("SAME"):
        before, after = [], []
        # A pooling is padded as if it were not dilated, and cut where its stride is longer than its
        # window, which has no lowering; so does ONNX Runtime.
        pools = node.is_a("MaxPool", "AveragePool")
        gaps = [1] * rank if pools else dilation
        for length, extent, step, gap in zip(size, kernel, stride, gaps, strict=True):
            if not isinstance(length, int):
                raise UnknownSize("padding depends on the input's size")
            total = (-(-length // step) - 1) * step + (extent - 1) * gap + 1 - length
            total = total if pools else max(0, total)
            less, more = total // 2, total - total // 2
            before.append(less if mode == "SAME_UPPER" else more)
            after.append(more if mode == "SAME_UPPER" else less)
        pads = before + after
    if min([*kernel, *stride, *dilation]) < 1 or min(pads) < 0:
        raise UnknownSize("a window with sizes, strides, dilations or pads out of range")
    return pads[:rank], pads[rank:], stride, dilation


def _windowed(node: Node, size: Sequence[Size], kernel: Sequence[int]) -> list[Size]:
    before, after, stride, dilation = window(node, size, kernel)
    up = node.attributes.get("ceil_mode", 0)
    result: list[Size] = []
    for axis, length in enumerate(size):
        if not isinstance(length, int) and stride[axis] > 1:
            raise UnknownSize("only the batch may change where there are windows with strides")
        room = length + before[axis] + after[axis] - dilation[axis] * (kernel[axis] - 1) - 1
        count = (-(-room // stride[axis]) if up else room // stride[axis]) + 1
        if up and (count - 1) * stride[axis] >= length + before[axis]:
            count -= 1
        if not count >= 1:
            raise UnknownSize("a window larger than what it slides over")
        result.append(count)
    return result


def _conv(node: Node, inferred: Inferred) -> list[Typed]:
    shape, weight = shape_of(node.input(0)), shape_of(node.input(1))
    kernel = [size for size in weight[2:] if isinstance(size, int)]
    if len(shape) != len(weight) or len(kernel) != len(shape) - 2:
        raise UnknownSize("a convolution whose ranks differ")
    group = node.attributes.get("group", 1)
    rows, each = fixed(weight[:2])
    if not rows or not each:
        raise UnknownSize("a convolution without weights")
    if group < 1 or rows % group or shape[1] != each * group:
        raise UnknownSize("a convolution whose channels do not fit its groups")
    bias = node.input(2)
    if bias is not None and shape_of(bias) != (rows,):
        raise UnknownSize("a convolution whose bias does not fit its outputs")
    sizes = _windowed(node, shape[2:], kernel)
    return [(dtype_of(node.input(0)), (shape[0], weight[0], *sizes))]


def transposed_window(
    node: Node, size: Sequence[int], kernel: Sequence[int]
) -> tuple[list[int], list[int], list[int], list[int]]:
    """Padding before, stride, dilation and output size of a transposed convolution."""
    rank = len(kernel)
    given = node.attributes
    stride, dilation = (list(given.get(name, [1] * rank)) for name in ("strides", "dilations"))
    more, pads = given.get("output_padding", [0] * rank), given.get("pads", [0] * (2 * rank))
    if min([*stride, *dilation]) < 1 or min([*pads, *more]) < 0:
        raise UnknownSize("a window with strides, dilations or pads out of range")
    whole = [
        stride[a] * (size[a] - 1) + more[a] + (kernel[a] - 1) * dilation[a] + 1 for a in range(rank)
    ]
    mode, wanted = given.get("auto_pad", "NOTSET"), given.get("output_shape")
    if wanted is None and not mode.startswith("SAME"):
        pads = pads if mode == "NOTSET" else [0] * (2 * rank)
        out = [whole[a] - pads[a] - pads[a + rank] for a in range(rank)]
        return list(pads[:rank]), stride, dilation, out
    kept = [size[a] * stride[a] for a in range(rank)] if wanted is None else wanted
    total = [max(0, all_ - some) for all_, some in zip(whole, kept, strict=True)]
    before = [all_ // 2 if mode == "SAME_UPPER" else all_ - all_ // 2 for all_ in total]
    # Where a stride is longer than what the kernel reaches there is less than that.
    out = [all_ - less for all_, less in zip(whole, total, strict=True)]
    return before, stride, dilation, out if wanted is None else list(wanted)


def _conv_transpose(node: Node, inferred: Inferred) -> list[Typed]:
    shape, weight = shape_of(node.input(0)), fixed(shape_of(node.input(1)))
    group = node.attributes.get("group", 1)
    if len(shape) != len(weight) or shape[1] != weight[0] or group < 1 or weight[0] % group:
        raise UnknownSize("a convolution whose channels do not fit its groups")
    bias = node.input(2)
    if bias is not None and shape_of(bias) != (weight[1] * group,):
        raise UnknownSize("a convolution whose bias does not fit its outputs")
    _, _, _, out = transposed_window(node, fixed(shape[2:]), weight[2:])
    if min(out) < 1:
        raise UnknownSize("a window larger than what it slides over")
    return [(dtype_of(node.input(0)), (shape[0], weight[1] * group, *out))]


def _pool(node: Node, inferred: Inferred) -> list[Typed]:
    shape = shape_of(node.input(0))
    kernel = list(node.attributes["kernel_shape"])
    if len(kernel) != len(shape) - 2:
        raise UnknownSize("a pooling whose ranks differ")
    return [(dtype_of(node.input(0)), (*shape[:2], *_windowed(node, shape[2:], kernel)))]


def _global_pool(node: Node, inferred: Inferred) -> list[Typed]:
    shape = shape_of(node.input(0))
    return [(dtype_of(node.input(0)), (*shape[:2], *([1] * (len(shape) - 2))))]


def keeps_axes(node: Node) -> bool:
    """Whether a reduction keeps the axes that it folds; to ONNX Runtime only 1 means that."""
    return bool(node.attributes.get("keepdims", 1) == 1)


def reduced_axes(node: Node, rank: int) -> list[int]:
    """The axes that a reduction folds: those that it names, or all of them."""
    axes = axes_of(node, 1, rank)
    if axes or node.attributes.get("noop_with_empty_axes", 0):
        return axes or []
    return list(range(rank))


def _reduce(node: Node, inferred: Inferred) -> list[Typed]:
    shape = shape_of(node.input(0))
    axes = reduced_axes(node, len(shape))
    result = [1 if axis in axes else size for axis, size in enumerate(shape)]
    if not keeps_axes(node):
        result = [size for axis, size in enumerate(result) if axis not in axes]
    return [(dtype_of(node.input(0)), tuple(result))]


Rule: TypeAlias = Callable[[Node, Inferred], list[Typed]]

_SAME = (
    "Relu Gelu Sigmoid Tanh Erf Exp Log Sqrt Neg Abs Reciprocal Floor Ceil Round Sign Not Identity "
    "Softmax LogSoftmax LeakyRelu Elu HardSigmoid HardSwish Softplus Softsign Selu Celu Mish "
    "LayerNormalization BatchNormalization Dropout Sin Cos ThresholdedRelu Swish Shrink "
    "Tan Asin Acos Atan Sinh Cosh Asinh Acosh Atanh BitwiseNot InstanceNormalization "
    "GroupNormalization LpNormalization MeanVarianceNormalization LRN Hardmax RMSNormalization"
)
_ELEMENTWISE = (
    "Add Sub Mul Div Pow Max Min Mod And Or Xor PRelu Sum Mean BitwiseAnd BitwiseOr BitwiseXor"
)
_REDUCTIONS = (
    "ReduceMean ReduceSum ReduceMax ReduceMin ReduceProd ReduceL1 ReduceL2 ReduceSumSquare "
    "ReduceLogSum ReduceLogSumExp"
)
_COMPARISON = "Equal Greater GreaterOrEqual Less LessOrEqual"

SHAPES: dict[str, Rule] = {
    **dict.fromkeys(_SAME.split(), _same),
    **dict.fromkeys(_ELEMENTWISE.split(), _elementwise),
    **dict.fromkeys(_COMPARISON.split(), _comparison),
    "IsNaN": lambda node, inferred: [(BOOL, shape_of(node.input(0)))],
    "IsInf": lambda node, inferred: [(BOOL, shape_of(node.input(0)))],
    "Where": _where,
    "Cast": _cast,
    "Clip": _clip,
    "Shape": _shape,
    "Reshape": _reshape,
    "Transpose": _transpose,
    "Unsqueeze": _unsqueeze,
    "Squeeze": _squeeze,
    "Flatten": _flatten,
    "Expand": _expand,
    "ConstantOfShape": _constant_of_shape,
    "Range": _range,
    "Concat": _concat,
    "Slice": _slice,
    "Gather": _gather,
    "GatherElements": _gather_elements,
    "GatherND": _gather_nd,
    "MatMul": _matmul,
    "Gemm": _gemm,
    "Conv": _conv,
    "ConvTranspose": _conv_transpose,
    "MaxPool": _pool,
    "AveragePool": _pool,
    "GlobalAveragePool": _global_pool,
    "GlobalMaxPool": _global_pool,
    **dict.fromkeys(_REDUCTIONS.split(), _reduce),
}
