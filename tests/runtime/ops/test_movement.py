"""Data movement: padding, repeating, triangles, and reading backwards."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

f32 = np.float32


@settings(max_examples=40, deadline=None)
@given(
    mode=st.sampled_from(["constant", "edge", "reflect", "wrap"]),
    shape=st.lists(st.integers(1, 5), min_size=1, max_size=3),
    pads=st.lists(st.integers(0, 4), min_size=6, max_size=6),
    data=st.data(),
)
def test_padding(
    model: Any, agrees: Any, mode: str, shape: list[int], pads: list[int], data: Any
) -> None:
    rank = len(shape)
    pads = pads[: 2 * rank]
    if mode in ("reflect", "wrap"):
        # ONNX Runtime reflects once only.
        pads = [min(pad, shape[place % rank] - 1) for place, pad in enumerate(pads)]
    axes = ", ".join("ABC"[:rank])
    small = model(
        f'(float[{axes}] x) => (float[{axes.lower()}] y) {{ y = Pad<mode="{mode}">(x, p, v) }}',
        19,
        p=np.array(pads),
        v=np.float32(data.draw(st.sampled_from([0.0, 1.5]))),
    )
    agrees(small, {"x": np.random.default_rng(0).standard_normal(shape).astype(f32)})


def test_padding_may_take_away(model: Any, agrees: Any) -> None:
    small = model("(float[N, 5] x) => (float[N, M] y) { y = Pad(x, p) }", p=np.array([0, -1, 0, 2]))
    agrees(small, {"x": np.arange(10, dtype=f32).reshape(2, 5)})


@pytest.mark.parametrize("repeats", [[1, 1], [2, 3]])
def test_tiles(model: Any, agrees: Any, repeats: list[int]) -> None:
    small = model("(float[N, 3] x) => (float[M, K] y) { y = Tile(x, r) }", r=np.array(repeats))
    agrees(small, {"x": np.arange(6, dtype=f32).reshape(2, 3)})


@pytest.mark.parametrize("upper", [0, 1])
@pytest.mark.parametrize("diagonal", [None, -2, 0, 1])
def test_triangles(model: Any, agrees: Any, upper: int, diagonal: int | None) -> None:
    call = "x" if diagonal is None else "x, k"
    constants = {} if diagonal is None else {"k": np.array(diagonal)}
    small = model(
        f"(float[N, A, B] x) => (float[N, A, B] y) {{ y = Trilu<upper={upper}>({call}) }}",
        **constants,
    )
    agrees(small, {"x": np.random.default_rng(0).standard_normal((2, 4, 5)).astype(f32)})


@pytest.mark.parametrize(
    ("starts", "ends", "steps"), [(-1, -(2**63), -1), (4, 0, -2), (1, 100, 3), (100, -100, -3)]
)
def test_slices_with_steps(model: Any, agrees: Any, starts: int, ends: int, steps: int) -> None:
    small = model(
        "(float[N, 6] x) => (float[N, M] y) { y = Slice(x, s, e, a, t) }",
        s=np.array([starts]),
        e=np.array([ends]),
        a=np.array([1]),
        t=np.array([steps]),
    )
    agrees(small, {"x": np.arange(12, dtype=f32).reshape(2, 6)})


def test_an_open_axis_backwards(model: Any, agrees: Any) -> None:
    small = model(
        "(float[N, 3] x) => (float[N, 3] y) { y = Slice(x, s, e, a, s) }",
        s=np.array([-1]),
        e=np.array([-(2**63)]),
        a=np.array([0]),
    )
    agrees(small, {"x": np.arange(12, dtype=f32).reshape(4, 3)})


def test_empty_arrays_are_not_padded_natively(model: Any, agrees: Any) -> None:
    """There is no element that what lies beside the padding could read."""
    small = model(
        """(float[N, 3] x) => (float[M, 3] y) {
            h = MatMul(x, w)  a = Slice(h, one, end, zero)  y = Pad(a, p) }""",
        w=np.eye(3),
        one=np.array([1]),
        end=np.array([2**40]),
        zero=np.array([0]),
        p=np.array([1, 0, 1, 0]),
    )
    session = agrees(small, {"x": np.ones((1, 3), f32)}, native=False, engine="auto")
    assert [line.op for line in session.explain() if line.reason] == ["Pad"]
