"""Pooling kernels, for every geometry."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

f32 = np.float32


def pool(model: Any, op: str, size: tuple[int, int], attributes: str) -> Any:
    """A pooling after a convolution that changes nothing."""
    return model(
        f"""(float[B, 3, {size[0]}, {size[1]}] x) => (float[B, 3, H, W] y) {{
            a = Conv(x, w)  y = {op}<{attributes}>(a) }}""",
        w=np.eye(3)[:, :, None, None],
    )


def images(batch: int, size: tuple[int, int]) -> dict[str, Any]:
    x = np.random.default_rng(0).standard_normal((batch, 3, *size)) - 3
    return {"x": x.astype(f32)}


@settings(max_examples=35, deadline=None)
@given(
    op=st.sampled_from(["MaxPool", "AveragePool"]),
    size=st.tuples(st.integers(1, 18), st.integers(1, 18)),
    kernel=st.tuples(st.integers(1, 4), st.integers(1, 4)),
    stride=st.tuples(st.integers(1, 3), st.integers(1, 3)),
    pads=st.tuples(*[st.integers(0, 1)] * 4),
    ceil=st.booleans(),
    dilation=st.integers(1, 2),
    batch=st.integers(1, 3),
    threads=st.integers(1, 3),
    target=st.sampled_from(["host", "avx2"]),
)
def test_any_geometry(
    model: Any,
    agrees: Any,
    op: str,
    size: tuple[int, int],
    kernel: tuple[int, int],
    stride: tuple[int, int],
    pads: tuple[int, ...],
    ceil: bool,
    dilation: int,
    batch: int,
    threads: int,
    target: str,
) -> None:
    if op == "AveragePool":
        pads, ceil, dilation = (0, 0, 0, 0), False, 1
    for axis in (0, 1):
        assume(max(pads) < min(kernel))
        reach = dilation * (kernel[axis] - 1)
        assume(size[axis] + pads[axis] + pads[axis + 2] > reach)
    attributes = f"kernel_shape={list(kernel)}, strides={list(stride)}, pads={list(pads)}"
    if op == "MaxPool":
        attributes += f", ceil_mode={int(ceil)}, dilations=[{dilation}, {dilation}]"
    small = pool(model, op, size, attributes)
    agrees(small, images(batch, size), threads=threads, target=target)


@pytest.mark.parametrize("mode", ["SAME_UPPER", "SAME_LOWER", "VALID"])
def test_automatic_padding(model: Any, agrees: Any, mode: str) -> None:
    attributes = f'kernel_shape=[3, 2], strides=[2, 2], auto_pad="{mode}"'
    agrees(pool(model, "MaxPool", (8, 7), attributes), images(2, (8, 7)))


def test_padded_average(model: Any, agrees: Any) -> None:
    for counted in (0, 1):
        attributes = f"kernel_shape=[3, 3], pads=[1, 1, 1, 1], count_include_pad={counted}"
        small = pool(model, "AveragePool", (8, 7), attributes)
        agrees(small, images(2, (8, 7)))


@pytest.mark.parametrize("size", [(1, 1), (1, 9), (7, 1), (13, 11)])
@pytest.mark.parametrize("spelled", ["GlobalAveragePool(a)", "ReduceMean<axes=[2, 3]>(a)"])
def test_global_average(model: Any, agrees: Any, size: tuple[int, int], spelled: str) -> None:
    small = model(
        f"""(float[B, 3, {size[0]}, {size[1]}] x) => (float[B, 3, 1, 1] y) {{
            a = Conv(x, w)  y = {spelled} }}""",
        w=np.eye(3)[:, :, None, None],
    )
    agrees(small, images(3, size), threads=2)


def test_minus_infinity_is_the_least_number(model: Any, agrees: Any) -> None:
    feeds = images(1, (6, 6))
    feeds["x"][0, :, 2, 2] = -np.inf
    small = model(
        "(float[B, 3, 6, 6] x) => (float[B, 3, H, W] y) { y = MaxPool<kernel_shape=[1, 1]>(x) }"
    )
    agrees(small, feeds)


@pytest.mark.parametrize("place", range(4))
def test_the_largest_of_what_holds_nan_is_nan(model: Any, place: int) -> None:
    from gossamer.runtime import compile

    small = model(
        """(float[1, 1, 4, 4] x) => (float[1, 1, 2, 2] y) {
            a = Conv(x, w)  y = MaxPool<kernel_shape=[2, 2], strides=[2, 2]>(a) }""",
        w=np.ones((1, 1, 1, 1)),
    )
    x = np.arange(16, dtype=f32).reshape(1, 1, 4, 4)
    x[0, 0, place // 2, place % 2] = np.nan
    (y,) = compile(small, engine="gossamer").run(None, {"x": x})
    assert np.isnan(y).tolist() == [[[[True, False], [False, False]]]]
