"""Where windows lie, and how many: as in ONNX Runtime, over a grid of one axis, or no answer."""

from __future__ import annotations

import itertools
from typing import Any

import numpy as np
import pytest

from gossamer.graphs.dims import UnknownSize
from gossamer.graphs.inferred import Inferred
from gossamer.graphs.ops import facts
from gossamer.graphs.windows import window
from gossamer.runtime.graph import Node, Value

f32 = np.dtype(np.float32)
PADDINGS: list[dict[str, Any]] = [
    {},
    {"pads": [1, 0]},
    {"pads": [1, 2]},
    {"auto_pad": "SAME_UPPER"},
    {"auto_pad": "SAME_LOWER"},
    {"auto_pad": "VALID"},
]


def read(node: Node, x: Any, kernel: int) -> Any:
    """What a node of one axis gives, window by window, where its shape rule says that they lie."""
    ((_, shape),) = facts(node).typed(node, Inferred(22, []))
    (before,), (after,), (stride,), (dilation,) = window(node, x.shape, [kernel])
    (count,) = shape[2:]
    starts = np.arange(count)[:, None] * stride - before
    taps = starts + np.arange(kernel) * dilation
    inside = (taps >= 0) & (taps < len(x))
    found = np.where(inside, x[taps.clip(0, len(x) - 1)], 0)
    if node.op == "Conv":
        return found @ np.arange(1, kernel + 1, dtype=f32)
    if node.op == "MaxPool":
        return np.where(inside, found, -np.inf).max(axis=1)
    counted = (taps < len(x) + after) if node.attributes.get("count_include_pad") else inside
    return found.sum(axis=1) / counted.sum(axis=1)


@pytest.mark.parametrize("kernel", [1, 2, 3])
@pytest.mark.parametrize("op", ["MaxPool", "AveragePool", "Conv"])
def test_windows_lie_where_those_of_onnx_runtime_lie(
    model: Any, reference: Any, op: str, kernel: int
) -> None:
    answered = 0
    more: list[dict[str, Any]] = [{}]
    if op != "Conv":
        more += [{"ceil_mode": 1}, *([{"count_include_pad": 1}] if op == "AveragePool" else [])]
    grid = itertools.product((1, 2, 3, 4, 5, 8), (1, 2, 4), (1, 2, 3), PADDINGS, more)
    for size, stride, dilation, padding, rest in grid:
        given = {"strides": [stride], "dilations": [dilation], **padding, **rest}
        weights = 1 + np.arange(kernel, dtype=f32).reshape(1, 1, kernel)
        inputs: list[Value | None] = [Value("x", f32, (1, 1, size))]
        if op == "Conv":
            inputs.append(Value("w", f32, weights.shape, weights))
        else:
            given["kernel_shape"] = [kernel]
        # No number twice, none 0 and in no order.
        x = 1 + np.random.default_rng(size).permutation(size).astype(f32)
        try:
            ours = read(Node(op, inputs, [Value("y")], given), x, kernel)
        except UnknownSize:
            continue
        text = ", ".join(f"{key}={value}" for key, value in given.items())
        for mode in ("SAME_UPPER", "SAME_LOWER", "VALID"):
            text = text.replace(mode, f'"{mode}"')
        call = f"{op}<{text}>(x{', w' if op == 'Conv' else ''})"
        small = model(
            f"(float[1, 1, {size}] x) => (float[1, 1, N] y) {{ y = {call} }}", 19, w=weights
        )
        try:
            (theirs,) = reference(small, {"x": x.reshape(1, 1, size)})
        except Exception:
            # Convolutions that are dilated and padded to the same size, which ONNX allows.
            continue
        assert theirs.shape == (1, 1, *ours.shape), call
        np.testing.assert_allclose(ours, theirs[0, 0], rtol=1e-6, err_msg=f"{call} of {size}")
        answered += 1
    assert answered > 100
