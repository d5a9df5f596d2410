"""Attention, however its tensors are split and turned, becomes one node."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from onnx import helper

from gossamer.runtime import passes


def build(model: Any, middle: str, ports: str = "", **changes: Any) -> Any:
    constants = {
        "w": np.random.default_rng(0).standard_normal((12, 12)),
        "split": np.array([0, 0, 3, 4]),
        "join": np.array([0, 0, 12]),
        "factor": np.array(0.5),
        "two": np.array(2.0),
    }
    return model(
        f"""(float[B, S, 12] x{ports}) => (float[B, S, 12] y) {{
            q = MatMul(x, w)  qs = Reshape(q, split)  qt = Transpose<perm=[0, 2, 1, 3]>(qs)
            ks = Reshape(q, split)  kt = Transpose<perm=[0, 2, 3, 1]>(ks)
            {middle}  y = Reshape(ot, join) }}""",
        **(constants | changes),
    )


PLAIN = """s = MatMul(qt, kt)  p = Softmax<axis=-1>(s)  o = MatMul(p, qt)
    ot = Transpose<perm=[0, 2, 1, 3]>(o)"""
MASK_PORT = ", float[B, 1, S, S] m"
X = {"x": np.random.default_rng(1).standard_normal((2, 5, 12)).astype(np.float32)}


def attentions(after: Any, small: Any) -> list[Any]:
    return [node for node in after(small, passes.optimize).nodes if node.op == "Attention"]


@pytest.mark.parametrize(
    ("old", "new", "scale"),
    [
        ("", "", 1),
        ("s = MatMul(qt, kt)", "r = MatMul(qt, kt)  s = Mul(r, factor)", 0.5),
        ("s = MatMul(qt, kt)", "r = MatMul(qt, kt)  s = Div(r, two)", 0.5),
        ("s = MatMul(qt, kt)", "r = Mul(qt, factor)  s = MatMul(r, kt)", 0.5),
        ("s = MatMul(qt, kt)", "r = Mul(qt, factor)  t = Mul(kt, factor)  s = MatMul(r, t)", 0.25),
        ("kt)", "kb)", 1),
    ],
)
def test_every_spelling_is_one_node(
    after: Any, model: Any, agrees: Any, old: str, new: str, scale: float
) -> None:
    middle = PLAIN.replace(old, new) if old else PLAIN
    if "kb" in middle:
        middle = (
            "ka = Transpose<perm=[0, 2, 1, 3]>(ks)  kb = Transpose<perm=[0, 1, 3, 2]>(ka) " + middle
        )
    (node,) = attentions(after, build(model, middle))
    assert node.domain == "gossamer"
    assert (node.attributes["heads"], node.attributes["head"]) == (3, 4)
    assert node.attributes["scale"] == pytest.approx(scale)
    agrees(build(model, middle), X, tolerance=1e-4)


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("Softmax<axis=-1>", "Softmax<axis=2>"),
        ("o = MatMul(p, qt)", "v = Mul(qt, factor)  o = MatMul(p, v)"),
        ("o = MatMul(p, qt)", "e = Relu(p)  o = MatMul(e, qt)"),
        (
            "ot = Transpose<perm=[0, 2, 1, 3]>(o)",
            "n = Neg(o)  ot = Transpose<perm=[0, 2, 1, 3]>(n)",
        ),
        ("ot = Transpose<perm=[0, 2, 1, 3]>(o)", "ot = Transpose<perm=[0, 2, 3, 1]>(o)"),
        ("MatMul(qt, kt)", "MatMul(qs, kt)"),
    ],
)
def test_what_only_looks_like_it_stays(
    after: Any, model: Any, agrees: Any, old: str, new: str
) -> None:
    small = build(model, PLAIN.replace(old, new))
    assert not attentions(after, small)
    if "qs" not in new:
        agrees(small, X, native=False, tolerance=1e-4)


def test_layers_that_share_a_mask_turn_it_once(after: Any, model: Any) -> None:
    masked = PLAIN.replace("s = MatMul(qt, kt)", "r = MatMul(qt, kt)  s = Add(r, m)")
    second = """Q = MatMul(z, w)  Qs = Reshape(Q, split)  Qt = Transpose<perm=[0, 2, 1, 3]>(Qs)
        Kt = Transpose<perm=[0, 2, 3, 1]>(Qs)  R = MatMul(Qt, Kt)  T = Add(R, m)
        P = Softmax<axis=-1>(T)  O = MatMul(P, Qt)  ot = Transpose<perm=[0, 2, 1, 3]>(O)"""
    first = masked.replace("ot = ", "ou = ") + "  z = Reshape(ou, join)  "
    graph = after(build(model, first + second, ", float[B, 1, S, S] m"), passes.optimize)
    assert [node.op for node in graph.nodes].count("Attention") == 2
    assert [node.op for node in graph.nodes].count("Transpose") == 1


MASKED = PLAIN.replace("s = MatMul(qt, kt)", "r = MatMul(qt, kt)  s = Add(r, m)")
MASK = np.random.default_rng(2).standard_normal((1, 3, 5, 5))
FIVE = {"x": X["x"], "m": MASK.astype(np.float32)}


@pytest.mark.parametrize(
    "shape", [(1, 1, 5, 5), (1, 3, 5, 5), (1, 3, 1, 5), (1, 1, 1, 5), (1, 3, 5, 1), (1, 1, 1, 1)]
)
def test_a_mask_may_be_a_constant(
    after: Any, model: Any, agrees: Any, shape: tuple[int, ...]
) -> None:
    """As it is, or made of constants: a causal one, or a table of relative positions."""
    mask = MASK[:, : shape[1], : shape[2], : shape[3]]
    fixed = build(model, MASKED, m=mask)
    fixed.graph.input[0].type.tensor_type.shape.dim[1].dim_value = 5
    assert attentions(after, fixed)
    agrees(fixed, X, tolerance=1e-4)
    made = build(model, "h = Mul(n, two)  m = Neg(h) " + MASKED, n=mask)
    made.graph.input[0].type.tensor_type.shape.dim[1].dim_value = 5
    assert attentions(after, made)
    agrees(made, X, tolerance=1e-4)


@pytest.mark.parametrize(
    ("middle", "ports"),
    [
        # More sequences among the masks than among the queries.
        (MASKED, ", float[C, 3, S, S] m"),
        # A number of a higher rank gives more axes.
        (PLAIN.replace("s = MatMul(qt, kt)", "r = MatMul(qt, kt)  s = Mul(r, five)"), ""),
        (PLAIN.replace("s = MatMul(qt, kt)", "r = Mul(qt, five)  s = MatMul(r, kt)"), ""),
        # The mask has the factor too.
        (MASKED.replace("s = Add(r, m)", "a = Add(r, m)  s = Mul(a, factor)"), MASK_PORT),
        (MASKED.replace("s = Add(r, m)", "s = Sub(r, m)"), MASK_PORT),
    ],
)
def test_what_gives_another_shape_or_value_stays(
    after: Any, model: Any, middle: str, ports: str
) -> None:
    small = build(model, middle, ports, five=np.full((1, 1, 1, 1, 1), 0.5))
    assert not attentions(after, small)


def test_several_masks_for_one_product_stay(after: Any, model: Any, agrees: Any) -> None:
    small = build(model, MASKED, ", float[2, 3, 5, 5] m")
    for value in (*small.graph.input, *small.graph.output):
        value.type.tensor_type.shape.dim[0].dim_value = 2 if value.name == "m" else 1
        value.type.tensor_type.shape.dim[1].dim_value = 3 if value.name == "m" else 5
    small.graph.output[0].type.tensor_type.shape.dim[0].dim_value = 2
    assert not attentions(after, small)
    feeds = {"x": X["x"][:1], "m": np.concatenate([MASK, -MASK]).astype(np.float32)}
    agrees(small, feeds, tolerance=1e-4)


def test_one_key_that_a_mask_makes_many_stays(after: Any, model: Any, agrees: Any) -> None:
    one = "ko = Reshape(z, split)  kv = Transpose<perm=[0, 2, 3, 1]>(ko) "
    middle = one + MASKED.replace("MatMul(qt, kt)", "MatMul(qt, kv)")
    small = build(model, middle, ", float[B, 1, 12] z, float[B, 1, 5, 5] m")
    for value in (small.graph.input[0], small.graph.output[0]):
        value.type.tensor_type.shape.dim[1].dim_value = 5
    assert not attentions(after, small)
    mask = np.random.default_rng(3).standard_normal((2, 1, 5, 5)).astype(np.float32)
    agrees(small, {**X, "z": X["x"][:, :1], "m": mask}, tolerance=1e-4)


def test_a_factor_of_a_higher_rank_gives_more_axes(after: Any, model: Any, agrees: Any) -> None:
    """Which a transposition then moves."""
    middle = PLAIN.replace("MatMul(qt, kt)", "MatMul(qu, kt)")
    turned = "qf = Mul(q, four)  qm = Transpose<perm=[1, 0, 2, 3]>(qf)  qv = Reshape(qm, split4)"
    moved = f"{turned}  qu = Transpose<perm=[0, 2, 1, 3]>(qv)  {middle}"
    constants = {"four": np.full((1, 1, 1, 1), 0.5), "split4": np.array([2, 5, 3, 4])}
    small = build(model, moved, **constants)
    for value in (*small.graph.input, *small.graph.output):
        value.type.tensor_type.shape.dim[0].dim_value = 2
        value.type.tensor_type.shape.dim[1].dim_value = 5
    after(small, passes.optimize)
    agrees(small, X, tolerance=1e-4)


@pytest.mark.parametrize("taken", ["s", "p", "o", "ot", "qt"])
def test_what_an_output_takes_is_still_made(model: Any, agrees: Any, taken: str) -> None:
    small = build(model, PLAIN)
    small.graph.output.append(helper.make_tensor_value_info(taken, 1, [None] * 4))
    agrees(small, X, tolerance=1e-4)


NOBODY = """s = Add(r, m)  u = Softmax<axis=-1>(s)  t = IsNaN(u)  p = Where(t, zero, u)
    o = MatMul(p, vt)"""


def test_who_may_attend_to_nothing_gets_zeros_and_others_what_they_attend_to(
    after: Any, model: Any, agrees: Any
) -> None:
    """NaN and infinities among the values are no sign of that."""
    middle = MASKED.replace("s = Add(r, m)  p = Softmax<axis=-1>(s)  o = MatMul(p, qt)", NOBODY)
    middle = middle.replace("r = MatMul", "vt = Transpose<perm=[0, 2, 1, 3]>(vs)  r = MatMul")
    middle = "vs = Reshape(z, split) " + middle
    small = build(model, middle, ", float[B, S, 12] z, float[B, 1, S, S] m", zero=np.array(0.0))
    assert attentions(after, small)
    mask = np.zeros((2, 1, 5, 5), np.float32)
    mask[0, 0, 1] = -np.inf
    values = np.random.default_rng(3).standard_normal((2, 5, 12)).astype(np.float32)
    feeds = {**X, "m": mask, "z": values}
    agrees(small, feeds, tolerance=1e-4)
    values[1, 2, 0] = np.nan
    agrees(small, feeds, tolerance=1e-4)
