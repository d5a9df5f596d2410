"""Decide for each node whether generated code runs it, and if not, why."""

from __future__ import annotations

from gossamer.runtime.graph import Graph, Node
from gossamer.runtime.onnx_import import follows_rule
from gossamer.runtime.ops import native

# Code is written for each operand of a node: more than these would take minutes to compile.
_MOST_OPERANDS = 128


def partition(graph: Graph) -> None:
    """Mark the nodes that have a lowering; note the reason on the others."""
    for node in graph.nodes:
        node.reason = reason_against(node)
        node.native = not node.reason
        if node.native and native(node).is_alias:
            # The shape is known; what it was computed from need not be.
            node.inputs = node.inputs[:1]


def reason_against(node: Node) -> str:
    """Why a node has no lowering; empty if it has one."""
    if len(node.inputs) > _MOST_OPERANDS:
        return f"no lowering for {node.op} of {len(node.inputs)} inputs"
    reason = native(node).reason
    if reason is None:
        return f"no lowering for {node.domain or 'ai.onnx'} {node.op}"
    if not node.domain and node.output.known and not follows_rule(node):
        return f"the shapes of {node.op} do not follow from its inputs"
    return reason(node)
