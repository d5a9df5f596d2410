"""Conv: convolutions of any rank, in groups."""

from __future__ import annotations

import math
from collections.abc import Sequence

from gossamer.graphs.operation import fixed, shape_of
from gossamer.graphs.windows import window
from gossamer.runtime import images
from gossamer.runtime.expansion import Expansion
from gossamer.runtime.graph import Node, Value
from gossamer.runtime.images import image_reason
from gossamer.runtime.native import Native
from gossamer.runtime.taps import multiplied, read_windows


def _expanded(e: Expansion, node: Node) -> Sequence[Value] | None:
    if not image_reason(node):
        return None
    x, weights = node.source(0), node.source(1)
    kernel = fixed(shape_of(weights)[2:])
    if len(kernel) == 1 and weights.data is not None:
        return [_as_image(e, node)]
    before, _, stride, dilation = window(node, shape_of(x)[2:], kernel)
    out = fixed(shape_of(node.output)[2:])
    windows = read_windows(e, x, kernel, out, (stride, dilation, before))
    group = node.attributes.get("group", 1)
    rows, each = fixed(shape_of(weights)[:2])
    matrix = e.reshaped(weights, [group, rows // group, each * math.prod(kernel)])
    return [multiplied(e, node, matrix, windows, out)]


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


NATIVE = {"Conv": Native(images.reason, _expanded, lies="images")}
