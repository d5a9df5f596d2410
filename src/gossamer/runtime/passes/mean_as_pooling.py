"""The mean over an image's rows and columns is global average pooling."""

from __future__ import annotations

import numpy as np

from gossamer.runtime.dims import UnknownSize
from gossamer.runtime.graph import Graph, Node, Value
from gossamer.runtime.shapes import axes_of


def mean_as_pooling(graph: Graph) -> None:
    """Replace ReduceMean over the last two of four axes."""
    for node in list(graph.nodes):
        position = graph.nodes.index(node)
        if node.op != "ReduceMean" or node.domain or not node.source(0).known:
            continue
        x = node.source(0)
        if x.shape is None or len(x.shape) != 4 or x.dtype != np.float32:
            continue
        try:
            axes = axes_of(node, 1, 4)
        except UnknownSize:
            continue
        if axes is None or sorted(axes) != [2, 3]:
            continue
        if node.attributes.get("keepdims", 1):
            graph.nodes[position] = Node("GlobalAveragePool", [x], node.outputs, name=node.name)
            continue
        pooled = Value(f"{node.output.name}.pooled", x.dtype, (*x.shape[:2], 1, 1))
        graph.nodes[position] = Node("Flatten", [pooled], node.outputs, {"axis": 1}, name=node.name)
        graph.nodes.insert(position, Node("GlobalAveragePool", [x], [pooled], name=node.name))
