"""Layer normalisation, spelled out, becomes one node, and nothing else does."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from onnx import helper

from gossamer.runtime import compile
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
        ("Div(c, r)", "Div(r, c)"),
        ("Mul(n, scale)", "Div(n, scale)"),
        ("Mul(n, scale)", "Mul(n, n)"),
        ("Add(s, bias)", "Sub(s, bias)"),
        ("Sqrt(e)", "Exp(e)"),
        ("Add(v, epsilon)", "Sub(v, epsilon)"),
        ("Add(v, epsilon)", "Add(v, scale)"),
        ("ReduceMean<axes=[-1]>(q)", "ReduceSum(q, last)"),
        ("ReduceMean<axes=[-1]>(q)", "ReduceMean<axes=[-2, -1]>(q)"),
        ("ReduceMean<axes=[-1]>(q)", "ReduceMean(q)"),
        ("Pow(c, two)", "Mul(c, x)"),
        ("Pow(c, two)", "Pow(two, c)"),
    ],
)
def test_what_only_looks_like_it_stays(
    after: Any, model: Any, agrees: Any, old: str, new: str
) -> None:
    small = build(model, SPELLED.replace(old, new), last=np.array([-1]), scale=np.arange(1, 7) / 3)
    ops = [node.op for node in after(small, fuse_layer_norm).nodes]
    assert "LayerNormalization" not in ops
    x = np.random.default_rng(0).uniform(1, 2, (2, 5, 6)).astype(np.float32)
    # Not compared: roots of what may be negative, and what is divided by next to nothing.
    if new not in ("Pow(c, epsilon)", "Mul(c, x)", "Div(r, c)"):
        agrees(small, {"x": x}, native=False, tolerance=1e-4)


@pytest.mark.parametrize("name", ["scale", "bias", "epsilon"])
def test_a_constant_of_a_higher_rank_gives_more_axes(after: Any, model: Any, name: str) -> None:
    """ONNX Runtime's own fusion loses that axis where it is epsilon's."""
    higher = {name: CONSTANTS[name].reshape(1, 1, 1, -1)}
    small = build(model, SPELLED, **higher)
    small.graph.output[0].CopyFrom(helper.make_tensor_value_info("y", 1, [None] * 4))
    assert "LayerNormalization" not in [node.op for node in after(small, fuse_layer_norm).nodes]
    x = np.random.default_rng(0).standard_normal((2, 5, 6)).astype(np.float32)
    (y,) = compile(small, engine="gossamer").run(None, {"x": x})
    normal = (x - x.mean(-1, keepdims=True)) / np.sqrt(x.var(-1, keepdims=True) + 1e-5)
    assert y.shape == (1, 2, 5, 6)
    wanted = (normal * CONSTANTS["scale"] + CONSTANTS["bias"])[None]
    np.testing.assert_allclose(y, wanted, atol=1e-4)


def test_constants_of_as_many_axes_are_vectors_too(after: Any, model: Any, agrees: Any) -> None:
    shape = {"scale": CONSTANTS["scale"].reshape(1, 6), "bias": CONSTANTS["bias"].reshape(1, 1, 6)}
    small = build(model, SPELLED, **shape)
    assert [node.op for node in after(small, fuse_layer_norm).nodes] == ["LayerNormalization"]
    agrees(small, {"x": np.random.default_rng(0).standard_normal((2, 5, 6)).astype(np.float32)})


@pytest.mark.parametrize("taken", ["m", "c", "q", "v", "e", "r", "n", "s"])
def test_what_an_output_takes_is_still_made(model: Any, agrees: Any, taken: str) -> None:
    small = build(model, SPELLED)
    small.graph.output.append(helper.make_tensor_value_info(taken, 1, [None] * 3))
    x = np.random.default_rng(0).standard_normal((2, 5, 6)).astype(np.float32)
    agrees(small, {"x": x}, tolerance=1e-4)


def test_a_scale_of_another_shape_stays(after: Any, model: Any) -> None:
    small = build(model, SPELLED, scale=np.array(2.0))
    assert "LayerNormalization" not in [node.op for node in after(small, fuse_layer_norm).nodes]


def test_a_vector_has_no_kernel_and_stays(after: Any, model: Any, agrees: Any) -> None:
    small = build(model, SPELLED, shape="6")
    assert "LayerNormalization" not in [node.op for node in after(small, fuse_layer_norm).nodes]
    agrees(small, {"x": np.arange(6, dtype=np.float32)}, native=False)
