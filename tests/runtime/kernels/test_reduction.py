"""Reductions along any axes, and what they fold."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gossamer.runtime import compile

f32 = np.float32

REDUCTIONS = [
    *("ReduceSum", "ReduceMean", "ReduceMax", "ReduceMin", "ReduceProd", "ReduceL1", "ReduceL2"),
    *("ReduceSumSquare", "ReduceLogSum", "ReduceLogSumExp"),
]


@settings(max_examples=60, deadline=None)
@given(
    operator=st.sampled_from(REDUCTIONS),
    shape=st.lists(st.sampled_from([1, 2, 3, 7, 64, 70]), min_size=1, max_size=4),
    places=st.sets(st.integers(0, 3), min_size=1),
    keep=st.integers(0, 1),
    opset=st.sampled_from([12, 18]),
    threads=st.integers(1, 3),
)
def test_any_axes(
    model: Any,
    agrees: Any,
    operator: str,
    shape: list[int],
    places: set[int],
    keep: int,
    opset: int,
    threads: int,
) -> None:
    """As an attribute in older operator sets, as an input in newer ones."""
    axes = sorted({place % len(shape) for place in places})
    call = f"{operator}<axes={axes}, keepdims={keep}>(x)"
    if opset == 18:
        call = f"{operator}<keepdims={keep}>(x, axes)"
    rank = len(shape) if keep else len(shape) - len(axes)
    small = model(
        f"""(float[{", ".join("ABCD"[: len(shape)])}] x)
            => (float{f"[{', '.join('EFGH'[:rank])}]" if rank else ""} y) {{ y = {call} }}""",
        opset=opset,
        **({"axes": np.array(axes) - len(shape)} if opset == 18 else {}),
    )
    x = np.random.default_rng(0).uniform(0.9, 1.1, shape).astype(f32)
    agrees(small, {"x": x}, threads=threads, tolerance=1e-5)


@pytest.mark.parametrize("operator", REDUCTIONS)
@pytest.mark.parametrize("call", ["x", "x, none"])
def test_along_no_axis_each_element_is_reduced_alone(
    model: Any, agrees: Any, operator: str, call: str
) -> None:
    for noop in (0, 1):
        small = model(
            f"""(float[3, 4] x) => (float[3, 4] y) {{
                a = {operator}<noop_with_empty_axes={noop}>({call})  y = Add(a, x) }}""",
            opset=18,
            none=np.zeros(0, np.int64),
        )
        x = np.random.default_rng(0).standard_normal((3, 4)).astype(f32)
        agrees(small, {"x": np.abs(x) if "Log" in operator else x}, tolerance=1e-5)


@pytest.mark.parametrize("operator", ["ReduceSum", "ReduceL2", "ReduceMean", "ArgMax"])
def test_axes_are_kept_for_one_and_no_other_number(model: Any, agrees: Any, operator: str) -> None:
    axes = "axis=1" if operator == "ArgMax" else "axes=[2, 3]"
    kept = "A, B, C" if operator == "ArgMax" else "A, B"
    kind = "int64" if operator == "ArgMax" else "float"
    small = model(
        f"""(float[2, 3, 4, 5] x) => ({kind}[{kept}] y) {{
            y = {operator}<{axes}, keepdims=-1>(x) }}""",
        opset=12,
    )
    x = np.random.default_rng(0).standard_normal((2, 3, 4, 5)).astype(f32)
    agrees(small, {"x": x}, tolerance=1e-5)


@pytest.mark.parametrize("axes", [[0], [1], [0, 1]])
@pytest.mark.parametrize("operator", ["Max", "Min"])
def test_nan_is_an_extreme_wherever_it_lies(model: Any, operator: str, axes: list[int]) -> None:
    """As in NumPy; ONNX Runtime loses it unless it comes first."""
    rank = "A" if len(axes) == 1 else ""
    small = model(
        f"""(float[N, M] x) => (float{f"[{rank}]" if rank else ""} y) {{
            y = Reduce{operator}<axes={axes}, keepdims=0>(x) }}"""
    )
    compiled = compile(small, engine="gossamer")
    fold = getattr(np, operator.lower())
    x = np.random.default_rng(0).standard_normal((3, 130)).astype(f32)
    for place in range(0, 130, 43):
        x[1, place] = np.nan
        x[2, place] = np.inf if place % 2 else -np.inf
        (y,) = compiled.run(None, {"x": x})
        np.testing.assert_array_equal(y, fold(x, axis=tuple(axes)))
        x[1, place] = 0


@pytest.mark.parametrize("kind", [np.float64, np.int64, np.int32])
@pytest.mark.parametrize("operator", ["ReduceSum", "ReduceMax", "ReduceMin", "ReduceMean"])
@pytest.mark.parametrize("axis", [0, 1])
def test_other_types(model: Any, agrees: Any, kind: Any, operator: str, axis: int) -> None:
    name = {"float64": "double"}.get(np.dtype(kind).name, np.dtype(kind).name)
    small = model(
        f"({name}[N, M] x) => ({name}[K] y) {{ y = {operator}<axes=[{axis}], keepdims=0>(x) }}",
        opset=12,
    )
    x = np.random.default_rng(0).integers(-90, 90, (5, 80)).astype(kind)
    if np.issubdtype(kind, np.integer) and operator == "ReduceMean":
        x = np.abs(x)
    agrees(small, {"x": x}, tolerance=1e-12)


@pytest.mark.parametrize("axis", [0, 1])
def test_a_mean_whose_sum_is_beyond_32_bits(model: Any, agrees: Any, axis: int) -> None:
    small = model(
        f"(int32[N, M] x) => (int32[K] y) {{ y = ReduceMean<axes=[{axis}], keepdims=0>(x) }}",
        opset=12,
    )
    x = np.random.default_rng(0).integers(-(2**31), 2**31, (3, 80)).astype(np.int32)
    x[0] = x[:, 0] = 2**31 - 1
    agrees(small, {"x": x})


def test_all_axes_or_none(model: Any, agrees: Any) -> None:
    x = np.random.default_rng(0).standard_normal((3, 4)).astype(f32)
    all_of_them = "(float[N, M] x) => (float y) { y = ReduceSum<keepdims=0>(x) }"
    agrees(model(all_of_them), {"x": x})
    none = "(float[N, M] x) => (float[N, M] y) { y = ReduceSum<noop_with_empty_axes=1>(x, no) }"
    agrees(model(none, no=np.zeros(0, np.int64)), {"x": x})


def test_the_largest_number_does_not_overflow(model: Any, agrees: Any) -> None:
    small = model(
        "(float[N, M] x) => (float[N] y) { y = ReduceLogSumExp<axes=[1], keepdims=0>(x) }"
    )
    x = np.array([[1000, 1001], [-1000, -2000], [-np.inf, -np.inf]], f32)
    agrees(small, {"x": x})


def test_what_is_folded_joins(model: Any, agrees: Any) -> None:
    """A mean over tokens under a mask: what it is computed from is not stored."""
    small = model(
        """(float[B, T, 8] x, float[B, T] mask) => (float[B, 6] y) {
            h = MatMul(x, w)  m = Unsqueeze(mask, last)  k = Mul(h, m)
            s = ReduceSum<keepdims=0>(k, tokens)  c = ReduceSum<keepdims=0>(m, tokens)
            y = Div(s, c) }""",
        w=np.random.default_rng(0).standard_normal((8, 6)),
        last=np.array([2]),
        tokens=np.array([1]),
    )
    random = np.random.default_rng(1)
    feeds = {
        "x": random.standard_normal((3, 21, 8)).astype(f32),
        "mask": (random.uniform(size=(3, 21)) < 0.7).astype(f32) + f32(0.01),
    }
    session = agrees(small, feeds, threads=2)
    ops = [line.op for line in session.explain() if line.kernel == "reduction"]
    assert ops == ["Unsqueeze+Mul+ReduceSum", "Unsqueeze+ReduceSum"]


@pytest.mark.parametrize("operator", ["ArgMax", "ArgMin"])
@pytest.mark.parametrize("axis", [0, 1, -1])
@pytest.mark.parametrize("last", [0, 1])
def test_where_the_extreme_lies(
    model: Any, agrees: Any, operator: str, axis: int, last: int
) -> None:
    small = model(
        f"""(float[N, M, K] x) => (int64[A, B, C] y) {{
            y = {operator}<axis={axis}, select_last_index={last}>(x) }}"""
    )
    x = np.random.default_rng(0).integers(0, 3, (4, 5, 6)).astype(f32)
    agrees(small, {"x": x}, threads=2)
