"""GlobalMaxPool, GlobalAveragePool: the largest or the mean of each channel."""

from __future__ import annotations

from collections.abc import Sequence

from gossamer.graphs.operation import shape_of
from gossamer.runtime import images
from gossamer.runtime.calls import call
from gossamer.runtime.codegen.target import Target
from gossamer.runtime.expansion import Expansion
from gossamer.runtime.graph import Node, Value
from gossamer.runtime.images import image_reason
from gossamer.runtime.kernels.pooling import GlobalAverage
from gossamer.runtime.layouts import Planes
from gossamer.runtime.native import Native
from gossamer.runtime.signature import Given
from gossamer.runtime.steps import Call
from gossamer.runtime.taps import planes_of


def _largest(e: Expansion, node: Node) -> Sequence[Value]:
    x = node.source(0)
    return [e.reduced("ReduceMax", x, list(range(2, len(shape_of(x)))))]


def _mean(e: Expansion, node: Node) -> Sequence[Value] | None:
    if not image_reason(node):
        return None
    x = node.source(0)
    return [e.reduced("ReduceMean", x, list(range(2, len(shape_of(x)))))]


def _lowered(node: Node, target: Target) -> Sequence[Call]:
    x = node.source(0)
    assert isinstance(x.layout, Planes)
    given: dict[str, Given] = {"x": x, "y": node.output, "planes": planes_of(node.output)}
    return [call(GlobalAverage(x.layout), "pooling", target, node, given)]


NATIVE = {
    "GlobalMaxPool": Native(expand=_largest),
    "GlobalAveragePool": Native(images.reason, _mean, lower=_lowered, lies="images"),
}
