"""Products of computed matrices."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

f32 = np.float32


@settings(max_examples=40, deadline=None)
@given(
    sizes=st.tuples(*[st.sampled_from([1, 2, 5, 6, 7, 16, 33, 64, 65, 100])] * 3),
    batch=st.lists(st.integers(1, 3), max_size=3),
    shared=st.tuples(*[st.sets(st.integers(0, 2))] * 2),
    cut=st.integers(0, 3),
    threads=st.integers(1, 3),
    target=st.sampled_from(["host", "avx2"]),
)
def test_batches_broadcast(
    model: Any,
    agrees: Any,
    sizes: tuple[int, int, int],
    batch: list[int],
    shared: tuple[set[int], set[int]],
    cut: int,
    threads: int,
    target: str,
) -> None:
    rows, inner, columns = sizes
    left, right = ([1 if i in mine else n for i, n in enumerate(batch)] for mine in shared)
    right = right[min(cut, len(right)) :]
    rank = len(batch) + 2
    small = model(
        f"""(float{[*left, rows, inner]} a, float{[*right, inner, columns]} b)
            => (float[{", ".join("ABCDE"[:rank])}] y) {{ y = MatMul(a, b) }}"""
    )
    random = np.random.default_rng(0)
    feeds = {
        "a": random.standard_normal((*left, rows, inner)).astype(f32),
        "b": random.standard_normal((*right, inner, columns)).astype(f32),
    }
    agrees(small, feeds, threads=threads, target=target)


def test_open_sizes(model: Any, agrees: Any) -> None:
    small = model("(float[B, N, K] a, float[K, M] b) => (float[B, N, M] y) { y = MatMul(a, b) }")
    random = np.random.default_rng(0)
    for batch, rows, inner, columns in ((1, 3, 4, 5), (2, 130, 9, 70)):
        feeds = {
            "a": random.standard_normal((batch, rows, inner)).astype(f32),
            "b": random.standard_normal((inner, columns)).astype(f32),
        }
        agrees(small, feeds, threads=2)


@pytest.mark.parametrize(
    ("left", "right"),
    [([7], [7]), ([7], [7, 3]), ([2, 7], [7]), ([7], [4, 7, 3]), ([4, 2, 7], [7])],
)
def test_vectors(model: Any, agrees: Any, left: list[int], right: list[int]) -> None:
    rank = np.matmul(np.ones(left), np.ones(right)).ndim
    axes = f"float[{', '.join('ABC'[:rank])}]" if rank else "float"
    small = model(
        f"""(float{left} a, float{right} b)
            => ({axes} y) {{ y = MatMul(a, b) }}"""
    )
    random = np.random.default_rng(0)
    agrees(
        small,
        {n: random.standard_normal(s).astype(f32) for n, s in {"a": left, "b": right}.items()},
    )


@pytest.mark.parametrize("kind", ["double", "int64", "int32"])
def test_other_types(model: Any, agrees: Any, kind: str) -> None:
    small = model(
        f"({kind}[2, 3, 4] a, {kind}[4, 5] b) => ({kind}[2, 3, 5] y) {{ y = MatMul(a, b) }}"
    )
    dtype = {"double": np.float64}.get(kind, np.dtype(kind if kind != "double" else "f8"))
    random = np.random.default_rng(0)
    feeds = {"a": random.integers(-9, 9, (2, 3, 4)), "b": random.integers(-9, 9, (4, 5))}
    agrees(small, {name: array.astype(dtype) for name, array in feeds.items()})


@pytest.mark.parametrize(
    "attributes", ["", "transA=1", "transB=1", "transA=1, transB=1, alpha=0.5"]
)
@pytest.mark.parametrize("added", ["", "c", "d"])
def test_gemm_of_computed_matrices(model: Any, agrees: Any, attributes: str, added: str) -> None:
    left = [6, 9] if "transA" in attributes else [9, 6]
    right = [5, 6] if "transB" in attributes else [6, 5]
    numbers = f"{attributes}{', ' if attributes else ''}beta=2.0"
    small = model(
        f"""(float{left} a, float{right} b, float[5] c, float[9, 1] d) => (float[9, 5] y) {{
            y = Gemm<{numbers}>({", ".join(["a", "b", *added])}) }}"""
    )
    random = np.random.default_rng(0)
    shapes = {"a": left, "b": right, "c": [5], "d": [9, 1]}
    agrees(small, {n: random.standard_normal(s).astype(f32) for n, s in shapes.items()})


def test_nothing_to_add_up(model: Any, agrees: Any) -> None:
    small = model("(float[3, 0] a, float[0, 4] b) => (float[3, 4] y) { y = MatMul(a, b) }")
    agrees(small, {"a": np.zeros((3, 0), f32), "b": np.zeros((0, 4), f32)})
