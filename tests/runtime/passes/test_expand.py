"""Operators that are written as others."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from gossamer.runtime import compile
from gossamer.runtime.passes.expand import expand

f32 = np.float32


def run(model: Any, agrees: Any, call: str, x: Any, *, opset: int = 18, **constants: Any) -> None:
    """A call on `x`, whose first axis is open."""
    axes = ", ".join(["N", *map(str, x.shape[1:])])
    rank = run_rank(call, x)
    out = ", ".join("ABCDEF"[:rank])
    kind = "int64" if x.dtype == np.int64 else "float"
    small = model(f"({kind}[{axes}] x) => ({kind}[{out}] y) {{ y = {call} }}", opset, **constants)
    agrees(small, {"x": x}, threads=2)


def run_rank(call: str, x: Any) -> int:
    return int(x.ndim) + call.startswith("OneHot")


def images() -> Any:
    return np.random.default_rng(0).standard_normal((2, 8, 6, 4)).astype(f32)


@pytest.mark.parametrize(
    ("call", "opset"),
    [
        ("DepthToSpace<blocksize=2>(x)", 18),
        ('DepthToSpace<blocksize=2, mode="CRD">(x)', 18),
        ("SpaceToDepth<blocksize=2>(x)", 18),
        ("LpNormalization<axis=1, p=1>(x)", 18),
        ("LpNormalization<axis=-1, p=2>(x)", 18),
        ("MeanVarianceNormalization(x)", 18),
        ("InstanceNormalization(x, scale, bias)", 18),
        ("GroupNormalization<num_groups=2>(x, scale, bias)", 21),
        ("BatchNormalization(x, scale, bias, bias, scale)", 18),
        ("LayerNormalization<axis=2>(x, plane)", 18),
        ("Hardmax<axis=1>(x)", 18),
        ("CumSum(x, two)", 18),
        ("CumSum<reverse=1, exclusive=1>(x, one)", 18),
        ("Mish(x)", 18),
    ],
)
def test_as_onnx_runtime_does_it(model: Any, agrees: Any, call: str, opset: int) -> None:
    constants = {
        "scale": np.arange(1, 9) / 4,
        "bias": np.arange(8) / 2,
        "plane": np.arange(24).reshape(6, 4) / 9,
        "one": np.array(1),
        "two": np.array(2),
    }
    named = {name: value for name, value in constants.items() if name in call}
    run(model, agrees, call, images(), opset=opset, **named)


@pytest.mark.parametrize(
    ("call", "opset", "axes"),
    [
        ("LayerNormalization<axis=2, epsilon=0.0>(x, one, zero)", 17, (2, 3)),
        ("MeanVarianceNormalization<axes=[2, 3]>(x)", 13, (2, 3)),
        ("GroupNormalization<num_groups=1, epsilon=0.0>(x, group, none)", 18, (1, 2, 3)),
        ("GroupNormalization<num_groups=1, epsilon=0.0>(x, channel, shift)", 21, (1, 2, 3)),
        ("InstanceNormalization<epsilon=0.0>(x, channel, shift)", 17, (2, 3)),
    ],
)
def test_what_lies_far_from_zero_is_normalised_by_its_own_variance(
    model: Any, call: str, opset: int, axes: tuple[int, ...]
) -> None:
    ones, zeros = np.ones(8), np.zeros(8)
    constants = {"channel": ones, "shift": zeros, "group": ones[:1], "none": zeros[:1]}
    constants |= {"one": np.ones((6, 4)), "zero": np.zeros((6, 4))}
    named = {name: value for name, value in constants.items() if name in call}
    small = model(
        f"(float[N, 8, 6, 4] x) => (float[N, 8, 6, 4] y) {{ y = {call} }}", opset, **named
    )
    x = images() + f32(1000)
    session = compile(small, engine="gossamer")
    assert all(line.kernel != "ONNX Runtime" for line in session.explain())
    (y,) = session.run(None, {"x": x})
    exact = x.astype(np.float64)
    exact -= exact.mean(axes, keepdims=True)
    exact /= np.sqrt((exact**2).mean(axes, keepdims=True))
    np.testing.assert_allclose(y, exact, atol=2e-3)


def test_what_does_not_vary_is_normalised_to_zero_as_onnx_defines_it(model: Any) -> None:
    """ONNX Runtime divides 0 by 0."""
    small = model(
        "(float[N, 3, 1] x) => (float[N, 3, 1] y) { y = MeanVarianceNormalization<axes=[2]>(x) }"
    )
    (y,) = compile(small, engine="gossamer").run(
        None, {"x": np.array([[[5], [np.inf], [-2]]], f32)}
    )
    np.testing.assert_array_equal(y, [[[0], [np.nan], [0]]])


@pytest.mark.parametrize("outputs", [2, 3])
def test_the_mean_and_deviation_beside_a_layer_norm(model: Any, agrees: Any, outputs: int) -> None:
    """Of a single element too, which has no variance."""
    for size in (1, 6):
        names = ["y", "mean", "inverse"][:outputs]
        results = ", ".join(f"float[N, {size if n == 'y' else 1}] {n}" for n in names)
        call = f"{', '.join(names)} = LayerNormalization(x, scale)"
        small = model(f"(float[N, {size}] x) => ({results}) {{ {call} }}", scale=np.ones(size))
        agrees(small, {"x": images().reshape(-1, 6)[:, :size] * 3 + 20})


@pytest.mark.parametrize("axis", [0, 1, -1])
def test_one_hot(model: Any, agrees: Any, axis: int) -> None:
    small = model(
        f"(int64[N, 3] x) => (float[A, B, C] y) {{ y = OneHot<axis={axis}>(x, depth, values) }}",
        depth=np.array(5),
        values=np.array([-1.0, 2.0]),
    )
    agrees(small, {"x": np.array([[0, 4, -1], [-5, 2, 9]])})


@pytest.mark.parametrize("opset", [12, 18])
def test_split(model: Any, agrees: Any, opset: int) -> None:
    call = "Split<axis=1, split=[1, 5]>(x)" if opset == 12 else "Split<axis=1>(x, parts)"
    constants = {} if opset == 12 else {"parts": np.array([1, 5])}
    small = model(
        f"""(float[N, 6] x) => (float[A, B] y, float[A, C] z) {{
            p, q = {call}  y = Neg(p)  z = Abs(q) }}""",
        opset,
        **constants,
    )
    agrees(small, {"x": np.random.default_rng(0).standard_normal((3, 6)).astype(f32)})


def test_a_length_that_is_open(model: Any, agrees: Any) -> None:
    """As RoBERTa counts its tokens."""
    small = model("(int64[B, T] x) => (int64[B, T] y) { y = CumSum(x, one) }", one=np.array(1))
    for length in (1, 7, 40):
        agrees(small, {"x": np.random.default_rng(0).integers(0, 2, (3, length))})


def test_what_would_not_be_native_is_left_whole(model: Any, after: Any) -> None:
    """By its definition it would be a dozen nodes of a type that no kernel takes."""
    graph = after(model("(float16[N, 4] x) => (float16[N, 4] y) { y = LogSoftmax(x) }"), expand)
    assert [node.op for node in graph.nodes] == ["LogSoftmax"]


def test_the_names_of_outputs_stay(model: Any, agrees: Any) -> None:
    small = model(
        "(float[N, 4] x) => (float[N] total) { total = ReduceL2<axes=[1], keepdims=0>(x) }"
    )
    session = agrees(small, {"x": np.ones((2, 4), f32)})
    assert [port.name for port in session.get_outputs()] == ["total"]


def test_what_a_gemm_multiplies_by_zero_is_not_looked_at(model: Any, agrees: Any) -> None:
    x = np.random.default_rng(0).standard_normal((3, 4)).astype(f32)
    bias = np.array([1, np.nan, np.inf, 0, 2])
    small = model(
        "(float[N, 4] x) => (float[N, 5] y) { y = Gemm<beta=0.0>(x, w, b) }",
        w=np.random.default_rng(1).standard_normal((4, 5)),
        b=bias,
    )
    agrees(small, {"x": x})
