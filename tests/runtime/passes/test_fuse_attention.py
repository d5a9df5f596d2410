"""Attention, however its tensors are split and turned, becomes one node."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

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
