"""A mean over rows and columns is global average pooling."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from gossamer.runtime.passes.mean_as_pooling import mean_as_pooling


def ops(
    after: Any, model: Any, attributes: str, kind: str = "float", shape: str = "B, 3, 5, 5"
) -> Any:
    small = model(
        f"({kind}[{shape}] x) => ({kind}[N] y) {{ y = ReduceMean<{attributes}>(x) }}", opset=13
    )
    return [node.op for node in after(small, mean_as_pooling).nodes]


@pytest.mark.parametrize("axes", ["[2, 3]", "[-1, -2]", "[-1, 2]"])
def test_the_last_two_of_four_axes(after: Any, model: Any, axes: str) -> None:
    assert ops(after, model, f"axes={axes}") == ["GlobalAveragePool"]
    assert ops(after, model, f"axes={axes}, keepdims=0") == ["GlobalAveragePool", "Flatten"]


@pytest.mark.parametrize(
    ("attributes", "kind", "shape"),
    [
        ("axes=[1, 2]", "float", "B, 3, 5, 5"),
        ("axes=[2]", "float", "B, 3, 5, 5"),
        ("keepdims=1", "float", "B, 3, 5, 5"),
        ("axes=[1, 2]", "float", "B, 3, 5"),
        ("axes=[2, 3]", "int64", "B, 3, 5, 5"),
        ("axes=[2, 3]", "double", "B, 3, 5, 5"),
        ("axes=[2, 3]", "float", "B, 3, 5, 5, 5"),
    ],
)
def test_other_means_stay(after: Any, model: Any, attributes: str, kind: str, shape: str) -> None:
    assert ops(after, model, attributes, kind, shape) == ["ReduceMean"]


@pytest.mark.parametrize("keep", [0, 1])
def test_what_others_take_too_is_pooled_for_all(model: Any, agrees: Any, keep: int) -> None:
    rank = "B, C, H, W" if keep else "B, C"
    small = model(
        f"""(float[B, 3, 5, 5] x) => (float[{rank}] y, float[{rank}] z) {{
            y = ReduceMean<axes=[2, 3], keepdims={keep}>(x)  z = Exp(y) }}""",
        opset=13,
    )
    x = np.random.default_rng(0).standard_normal((2, 3, 5, 5)).astype(np.float32)
    agrees(small, {"x": x})
