"""Compute once what several nodes compute alike."""

from __future__ import annotations

from typing import Any

import numpy as np

from gossamer.graphs.ops import facts
from gossamer.runtime.graph import Graph, Node, Value

# Operators of other sets may draw or keep what nobody here knows of.
_KNOWN = ("", "ai.onnx.ml")


def share(graph: Graph) -> None:
    """Give the users of a node that repeats an earlier one the earlier one's outputs.

    It repeats one if it does the same to the same, and as much is asked of it: an operator may do
    without what none of its outputs' names asks for.
    """
    first: dict[Any, list[Value]] = {}
    same: dict[Value, Value] = {}
    for node in graph.nodes:
        node.inputs = [same.get(v, v) if v is not None else None for v in node.inputs]
        attributes = _frozen(node.attributes)
        if attributes is None or facts(node).is_random or node.domain not in _KNOWN:
            continue
        key = (node.op, node.domain, tuple(map(_identity, node.inputs)), attributes, _asked(node))
        earlier = first.setdefault(key, node.outputs)
        if earlier is not node.outputs:
            same.update(zip(node.outputs, earlier, strict=True))
    graph.outputs = [same.get(value, value) for value in graph.outputs]


def _asked(node: Node) -> Any:
    """Which outputs a node makes, and what is known of them."""
    return tuple((value.name != "", value.dtype, value.shape) for value in node.outputs)


def _identity(value: Value | None) -> Any:
    """What tells a value from others: small constants by their elements."""
    if value is not None and value.data is not None and value.data.size <= 64:
        return str(value.data.dtype), value.data.shape, value.data.tobytes()
    return value


def _frozen(attributes: dict[str, Any]) -> Any:
    """Attributes that can be compared, or None."""
    items: list[tuple[Any, ...]] = []
    for name, value in sorted(attributes.items()):
        if isinstance(value, np.ndarray):
            items.append((name, str(value.dtype), value.shape, value.tobytes()))
        elif isinstance(value, (int, float, str, list)):
            # As text, 0 and -0.0 are not the same.
            items.append((name, repr(value)))
        else:
            return None
    return tuple(items)
