"""The layer normalisation kernel."""

from __future__ import annotations

from typing import Any

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from gossamer.runtime import compiler

f32 = np.float32


def norm(model: Any, channels: int, epsilon: float = 1e-5, bias: bool = True) -> Any:
    random = np.random.default_rng(channels)
    constants = {"s": random.standard_normal(channels), "b": random.standard_normal(channels)}
    operands = "x, s, b" if bias else "x, s"
    return model(
        f"""(float[B, T, {channels}] x) => (float[B, T, {channels}] y) {{
            y = LayerNormalization<axis=-1, epsilon={epsilon}>({operands}) }}""",
        **(constants if bias else {"s": constants["s"]}),
    )


@settings(max_examples=30, deadline=None)
@given(
    channels=st.integers(2, 400),
    batch=st.integers(1, 4),
    length=st.integers(1, 70),
    threads=st.integers(1, 3),
    target=st.sampled_from(["host", "avx2"]),
    mean=st.sampled_from([0, 3]),
)
def test_any_shape(
    model: Any,
    agrees: Any,
    channels: int,
    batch: int,
    length: int,
    threads: int,
    target: str,
    mean: int,
) -> None:
    x = np.random.default_rng(0).standard_normal((batch, length, channels)) + mean
    feeds = {"x": x.astype(f32)}
    agrees(norm(model, channels), feeds, threads=threads, target=target, tolerance=1e-4)


def test_a_mean_far_from_zero_costs_no_precision(model: Any) -> None:
    # ONNX Runtime itself loses digits here, so the truth is computed in 64 bits.
    x = (np.random.default_rng(0).standard_normal((2, 16, 3)) - 50).astype(f32)
    wide = x.astype(np.float64)
    wide = (wide - wide.mean(-1, keepdims=True)) / np.sqrt(wide.var(-1, keepdims=True) + 1e-5)
    random = np.random.default_rng(3)
    expected = wide * random.standard_normal(3) + random.standard_normal(3)
    (found,) = compiler.compile(norm(model, 3), engine="gossamer").run(None, {"x": x})
    np.testing.assert_allclose(found, expected, atol=2e-4)


def test_without_a_bias(model: Any, agrees: Any, random: np.random.Generator) -> None:
    feeds = {"x": random.standard_normal((2, 5, 12)).astype(f32)}
    agrees(norm(model, 12, bias=False), feeds)


def test_epsilon_keeps_a_constant_token_finite(model: Any, agrees: Any) -> None:
    agrees(norm(model, 12, epsilon=1e-3), {"x": np.full((2, 5, 12), 7, f32)}, tolerance=1e-4)


def test_nan_stays_in_its_token(model: Any, agrees: Any, random: np.random.Generator) -> None:
    x = random.standard_normal((2, 20, 12)).astype(f32)
    x[1, 3, 4] = np.nan
    session = agrees(norm(model, 12), {"x": x})
    (y,) = session.run(None, {"x": x})
    assert np.isnan(y).all(axis=2).sum() == np.isnan(y).any(axis=2).sum() == 1
