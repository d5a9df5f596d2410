"""Compute once what several nodes compute alike."""

from __future__ import annotations

from typing import Any

import numpy as np

from gossamer.runtime.graph import RANDOM, Graph, Value


def share(graph: Graph) -> None:
    """Give the users of a node that repeats an earlier one the earlier one's outputs."""
    first: dict[Any, list[Value]] = {}
    same: dict[Value, Value] = {}
    for node in graph.nodes:
        node.inputs = [same.get(v, v) if v is not None else None for v in node.inputs]
        attributes = _frozen(node.attributes)
        if attributes is None or node.op in RANDOM:
            continue
        key = (node.op, node.domain, tuple(map(_identity, node.inputs)), attributes)
        earlier = first.setdefault(key, node.outputs)
        if earlier is not node.outputs and len(earlier) == len(node.outputs):
            same.update(zip(node.outputs, earlier, strict=True))
    graph.outputs = [same.get(value, value) for value in graph.outputs]


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
        elif isinstance(value, list):
            items.append((name, tuple(value)))
        elif isinstance(value, (int, float, str)):
            items.append((name, value))
        else:
            return None
    return tuple(items)
