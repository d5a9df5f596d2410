"""Padding before a convolution becomes its own."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from onnx import helper

from gossamer.runtime.passes.fold_padding import fold_padding

f32 = np.float32


def padded(model: Any, nodes: str, pads: list[int]) -> Any:
    return model(
        f"(float[N, 2, 7, 6] x) => (float[N, A, B, C] y) {{ {nodes} }}",
        pads=np.array(pads),
        one=np.float32(1),
        nan=np.float32(np.nan),
        wide=np.random.default_rng(0).standard_normal((3, 4, 3, 3)),
        w=np.random.default_rng(0).standard_normal((3, 2, 3, 3)),
    )


@pytest.mark.parametrize(
    ("conv", "expected"),
    [
        ("Conv(a, w)", [1, 2, 3, 0]),
        ("Conv<pads=[1, 1, 0, 1], strides=[2, 2]>(a, w)", [2, 3, 3, 1]),
        ('Conv<auto_pad="VALID">(a, w)', [1, 2, 3, 0]),
    ],
)
def test_padding_is_added(
    after: Any, model: Any, agrees: Any, conv: str, expected: list[int]
) -> None:
    small = padded(model, f"a = Pad(x, pads)  y = {conv}", [0, 0, 1, 2, 0, 0, 3, 0])
    (only,) = after(small, fold_padding).nodes
    assert only.attributes["pads"] == expected
    x = np.random.default_rng(1).standard_normal((2, 2, 7, 6)).astype(f32)
    agrees(small, {"x": x})


@pytest.mark.parametrize(
    ("nodes", "pads"),
    [
        ("a = Pad(x, pads, one)  y = Conv(a, w)", [0, 0, 1, 1, 0, 0, 1, 1]),
        ('a = Pad<mode="edge">(x, pads)  y = Conv(a, w)', [0, 0, 1, 1, 0, 0, 1, 1]),
        ('a = Pad(x, pads)  y = Conv<auto_pad="SAME_UPPER">(a, w)', [0, 0, 1, 1, 0, 0, 1, 1]),
        ("a = Pad(x, pads)  y = Conv(a, w)", [1, 0, 1, 1, 0, 0, 1, 1]),
        ("a = Pad(x, pads)  y = Conv(a, w)", [0, 0, -1, 1, 0, 0, 1, 1]),
        ("a = Pad(x, pads)  y = Conv(a, wide)", [0, 1, 1, 1, 0, 1, 1, 1]),
        ('a = Pad<mode="reflect">(x, pads)  y = Conv(a, w)', [0, 0, 1, 1, 0, 0, 1, 1]),
        ("a = Pad(x, pads, nan)  y = Conv(a, w)", [0, 0, 1, 1, 0, 0, 1, 1]),
    ],
)
def test_what_is_not_zeros_around_the_image_stays(
    after: Any, model: Any, agrees: Any, nodes: str, pads: list[int]
) -> None:
    small = padded(model, nodes, pads)
    assert [node.op for node in after(small, fold_padding).nodes] == ["Pad", "Conv"]
    x = np.random.default_rng(1).standard_normal((2, 2, 7, 6)).astype(f32)
    agrees(small, {"x": x})


def test_a_pad_of_nothing_goes(after: Any, model: Any) -> None:
    small = padded(model, "a = Pad(x, pads)  y = Relu(a)", [0] * 8)
    assert [node.op for node in after(small, fold_padding).nodes] == ["Relu"]


BORDER = [0, 0, 1, 1, 0, 0, 1, 1]


@pytest.mark.parametrize(
    ("nodes", "more"),
    [
        ("a = Pad(x, pads)  y = Conv(a, w)  z = Relu(a)", "z"),
        ("a = Pad(x, pads)  y = Conv(a, w)", "a"),
        ("a = Pad(x, pads)  y = Conv(a, w)  z = MaxPool<kernel_shape=[2, 2]>(a)", "z"),
    ],
)
def test_a_border_that_something_else_takes_stays(
    after: Any, model: Any, agrees: Any, nodes: str, more: str
) -> None:
    small = padded(model, nodes, BORDER)
    small.graph.output.append(helper.make_tensor_value_info(more, 1, [None] * 4))
    assert "Pad" in [node.op for node in after(small, fold_padding).nodes]
    x = np.random.default_rng(1).standard_normal((2, 2, 7, 6)).astype(f32)
    agrees(small, {"x": x})


def test_two_convolutions_each_pad_for_themselves(after: Any, model: Any, agrees: Any) -> None:
    small = padded(
        model, "a = Pad(x, pads)  y = Conv(a, w)  z = Conv<pads=[1,1,0,0]>(a, w)", BORDER
    )
    small.graph.output.append(helper.make_tensor_value_info("z", 1, [None] * 4))
    first, second = after(small, fold_padding).nodes
    assert (first.attributes["pads"], second.attributes["pads"]) == ([1] * 4, [2, 2, 1, 1])
    x = np.random.default_rng(1).standard_normal((2, 2, 7, 6)).astype(f32)
    agrees(small, {"x": x})
