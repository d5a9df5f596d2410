"""Choose how each value lies in memory, and convert where a node needs it otherwise."""

from __future__ import annotations

import numpy as np

from gossamer.runtime import tuning
from gossamer.runtime.graph import Graph, Node, Value, derived
from gossamer.runtime.layouts import PLAIN, TOKENS, Layout, Planes
from gossamer.runtime.ops import native


def assign_layouts(graph: Graph) -> None:
    """Keep activations in tiles between the kernels that want them so.

    Elementwise nodes follow their inputs, and read whatever lies elsewhere in place; only what
    needs row-major order gets a conversion.
    """
    converted: dict[tuple[Value, Layout], Value] = {}
    nodes: list[Node] = []

    def convert(value: Value, layout: Layout) -> Value:
        if value.layout == layout:
            return value
        if (value, layout) not in converted:
            made = Value(derived(value, type(layout).__name__), value.dtype, value.shape)
            made.layout = layout
            if isinstance(value.layout, Planes) and layout == PLAIN:
                nodes.append(Node("Rearrange", [value], [made], {}, "gossamer", native=True))
            else:
                nodes.append(Node("Identity", [value], [made], native=True))
            converted[value, layout] = made
        return converted[value, layout]

    for node in graph.nodes:
        lies = native(node).lies if node.native else "plain"
        if node.op == "Rearrange":
            if not isinstance(node.source(0).layout, Planes):
                node.inputs[0] = convert(node.source(0), PLAIN)
        elif node.op != "Surround" and (lies == "plain" or _is_plain(node)):
            node.inputs = [v if v is None else convert(v, PLAIN) for v in node.inputs]
        elif lies == "tiles":
            node.inputs = [
                convert(value, TOKENS) if value is not None and _in_tiles(node, position) else value
                for position, value in enumerate(node.inputs)
            ]
            node.output.layout = TOKENS
        # Images, and what follows them, were placed before; others follow their inputs.
        elif lies == "anywhere" and node.output.layout == PLAIN and _follows(node):
            node.output.layout = TOKENS
        nodes.append(node)
    graph.outputs = [convert(value, PLAIN) for value in graph.outputs]
    graph.nodes = nodes


def _is_plain(node: Node) -> bool:
    """Whether a layer takes rows as they are: a dense one whose samples have one row each.

    They would fill a tile only in large batches.
    """
    if node.op != "Linear":
        return False
    x, weights = node.source(0), node.source(1).data
    if x.shape is None or len(x.shape) != 2 or weights is None:
        return False
    return tuning.sparsity(weights) < tuning.LEAST_SPARSITY


def _in_tiles(node: Node, position: int) -> bool:
    """Whether a node wants this input in tiles: all but weights and masks."""
    if node.op == "Attention":
        return position < 3
    return position == 0 or (node.op == "Linear" and position > 2)


def _follows(node: Node) -> bool:
    """Whether an elementwise node's output lies in tiles because an input of its shape does."""
    output = node.output
    if not native(node).is_elementwise or output.dtype != np.float32:
        return False
    return any(
        value is not None and value.layout == TOKENS and value.shape == output.shape
        for value in node.inputs
    )
