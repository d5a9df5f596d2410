"""Batch normalisation goes into the convolution before it."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from gossamer.runtime.passes.fold_batch_norm import fold_batch_norm


def build(model: Any, nodes: str, outputs: str = "float[B, 4, H, W] y", shape: str = "7, 7") -> Any:
    random = np.random.default_rng(0)
    ones = [3] * len(shape.split(","))
    return model(
        f"(float[B, 2, {shape}] x) => ({outputs}) {{ {nodes} }}",
        w=random.standard_normal((4, 2, *ones)),
        b=random.standard_normal(4),
        scale=random.standard_normal(4),
        bias=random.standard_normal(4),
        mean=random.standard_normal(4),
        var=random.random(4) + 0.1,
    )


NORM = "BatchNormalization<epsilon=0.01>(c, scale, bias, mean, var)"
AGAIN = "BatchNormalization(n, scale, mean, bias, var)"
Y_AND_Z = "float[B, 4, H, W] y, float[B, 4, H, W] z"
X = {"x": np.random.default_rng(1).standard_normal((3, 2, 7, 7)).astype(np.float32)}


@pytest.mark.parametrize("operands", ["x, w", "x, w, b"])
def test_it_becomes_weights_and_bias(after: Any, model: Any, agrees: Any, operands: str) -> None:
    small = build(model, f"c = Conv({operands})  y = {NORM}")
    assert [node.op for node in after(small, fold_batch_norm).nodes] == ["Conv"]
    agrees(small, X, tolerance=1e-4)


@pytest.mark.parametrize(
    ("nodes", "outputs"),
    [
        (f"c = Conv(x, w)  y = {NORM}", "float[B, 4, H, W] y, float[B, 4, H, W] c"),
        (f"c = Conv(x, w)  d = {NORM}  y = Add(c, d)", "float[B, 4, H, W] y"),
        (f"a = Conv(x, w)  c = Relu(a)  y = {NORM}", "float[B, 4, H, W] y"),
    ],
)
def test_what_others_take_too_stays(
    after: Any, model: Any, agrees: Any, nodes: str, outputs: str
) -> None:
    small = build(model, nodes, outputs)
    assert "BatchNormalization" in [node.op for node in after(small, fold_batch_norm).nodes]
    agrees(small, X, native=False, tolerance=1e-4)


@pytest.mark.parametrize(
    ("nodes", "outputs"),
    [
        # A residual net whose blocks begin with a normalisation: the sum takes the first too.
        (f"c = Conv(x, w)  n = {NORM}  m = {AGAIN}  y = Add(n, m)", "float[B, 4, H, W] y"),
        (f"c = Conv(x, w)  n = {NORM}  y = {AGAIN}  z = Relu(n)", Y_AND_Z),
        (f"c = Conv(x, w)  n = {NORM}  y = {AGAIN}", "float[B, 4, H, W] y, float[B, 4, H, W] n"),
    ],
)
def test_what_others_take_once_it_is_folded_is_folded_no_further(
    after: Any, model: Any, agrees: Any, nodes: str, outputs: str
) -> None:
    small = build(model, nodes, outputs)
    kept = [node.op for node in after(small, fold_batch_norm).nodes]
    assert kept.count("BatchNormalization") == 1
    agrees(small, X, tolerance=1e-4)


def test_one_after_another_goes_in_as_well(after: Any, model: Any, agrees: Any) -> None:
    small = build(model, f"c = Conv(x, w)  n = {NORM}  y = {AGAIN}")
    assert [node.op for node in after(small, fold_batch_norm).nodes] == ["Conv"]
    agrees(small, X, tolerance=1e-4)


@pytest.mark.parametrize(
    ("opset", "norm", "outputs"),
    [
        (15, "y, m, v = BatchNormalization<training_mode=1>", ", float[4] m, float[4] v"),
        (15, "y, m, v = BatchNormalization<training_mode=1>", ""),
        (14, "y, m, v = BatchNormalization<training_mode=1>", ""),
    ],
)
def test_in_training_mode_the_batch_has_its_own_statistics(
    after: Any, model: Any, agrees: Any, opset: int, norm: str, outputs: str
) -> None:
    nodes = f"c = Conv(x, w)  {norm}(c, scale, bias, mean, var)"
    small = build(model, nodes, f"float[B, 4, H, W] y{outputs}")
    small.opset_import[0].version = opset
    assert "BatchNormalization" in [node.op for node in after(small, fold_batch_norm).nodes]
    agrees(small, X, native=False, tolerance=1e-4)


@pytest.mark.parametrize(
    ("opset", "norm", "runs"),
    [
        (6, "BatchNormalization<is_test=1>(c, scale, bias, mean, var)", True),
        (6, "BatchNormalization(c, scale, bias, mean, var)", False),
        (7, "BatchNormalization(c, scale, bias, mean, var)", True),
        (8, "BatchNormalization<spatial=1>(c, scale, bias, mean, var)", True),
        (8, "BatchNormalization<spatial=0>(c, scale, bias, mean, var)", False),
        (9, "BatchNormalization<momentum=0.5>(c, scale, bias, mean, var)", True),
        (15, "BatchNormalization<training_mode=0>(c, scale, bias, mean, var)", True),
    ],
)
def test_every_operator_set_says_in_its_own_way_what_it_is(
    after: Any, model: Any, opset: int, norm: str, runs: bool
) -> None:
    small = build(model, f"c = Conv(x, w)  y = {norm}")
    small.opset_import[0].version = opset
    ops = [node.op for node in after(small, fold_batch_norm).nodes]
    assert ops == (["Conv"] if runs else ["Conv", "BatchNormalization"])


def test_weights_that_another_layer_shares_stay_its_own(model: Any, agrees: Any) -> None:
    """Also where ONNX Runtime runs both."""
    nodes = f"c = Conv(x, w)  y = {NORM}  z = Conv<pads=[1, 1, 1, 1]>(x, w)"
    agrees(build(model, nodes, "float[B, 4, H, W] y, float[B, 4, G, V] z"), X, tolerance=1e-4)
    nodes = f"c = Conv(x, w)  y = {NORM}  z = Conv<pads=[1, 1]>(x, w)"
    line = build(model, nodes, "float[B, 4, L] y, float[B, 4, M] z", shape="7")
    agrees(line, {"x": X["x"][..., 0]}, native=False, tolerance=1e-4)
