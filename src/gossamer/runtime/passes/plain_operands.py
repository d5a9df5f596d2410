"""Softmax and products of computed matrices take plain arrays: convert what lies otherwise."""

from __future__ import annotations

from gossamer.runtime.graph import Graph, Node, Value
from gossamer.runtime.layouts import PLAIN
from gossamer.runtime.passes.partition import PLAIN_OPS


def plain_operands(graph: Graph) -> None:
    """Put a conversion before each operand in tiles or planes, one for all who take it."""
    converted: dict[Value, Value] = {}
    nodes: list[Node] = []
    for node in graph.nodes:
        if node.native and node.op in PLAIN_OPS:
            for position, value in enumerate(node.inputs):
                if value is None or value.layout == PLAIN:
                    continue
                if value not in converted:
                    converted[value] = Value(f"{value.name}.plain", value.dtype, value.shape)
                    nodes.append(Node("Identity", [value], [converted[value]], native=True))
                node.inputs[position] = converted[value]
        nodes.append(node)
    graph.nodes = nodes
