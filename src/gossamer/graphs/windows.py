"""What the windows of convolutions and pooling cover."""

from __future__ import annotations

from collections.abc import Sequence

from gossamer.graphs.dims import Misfit, Size, UnknownSize
from gossamer.graphs.operation import Operation


def window(
    node: Operation, size: Sequence[Size], kernel: Sequence[int]
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
    # A pooling has no weights; ONNX Runtime pads it as if it were not dilated.
    pools = node.input(1) is None
    for length, extent, step, gap in zip(size, kernel, stride, dilation, strict=True):
        if not isinstance(length, int):
            raise UnknownSize("padding depends on the input's size")
        reach = extent if pools else (extent - 1) * gap + 1
        total = (-(-length // step) - 1) * step + reach - length
        # Negative where a stride is longer than its window; integers divide towards zero.
        before.append(int((total if mode == "SAME_UPPER" else total + 1) / 2))
        after.append(total - before[-1])
        if before[-1] < 0 or (after[-1] < 0 and pools):
            raise UnknownSize("a window whose stride makes ONNX Runtime's padding negative")
    # What lies after the last window is nobody's to read.
    return before, [max(0, more) for more in after], stride, dilation


def windowed(node: Operation, size: Sequence[Size], kernel: Sequence[int]) -> list[Size]:
    """How many windows there are along each axis."""
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


def transposed_window(
    node: Operation, size: Sequence[int], kernel: Sequence[int]
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
