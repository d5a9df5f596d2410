"""The mean over an image's rows and columns is global average pooling."""

from __future__ import annotations

import numpy as np

from gossamer.graphs.dims import UnknownSize
from gossamer.graphs.operation import axes_of
from gossamer.graphs.ops.reduction import keeps_axes
from gossamer.runtime.graph import Graph, Node, Value, derived
from gossamer.runtime.onnx_import import follows_rule


def mean_as_pooling(graph: Graph) -> None:
    """Replace ReduceMean over the last two of four axes."""
    for node in list(graph.nodes):
        if not node.is_a("ReduceMean") or not _is_over_an_image(node):
            continue
        x, output = node.source(0), node.output
        assert x.shape is not None
        pooled = Value(derived(output, "pooled"), x.dtype, (*x.shape[:2], 1, 1))
        pool = Node("GlobalAveragePool", [x], [pooled], name=node.name)
        if keeps_axes(node):
            graph.substitute(node, pooled, pool)
        else:
            flat = Value(output.name, output.dtype, output.shape)
            flatten = Node("Flatten", [pooled], [flat], {"axis": 1}, name=node.name)
            graph.substitute(node, flat, pool, flatten)


def _is_over_an_image(node: Node) -> bool:
    x = node.source(0)
    if x.shape is None or len(x.shape) != 4 or x.dtype != np.float32 or not follows_rule(node):
        return False
    try:
        axes = axes_of(node, 1, 4)
    except UnknownSize:
        return False
    return axes is not None and sorted(axes) == [2, 3]
