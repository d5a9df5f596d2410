"""Products and convolutions with constant weights become layers that finish their outputs."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from gossamer.runtime.passes.expand import expand
from gossamer.runtime.passes.fuse_layers import fuse_layers
from gossamer.runtime.passes.fuse_swish import fuse_swish

f32 = np.float32


def build(after: Any, model: Any, nodes: str, result: str = "float[N, 4] y") -> Any:
    small = model(
        f"(float[N, 4] x, float[N, 4] r) => ({result}) {{ {nodes} }}",
        w=np.arange(16).reshape(4, 4),
        b=np.arange(4),
        full=np.arange(16).reshape(4, 4),
        none=np.zeros((4, 0)),
        zero=np.float32(0),
        six=np.float32(6),
    )
    for tensor in small.graph.initializer:
        tensor.CopyFrom(_floats(tensor))
    return after(small, fuse_swish, expand, fuse_layers)


def _floats(tensor: Any) -> Any:
    from onnx import numpy_helper

    return numpy_helper.from_array(numpy_helper.to_array(tensor).astype(f32), tensor.name)


@pytest.mark.parametrize(
    ("nodes", "steps"),
    [
        ("y = MatMul(x, w)", ()),
        ("a = MatMul(x, w)  y = Add(a, b)", ()),
        ("a = MatMul(x, w)  c = Add(b, a)  y = Relu(c)", ("Relu",)),
        ("a = MatMul(x, w)  c = Relu(a)  y = Add(c, r)", ("Relu", "Add")),
        ("a = MatMul(x, w)  c = Add(a, b)  d = Add(r, c)  y = Tanh(d)", ("Add", "Tanh")),
        ("a = Gemm<transB=1>(x, w, b)  y = Sigmoid(a)", ("Sigmoid",)),
        ("a = MatMul(x, w)  s = Sigmoid(a)  y = Mul(s, a)", (("Swish", 1.0),)),
        (
            "a = MatMul(x, w)  s = HardSigmoid<alpha=0.16666667>(a)  y = Mul(a, s)",
            ("HardSwish",),
        ),
        ("a = MatMul(x, w)  y = Clip(a, zero, six)", (("Clip", 0.0, 6.0),)),
        ("a = MatMul(x, w)  y = Clip(a, zero)", (("Clip", 0.0, float(np.finfo(f32).max)),)),
        ("a = MatMul(x, w)  y = LeakyRelu<alpha=0.5>(a)", (("LeakyRelu", 0.5),)),
        ("a = MatMul(x, w)  y = HardSigmoid(a)", (("HardSigmoid", 0.2, 0.5),)),
    ],
)
def test_what_follows_becomes_steps(after: Any, model: Any, nodes: str, steps: Any) -> None:
    (layer,) = build(after, model, nodes).nodes
    assert (layer.op, layer.domain, layer.attributes["steps"]) == ("Linear", "gossamer", steps)


def test_weights_are_outputs_by_inputs(after: Any, model: Any) -> None:
    weight = np.arange(16).reshape(4, 4)
    (layer,) = build(after, model, "y = MatMul(x, w)").nodes
    np.testing.assert_array_equal(layer.source(1).data, weight.T)
    (layer,) = build(after, model, "y = Gemm<transB=1, alpha=2.0>(x, w)").nodes
    np.testing.assert_array_equal(layer.source(1).data, weight * 2)


@pytest.mark.parametrize(
    ("nodes", "ops"),
    [
        # Somebody else takes what is between.
        ("a = MatMul(x, w)  c = Relu(a)  y = Mul(a, c)", ["Linear", "Relu", "Mul"]),
        # A sum that broadcasts is no residual.
        ("a = MatMul(x, w)  c = Relu(a)  y = Add(c, b)", ["Linear", "Add"]),
        # No constant weight.
        ("t = Transpose(r)  y = MatMul(x, t)", ["Transpose", "MatMul"]),
        ("y = Gemm<transA=1>(r, x)", ["Transpose", "MatMul"]),
        # Bounds that are computed.
        ("a = MatMul(x, w)  m = ReduceMin(x)  y = Clip(a, m)", ["Linear", "ReduceMin", "Clip"]),
        ("y = MatMul(x, none)", ["MatMul"]),
    ],
)
def test_what_cannot_be_a_step_stays(after: Any, model: Any, nodes: str, ops: list[str]) -> None:
    assert [node.op for node in build(after, model, nodes).nodes] == ops


def test_a_value_that_is_an_output_is_kept(after: Any, model: Any) -> None:
    graph = build(after, model, "a = MatMul(x, w)  y = Relu(a)", "float[N, 4] y, float[N, 4] a")
    assert [node.op for node in graph.nodes] == ["Linear", "Relu"]


def test_of_two_layers_the_later_takes_the_sum(after: Any, model: Any) -> None:
    graph = build(after, model, "a = MatMul(x, w)  c = MatMul(a, w)  y = Add(a, c)")
    assert [node.attributes["steps"] for node in graph.nodes] == [(), ("Add",)]


def test_a_product_of_nothing_still_runs(model: Any, agrees: Any) -> None:
    small = model("(float[N, 0] x) => (float[N, 4] y) { y = MatMul(x, w) }", w=np.zeros((0, 4)))
    agrees(small, {"x": np.zeros((3, 0), f32)}, native=False)


@pytest.mark.parametrize(
    ("low", "high"), [(1, 0), (-1, -2), (0.5, 0.5), (np.nan, 1), (0, np.nan), (-np.inf, 0)]
)
@pytest.mark.parametrize("layer", ["MatMul(x, w)", "Conv(x, w)"])
def test_bounds_that_cross_give_the_upper_one(
    model: Any, agrees: Any, layer: str, low: float, high: float
) -> None:
    shape, weight = ("N, 4", (4, 4)) if "MatMul" in layer else ("N, 4, 3, 3", (4, 4, 1, 1))
    small = model(
        f"(float[{shape}] x) => (float[{shape}] y) {{ a = {layer}  y = Clip(a, low, high) }}",
        w=np.random.default_rng(0).standard_normal(weight),
        low=np.float32(low),
        high=np.float32(high),
    )
    x = np.random.default_rng(1).standard_normal((3, 4, 3, 3)).astype(f32)
    agrees(small, {"x": x if "Conv" in layer else x[..., 0, 0]})


@pytest.mark.parametrize("shape", [(4,), (1, 4), (1, 1, 4), (1,), (1, 1, 1), (2, 1, 4), (2, 1, 1)])
def test_a_bias_of_a_higher_rank_gives_more_axes(
    after: Any, model: Any, agrees: Any, shape: tuple[int, ...]
) -> None:
    axes = ", ".join("ABC"[: max(2, len(shape))])
    small = model(
        f"(float[N, 4] x) => (float[{axes}] y) {{ a = MatMul(x, w)  y = Add(a, b) }}",
        w=np.random.default_rng(0).standard_normal((4, 4)),
        b=np.random.default_rng(1).standard_normal(shape),
    )
    agrees(small, {"x": np.random.default_rng(2).standard_normal((3, 4)).astype(f32)})
    layer = next(n for n in after(small, expand, fuse_layers).nodes if n.op == "Linear")
    assert layer.output.shape == (layer.source(0).shape[0], 4)


def test_one_output_may_have_one_bias_of_any_rank(model: Any, agrees: Any) -> None:
    small = model(
        "(float[N, 4] x) => (float[A, B, C] y) { a = MatMul(x, w)  y = Add(a, b) }",
        w=np.random.default_rng(0).standard_normal((4, 1)),
        b=np.ones((1, 1, 1)),
    )
    agrees(small, {"x": np.random.default_rng(2).standard_normal((3, 4)).astype(f32)})


@pytest.mark.parametrize(
    "nodes",
    [
        "a = MatMul(x, w)  y = Relu(a)  z = Neg(a)",
        "a = MatMul(x, w)  z = Identity(a)  y = Add(a, r)",
        "a = MatMul(x, w)  z = MatMul(x, w)  y = Add(a, z)",
        "a = MatMul(x, w)  y = Add(a, a)  z = Relu(x)",
    ],
)
def test_a_layer_that_others_take_keeps_its_output(model: Any, agrees: Any, nodes: str) -> None:
    small = model(
        f"(float[N, 4] x, float[N, 4] r) => (float[N, 4] y, float[N, 4] z) {{ {nodes} }}",
        w=np.random.default_rng(0).standard_normal((4, 4)),
    )
    x = np.random.default_rng(2).standard_normal((2, 3, 4)).astype(f32)
    agrees(small, {"x": x[0], "r": x[1]})
