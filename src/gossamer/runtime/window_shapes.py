"""Shapes of convolutions and pooling: rules like those of `shapes.py`."""

from __future__ import annotations

from collections.abc import Sequence

from gossamer.graphs.dims import Misfit, Size, UnknownSize
from gossamer.runtime.graph import Node
from gossamer.runtime.shapes import Inferred, Rule, Typed, dtype_of, fixed, shape_of


def window(
    node: Node, size: Sequence[Size], kernel: Sequence[int]
) -> tuple[list[int], list[int], list[int], list[int]]:
    """Padding before and after, stride and dilation of a convolution or pooling, for each axis.

    Raises:
        UnknownSize: where padding depends on sizes that are not known, or is out of range.
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
    if min([*kernel, *stride, *dilation]) < 1 or min(pads) < 0:
        raise UnknownSize("a window with sizes, strides, dilations or pads out of range")
    if not mode.startswith("SAME"):
        return pads[:rank], pads[rank:], stride, dilation
    before, after = [], []
    for length, extent, step, gap in zip(size, kernel, stride, dilation, strict=True):
        if not isinstance(length, int):
            raise UnknownSize("padding depends on the input's size")
        # ONNX Runtime pads a pooling as if it were not dilated.
        pools = node.is_a("MaxPool", "AveragePool")
        reach = extent if pools else (extent - 1) * gap + 1
        total = (-(-length // step) - 1) * step + reach - length
        # Negative where a stride is longer than its window; integers divide towards zero.
        before.append(int((total if mode == "SAME_UPPER" else total + 1) / 2))
        after.append(total - before[-1])
        if before[-1] < 0 or (after[-1] < 0 and pools):
            raise UnknownSize("a window whose stride makes ONNX Runtime's padding negative")
    # What lies after the last window is nobody's to read.
    return before, [max(0, more) for more in after], stride, dilation


def _windowed(node: Node, size: Sequence[Size], kernel: Sequence[int]) -> list[Size]:
    before, after, stride, dilation = window(node, size, kernel)
    up = node.attributes.get("ceil_mode", 0)
    result: list[Size] = []
    for axis, length in enumerate(size):
        if not isinstance(length, int) and (stride[axis] > 1 or up):
            raise UnknownSize("only the batch may change where there are windows with strides")
        room = length + before[axis] + after[axis] - dilation[axis] * (kernel[axis] - 1) - 1
        count = (-(-room // stride[axis]) if up else room // stride[axis]) + 1
        if up and (count - 1) * stride[axis] >= length + before[axis]:
            count -= 1
        if not count >= 1:
            raise Misfit("a window larger than what it slides over")
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
    if group < 1 or rows % group:
        raise UnknownSize("a convolution whose channels do not fit its groups")
    inferred.same(shape[1], each * group)
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
    if any(more[axis] >= max(stride[axis], dilation[axis]) for axis in range(rank)):
        raise UnknownSize("a transposed convolution with more padding than its stride")
    whole = [
        stride[a] * (size[a] - 1) + more[a] + (kernel[a] - 1) * dilation[a] + 1 for a in range(rank)
    ]
    mode, wanted = given.get("auto_pad", "NOTSET"), given.get("output_shape")
    if wanted is None and not mode.startswith("SAME"):
        pads = pads if mode == "NOTSET" else [0] * (2 * rank)
        out = [whole[a] - pads[a] - pads[a + rank] for a in range(rank)]
        return list(pads[:rank]), stride, dilation, out
    kept = [size[a] * stride[a] for a in range(rank)] if wanted is None else wanted
    if wanted is not None and any(some > all_ for all_, some in zip(whole, wanted, strict=True)):
        raise UnknownSize("a transposed convolution that gives less than is wanted of it")
    total = [max(0, all_ - some) for all_, some in zip(whole, kept, strict=True)]
    before = [all_ // 2 if mode == "SAME_UPPER" else all_ - all_ // 2 for all_ in total]
    # Where a stride is longer than what the kernel reaches there is less than that.
    out = [all_ - less for all_, less in zip(whole, total, strict=True)]
    return before, stride, dilation, out if wanted is None else list(wanted)


def _conv_transpose(node: Node, inferred: Inferred) -> list[Typed]:
    shape, weight = shape_of(node.input(0)), fixed(shape_of(node.input(1)))
    group = node.attributes.get("group", 1)
    if len(shape) != len(weight) or group < 1 or weight[0] % group:
        raise UnknownSize("a convolution whose channels do not fit its groups")
    inferred.same(shape[1], weight[0])
    bias = node.input(2)
    if bias is not None and shape_of(bias) != (weight[1] * group,):
        raise UnknownSize("a convolution whose bias does not fit its outputs")
    _, _, _, out = transposed_window(node, fixed(shape[2:]), weight[2:])
    if min(out) < 1:
        raise Misfit("a window larger than what it slides over")
    return [(dtype_of(node.input(0)), (shape[0], weight[1] * group, *out))]


def _pool(node: Node, inferred: Inferred) -> list[Typed]:
    shape = shape_of(node.input(0))
    kernel = list(node.attributes["kernel_shape"])
    if len(kernel) != len(shape) - 2:
        raise UnknownSize("a pooling whose ranks differ")
    before, after, _, dilation = window(node, shape[2:], kernel)
    if any(pad >= size for pad, size in zip(before + after, kernel + kernel, strict=True)):
        raise UnknownSize("a pooling with padding as large as its window")
    for length, less, more, gap in zip(shape[2:], before, after, dilation, strict=True):
        # All taps may lie beside a shorter axis: the largest, or the mean, of nothing.
        if less or more:
            inferred.at_least(length, gap)
    return [(dtype_of(node.input(0)), (*shape[:2], *_windowed(node, shape[2:], kernel)))]


def _global_pool(node: Node, inferred: Inferred) -> list[Typed]:
    shape = shape_of(node.input(0))
    return [(dtype_of(node.input(0)), (*shape[:2], *([1] * (len(shape) - 2))))]


WINDOW_SHAPES: dict[str, Rule] = {
    "Conv": _conv,
    "ConvTranspose": _conv_transpose,
    "MaxPool": _pool,
    "AveragePool": _pool,
    "GlobalAveragePool": _global_pool,
    "GlobalMaxPool": _global_pool,
}
