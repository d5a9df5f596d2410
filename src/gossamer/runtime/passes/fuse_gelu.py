"""GELU, as exporters spell it out for operator sets before 20."""

from __future__ import annotations

import math

import numpy as np

from gossamer.runtime.graph import Graph, Node, Value, scalar
from gossamer.runtime.passes.partition import reason_against


def fuse_gelu(graph: Graph) -> None:
    """Make x * (1 + erf(x / sqrt 2)) * 0.5, in any order of its factors, one Gelu."""
    for node in list(graph.nodes):
        if node.is_a("Erf"):
            _fuse(graph, node)


def _fuse(graph: Graph, erf: Node) -> None:
    inner = erf.source(0).producer
    if inner is None or not inner.is_a("Div", "Mul"):
        return
    x, factor = _variable_and_scalar(inner)
    expected = math.sqrt(2) if inner.op == "Div" else math.sqrt(0.5)
    if x is None or factor is None or abs(factor - expected) > 2e-5 or x.dtype != np.float32:
        return
    add = graph.only_user(erf.output)
    if add is None or not add.is_a("Add") or _variable_and_scalar(add)[1] != 1:
        return
    # What remains is a product of x, the sum and one half, each of them once.
    last, half_seen, x_seen = add, False, False
    while not (half_seen and x_seen):
        following = graph.only_user(last.output)
        if following is None or not following.is_a("Mul", "Div"):
            return
        number = _variable_and_scalar(following)[1]
        other = following.source(0 if following.source(1) is last.output else 1)
        if number is not None:
            if half_seen or abs(number - (0.5 if following.op == "Mul" else 2)) > 1e-6:
                return
            half_seen = True
        elif following.op == "Div" or x_seen:
            return
        elif other is x:
            x_seen = True
        elif _is_half_of(other, x) and not half_seen:
            x_seen = half_seen = True
        else:
            return
        last = following
    output = Value(last.output.name, last.output.dtype, last.output.shape)
    gelu = Node("Gelu", [x], [output], {"approximate": "none"}, name=last.name)
    # A number of a higher rank gives more axes, and ONNX Runtime knows Gelu in new operator sets
    # only.
    if not reason_against(gelu):
        graph.substitute(last, output, gelu)


def _is_half_of(value: Value, x: Value) -> bool:
    node = value.producer
    if node is None or not node.is_a("Mul", "Div"):
        return False
    source, number = _variable_and_scalar(node)
    return source is x and number == (0.5 if node.op == "Mul" else 2)


def _variable_and_scalar(node: Node) -> tuple[Value | None, float | None]:
    """The operand that varies and the number beside it, if the node has one of each."""
    for value, other in ((0, 1), (1, 0)):
        number = scalar(node.input(other))
        if number is not None and (node.op != "Div" or other == 1):
            return node.input(value), number
    return None, None
