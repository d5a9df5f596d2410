"""Values lie in tiles between kernels that want them so, and are converted no more than needed."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from gossamer.runtime.layouts import PLAIN, TOKENS
from gossamer.runtime.passes.assign_layouts import assign_layouts
from gossamer.runtime.passes.fuse_layers import fuse_layers
from gossamer.runtime.passes.partition import partition


def placed(after: Any, model: Any, nodes: str) -> Any:
    small = model(f"(float[N, 4] x) => (float[N, 4] y) {{ {nodes} }}", w=np.eye(4), s=np.ones(4))
    return after(small, fuse_layers, partition, assign_layouts)


@pytest.mark.parametrize(
    ("nodes", "ops"),
    [
        # Into tiles once, out of them once.
        (
            "a = MatMul(x, w)  b = MatMul(a, w)  y = MatMul(b, w)",
            ["Identity", *["Linear"] * 3, "Identity"],
        ),
        (
            "a = MatMul(x, w)  b = MatMul(x, w)  y = Mul(a, b)",
            ["Identity", "Linear", "Linear", "Mul", "Identity"],
        ),
        (
            "a = MatMul(x, w)  b = Sqrt(a)  y = LayerNormalization(b, s)",
            ["Identity", "Linear", "Sqrt", "LayerNormalization", "Identity"],
        ),
        # ONNX Runtime takes rows.
        (
            "a = MatMul(x, w)  b = Hardmax(a)  y = MatMul(b, w)",
            ["Identity", "Linear", "Identity", "Hardmax", "Identity", "Linear", "Identity"],
        ),
        ("y = Neg(x)", ["Neg"]),
    ],
)
def test_conversions(after: Any, model: Any, nodes: str, ops: list[str]) -> None:
    graph = placed(after, model, nodes)
    assert [node.op for node in graph.nodes] == ops
    assert graph.outputs[0].layout == PLAIN
    for node in graph.nodes:
        if node.op in ("Linear", "LayerNormalization"):
            assert node.source(0).layout == node.output.layout == TOKENS
        if node.op == "Hardmax":
            assert node.source(0).layout == node.output.layout == PLAIN
