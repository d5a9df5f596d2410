"""ConvTranspose: transposed convolutions of any rank, in groups."""

from __future__ import annotations

import math
from collections.abc import Sequence

from gossamer.graphs.operation import fixed, shape_of
from gossamer.graphs.windows import transposed_window
from gossamer.runtime.expansion import Expansion
from gossamer.runtime.graph import Node, Value
from gossamer.runtime.native import Native
from gossamer.runtime.taps import multiplied, read_windows


def _expanded(e: Expansion, node: Node) -> Sequence[Value]:
    """Each output gathers what reaches it: a convolution with the kernel turned round.

    Between the elements of the input lie as many zeros as the stride skips (Dumoulin & Visin 2016,
    section 4.5).
    """
    x, weights = node.source(0), node.source(1)
    inputs, each, *kernel = fixed(shape_of(weights))
    rank, group = len(kernel), node.attributes.get("group", 1)
    pads, stride, dilation, out = transposed_window(node, fixed(shape_of(x)[2:]), kernel)
    before = [(kernel[a] - 1) * dilation[a] - pads[a] for a in range(rank)]
    windows = read_windows(e, x, kernel, out, ([1] * rank, dilation, before), holes=stride)
    taps = math.prod(kernel)
    turned = e.reshaped(weights, [group, inputs // group, each, taps])
    backwards = [e.sizes([-1]), e.sizes([-(2**63)]), e.sizes([3]), e.sizes([-1])]
    turned = e("Slice", turned, *backwards)
    turned = e("Transpose", turned, perm=[0, 2, 1, 3])
    matrix = e.reshaped(turned, [group, each, inputs // group * taps])
    return [multiplied(e, node, matrix, windows, out)]


NATIVE = {"ConvTranspose": Native(expand=_expanded)}
