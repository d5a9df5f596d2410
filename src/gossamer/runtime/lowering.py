"""From a node to the steps that do what it says."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from gossamer.graphs.operation import shape_of
from gossamer.runtime.calls import call, elements
from gossamer.runtime.codegen.target import Target
from gossamer.runtime.graph import Node
from gossamer.runtime.kernels import pointwise, rearrange
from gossamer.runtime.kernels.surround import Surround
from gossamer.runtime.layouts import Plain, Planes
from gossamer.runtime.ops import native
from gossamer.runtime.signature import Given
from gossamer.runtime.steps import Alias, Call
from gossamer.runtime.taps import planes_of


def lower(node: Node, target: Target) -> Sequence[Call | Alias]:
    """The steps that do what a native node says."""
    if node.op in _MADE:
        return _MADE[node.op](node, target)
    # A reduction that folds an expression is lowered as what it is.
    how = native(node.attributes["nodes"][0] if "nodes" in node.attributes else node)
    assert how.lower is not None, f"{node.op} has no lowering"
    return how.lower(node, target)


def _pointwise(node: Node, target: Target) -> Sequence[Call | Alias]:
    kernel = pointwise.Pointwise(
        node.attributes["expression"], len(node.attributes["sizes"]), node.output.layout
    )
    return [call(kernel, "pointwise", target, node, elements(node))]


def _surround(node: Node, target: Target) -> Sequence[Call | Alias]:
    layout = node.output.layout
    assert isinstance(layout, Planes)
    given: dict[str, Given] = {"array": node.output, "planes": planes_of(node.output)}
    # In place: the output is the input's memory.
    surrounded = call(Surround(layout), "surround", target, node, given)
    return [Alias(node.source(0), node.output), surrounded]


def _rearrange(node: Node, target: Target) -> Sequence[Call | Alias]:
    x, output = node.source(0), node.output
    assert isinstance(x.layout, Plain | Planes) and isinstance(output.layout, Plain | Planes)
    height, width = shape_of(x)[2:]
    assert isinstance(height, int) and isinstance(width, int)
    strides = node.attributes.get("strides", (1, 1))
    places = rearrange.places((height, width), x.layout, output.layout, strides)
    x_plane, y_plane = (
        layout.plane if isinstance(layout, Planes) else height * width
        for layout in (x.layout, output.layout)
    )
    given: dict[str, Given] = {"x": x, "y": output, "places": places, "count": places.size}
    given |= {"x_plane": x_plane, "y_plane": y_plane, "planes": planes_of(output)}
    kernel = rearrange.Rearrange(node.attributes.get("fill", 0.0))
    return [call(kernel, "rearrange", target, node, given)]


_MADE: dict[str, Callable[[Node, Target], Sequence[Call | Alias]]] = {
    "Pointwise": _pointwise,
    "Surround": _surround,
    "Rearrange": _rearrange,
}
"""Nodes that only passes make, once there are layouts."""
