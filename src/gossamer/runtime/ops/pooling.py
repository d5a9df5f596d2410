"""MaxPool, AveragePool: the largest or the mean of each window."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from gossamer.graphs.operation import Array, fixed, shape_of
from gossamer.graphs.windows import window
from gossamer.runtime import images
from gossamer.runtime.calls import call
from gossamer.runtime.codegen.target import Target
from gossamer.runtime.expansion import Expansion
from gossamer.runtime.graph import Node, Value
from gossamer.runtime.images import image_reason
from gossamer.runtime.kernels.pooling import Pool
from gossamer.runtime.native import Native
from gossamer.runtime.signature import Given
from gossamer.runtime.steps import Call
from gossamer.runtime.taps import geometry_of, planes_of, read_windows


def _pooled(e: Expansion, node: Node, fill: float) -> Value:
    x, kernel = node.source(0), node.attributes["kernel_shape"]
    before, _, stride, dilation = window(node, shape_of(x)[2:], kernel)
    out = shape_of(node.output)[2:]
    return read_windows(e, x, kernel, out, (stride, dilation, before), fill)


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


def _lowered(node: Node, target: Target) -> Sequence[Call]:
    geometry = geometry_of(node)
    given: dict[str, Given] = {"x": node.source(0), "y": node.output}
    given |= {"kept": geometry.output.kept(), "planes": planes_of(node.output)}
    return [call(Pool(node.op == "MaxPool", geometry), "pooling", target, node, given)]


NATIVE = {
    "MaxPool": Native(images.reason, _max_pool, lower=_lowered, lies="images"),
    "AveragePool": Native(images.reason, _average_pool, lower=_lowered, lies="images"),
}
