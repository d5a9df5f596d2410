"""The dense linear kernel, for every shape."""

from __future__ import annotations

from typing import Any
from unittest import mock

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gossamer.runtime import tuning

f32 = np.float32


@settings(max_examples=40, deadline=None)
@given(
    rows=st.integers(1, 70),
    columns=st.integers(1, 300),
    batch=st.integers(1, 4),
    length=st.integers(1, 70),
    threads=st.integers(1, 3),
    target=st.sampled_from(["host", "avx2"]),
)
def test_any_matrix(
    model: Any,
    agrees: Any,
    rows: int,
    columns: int,
    batch: int,
    length: int,
    threads: int,
    target: str,
) -> None:
    random = np.random.default_rng(rows * columns)
    small = model(
        f"(float[B, T, {columns}] x) => (float[B, T, {rows}] y) {{ y = MatMul(x, w) }}",
        w=random.standard_normal((columns, rows)),
    )
    x = random.standard_normal((batch, length, columns)).astype(f32)
    session = agrees(small, {"x": x}, threads=threads, target=target)
    assert "dense linear" in [line.kernel for line in session.explain()]


@pytest.mark.parametrize("is_sparse", [True, False])
@pytest.mark.parametrize(
    ("attributes", "weight", "bias"),
    [
        ("transB=1", (7, 20), (7,)),
        ("transB=0", (20, 7), (1, 7)),
        ("transB=1, alpha=0.5, beta=2.0", (7, 20), (1,)),
        ("alpha=2.0", (20, 7), ()),
        ("transB=1", (7, 20), None),
        ("beta=3.0", (20, 1), (1, 1)),
    ],
)
def test_gemm_in_every_form(
    model: Any,
    agrees: Any,
    random: np.random.Generator,
    is_sparse: bool,
    attributes: str,
    weight: tuple[int, ...],
    bias: tuple[int, ...] | None,
) -> None:
    constants = {"w": random.standard_normal(weight)}
    if bias is not None:
        constants["b"] = random.standard_normal(bias)
    operands = "x, w, b" if bias is not None else "x, w"
    rows = weight[0] if "transB=1" in attributes else weight[1]
    small = model(
        f"(float[B, 20] x) => (float[B, {rows}] y) {{ y = Gemm<{attributes}>({operands}) }}",
        **constants,
    )
    x = random.standard_normal((19, 20)).astype(f32)
    with mock.patch.object(tuning, "choose_linear", return_value=tuning.Choice(is_sparse, 20)):
        agrees(small, {"x": x}, threads=2)


@pytest.mark.parametrize("leading", ["", "B,", "B, 3,", "B, 3, 2,"])
def test_any_number_of_leading_axes(
    model: Any, agrees: Any, random: np.random.Generator, leading: str
) -> None:
    small = model(
        f"(float[{leading} T, 8] x) => (float[{leading} T, 5] y) {{ y = MatMul(x, w) }}",
        w=random.standard_normal((8, 5)),
    )
    shape = [
        {"B": 2}.get(size) or int(size) for size in leading.replace(" ", "").split(",") if size
    ]
    x = random.standard_normal((*shape, 17, 8)).astype(f32)
    agrees(small, {"x": x}, threads=2)
