"""Activations where ONNX Runtime and ONNX's definition part."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest


@pytest.mark.parametrize("kind", ["int32", "int64", "uint8"])
def test_a_shrink_of_integers_is_onnx_runtimes(model: Any, agrees: Any, kind: str) -> None:
    """It adds 0.3 and cuts off what is behind the point; by ONNX's definition it adds 0."""
    small = model(f"({kind}[3, 4] x) => ({kind}[3, 4] y) {{ y = Shrink<lambd=0.8, bias=0.3>(x) }}")
    agrees(small, {"x": np.arange(-6, 6).reshape(3, 4).astype(kind)}, native=False)
