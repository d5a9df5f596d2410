"""GELU in every spelling becomes one node, and nothing else does."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from gossamer.runtime.passes.fuse_gelu import fuse_gelu

CONSTANTS = {
    "root": np.array(np.sqrt(2)),
    "inverse": np.array(np.sqrt(0.5)),
    "one": np.array(1.0),
    "half": np.array(0.5),
    "two": np.array(2.0),
    "third": np.array(1 / 3),
    "near": np.array(0.7073),
    "half2": np.array([[0.5]]),
    "one2": np.array([[1.0]]),
    "root2": np.array([[np.sqrt(2)]]),
}
SPELLINGS = [
    "a = Div(x, root)  b = Erf(a)  c = Add(b, one)  d = Mul(x, c)  y = Mul(d, half)",
    "a = Mul(x, inverse)  b = Erf(a)  c = Add(one, b)  d = Mul(c, x)  y = Mul(half, d)",
    "a = Div(x, root)  b = Erf(a)  c = Add(b, one)  d = Mul(c, half)  y = Mul(x, d)",
    "a = Div(x, root)  b = Erf(a)  c = Add(b, one)  h = Mul(x, half)  y = Mul(h, c)",
    "a = Div(x, root)  b = Erf(a)  c = Add(b, one)  d = Mul(x, c)  y = Div(d, two)",
]
OTHERS = [
    "a = Div(x, two)  b = Erf(a)  c = Add(b, one)  d = Mul(x, c)  y = Mul(d, half)",
    "a = Div(x, root)  b = Erf(a)  c = Add(b, half)  d = Mul(x, c)  y = Mul(d, half)",
    "a = Div(x, root)  b = Erf(a)  c = Add(b, one)  d = Mul(x, c)  y = Mul(d, third)",
    "a = Div(x, root)  b = Erf(a)  c = Add(b, one)  d = Mul(a, c)  y = Mul(d, half)",
    "a = Div(x, root)  b = Erf(a)  c = Add(b, one)  d = Mul(x, c)  e = Mul(d, half)  y = Add(c, e)",
    # One half too many.
    """a = Div(x, root)  b = Erf(a)  c = Add(b, one)  d = Mul(c, half)  e = Mul(d, half)
       y = Mul(e, x)""",
    "a = Div(x, root)  b = Erf(a)  c = Add(b, one)  d = Div(c, two)  e = Div(d, two)  y = Mul(x,e)",
    """a = Div(x, root)  b = Erf(a)  c = Add(b, one)  d = Mul(c, half)  h = Mul(x, half)
       y = Mul(d, h)""",
    # The other way round.
    "a = Div(root, x)  b = Erf(a)  c = Add(b, one)  d = Mul(x, c)  y = Mul(d, half)",
    "a = Div(x, root)  b = Erf(a)  c = Add(b, one)  d = Mul(x, c)  y = Div(half, d)",
    "a = Div(x, root)  b = Erf(a)  c = Add(b, one)  d = Mul(c, half)  y = Div(d, x)",
    "a = Div(x, root)  b = Erf(a)  c = Add(b, one)  d = Mul(c, half)  y = Div(x, d)",
    # x twice, x instead of one half.
    "a = Div(x, root)  b = Erf(a)  c = Add(b, one)  d = Mul(c, x)  e = Mul(d, x)  y = Mul(e, half)",
    # Constants that are not near enough.
    "a = Mul(x, near)  b = Erf(a)  c = Add(b, one)  d = Mul(x, c)  y = Mul(d, half)",
]
HIGHER = [
    "a = Div(x, root)  b = Erf(a)  c = Add(b, one)  d = Mul(x, c)  y = Mul(d, half2)",
    "a = Div(x, root)  b = Erf(a)  c = Add(b, one2)  d = Mul(x, c)  y = Mul(d, half)",
    "a = Div(x, root2)  b = Erf(a)  c = Add(b, one)  d = Mul(x, c)  y = Mul(d, half)",
]


@pytest.mark.parametrize("spelling", SPELLINGS)
def test_every_spelling_is_one_node(after: Any, model: Any, agrees: Any, spelling: str) -> None:
    small = model(f"(float[N] x) => (float[N] y) {{ {spelling} }}", opset=13, **CONSTANTS)
    assert [node.op for node in after(small, fuse_gelu).nodes] == ["Gelu"]
    agrees(small, {"x": np.linspace(-5, 5, 50, dtype=np.float32)})


@pytest.mark.parametrize("spelling", OTHERS)
def test_what_only_looks_like_it_stays(after: Any, model: Any, agrees: Any, spelling: str) -> None:
    small = model(f"(float[N] x) => (float[N] y) {{ {spelling} }}", opset=13, **CONSTANTS)
    assert "Gelu" not in [node.op for node in after(small, fuse_gelu).nodes]
    agrees(small, {"x": np.linspace(-2, 2, 50, dtype=np.float32)}, tolerance=1e-4)


@pytest.mark.parametrize("spelling", HIGHER)
def test_a_constant_of_a_higher_rank_gives_more_axes(
    after: Any, model: Any, agrees: Any, spelling: str
) -> None:
    small = model(f"(float[N] x) => (float[M, N] y) {{ {spelling} }}", opset=13, **CONSTANTS)
    assert "Gelu" not in [node.op for node in after(small, fuse_gelu).nodes]
    agrees(small, {"x": np.linspace(-5, 5, 50, dtype=np.float32)})


@pytest.mark.parametrize("taken", ["a", "b", "c", "d"])
def test_what_an_output_or_another_node_takes_is_still_made(
    model: Any, agrees: Any, taken: str
) -> None:
    text = f"(float[N] x) => (float[N] y, float[N] {taken}) {{ {SPELLINGS[0]} }}"
    agrees(model(text, opset=13, **CONSTANTS), {"x": np.linspace(-5, 5, 50, dtype=np.float32)})
    text = f"(float[N] x) => (float[N] y, float[N] z) {{ {SPELLINGS[0]}  z = Neg({taken}) }}"
    agrees(model(text, opset=13, **CONSTANTS), {"x": np.linspace(-5, 5, 50, dtype=np.float32)})


def test_other_types_stay_as_they_are(after: Any, model: Any) -> None:
    small = model(f"(double[N] x) => (double[N] y) {{ {SPELLINGS[0]} }}", opset=13, **CONSTANTS)
    assert len(after(small, fuse_gelu).nodes) == 5
