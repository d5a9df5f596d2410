"""Types and shapes of each operator's outputs.

`SHAPES` covers the operators that have a lowering, and those that exporters put around them.
A rule raises `UnknownSize` where the shape depends on numbers that only a run can know; the node
then runs in ONNX Runtime.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, TypeAlias

import numpy as np
from onnx import helper

from gossamer.graphs.dims import (
    Dim,
    Misfit,
    Size,
    UnknownSize,
    divide,
    equal,
    limit_below,
    product,
    solved,
)
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
    determined: dict[str, int | None] = field(default_factory=dict)
    """What open sizes must be, as it seems; None for one that would have to be two numbers."""
    may_limit: bool = True
    """Whether the input's sizes may be limited."""
    misfits: bool = False
    """Whether sizes were found that do not fit each other."""

    def same(self, left: Size, right: Size) -> None:
        """Hold two sizes equal; where that leaves an open size one number, take note of it.

        Raises:
            UnknownSize: if they are not equal whatever the input's sizes are; a `Misfit` if they
                never are.
        """
        if left == right:
            return
        found = solved(left, right)
        if found is not None:
            symbol, number = found
            if self.determined.setdefault(symbol, number) != number:
                self.determined[symbol] = None
        elif not equal(left, right):
            raise Misfit(f"sizes {left} and {right} differ")
        raise UnknownSize(f"sizes {left} and {right} may differ")

    def at_least(self, size: Size, least: int) -> None:
        """Limit the input's sizes to those for which a size is at least a number.

        Raises:
            UnknownSize: if it never is, or no limits may be set.
        """
        limit = limit_below(size, least)
        if limit is None:
            return
        if not self.may_limit:
            raise UnknownSize(f"whether {size} is {least} or more depends on the input")
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


def broadcast(inferred: Inferred, *shapes: Shape) -> Shape:
    """The shape that arrays of these shapes broadcast to (NumPy's rule).

    An open size that meets a number is likelier that number than 1.

    Raises:
        UnknownSize: where it depends on the input which size is 1.
    """
    rank = max(map(len, shapes))
    result: list[Size] = []
    padded = [(*[1] * (rank - len(shape)), *shape) for shape in shapes]
    for column in zip(*padded, strict=True):
        sizes = [size for size in column if size != 1]
        for size in sizes[1:]:
            inferred.same(sizes[0], size)
        result.append(sizes[0] if sizes else 1)
    return tuple(result)


# Rules for shapes


def _same(node: Node, inferred: Inferred) -> list[Typed]:
    return [(dtype_of(node.input(0)), shape_of(node.input(0)))]


def _elementwise(node: Node, inferred: Inferred) -> list[Typed]:
    inputs = [value for value in node.inputs if value is not None]
    return [(dtype_of(inputs[0]), broadcast(inferred, *map(shape_of, inputs)))]


def _comparison(node: Node, inferred: Inferred) -> list[Typed]:
    ((_, shape),) = _elementwise(node, inferred)
    return [(BOOL, shape)]


def _where(node: Node, inferred: Inferred) -> list[Typed]:
    return [(dtype_of(node.input(1)), broadcast(inferred, *map(shape_of, node.inputs)))]


def _cast(node: Node, inferred: Inferred) -> list[Typed]:
    dtype = np.dtype(helper.tensor_dtype_to_np_dtype(node.attributes["to"]))
    return [(dtype, shape_of(node.input(0)))]


def _cast_like(node: Node, inferred: Inferred) -> list[Typed]:
    return [(dtype_of(node.input(1)), shape_of(node.input(0)))]


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
    if -1 in sizes:
        raise UnknownSize(f"{shape} cannot become {sizes}")
    inferred.same(product(shape), product(sizes))
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
    axes = squeezed_axes(node)
    for axis in axes:
        inferred.same(shape[axis], 1)
    kept = tuple(size for axis, size in enumerate(shape) if axis not in axes)
    return [(dtype_of(node.input(0)), kept)]


def squeezed_axes(node: Node) -> list[int]:
    """The axes that a Squeeze removes: those that it names, or all of size 1."""
    shape = shape_of(node.input(0))
    axes = axes_of(node, 1, len(shape))
    if axes:
        return axes
    if any(isinstance(size, Dim) for size in shape):
        raise UnknownSize("which axes are squeezed depends on the input")
    return [axis for axis, size in enumerate(shape) if size == 1]


def _flatten(node: Node, inferred: Inferred) -> list[Typed]:
    shape = shape_of(node.input(0))
    axis = node.attributes.get("axis", 1)
    if not -len(shape) <= axis <= len(shape):
        raise UnknownSize("a flatten names an axis that is not there")
    axis = axis % len(shape) if axis < 0 else axis
    return [(dtype_of(node.input(0)), (product(shape[:axis]), product(shape[axis:])))]


def _expand(node: Node, inferred: Inferred) -> list[Typed]:
    shape = broadcast(inferred, shape_of(node.input(0)), _sizes(node.input(1)))
    return [(dtype_of(node.input(0)), shape)]


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


def _matmul(node: Node, inferred: Inferred) -> list[Typed]:
    left, right = shape_of(node.input(0)), shape_of(node.input(1))
    rows, columns = left[-2:-1], right[-1:] if len(right) > 1 else ()
    if not left or not right:
        raise UnknownSize("a product of what is no matrix")
    inferred.same(left[-1], right[-2:][0])
    batch = broadcast(inferred, left[:-2], right[:-2]) if len(left) > 2 or len(right) > 2 else ()
    return [(dtype_of(node.input(0)), (*batch, *rows, *columns))]


def _gemm(node: Node, inferred: Inferred) -> list[Typed]:
    left, right = shape_of(node.input(0)), shape_of(node.input(1))
    rows, inner = left[::-1] if node.attributes.get("transA", 0) else left
    other, columns = right[::-1] if node.attributes.get("transB", 0) else right
    inferred.same(inner, other)
    return [(dtype_of(node.input(0)), (rows, columns))]


def reduced_axes(node: Node, rank: int) -> list[int]:
    """The axes that a reduction folds: those that it names, or all of them."""
    axes = axes_of(node, 1, rank)
    if axes or node.attributes.get("noop_with_empty_axes", 0):
        return axes or []
    return list(range(rank))


def keeps_axes(node: Node) -> bool:
    """Whether a reduction keeps the axes that it folds; to ONNX Runtime only 1 means that."""
    return bool(node.attributes.get("keepdims", 1) == 1)


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
    "Dropout Sin Cos ThresholdedRelu Swish Shrink "
    "Tan Asin Acos Atan Sinh Cosh Asinh Acosh Atanh BitwiseNot "
    "LpNormalization MeanVarianceNormalization LRN Hardmax"
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
    "CastLike": _cast_like,
    "Clip": _same,
    "Shape": _shape,
    "Reshape": _reshape,
    "Transpose": _transpose,
    "Unsqueeze": _unsqueeze,
    "Squeeze": _squeeze,
    "Flatten": _flatten,
    "Expand": _expand,
    "ConstantOfShape": _constant_of_shape,
    "Range": _range,
    "MatMul": _matmul,
    "Gemm": _gemm,
    **dict.fromkeys(_REDUCTIONS.split(), _reduce),
}
