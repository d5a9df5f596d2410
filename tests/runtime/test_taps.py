"""Pooling and convolutions that the kernels on planes do not take."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from gossamer.runtime.passes.expand import expand

f32 = np.float32


def image(*size: int) -> Any:
    return np.random.default_rng(0).standard_normal((2, 4, *size)).astype(f32)


def one(model: Any, call: str, x: Any, results: int = 1, **constants: Any) -> Any:
    sizes = ", ".join(map(str, x.shape[1:]))
    axes = ", ".join("ABCDE"[: x.ndim])
    outputs = f"float[{axes}] y" + (f", int64[{axes}] i" if results == 2 else "")
    names = "y, i" if results == 2 else "y"
    return model(f"(float[N, {sizes}] x) => ({outputs}) {{ {names} = {call} }}", 19, **constants)


@pytest.mark.parametrize("operator", ["MaxPool", "AveragePool"])
@pytest.mark.parametrize(
    ("size", "attributes"),
    [
        ((11,), "kernel_shape=[3]"),
        ((11,), "kernel_shape=[4], strides=[3], pads=[1, 2], ceil_mode=1"),
        ((5, 6, 7), "kernel_shape=[2, 3, 2], strides=[1, 2, 2]"),
        ((5, 6, 7), "kernel_shape=[2, 3, 2], pads=[1, 1, 0, 0, 1, 1]"),
        ((9, 8), "kernel_shape=[3, 3], pads=[1, 0, 2, 1], strides=[2, 2], ceil_mode=1"),
        ((9, 8), 'kernel_shape=[3, 2], auto_pad="SAME_LOWER", strides=[2, 1]'),
        ((9, 8), "kernel_shape=[2, 2], dilations=[2, 3], pads=[1, 1, 1, 1]"),
        ((9, 8), 'kernel_shape=[2, 3], dilations=[2, 2], auto_pad="SAME_UPPER"'),
        ((9, 8), 'kernel_shape=[3, 2], dilations=[2, 2], strides=[2, 1], auto_pad="SAME_LOWER"'),
    ],
)
def test_pooling(
    model: Any, agrees: Any, operator: str, size: tuple[int, ...], attributes: str
) -> None:
    agrees(one(model, f"{operator}<{attributes}>(x)", image(*size)), {"x": image(*size)}, threads=2)


@pytest.mark.parametrize("operator", ["MaxPool", "AveragePool"])
def test_a_stride_longer_than_the_window_cuts_the_image(
    model: Any, agrees: Any, operator: str
) -> None:
    call = f'{operator}<kernel_shape=[1, 2], strides=[4, 2], auto_pad="SAME_UPPER">(x)'
    agrees(one(model, call, image(9, 8)), {"x": image(9, 8)}, native=False)


@pytest.mark.parametrize("size", [(11,), (9, 8)])
def test_padding_that_counts(model: Any, agrees: Any, size: tuple[int, ...]) -> None:
    rank = len(size)
    attributes = f"kernel_shape={[3] * rank}, pads={[1] * (2 * rank)}, count_include_pad=1"
    agrees(one(model, f"AveragePool<{attributes}>(x)", image(*size)), {"x": image(*size)})


@pytest.mark.parametrize("order", [0, 1])
def test_where_the_largest_lies(model: Any, agrees: Any, order: int) -> None:
    call = f"MaxPool<kernel_shape=[3, 2], pads=[1, 0, 1, 1], storage_order={order}>(x)"
    agrees(one(model, call, image(6, 7), results=2), {"x": image(6, 7)})


@pytest.mark.parametrize("size", [(7,), (6, 7)])
def test_where_the_largest_lies_is_never_in_the_padding(
    model: Any, agrees: Any, size: tuple[int, ...]
) -> None:
    """Even where all that a window reads is -inf, as padding is."""
    rank = len(size)
    attributes = f"kernel_shape={[3] * rank}, dilations={[2] * rank}, pads={[2] * (2 * rank)}"
    x = image(*size)
    x[0] = -np.inf
    agrees(one(model, f"MaxPool<{attributes}>(x)", x, results=2), {"x": x})


@pytest.mark.parametrize("operator", ["MaxPool", "AveragePool"])
def test_windows_that_may_read_nothing_but_padding(model: Any, agrees: Any, operator: str) -> None:
    """Their largest and mean are ONNX Runtime's own: the least number, and 0."""
    call = f"{operator}<kernel_shape=[2], dilations=[2], pads=[1, 1]>(x)"
    for size in (1, 2):
        agrees(one(model, call, image(size)), {"x": image(size)}, native=size > 1)


@pytest.mark.parametrize(("kernel", "native"), [(1, False), (3, True)])
def test_a_stride_longer_than_the_kernel_of_a_convolution(
    model: Any, agrees: Any, kernel: int, native: bool
) -> None:
    """ONNX Runtime begins beyond the first element where its padding is below -1."""
    weights = np.random.default_rng(1).standard_normal((4, 4, kernel))
    call = 'Conv<strides=[4], auto_pad="SAME_UPPER">(x, w)'
    agrees(one(model, call, image(8), w=weights), {"x": image(8)}, native=native)


@pytest.mark.parametrize("size", [(5,), (4, 5), (3, 4, 5)])
@pytest.mark.parametrize("operator", ["GlobalMaxPool", "GlobalAveragePool"])
def test_global_pooling(model: Any, agrees: Any, operator: str, size: tuple[int, ...]) -> None:
    agrees(one(model, f"{operator}(x)", image(*size)), {"x": image(*size)})


def test_a_window_larger_than_the_image(model: Any, agrees: Any) -> None:
    """As exporters write a mean over an image whose size they did not know."""
    call = "AveragePool<kernel_shape=[640, 640], strides=[640, 640], ceil_mode=1>(x)"
    session = agrees(one(model, call, image(3, 2)), {"x": image(3, 2)})
    assert any(line.op == "GlobalAveragePool" for line in session.explain())


@pytest.mark.parametrize(
    ("size", "weight", "attributes"),
    [
        ((12,), (6, 4, 3), ""),
        ((12,), (6, 4, 3), "<strides=[2], pads=[1, 2], dilations=[2]>"),
        ((12,), (6, 2, 3), '<group=2, auto_pad="SAME_UPPER">'),
        ((4, 5, 6), (3, 4, 2, 3, 1), "<pads=[1, 0, 0, 0, 1, 1], strides=[2, 1, 1]>"),
    ],
)
def test_convolutions_of_other_ranks(
    model: Any, agrees: Any, size: tuple[int, ...], weight: tuple[int, ...], attributes: str
) -> None:
    weights = np.random.default_rng(1).standard_normal(weight)
    bias = np.arange(weight[0])
    call = f"Conv{attributes}(x, w, b)"
    small = one(model, call, image(*size), w=weights, b=bias.astype(np.float64))
    agrees(small, {"x": image(*size)}, threads=2)


@pytest.mark.parametrize("attributes", ["", "<strides=[2, 2], pads=[1, 1, 0, 1]>", "<group=2>"])
def test_convolutions_with_computed_weights(model: Any, agrees: Any, attributes: str) -> None:
    each = 2 if "group" in attributes else 4
    small = model(
        f"""(float[N, 4, 7, 6] x, float[6, {each}, 3, 2] w) => (float[N, 6, A, B] y) {{
            y = Conv{attributes}(x, w) }}"""
    )
    w = np.random.default_rng(1).standard_normal((6, each, 3, 2)).astype(f32)
    agrees(small, {"x": image(7, 6), "w": w})


@pytest.mark.parametrize(
    ("size", "weight", "attributes"),
    [
        ((5,), (4, 3, 3), ""),
        ((5, 6), (4, 3, 3, 2), "<strides=[2, 3], pads=[1, 0, 1, 1]>"),
        ((5, 6), (4, 3, 3, 2), "<strides=[2, 2], output_padding=[1, 0], dilations=[2, 1]>"),
        ((5, 6), (4, 3, 2, 2), "<group=2, strides=[2, 2]>"),
        ((5, 6), (4, 3, 3, 3), '<strides=[2, 2], auto_pad="SAME_UPPER">'),
        ((5, 6), (4, 3, 2, 2), '<strides=[3, 2], auto_pad="SAME_UPPER">'),
        ((5, 6), (4, 3, 2, 1), '<strides=[3, 3], auto_pad="SAME_LOWER">'),
    ],
)
def test_transposed_convolutions(
    model: Any, agrees: Any, size: tuple[int, ...], weight: tuple[int, ...], attributes: str
) -> None:
    weights = np.random.default_rng(1).standard_normal(weight)
    bias = np.arange(weight[1] * (2 if "group" in attributes else 1)).astype(np.float64)
    call = f"ConvTranspose{attributes}(x, w, b)"
    small = model(
        f"""(float{[2, 4, *size]} x) => (float[{", ".join("ABCD"[: len(size) + 2])}] y) {{
            y = {call} }}""",
        w=weights,
        b=bias,
    )
    agrees(small, {"x": image(*size)})


def test_normalisation_over_more_channels_than_there_can_be_is_not_generated(
    model: Any, after: Any
) -> None:
    graph = after(one(model, "LRN<size=2147483647>(x)", image(3, 5)), expand)
    assert [node.op for node in graph.nodes] == ["LRN"]


def test_local_response_normalisation(model: Any, agrees: Any) -> None:
    agrees(one(model, "LRN<size=3, alpha=0.5, beta=0.6>(x)", image(3, 5)), {"x": image(3, 5)})
