"""Layer normalisation, spelled out, becomes one node, and nothing else does."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from gossamer.runtime.passes.fuse_layer_norm import fuse_layer_norm

SPELLED = """m = ReduceMean<axes=[-1]>(x)  c = Sub(x, m)  q = Pow(c, two)
    v = ReduceMean<axes=[-1]>(q)  e = Add(v, epsilon)  r = Sqrt(e)  n = Div(c, r)
    s = Mul(n, scale)  y = Add(s, bias)"""
CONSTANTS = {
    "two": np.array(2.0),
    "epsilon": np.array(1e-5),
    "scale": np.arange(6) / 3,
    "bias": np.arange(6) - 2.5,
}


def build(model: Any, nodes: str, shape: str = "N, T, 6", **changes: Any) -> Any:
    text = f"(float[{shape}] x) => (float[{shape}] y) {{ {nodes} }}"
    return model(text, opset=13, **(CONSTANTS | changes))


@pytest.mark.parametrize(
    ("old", "new"),
    [("", ""), ("Pow(c, two)", "Mul(c, c)"), ("[-1]", "[2]"), ("Mul(n, scale)", "Mul(scale, n)")],
)
def test_every_spelling_is_one_node(
    after: Any, model: Any, agrees: Any, old: str, new: str
) -> None:
    small = build(model, SPELLED.replace(old, new) if old else SPELLED)
    (node,) = after(small, fuse_layer_norm).nodes
    assert node.op == "LayerNormalization"
    assert node.attributes["epsilon"] == pytest.approx(1e-5)
    agrees(small, {"x": np.random.default_rng(0).standard_normal((2, 5, 6)).astype(np.float32)})


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("Pow(c, two)", "Pow(c, epsilon)"),
        ("[-1]", "[1]"),
        ("Sub(x, m)", "Sub(m, x)"),
        ("Div(c, r)", "Div(x, r)"),
    ],
)
def test_what_only_looks_like_it_stays(after: Any, model: Any, old: str, new: str) -> None:
    ops = [
        node.op for node in after(build(model, SPELLED.replace(old, new)), fuse_layer_norm).nodes
    ]
    assert "LayerNormalization" not in ops


def test_a_scale_of_another_shape_stays(after: Any, model: Any) -> None:
    small = build(model, SPELLED, scale=np.array(2.0))
    assert "LayerNormalization" not in [node.op for node in after(small, fuse_layer_norm).nodes]


def test_a_vector_has_no_kernel_and_stays(after: Any, model: Any, agrees: Any) -> None:
    small = build(model, SPELLED, shape="6")
    assert "LayerNormalization" not in [node.op for node in after(small, fuse_layer_norm).nodes]
    agrees(small, {"x": np.arange(6, dtype=np.float32)}, native=False)
