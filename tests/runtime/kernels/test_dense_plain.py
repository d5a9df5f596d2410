"""The dense kernel for one row a sample, for every shape."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

f32 = np.float32


@settings(max_examples=40, deadline=None)
@given(
    rows=st.integers(1, 150),
    columns=st.integers(1, 90),
    samples=st.integers(1, 20),
    threads=st.integers(1, 3),
    target=st.sampled_from(["host", "avx2"]),
)
def test_any_matrix(
    model: Any, agrees: Any, rows: int, columns: int, samples: int, threads: int, target: str
) -> None:
    random = np.random.default_rng(rows * columns)
    small = model(
        f"(float[N, {columns}] x) => (float[N, {rows}] y) {{ y = MatMul(x, w) }}",
        w=random.standard_normal((columns, rows)),
    )
    x = random.standard_normal((samples, columns)).astype(f32)
    session = agrees(small, {"x": x}, threads=threads, target=target)
    # Nothing is copied.
    assert [line.kernel for line in session.explain()] == ["dense linear"]


@pytest.mark.parametrize("rows", [16, 23])
def test_bias_residual_and_activation_are_part_of_the_kernel(
    model: Any, agrees: Any, random: np.random.Generator, rows: int
) -> None:
    small = model(
        f"""(float[N, 8] x, float[N, {rows}] r) => (float[N, {rows}] y) {{
            a = Gemm<transB=1>(x, w, bias)  b = Add(a, r)  y = Sigmoid(b) }}""",
        w=random.standard_normal((rows, 8)),
        bias=random.standard_normal(rows),
    )
    feeds = {
        "x": random.standard_normal((7, 8)).astype(f32),
        "r": random.standard_normal((7, rows)).astype(f32),
    }
    session = agrees(small, feeds, threads=2)
    assert len(session.explain()) == 1


def test_a_perceptron_after_tokens_takes_plain_rows(
    model: Any, agrees: Any, random: np.random.Generator
) -> None:
    small = model(
        """(float[N, T, 8] x) => (float[N, 5] y) {
            a = MatMul(x, w)  b = Gather<axis=1>(a, first)  y = MatMul(b, v) }""",
        w=random.standard_normal((8, 8)),
        v=random.standard_normal((8, 5)),
        first=np.array(0),
    )
    agrees(small, {"x": random.standard_normal((3, 20, 8)).astype(f32)}, threads=2)
