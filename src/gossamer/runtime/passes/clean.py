"""Remove what does nothing when a model only predicts."""

from __future__ import annotations

from gossamer.graphs.ops.dropout import is_training
from gossamer.runtime.graph import Graph, Node


def clean(graph: Graph) -> None:
    """Take out identities, dropout, casts to the same type and expansions to the same shape."""
    for node in list(graph.nodes):
        if _does_nothing(node, graph.opset):
            graph.substitute(node, node.source(0))


def _does_nothing(node: Node, opset: int) -> bool:
    if node.domain or not node.inputs or node.inputs[0] is None:
        return False
    source, output = node.inputs[0], node.output
    if node.op == "Identity":
        return True
    if node.op == "Dropout":
        # The mask, where asked for, is somebody's input.
        return len(node.outputs) == 1 and not is_training(node, opset)
    if node.op == "Cast":
        return source.dtype is not None and source.dtype == output.dtype
    if node.op in ("Expand", "Reshape"):
        return source.shape is not None and source.shape == output.shape
    return False
