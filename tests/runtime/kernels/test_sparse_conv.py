"""The convolution kernel, for every geometry."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

f32 = np.float32


def conv(
    model: Any, image: tuple[int, int, int], weight: Any, attributes: str, bias: bool = True
) -> Any:
    channels, height, width = image
    constants = {"w": weight}
    if bias:
        constants["b"] = np.arange(weight.shape[0], dtype=f32)
    return model(
        f"""(float[B, {channels}, {height}, {width}] x) => (float[B, C, H, W] y) {{
            y = Conv<{attributes}>({"x, w, b" if bias else "x, w"}) }}""",
        **constants,
    )


def images(batch: int, *shape: int) -> dict[str, Any]:
    x = np.random.default_rng(0).standard_normal((batch, *shape))
    return {"x": x.astype(f32)}


@settings(max_examples=50, deadline=None)
@given(
    size=st.tuples(st.integers(1, 20), st.integers(1, 20)),
    kernel=st.tuples(st.integers(1, 5), st.integers(1, 5)),
    stride=st.tuples(st.integers(1, 3), st.integers(1, 3)),
    dilation=st.tuples(st.integers(1, 3), st.integers(1, 3)),
    pads=st.tuples(*[st.integers(0, 4)] * 4),
    group=st.sampled_from([1, 2, 3]),
    each=st.tuples(st.integers(1, 3), st.integers(1, 3)),
    batch=st.integers(1, 3),
    sparsity=st.sampled_from([0, 0.5, 0.9, 1]),
    threads=st.integers(1, 3),
    target=st.sampled_from(["host", "avx2"]),
)
def test_any_geometry(
    model: Any,
    agrees: Any,
    size: tuple[int, int],
    kernel: tuple[int, int],
    stride: tuple[int, int],
    dilation: tuple[int, int],
    pads: tuple[int, ...],
    group: int,
    each: tuple[int, int],
    batch: int,
    sparsity: float,
    threads: int,
    target: str,
) -> None:
    for axis in (0, 1):
        assume(size[axis] + pads[axis] + pads[axis + 2] > dilation[axis] * (kernel[axis] - 1))
    random = np.random.default_rng(0)
    weight = random.standard_normal((group * each[0], each[1], *kernel)).astype(f32)
    weight *= random.random(weight.shape) >= sparsity
    attributes = (
        f"group={group}, strides={list(stride)}, dilations={list(dilation)}, pads={list(pads)}"
    )
    small = conv(model, (group * each[1], *size), weight, attributes)
    feeds = images(batch, group * each[1], *size)
    agrees(small, feeds, threads=threads, target=target, tolerance=1e-4)


@pytest.mark.parametrize("mode", ["SAME_UPPER", "SAME_LOWER", "VALID"])
@pytest.mark.parametrize("stride", [1, 2, 3])
@pytest.mark.parametrize("size", [7, 8])
def test_automatic_padding(model: Any, agrees: Any, mode: str, stride: int, size: int) -> None:
    weight = np.random.default_rng(0).standard_normal((4, 2, 3, 2)).astype(f32)
    attributes = f'auto_pad="{mode}", strides=[{stride}, {stride}]'
    agrees(conv(model, (2, size, size), weight, attributes), images(2, 2, size, size))


def test_depthwise(model: Any, agrees: Any, random: np.random.Generator) -> None:
    weight = random.standard_normal((24, 1, 3, 3)).astype(f32)
    small = conv(model, (24, 9, 9), weight, "group=24, pads=[1, 1, 1, 1]", bias=False)
    agrees(small, images(2, 24, 9, 9), threads=2)


def test_one_pixel_under_a_kernel_larger_than_the_image(model: Any, agrees: Any) -> None:
    weight = np.random.default_rng(0).standard_normal((3, 2, 7, 7)).astype(f32)
    agrees(conv(model, (2, 1, 1), weight, "pads=[3, 3, 3, 3]"), images(2, 2, 1, 1))


def test_more_channels_than_one_block(model: Any, agrees: Any, random: np.random.Generator) -> None:
    weight = random.standard_normal((5, 40, 1, 1)).astype(f32)
    agrees(conv(model, (40, 64, 65), weight, "strides=[1, 1]"), images(1, 40, 64, 65), threads=2)


def test_a_chain_of_layers_shares_its_zeros(
    model: Any, agrees: Any, random: np.random.Generator
) -> None:
    """Padding of one layer lies around the output of the one before, at every stride."""
    small = model(
        """(float[B, 3, 19, 17] x) => (float[B, C, H, W] y) {
            a = Conv<pads=[2, 2, 2, 2]>(x, five)
            b = Relu(a)
            c = Conv<strides=[2, 2], pads=[1, 1, 1, 1]>(b, three)
            d = Conv<strides=[2, 2]>(b, one)
            e = Add(c, d)
            f = Sigmoid(e)
            g = Mul(f, e)
            y = Conv<dilations=[3, 3], pads=[3, 3, 3, 3]>(g, three)
        }""",
        five=random.standard_normal((4, 3, 5, 5)),
        three=random.standard_normal((4, 4, 3, 3)),
        one=random.standard_normal((4, 4, 1, 1)),
    )
    for target in ("host", "avx2"):
        agrees(small, images(2, 3, 19, 17), threads=2, target=target, tolerance=1e-4)
