"""Swish (SiLU), as exporters spell it out for operator sets before 24."""

from __future__ import annotations

from gossamer.runtime.graph import Graph, Node, Value


def fuse_swish(graph: Graph) -> None:
    """Make x * Sigmoid(x) one Swish, x * HardSigmoid(x) of a sixth and a half one HardSwish."""
    for node in list(graph.nodes):
        if node.domain or node.op not in ("Sigmoid", "HardSigmoid"):
            continue
        x, gate = node.source(0), node.output
        multiply = graph.only_user(gate)
        if multiply is None or multiply.op != "Mul" or multiply.domain or not x.known:
            continue
        if {*multiply.inputs} != {x, gate}:
            continue
        if node.op == "Sigmoid":
            op = "Swish"
        elif _is_a_sixth_and_a_half(node):
            op = "HardSwish"
        else:
            continue
        output = Value(multiply.output.name, x.dtype, x.shape)
        fused = Node(op, [x], [output], name=multiply.name)
        graph.substitute(multiply, output, fused)


def _is_a_sixth_and_a_half(node: Node) -> bool:
    alpha, beta = node.attributes.get("alpha", 0.2), node.attributes.get("beta", 0.5)
    return bool(abs(alpha - 1 / 6) < 1e-6 and beta == 0.5)
