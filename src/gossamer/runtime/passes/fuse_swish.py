"""Swish (SiLU), as exporters spell it out for operator sets before 24."""

from __future__ import annotations

from gossamer.runtime.graph import Graph, Node, Value
from gossamer.runtime.passes.partition import reason_against


def fuse_swish(graph: Graph) -> None:
    """Make x * Sigmoid(x) one Swish, x * HardSigmoid(x) of a sixth and a half one HardSwish."""
    for node in list(graph.nodes):
        if not node.is_a("Sigmoid", "HardSigmoid"):
            continue
        x, gate = node.source(0), node.output
        multiply = graph.only_user(gate)
        if multiply is None or not multiply.is_a("Mul") or {*multiply.inputs} != {x, gate}:
            continue
        if node.op == "HardSigmoid" and not _is_a_sixth_and_a_half(node):
            continue
        output = Value(multiply.output.name, multiply.output.dtype, multiply.output.shape)
        op = "Swish" if node.op == "Sigmoid" else "HardSwish"
        fused = Node(op, [x], [output], name=multiply.name)
        # What no kernel takes stays as it is: ONNX Runtime knows these in new operator sets only.
        if not reason_against(fused):
            graph.substitute(multiply, output, fused)


def _is_a_sixth_and_a_half(node: Node) -> bool:
    alpha, beta = node.attributes.get("alpha", 0.2), node.attributes.get("beta", 0.5)
    return bool(abs(alpha - 1 / 6) < 1e-6 and beta == 0.5)
