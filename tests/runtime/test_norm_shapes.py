"""Normalisations have the shape of their input, where what scales and shifts it fits."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from gossamer.graphs.dims import Dim

N = Dim.symbol("N")


def shape(after: Any, model: Any, call: str, opset: int) -> Any:
    sizes = {"one": 1, "two": 2, "three": 3, "six": 6}
    constants = {name: np.ones(size) for name, size in sizes.items() if name in call}
    small = model(
        f"(float[N, 6, 3] x, float[N, M] open) => (float[A] y) {{ y = {call} }}", opset, **constants
    )
    return after(small).outputs[0].shape


@pytest.mark.parametrize(
    ("call", "opset"),
    [
        ("BatchNormalization(x, six, six, six, six)", 15),
        ("InstanceNormalization(x, six, six)", 6),
        ("GroupNormalization<num_groups=2>(x, two, two)", 18),
        ("GroupNormalization<num_groups=2>(x, six, six)", 21),
        ("GroupNormalization<num_groups=1>(open, six, six)", 21),
        ("LayerNormalization(x, three)", 17),
        ("LayerNormalization(x, one)", 17),
        ("RMSNormalization(open, six)", 23),
    ],
)
def test_what_fits(after: Any, model: Any, call: str, opset: int) -> None:
    wanted = (N, Dim.symbol("M")) if "open" in call else (N, 6, 3)
    assert shape(after, model, call, opset) == wanted


@pytest.mark.parametrize(
    ("call", "opset"),
    [
        ("BatchNormalization(x, six, six, six, three)", 15),
        ("InstanceNormalization(x, six, three)", 6),
        ("GroupNormalization<num_groups=4>(x, six, six)", 21),
        ("GroupNormalization<num_groups=2>(x, three, three)", 21),
        ("LayerNormalization(x, six)", 17),
        ("RMSNormalization(x, two)", 23),
    ],
)
def test_what_does_not_fit_has_no_shape(after: Any, model: Any, call: str, opset: int) -> None:
    assert shape(after, model, call, opset) is None
