"""Operators whose output is known before a run, or is what they take."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from gossamer.runtime import compile

f32 = np.float32
X = np.random.default_rng(0).standard_normal((3, 4)).astype(f32)


@pytest.mark.parametrize("rows", [1, 3, 7])
@pytest.mark.parametrize(
    ("call", "kind"),
    [("Shape(x)", "int64[2]"), ("Shape<start=1>(x)", "int64[1]")],
)
def test_sizes_are_written_by_generated_code(
    model: Any, agrees: Any, rows: int, call: str, kind: str
) -> None:
    small = model(f"(float[N, 4] x) => ({kind} y, float[N, 4] z) {{ y = {call}  z = Relu(x) }}", 19)
    agrees(small, {"x": np.ones((rows, 4), f32)})


@pytest.mark.parametrize("opset", [12, 13, 22])
def test_dropout_outside_training_keeps_all_and_says_so(
    model: Any, agrees: Any, opset: int
) -> None:
    small = model("(float[N, 4] x) => (float[N, 4] y, bool[N, 4] m) { y, m = Dropout(x) }", opset)
    agrees(small, {"x": X})


def test_dropout_in_training_is_onnx_runtimes(model: Any) -> None:
    small = model(
        "(float[N, 4] x) => (float[N, 4] y, bool[N, 4] m) { y, m = Dropout(x, r, t) }",
        13,
        r=np.array(0.5, f32),
        t=np.array(True),
    )
    (line,) = compile(small, engine="gossamer").explain()
    assert line.kernel == "ONNX Runtime"


@pytest.mark.parametrize("k", [-2, 0, 1])
@pytest.mark.parametrize("kind", ["float", "int64"])
def test_ones_on_a_diagonal(model: Any, agrees: Any, k: int, kind: str) -> None:
    number = {"float": 1, "int64": 7}[kind]
    call = f"EyeLike<k={k}, dtype={number}>(x)"
    agrees(model(f"(float[N, 4] x) => ({kind}[N, 4] y) {{ y = {call} }}", 19), {"x": X})


@pytest.mark.parametrize("axis", [-1, 1, 0])
def test_root_mean_square_normalization(model: Any, agrees: Any, axis: int) -> None:
    x = np.random.default_rng(1).standard_normal((2, 3, 4)).astype(f32)
    small = model(
        f"""(float[N, 3, 4] x) => (float[N, 3, 4] y) {{
            y = RMSNormalization<axis={axis}, epsilon=0.01>(x, s) }}""",
        23,
        s=np.arange(1, 5, dtype=f32),
    )
    agrees(small, {"x": x})
