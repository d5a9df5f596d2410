"""Rules for pooling and convolutions that the kernels on planes do not take, for `expand.py`.

What each tap of a window reads becomes an axis (`Windows`, never stored by itself): pooling then
folds that axis, and a convolution is a product of matrices.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from gossamer.graphs.dims import Size, UnknownSize, product
from gossamer.graphs.operation import Array, fixed, shape_of
from gossamer.graphs.windows import transposed_window, window
from gossamer.runtime.graph import Node, Value
from gossamer.runtime.passes.expansion import Expansion, Rule
from gossamer.runtime.passes.partition import LARGEST_WINDOW
from gossamer.runtime.passes.place_images import image_reason


def _windows(
    e: Expansion,
    x: Value,
    kernel: Sequence[int],
    out: Sequence[Size],
    steps: tuple[Sequence[int], Sequence[int], Sequence[int]],
    fill: float = 0.0,
    holes: Sequence[int] | None = None,
) -> Value:
    """`[batch, channel, *taps, *places]` of `x`; steps are strides, dilations, pads before.

    With holes, the input is read as if so many less one zeros lay after each element.
    """
    shape = shape_of(x)
    if not all(size > 0 for size in shape):
        raise UnknownSize("no lowering for windows over what is empty")
    strides, dilations, before = map(tuple, steps)
    return e.hidden(
        "Windows",
        x,
        (*shape[:2], *kernel, *out),
        strides=strides,
        dilations=dilations,
        before=before,
        holes=tuple(holes or [1] * len(kernel)),
        fill=fill,
    )


def _pooled(e: Expansion, node: Node, fill: float) -> Value:
    x, kernel = node.source(0), node.attributes["kernel_shape"]
    before, _, stride, dilation = window(node, shape_of(x)[2:], kernel)
    out = shape_of(node.output)[2:]
    return _windows(e, x, kernel, out, (stride, dilation, before), fill)


def _is_global(node: Node) -> bool:
    """Whether the only window covers the whole input, as exporters write a mean of unknown size."""
    kernel = node.attributes["kernel_shape"]
    size = shape_of(node.source(0))[2:]
    before, after, _, dilation = window(node, size, kernel)
    if any([*before, *after]) or max(dilation) > 1:
        return False
    alone = all(length == 1 for length in shape_of(node.output)[2:])
    return alone and all(length <= extent for length, extent in zip(size, kernel, strict=True))


def _max_pool(e: Expansion, node: Node) -> Sequence[Value] | None:
    if len(node.outputs) == 1 and _is_global(node):
        return [e("GlobalMaxPool", node.source(0))]
    if not image_reason(node):
        return None
    kernel = node.attributes["kernel_shape"]
    axes = list(range(2, 2 + len(kernel)))
    windows = _pooled(e, node, -math.inf)
    largest = e.reduced("ReduceMax", windows, axes, keepdims=False)
    return [largest] if len(node.outputs) == 1 else [largest, _places(e, node, windows)]


def _places(e: Expansion, node: Node, windows: Value) -> Value:
    """Where in the input the largest element of each window lies, counted through all of it."""
    shape = shape_of(node.source(0))
    kernel, out = node.attributes["kernel_shape"], fixed(shape_of(node.output)[2:])
    size, rank = fixed(shape[2:]), len(kernel)
    before, _, stride, dilation = window(node, size, kernel)
    steps = [math.prod(size[axis + 1 :]) for axis in range(rank)]
    if node.attributes.get("storage_order", 0):
        steps = [math.prod(size[:axis]) for axis in range(rank)]
    taps, places = np.indices(kernel).reshape(rank, -1), np.indices(out)
    tap_places = sum(taps[axis] * dilation[axis] * steps[axis] for axis in range(rank))
    starts = sum((places[a] * stride[a] - before[a]) * steps[a] for a in range(rank))
    flat = e.reshaped(windows, [*shape[:2], math.prod(kernel), *out])
    tap = e("ArgMax", flat, axis=2, keepdims=0)
    first = _first_taps(kernel, out, size, (stride, dilation, before))
    if first.any():
        # Padding is -inf, and is not to be found even where all that is read is -inf too.
        tap = e("Max", tap, e.constant(first))
    within = e("Add", e("Gather", e.constant(np.asarray(tap_places)), tap), e.constant(starts))
    planes = e("Range", e.size(0), e.size(shape[0] * shape[1]), e.size(1))
    planes = e("Mul", planes, e.size(math.prod(size)))
    return e("Add", within, e.reshaped(planes, [*shape[:2], *([1] * rank)]))


def _first_taps(
    kernel: Sequence[int],
    out: Sequence[int],
    size: Sequence[int],
    steps: tuple[Sequence[int], Sequence[int], Sequence[int]],
) -> Array:
    """The first tap of each window that reads the input and not the padding before it."""
    first = np.zeros((), np.int64)
    for extent, count, (stride, dilation, before) in zip(
        kernel, out, zip(*steps, strict=True), strict=True
    ):
        outside = np.maximum(0, before - np.arange(count) * stride)
        first = first[..., None] * extent + -(-outside // dilation)
    return first


def _average_pool(e: Expansion, node: Node) -> Sequence[Value] | None:
    if _is_global(node):
        return [e("GlobalAveragePool", node.source(0))]
    if not image_reason(node):
        return None
    kernel = node.attributes["kernel_shape"]
    axes = list(range(2, 2 + len(kernel)))
    total = e.reduced("ReduceSum", _pooled(e, node, 0.0), axes, keepdims=False)
    return [e("Div", total, e.constant(_counts(node).astype(total.dtype)))]


def _counts(node: Node) -> Array:
    """How many elements the mean of each window is over."""
    kernel = node.attributes["kernel_shape"]
    size, out = fixed(shape_of(node.source(0))[2:]), fixed(shape_of(node.output)[2:])
    before, after, stride, dilation = window(node, size, kernel)
    padded = node.attributes.get("count_include_pad", 0)
    counts = np.ones((), np.int64)
    for axis, length in enumerate(size):
        places = np.arange(out[axis])[:, None] * stride[axis] - before[axis]
        places = places + np.arange(kernel[axis]) * dilation[axis]
        low, high = (-before[axis], length + after[axis]) if padded else (0, length)
        counts = counts[..., None] * ((places >= low) & (places < high)).sum(axis=1)
    return counts


def _global_pool(op: str) -> Rule:
    def rule(e: Expansion, node: Node) -> Sequence[Value] | None:
        if node.op == "GlobalAveragePool" and not image_reason(node):
            return None
        x = node.source(0)
        return [e.reduced(op, x, list(range(2, len(shape_of(x)))))]

    return rule


def _convolution(e: Expansion, node: Node) -> Sequence[Value] | None:
    if not image_reason(node):
        return None
    x, weights = node.source(0), node.source(1)
    kernel = fixed(shape_of(weights)[2:])
    if len(kernel) == 1 and weights.data is not None:
        return [_as_image(e, node)]
    before, _, stride, dilation = window(node, shape_of(x)[2:], kernel)
    out = fixed(shape_of(node.output)[2:])
    windows = _windows(e, x, kernel, out, (stride, dilation, before))
    group = node.attributes.get("group", 1)
    rows, each = fixed(shape_of(weights)[:2])
    matrix = e.reshaped(weights, [group, rows // group, each * math.prod(kernel)])
    return [_multiplied(e, node, matrix, windows, out)]


def _multiplied(
    e: Expansion, node: Node, matrix: Value, windows: Value, out: Sequence[int]
) -> Value:
    """The product of weights `[group, outputs, inputs]` and what the windows read, and the bias."""
    group, rows, columns = fixed(shape_of(matrix))
    batch = shape_of(windows)[0]
    # Stored: the product reads each element many times.
    read = e.reshaped(windows, [batch, group, columns, product(out)])
    result = e.reshaped(e("MatMul", matrix, read), [batch, group * rows, *out])
    bias = node.input(2)
    if bias is None:
        return result
    return e("Add", result, e.reshaped(bias, [group * rows, *([1] * len(out))]))


def _as_image(e: Expansion, node: Node) -> Value:
    """A convolution along one axis as one over images of a single row."""
    x, weights = node.source(0), node.source(1)
    length, kernel = shape_of(x)[2:], fixed(shape_of(weights)[2:])
    before, after, stride, dilation = window(node, length, kernel)
    image = e("Unsqueeze", x, e.sizes([2]))
    rows, each = fixed(shape_of(weights)[:2])
    wide = e.reshaped(weights, [rows, each, 1, *kernel])
    result = e(
        "Conv",
        image,
        wide,
        node.input(2),
        strides=[1, *stride],
        dilations=[1, *dilation],
        pads=[0, *before, 0, *after],
        group=node.attributes.get("group", 1),
        kernel_shape=[1, *kernel],
    )
    return e("Squeeze", result, e.sizes([2]))


def _transposed_convolution(e: Expansion, node: Node) -> Sequence[Value]:
    """Each output gathers what reaches it: a convolution with the kernel turned round.

    Between the elements of the input lie as many zeros as the stride skips (Dumoulin & Visin 2016,
    section 4.5).
    """
    x, weights = node.source(0), node.source(1)
    inputs, each, *kernel = fixed(shape_of(weights))
    rank, group = len(kernel), node.attributes.get("group", 1)
    pads, stride, dilation, out = transposed_window(node, fixed(shape_of(x)[2:]), kernel)
    before = [(kernel[a] - 1) * dilation[a] - pads[a] for a in range(rank)]
    windows = _windows(e, x, kernel, out, ([1] * rank, dilation, before), holes=stride)
    taps = math.prod(kernel)
    turned = e.reshaped(weights, [group, inputs // group, each, taps])
    backwards = [e.sizes([-1]), e.sizes([-(2**63)]), e.sizes([3]), e.sizes([-1])]
    turned = e("Slice", turned, *backwards)
    turned = e("Transpose", turned, perm=[0, 2, 1, 3])
    matrix = e.reshaped(turned, [group, each, inputs // group * taps])
    return [_multiplied(e, node, matrix, windows, out)]


def _local_response(e: Expansion, node: Node) -> Sequence[Value]:
    """Normalised by the squares in neighbouring channels (Krizhevsky et al. 2012, section 3.3)."""
    x, size = node.source(0), node.attributes["size"]
    if size > LARGEST_WINDOW:
        raise UnknownSize(f"no lowering for LRN over {size} channels")
    shape = shape_of(x)
    squares = e.reshaped(e("Mul", x, x), [shape[0], 1, shape[1], product(shape[2:])])
    steps = ([1, 1], [1, 1], [(size - 1) // 2, 0])
    windows = _windows(e, squares, [size, 1], shape_of(squares)[2:], steps)
    total = e.reshaped(e.reduced("ReduceSum", windows, [2, 3], keepdims=False), shape)
    factor = e.like(x, node.attributes.get("alpha", 1e-4) / size)
    scaled = e("Add", e("Mul", total, factor), e.like(x, node.attributes.get("bias", 1.0)))
    return [e("Div", x, e("Pow", scaled, e.like(x, node.attributes.get("beta", 0.75))))]


WINDOWS: dict[str, Rule] = {
    "MaxPool": _max_pool,
    "AveragePool": _average_pool,
    "GlobalAveragePool": _global_pool("ReduceMean"),
    "GlobalMaxPool": _global_pool("ReduceMax"),
    "Conv": _convolution,
    "ConvTranspose": _transposed_convolution,
    "LRN": _local_response,
}
