"""What several nodes compute alike is computed once."""

from __future__ import annotations

from typing import Any

import numpy as np

from gossamer.runtime.passes.share import share


def ops(after: Any, model: Any, nodes: str, **constants: Any) -> list[str]:
    graph = after(model(f"(float[N] x) => (float[N] y) {{ {nodes} }}", **constants), share)
    return [node.op for node in graph.nodes]


def test_a_repeated_node_runs_once(after: Any, model: Any) -> None:
    assert ops(after, model, "a = Exp(x)  b = Exp(x)  y = Add(a, b)") == ["Exp", "Add"]


def test_repeated_chains_run_once(after: Any, model: Any) -> None:
    nodes = "a = Exp(x)  b = Neg(a)  c = Exp(x)  d = Neg(c)  y = Add(b, d)"
    assert ops(after, model, nodes) == ["Exp", "Neg", "Add"]


def test_small_constants_are_compared_by_their_elements(after: Any, model: Any) -> None:
    nodes = "a = Add(x, c)  b = Add(x, d)  y = Mul(a, b)"
    one, two = np.array(1.0), np.array(2.0)
    assert ops(after, model, nodes, c=one, d=one) == ["Add", "Mul"]
    assert ops(after, model, nodes, c=one, d=two) == ["Add", "Add", "Mul"]


def test_attributes_and_random_numbers_tell_nodes_apart(after: Any, model: Any) -> None:
    nodes = "a = LeakyRelu<alpha=0.1>(x)  b = LeakyRelu<alpha=0.2>(x)  y = Add(a, b)"
    assert ops(after, model, nodes) == ["LeakyRelu", "LeakyRelu", "Add"]
    nodes = "a = RandomNormalLike(x)  b = RandomNormalLike(x)  y = Add(a, b)"
    assert ops(after, model, nodes) == ["RandomNormalLike", "RandomNormalLike", "Add"]


def test_outputs_may_share(model: Any, agrees: Any) -> None:
    small = model("(float[N] x) => (float[N] y, float[N] z) { y = Exp(x)  z = Exp(x) }")
    agrees(small, {"x": np.arange(3, dtype=np.float32)}, native=False)
