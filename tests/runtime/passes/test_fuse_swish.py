"""Sigmoids that gate their own input."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from gossamer.runtime.passes.fuse_swish import fuse_swish


@pytest.mark.parametrize(
    ("nodes", "ops"),
    [
        ("s = Sigmoid(x)  y = Mul(x, s)", ["Swish"]),
        ("s = Sigmoid(x)  y = Mul(s, x)", ["Swish"]),
        ("s = HardSigmoid<alpha=0.16666667, beta=0.5>(x)  y = Mul(x, s)", ["HardSwish"]),
        ("s = HardSigmoid(x)  y = Mul(x, s)", ["HardSigmoid", "Mul"]),
        ("s = Sigmoid(x)  a = Neg(x)  y = Mul(a, s)", ["Sigmoid", "Neg", "Mul"]),
        ("s = Sigmoid(x)  a = Mul(x, s)  y = Add(a, s)", ["Sigmoid", "Mul", "Add"]),
        ("s = Sigmoid(x)  y = Mul(s, s)", ["Sigmoid", "Mul"]),
        ("s = Sigmoid(x)  a = Mul(x, s)  y = Mul(a, x)", ["Swish", "Mul"]),
        ("s = Sigmoid(x)  y = Div(x, s)", ["Sigmoid", "Div"]),
        ("s = HardSigmoid<alpha=0.16666667, beta=0.4>(x)  y = Mul(x, s)", ["HardSigmoid", "Mul"]),
        ("s = HardSigmoid<alpha=0.1667>(x)  y = Mul(x, s)", ["HardSigmoid", "Mul"]),
    ],
)
def test_what_is_recognised(
    after: Any, model: Any, agrees: Any, nodes: str, ops: list[str]
) -> None:
    small = model(f"(float[N] x) => (float[N] y) {{ {nodes} }}")
    assert [node.op for node in after(small, fuse_swish).nodes] == ops
    agrees(small, {"x": np.linspace(-5, 5, 50, dtype=np.float32)})


def test_a_gate_that_is_an_output_stays(after: Any, model: Any, agrees: Any) -> None:
    nodes = "s = Sigmoid(x)  y = Mul(x, s)"
    small = model(f"(float[N] x) => (float[N] y, float[N] s) {{ {nodes} }}")
    assert [node.op for node in after(small, fuse_swish).nodes] == ["Sigmoid", "Mul"]
    agrees(small, {"x": np.linspace(-5, 5, 50, dtype=np.float32)})


@pytest.mark.parametrize("opset", [13, 24])
@pytest.mark.parametrize("kind", ["float16", "double"])
def test_every_type_runs(model: Any, agrees: Any, kind: str, opset: int) -> None:
    """Without a kernel as it is, as ONNX Runtime knows Swish only in new operator sets."""
    nodes = "s = Sigmoid(x)  y = Mul(x, s)"
    small = model(f"({kind}[N] x) => ({kind}[N] y) {{ {nodes} }}", opset=opset)
    if opset == 24:
        small.ir_version = 11
    x = np.linspace(-5, 5, 50).astype({"double": "float64"}.get(kind, kind))
    agrees(small, {"x": x}, native=kind == "double", tolerance=1e-3)
