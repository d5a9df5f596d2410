"""Padding before a convolution becomes its own."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from gossamer.runtime.passes.fold_padding import fold_padding

f32 = np.float32


def padded(model: Any, nodes: str, pads: list[int]) -> Any:
    return model(
        f"(float[N, 2, 7, 6] x) => (float[N, A, B, C] y) {{ {nodes} }}",
        pads=np.array(pads),
        one=np.float32(1),
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
