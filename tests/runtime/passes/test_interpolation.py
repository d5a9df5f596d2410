"""Resize in every mode, as ONNX Runtime does it."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

f32 = np.float32


def resized(model: Any, agrees: Any, attributes: str, scales: list[float], size: Any) -> None:
    small = model(
        f"""(float[N, 2, {size[0]}, {size[1]}] x) => (float[N, 2, A, B] y) {{
            y = Resize<{attributes}>(x, , scales) }}""",
        19,
        scales=np.array([1.0, 1.0, *scales]),
    )
    x = np.random.default_rng(0).standard_normal((3, 2, *size)).astype(f32)
    agrees(small, {"x": x}, tolerance=1e-5)


MODES = ["half_pixel", "pytorch_half_pixel", "asymmetric", "align_corners"]


@pytest.mark.parametrize("coordinates", MODES)
@pytest.mark.parametrize("mode", ["nearest", "linear", "cubic"])
@pytest.mark.parametrize("scales", [[2.0, 3.0], [0.5, 0.6]])
def test_modes(model: Any, agrees: Any, coordinates: str, mode: str, scales: list[float]) -> None:
    attributes = f'mode="{mode}", coordinate_transformation_mode="{coordinates}"'
    resized(model, agrees, attributes, scales, (5, 6))


@pytest.mark.parametrize("rule", ["round_prefer_floor", "round_prefer_ceil", "floor", "ceil"])
def test_ways_to_round(model: Any, agrees: Any, rule: str) -> None:
    attributes = (
        f'mode="nearest", nearest_mode="{rule}", coordinate_transformation_mode="asymmetric"'
    )
    resized(model, agrees, attributes, [2.0, 1.5], (4, 4))


def test_antialiasing(model: Any, agrees: Any) -> None:
    for mode in ("linear", "cubic"):
        resized(model, agrees, f'mode="{mode}", antialias=1', [0.5, 0.4], (10, 12))


def test_to_a_size(model: Any, agrees: Any) -> None:
    small = model(
        """(float[N, 2, 4, 4] x) => (float[N, 2, A, B] y) {
            y = Resize<mode="linear", axes=[2, 3]>(x, , , sizes) }""",
        19,
        sizes=np.array([7, 3]),
    )
    x = np.random.default_rng(0).standard_normal((3, 2, 4, 4)).astype(f32)
    agrees(small, {"x": x})


def test_upsample(model: Any, agrees: Any) -> None:
    small = model(
        '(float[N, 2, 4, 4] x) => (float[N, 2, A, B] y) { y = Upsample<mode="nearest">(x, s) }',
        9,
        s=np.array([1.0, 1.0, 2.0, 3.0]),
    )
    agrees(small, {"x": np.random.default_rng(0).standard_normal((2, 2, 4, 4)).astype(f32)})
