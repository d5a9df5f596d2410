"""Normalisations: of a batch, of channels or groups of them, of rows, along axes."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from gossamer.graphs.dims import UnknownSize, divide, product
from gossamer.graphs.operation import shape_of
from gossamer.graphs.ops.normalization import by_running_statistics
from gossamer.runtime.calls import call
from gossamer.runtime.codegen.target import Target
from gossamer.runtime.expansion import Expansion
from gossamer.runtime.graph import Node, Value
from gossamer.runtime.images import LARGEST_WINDOW
from gossamer.runtime.kernels.layer_norm import LayerNorm
from gossamer.runtime.layouts import TOKENS
from gossamer.runtime.native import Native
from gossamer.runtime.onnx_import import why_unknown
from gossamer.runtime.signature import Given
from gossamer.runtime.steps import Call
from gossamer.runtime.taps import read_windows

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
    scale, bias = (e.along(node.source(position), 0, rank) for position in (1, 2))
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
    if not _layer_reason(node):
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


def _root_mean_square(e: Expansion, node: Node) -> Sequence[Value]:
    """Without subtracting the mean (Zhang & Sennrich 2019, equation 4)."""
    x = node.source(0)
    if x.dtype != np.float32 or node.attributes.get("stash_type", 1) != 1:
        raise UnknownSize(f"no lowering for {node.op} of {x.dtype}")
    rank = len(shape_of(x))
    axes = list(range(node.attributes.get("axis", -1) % rank, rank))
    mean = e.reduced("ReduceMean", e("Mul", x, x), axes)
    return [e("Mul", e("Div", x, _deviation(e, node, mean)), node.source(1))]


def _layer_reason(node: Node) -> str:
    x, scale, bias = node.source(0), node.input(1), node.input(2)
    if not x.known or not node.output.known:
        return why_unknown(node)
    if x.dtype != np.float32:
        return f"no lowering for LayerNormalization of {x.dtype}"
    assert x.shape is not None
    if node.attributes.get("axis", -1) not in (-1, len(x.shape) - 1) or len(x.shape) < 2:
        return "no lowering for LayerNormalization over several axes"
    if len(node.outputs) > 1:
        return "no lowering for the mean that LayerNormalization gives beside its output"
    for value in (scale, bias):
        if value is not None and (value.data is None or value.data.shape != (x.shape[-1],)):
            return "no lowering for LayerNormalization with a computed scale"
    return ""


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
        e.along(value, 0, rank - 1) if rank > 1 else value for value in (factor, shift)
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


def _layer_lowered(node: Node, target: Target) -> Sequence[Call]:
    x, bias = node.source(0), node.input(2)
    channels = shape_of(x)[-1]
    assert isinstance(channels, int)
    shift = bias.data if bias is not None else np.zeros(channels, np.float32)
    scale = node.source(1).data
    assert scale is not None and shift is not None
    given: dict[str, Given] = {"x": x, "y": node.output, "scale": scale, "bias": shift}
    given |= {"groups": TOKENS.groups(shape_of(x)), "channels": channels}
    kernel = LayerNorm(float(node.attributes.get("epsilon", 1e-5)))
    return [call(kernel, "layer norm", target, node, given)]


def _local_response(e: Expansion, node: Node) -> Sequence[Value]:
    """Normalised by the squares in neighbouring channels (Krizhevsky et al. 2012, section 3.3)."""
    x, size = node.source(0), node.attributes["size"]
    if size > LARGEST_WINDOW:
        raise UnknownSize(f"no lowering for LRN over {size} channels")
    shape = shape_of(x)
    squares = e.reshaped(e("Mul", x, x), [shape[0], 1, shape[1], product(shape[2:])])
    steps = ([1, 1], [1, 1], [(size - 1) // 2, 0])
    windows = read_windows(e, squares, [size, 1], shape_of(squares)[2:], steps)
    total = e.reshaped(e.reduced("ReduceSum", windows, [2, 3], keepdims=False), shape)
    factor = e.like(x, node.attributes.get("alpha", 1e-4) / size)
    scaled = e("Add", e("Mul", total, factor), e.like(x, node.attributes.get("bias", 1.0)))
    return [e("Div", x, e("Pow", scaled, e.like(x, node.attributes.get("beta", 0.75))))]


NATIVE = {
    "BatchNormalization": Native(expand=_batch_norm),
    "InstanceNormalization": Native(expand=_instance_norm),
    "GroupNormalization": Native(expand=_group_norm),
    "LayerNormalization": Native(_layer_reason, _layer_norm, lower=_layer_lowered, lies="tiles"),
    "RMSNormalization": Native(expand=_root_mean_square),
    "LpNormalization": Native(expand=_lp_norm),
    "MeanVarianceNormalization": Native(expand=_mean_variance_norm),
    "LRN": Native(expand=_local_response),
}
