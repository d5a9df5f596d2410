"""The attention kernel, for any lengths, head sizes and masks."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

f32 = np.float32


def attention(
    model: Any, heads: int, head: int, mask: str = "", after: str = "p = Softmax<axis=-1>(u)"
) -> Any:
    """Queries from x, keys and values from y, as exporters write it."""
    width = heads * head
    random = np.random.default_rng(width)
    given = f", float[{mask}] m" if mask else ""
    return model(
        f"""(float[B, Q, 8] x, float[B, K, 8] y{given}) => (float[B, Q, {width}] z) {{
            q = MatMul(x, wq)  k = MatMul(y, wk)  v = MatMul(y, wv)
            qs = Reshape(q, split)  qt = Transpose<perm=[0, 2, 1, 3]>(qs)
            ks = Reshape(k, split)  kt = Transpose<perm=[0, 2, 3, 1]>(ks)
            vs = Reshape(v, split)  vt = Transpose<perm=[0, 2, 1, 3]>(vs)
            s = MatMul(qt, kt)  t = Mul(s, factor)  u = {"Add(t, m)" if mask else "Identity(t)"}
            {after}
            o = MatMul(p, vt)  ot = Transpose<perm=[0, 2, 1, 3]>(o)  z = Reshape(ot, join)
        }}""",
        wq=random.standard_normal((8, width)),
        wk=random.standard_normal((8, width)),
        wv=random.standard_normal((8, width)),
        split=np.array([0, 0, heads, head]),
        join=np.array([0, 0, width]),
        factor=np.array(head**-0.5),
        zero=np.array(0.0),
    )


def inputs(batch: int, queries: int, keys: int) -> dict[str, Any]:
    random = np.random.default_rng(queries * keys)
    return {
        "x": random.standard_normal((batch, queries, 8)).astype(f32),
        "y": random.standard_normal((batch, keys, 8)).astype(f32),
    }


def is_fused(session: Any) -> bool:
    return [line.op for line in session.explain()].count("Attention") == 1


@settings(max_examples=40, deadline=None)
@given(
    heads=st.integers(2, 4),
    head=st.sampled_from([2, 3, 5, 8, 32]),
    batch=st.integers(1, 4),
    queries=st.integers(1, 90),
    keys=st.integers(1, 90),
    threads=st.integers(1, 3),
    target=st.sampled_from(["host", "avx2"]),
)
def test_any_lengths(
    model: Any,
    agrees: Any,
    heads: int,
    head: int,
    batch: int,
    queries: int,
    keys: int,
    threads: int,
    target: str,
) -> None:
    given = inputs(batch, queries, keys)
    small = attention(model, heads, head)
    assert is_fused(agrees(small, given, threads=threads, target=target, tolerance=1e-4))


MASKS = [
    "B, 1, 1, K",
    "1, 1, 1, K",
    "B, 2, 1, K",
    "B, 1, Q, K",
    "1, 1, Q, K",
    "1, 2, Q, K",
    "B, 2, Q, K",
    "B, 2, Q, 1",
    "B, 1, 1, 1",
]


@pytest.mark.parametrize("target", ["host", "avx2"])
@pytest.mark.parametrize("shape", MASKS)
def test_masks_of_every_shape(
    model: Any, agrees: Any, random: np.random.Generator, shape: str, target: str
) -> None:
    for batch, queries, keys in [(1, 1, 1), (3, 7, 20), (2, 33, 17)]:
        sizes = {"B": batch, "Q": queries, "K": keys}
        mask = random.standard_normal([sizes.get(s) or int(s) for s in shape.split(", ")])
        mask[mask > 0.5] = np.finfo(f32).min
        given = inputs(batch, queries, keys) | {"m": mask.astype(f32)}
        session = agrees(
            attention(model, 2, 6, shape), given, threads=2, target=target, tolerance=1e-4
        )
        assert is_fused(session)


def test_a_query_that_may_attend_to_nothing(model: Any, agrees: Any) -> None:
    """The least finite number leaves the mean of the values; minus infinity gives NaN."""
    for nothing in (np.finfo(f32).min, -np.inf):
        mask = np.zeros((2, 1, 5, 9), f32)
        mask[1, 0, 2] = nothing
        mask[0, 0, :, 4:] = nothing
        given = inputs(2, 5, 9) | {"m": mask}
        agrees(attention(model, 2, 4, "B, 1, Q, K"), given, tolerance=1e-4)


def test_nan_of_a_query_that_may_attend_to_nothing_may_be_replaced_by_zero(
    model: Any, agrees: Any
) -> None:
    after = "r = Softmax<axis=-1>(u)  bad = IsNaN(r)  p = Where(bad, zero, r)"
    mask = np.zeros((2, 1, 5, 9), f32)
    mask[1, 0, 2] = -np.inf
    session = agrees(
        attention(model, 2, 4, "B, 1, Q, K", after), inputs(2, 5, 9) | {"m": mask}, tolerance=1e-4
    )
    assert is_fused(session)
    result = session.run(None, inputs(2, 5, 9) | {"m": mask})[0]
    assert not result[1, 2].any()
    assert result[1, 1].all()


def test_large_scores_do_not_overflow(model: Any, agrees: Any) -> None:
    given = inputs(2, 9, 11)
    given["x"] *= 1000
    agrees(attention(model, 2, 4), given, tolerance=1e-4)


@pytest.mark.parametrize(("one", "many"), [("x", "y"), ("y", "x")])
def test_a_batch_that_is_broadcast_is_not_fused(
    model: Any, agrees: Any, random: np.random.Generator, one: str, many: str
) -> None:
    small = attention(model, 2, 4)
    for port in small.graph.input:
        if port.name == one:
            port.type.tensor_type.shape.dim[0].dim_value = 1
    given = {
        one: random.standard_normal((1, 5, 8)).astype(f32),
        many: random.standard_normal((3, 6, 8)).astype(f32),
    }
    session = agrees(small, given, native=False, tolerance=1e-4)
    assert not is_fused(session)


def test_one_head(model: Any, agrees: Any) -> None:
    agrees(attention(model, 1, 8), inputs(2, 5, 7), native=False, tolerance=1e-4)
