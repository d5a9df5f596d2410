"""Sigmoids that gate their own input."""

from __future__ import annotations

from typing import Any

import pytest

from gossamer.runtime.passes.fuse_swish import fuse_swish


@pytest.mark.parametrize(
    ("nodes", "ops"),
    [
        ("s = Sigmoid(x)  y = Mul(x, s)", ["Swish"]),
        ("s = Sigmoid(x)  y = Mul(s, x)", ["Swish"]),
        ("s = HardSigmoid<alpha=0.16666667, beta=0.5>(x)  y = Mul(x, s)", ["HardSwish"]),
        ("s = HardSigmoid(x)  y = Mul(x, s)", ["HardSigmoid", "Mul"]),
        ("s = Sigmoid(x)  a = Neg(x)  y = Mul(a, s)", ["Sigmoid", "Neg", "Mul"]),
        ("s = Sigmoid(x)  a = Mul(x, s)  y = Add(a, s)", ["Sigmoid", "Mul", "Add"]),
        ("s = Sigmoid(x)  y = Mul(s, s)", ["Sigmoid", "Mul"]),
    ],
)
def test_what_is_recognised(after: Any, model: Any, nodes: str, ops: list[str]) -> None:
    graph = after(model(f"(float[N] x) => (float[N] y) {{ {nodes} }}"), fuse_swish)
    assert [node.op for node in graph.nodes] == ops
