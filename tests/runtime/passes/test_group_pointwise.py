"""Chains of elementwise operators become one node."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from gossamer.runtime.passes.assign_layouts import assign_layouts
from gossamer.runtime.passes.fuse_layers import fuse_layers
from gossamer.runtime.passes.group_pointwise import group_pointwise
from gossamer.runtime.passes.partition import partition


def groups(after: Any, model: Any, text: str, **constants: Any) -> list[Any]:
    """The operators of each node that is left; those of a group in the order of the model."""
    graph = after(model(text, **constants), fuse_layers, partition, assign_layouts, group_pointwise)
    return [
        [member.op for member in node.attributes["nodes"][::-1]]
        if node.op == "Pointwise"
        else node.op
        for node in graph.nodes
    ]


@pytest.mark.parametrize(
    ("nodes", "expected"),
    [
        ("a = Neg(x)  b = Exp(a)  y = Abs(b)", [["Neg", "Exp", "Abs"]]),
        # Computed twice would cost more than stored once.
        ("a = Exp(x)  b = Neg(a)  c = Abs(a)  y = Mul(b, c)", [["Exp"], ["Abs", "Neg", "Mul"]]),
        # What only moves elements is read through by each that takes it.
        (
            "t = Transpose(x)  a = Exp(t)  b = Neg(t)  y = MatMul(a, b)",
            [["Transpose", "Exp"], ["Transpose", "Neg"], "MatMul"],
        ),
        ("a = Neg(x)  b = Softmax(a)  y = Abs(b)", [["Neg"], "Softmax", ["Abs"]]),
    ],
)
def test_a_producer_joins_its_only_user(
    after: Any, model: Any, nodes: str, expected: list[Any]
) -> None:
    found = groups(after, model, f"(float[N, N] x) => (float[N, N] y) {{ {nodes} }}")
    assert [sorted(g) if isinstance(g, list) else g for g in found] == [
        sorted(g) if isinstance(g, list) else g for g in expected
    ]


def test_an_output_of_the_model_is_stored(after: Any, model: Any) -> None:
    text = "(float[N] x) => (float[N] y, float[N] a) { a = Exp(x)  y = Neg(a) }"
    assert groups(after, model, text) == [["Exp"], ["Neg"]]


def test_an_expression_does_not_grow_without_end(model: Any, agrees: Any) -> None:
    """Each concatenation of a value with itself doubles what an element is made of."""
    doubling = " ".join(f"x{i + 1} = Concat<axis=0>(x{i}, x{i})" for i in range(14))
    small = model(f"(float[1, 2] x0) => (float[N, 2] y) {{ {doubling} y = Neg(x14) }}")
    session = agrees(small, {"x0": np.array([[1, 2]], np.float32)}, threads=2)
    assert 2 <= len(session.explain()) <= 4


def test_sizes_are_arguments_not_arrays(after: Any, model: Any) -> None:
    graph = after(
        model(
            """(float[N, M] x) => (float[N, M] y) {
                s = Shape(x)  n = Gather(s, one)  f = Cast<to=1>(n)  y = Div(x, f) }""",
            one=np.array(1),
        ),
        partition,
        group_pointwise,
    )
    (node,) = graph.nodes
    assert [value.name for value in node.inputs] == ["x"]
    assert sorted(map(str, node.attributes["sizes"])) == ["M", "N"]
