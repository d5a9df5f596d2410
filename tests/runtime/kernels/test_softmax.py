"""Softmax and its logarithm, along any axis."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

f32 = np.float32


@settings(max_examples=40, deadline=None)
@given(
    operator=st.sampled_from(["Softmax", "LogSoftmax"]),
    shape=st.lists(st.sampled_from([1, 2, 3, 5, 16, 17, 40]), min_size=1, max_size=4),
    place=st.integers(0, 3),
    opset=st.sampled_from([11, 17]),
    threads=st.integers(1, 3),
)
def test_any_axis(
    model: Any, agrees: Any, operator: str, shape: list[int], place: int, opset: int, threads: int
) -> None:
    """Before operator set 13 all axes from the one named on were one."""
    axis = place % len(shape)
    small = model(
        f"""(float[{", ".join("ABCD"[: len(shape)])}] x)
            => (float[{", ".join("ABCD"[: len(shape)])}] y) {{ y = {operator}<axis={axis}>(x) }}""",
        opset=opset,
    )
    x = np.random.default_rng(0).standard_normal(shape).astype(f32) * 5
    agrees(small, {"x": x}, threads=threads, tolerance=2e-6)


@pytest.mark.parametrize("opset", [11, 17])
@pytest.mark.parametrize("target", ["host", "avx2"])
def test_the_axis_that_is_left_out(model: Any, agrees: Any, opset: int, target: str) -> None:
    small = model("(float[N, 3, 21] x) => (float[N, 3, 21] y) { y = Softmax(x) }", opset=opset)
    x = np.random.default_rng(0).standard_normal((4, 3, 21)).astype(f32)
    agrees(small, {"x": x}, target=target, tolerance=1e-6)


def test_large_and_infinite_scores(model: Any, agrees: Any) -> None:
    small = model("(float[N, 20] x) => (float[N, 20] y) { y = Softmax(x) }")
    x = np.zeros((3, 20), f32)
    x[0, 3], x[1, 4:] = 1e30, -np.inf
    x[2] = np.linspace(-1000, 1000, 20)
    agrees(small, {"x": x})


def test_after_a_layer(model: Any, agrees: Any) -> None:
    """Which leaves its outputs in tiles."""
    small = model(
        "(float[B, T, 8] x) => (float[B, T, 5] y) { a = MatMul(x, w)  y = Softmax(a) }",
        w=np.random.default_rng(0).standard_normal((8, 5)),
    )
    agrees(small, {"x": np.random.default_rng(1).standard_normal((3, 7, 8)).astype(f32)})


def test_64_bits(model: Any, agrees: Any) -> None:
    """By ONNX's definition of the operator, as no kernel takes it."""
    small = model("(double[N, 7] x) => (double[N, 7] y) { y = Softmax(x) }")
    agrees(small, {"x": np.random.default_rng(0).standard_normal((3, 7))}, tolerance=1e-12)
