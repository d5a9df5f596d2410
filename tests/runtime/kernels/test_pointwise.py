"""Pointwise kernels: each operator, broadcasting, look-ups, and chains of them in one kernel."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from onnx import parser

from gossamer.errors import DataError
from gossamer.runtime import compiler

f32 = np.float32
SPECIAL = np.array(
    [0.0, -0.0, 1.0, -1.5, 2.5, -2.5, 1e30, -1e30, np.inf, -np.inf, np.nan, 0.3], f32
)


def unary(model: Any, operator: str, kind: str = "float", result: str = "float") -> Any:
    return model(f"({kind}[N] x) => ({result}[N] y) {{ y = {operator}(x) }}")


FUNCTIONS = [
    *("Neg", "Abs", "Sqrt", "Floor", "Ceil", "Round", "Reciprocal", "Relu", "Sigmoid", "Tanh"),
    *("Exp", "Log", "HardSwish", "Identity", "LeakyRelu<alpha=0.2>"),
    "HardSigmoid<alpha=0.3, beta=0.4>",
    *("Sign", "Elu", "Elu<alpha=0.5>", "Celu<alpha=2.0>", "Selu", "ThresholdedRelu<alpha=0.7>"),
    *("Softsign", "Shrink<lambd=1.0, bias=0.5>", "Asinh", "Atan", "Sinh", "Cosh"),
]


@pytest.mark.parametrize("operator", FUNCTIONS)
def test_functions_of_floats(model: Any, agrees: Any, operator: str) -> None:
    x = np.concatenate([SPECIAL, np.random.default_rng(0).standard_normal(40).astype(f32) * 4])
    with np.errstate(all="ignore"):
        agrees(unary(model, operator), {"x": x}, threads=2, tolerance=1e-5)


@pytest.mark.parametrize("operator", ["Sin", "Cos", "Erf", "Tan", "Softplus"])
def test_functions_of_finite_floats(model: Any, agrees: Any, operator: str) -> None:
    x = np.linspace(-20, 20, 301, dtype=f32)
    agrees(unary(model, operator), {"x": x}, tolerance=1e-5)


EXTREME = [
    *(0, 1e-45, 1e-40, 1e-30, 1e-10, 1e-5, 0.1, 0.59, 0.61, 1, 2, 3.5, 3.91, 3.93, 5, 5.5, 6, 8),
    *(10, 15, 17, 20, 30, 40, 60, 80, 86, 88.7, 88.75, 100, 104, 500, 1e5, 1e10, 1e20, 3e38),
    *(np.inf, np.nan),
]
SMOOTH = [
    *("Exp", "Erf", "Tanh", "Sigmoid", "Softplus", "Mish", "Elu", "Selu", "Celu", "Softsign"),
    *("HardSigmoid", "HardSwish", "Gelu", 'Gelu<approximate="tanh">', "Swish", "Sinh", "Cosh"),
    *("Atan", "Asinh", "Reciprocal", "Relu", "LeakyRelu", "ThresholdedRelu", "Shrink"),
]


@pytest.mark.parametrize("operator", SMOOTH)
def test_functions_of_what_is_large_small_or_none(
    model: Any, reference: Any, operator: str
) -> None:
    """Each number by itself: a large one must not hide what is wrong with a small one."""
    newer = operator == "Swish"
    small = unary(model, operator)
    small.opset_import[0].version = 24 if newer else 20
    small.ir_version = 10
    x = np.array([*EXTREME, *(-np.array(EXTREME))], f32)
    with np.errstate(all="ignore"):
        wanted = x / (1 + np.exp(-x)) if newer else reference(small, {"x": x})[0]
        (y,) = compiler.compile(small, engine="gossamer").run(None, {"x": x})
    np.testing.assert_allclose(y, wanted, rtol=3e-6, atol=1e-6)


def test_softplus_keeps_its_digits_far_below_zero(model: Any) -> None:
    x = np.array([-5, -10, -17, -20, -40, -80], f32)
    (y,) = compiler.compile(unary(model, "Softplus"), engine="gossamer").run(None, {"x": x})
    np.testing.assert_allclose(y, np.log1p(np.exp(x.astype(np.float64))), rtol=1e-6)


@pytest.mark.parametrize("call", ["Swish<alpha=ALPHA>(x)", "Sigmoid(z)", "Tanh(z)", "Exp(z)"])
def test_a_nan_that_is_known_to_be_one_stays_one(model: Any, agrees: Any, call: str) -> None:
    """Compilers take liberties with what they know."""
    small = model("(float[3] x) => (float[3] y) { z = Mul(x, nan) y = Swish(z) }", 24, nan=np.nan)
    small.graph.node[1].CopyFrom(parser.parse_node(f"y = {call.replace('ALPHA', '0.5')}"))
    for attribute in small.graph.node[1].attribute:
        attribute.f = np.nan
    agrees(small, {"x": np.array([3, -4, 5], f32)})


@pytest.mark.parametrize("exponent", [0.5, -0.5, 2.0, 3.0, 0.0, -1.0, 1.5, np.inf, np.nan])
def test_powers_of_special_numbers(model: Any, agrees: Any, exponent: float) -> None:
    small = model("(float[N] x) => (float[N] y) { y = Pow(x, e) }", e=np.float32(exponent))
    agrees(small, {"x": SPECIAL}, tolerance=1e-6)


def test_gelu_of_both_kinds(model: Any, agrees: Any) -> None:
    x = np.linspace(-6, 6, 301, dtype=f32)
    for kind in ("none", "tanh"):
        small = model(
            f'(float[N] x) => (float[N] y) {{ y = Gelu<approximate="{kind}">(x) }}', opset=20
        )
        agrees(small, {"x": x}, tolerance=1e-6)


@pytest.mark.parametrize("operator", ["Asin", "Acos", "Atanh", "Acosh"])
def test_functions_of_small_floats(model: Any, agrees: Any, operator: str) -> None:
    x = np.linspace(-0.99, 0.99, 101, dtype=f32) + f32(3 if operator == "Acosh" else 0)
    agrees(unary(model, operator), {"x": x}, tolerance=1e-6)


@pytest.mark.parametrize(
    "operator", ["Exp", "Tanh", "Sigmoid", "Relu", "Sqrt", "Floor", "Reciprocal"]
)
def test_functions_of_64_bits(model: Any, agrees: Any, operator: str) -> None:
    x = np.linspace(0.1, 4, 40)
    agrees(unary(model, operator, "double", "double"), {"x": x}, tolerance=1e-12)


@pytest.mark.parametrize("attributes", ["", "<detect_negative=0>", "<detect_positive=0>"])
def test_infinities(model: Any, agrees: Any, attributes: str) -> None:
    agrees(unary(model, f"IsInf{attributes}", result="bool"), {"x": SPECIAL})


@pytest.mark.parametrize("kind", ["int64", "int32"])
@pytest.mark.parametrize("call", ["Div(x, z)", "Mod(x, z)", "Mod<fmod=1>(x, z)"])
def test_integers_are_divided_towards_zero(model: Any, agrees: Any, kind: str, call: str) -> None:
    small = model(f"({kind}[N] x, {kind}[N] z) => ({kind}[N] y) {{ y = {call} }}")
    x = np.array([7, -7, 7, -7, 6, -6, 0, 5], kind)
    agrees(small, {"x": x, "z": np.array([3, 3, -3, -3, 3, -3, 4, -1], kind)})


def test_division_by_zero_does_not_trap(model: Any) -> None:
    small = model("(int64[N] x, int64[N] z) => (int64[N] y) { y = Div(x, z) }")
    compiled = compiler.compile(small, engine="gossamer")
    lowest = np.iinfo(np.int64).min
    (y,) = compiled.run(None, {"x": np.array([5, lowest]), "z": np.array([0, -1])})
    assert y.tolist() == [0, lowest]


def test_remainders_of_floats(model: Any, agrees: Any) -> None:
    small = model("(float[N] x, float[N] z) => (float[N] y) { y = Mod<fmod=1>(x, z) }")
    agrees(small, {"x": np.array([5.3, -5.3, 2], f32), "z": np.array([2, 2, -0.7], f32)})


@pytest.mark.parametrize("operator", ["Sum", "Mean"])
def test_of_several(model: Any, agrees: Any, operator: str) -> None:
    small = model(
        f"""(float[N, M] a, float[M] b, float[N, 1] c) => (float[N, M] y) {{
            y = {operator}(a, b, c) }}"""
    )
    random = np.random.default_rng(0)
    shapes = {"a": (3, 4), "b": (4,), "c": (3, 1)}
    agrees(small, {n: random.standard_normal(s).astype(f32) for n, s in shapes.items()})


def test_bits(model: Any, agrees: Any) -> None:
    small = model(
        """(int32[N] x, int32[N] z) => (int32[N] y) {
            a = BitwiseAnd(x, z)  b = BitwiseOr(a, x)  c = BitwiseXor(b, z)  y = BitwiseNot(c) }""",
        opset=18,
    )
    random = np.random.default_rng(0)
    agrees(small, {n: random.integers(-99, 99, 20).astype(np.int32) for n in "xz"})


def test_bounds_that_are_computed(model: Any, agrees: Any) -> None:
    small = model(
        """(float[N] x) => (float[N] y) {
            low = ReduceMean<keepdims=0>(x)  a = Clip(x, low)  y = Clip(a, , high) }""",
        high=np.float32(1),
    )
    agrees(small, {"x": np.linspace(-3, 3, 20, dtype=f32)})


def test_a_slope_a_channel(model: Any, agrees: Any) -> None:
    small = model("(float[N, 3] x, float[3] s) => (float[N, 3] y) { y = PRelu(x, s) }")
    x = np.random.default_rng(0).standard_normal((4, 3)).astype(f32)
    agrees(small, {"x": x, "s": np.array([0.1, 2, -1], f32)})


BINARY = ["Add", "Sub", "Mul", "Div", "Max", "Min", "Pow"]
COMPARISONS = ["Equal", "Greater", "GreaterOrEqual", "Less", "LessOrEqual"]


@settings(max_examples=60, deadline=None)
@given(
    operator=st.sampled_from(BINARY + COMPARISONS),
    shape=st.lists(st.integers(1, 5), min_size=1, max_size=4),
    ones=st.tuples(*[st.sets(st.integers(0, 3))] * 2),
    cut=st.integers(0, 3),
    threads=st.integers(1, 3),
)
def test_broadcasting(
    model: Any,
    agrees: Any,
    operator: str,
    shape: list[int],
    ones: tuple[set[int], set[int]],
    cut: int,
    threads: int,
) -> None:
    """Of any shapes that fit: axes of one, and axes that are not there."""
    random = np.random.default_rng(0)
    left, right = ([1 if i in mine else n for i, n in enumerate(shape)] for mine in ones)
    right = right[min(cut, len(right) - 1) :]
    result = "bool" if operator in COMPARISONS else "float"
    small = model(
        f"""(float{left} x, float{right} z) => ({result}[{", ".join("ABCD"[: len(shape)])}] y) {{
            y = {operator}(x, z) }}"""
    )
    feeds = {
        "x": random.integers(1, 4, left).astype(f32),
        "z": random.integers(1, 4, right).astype(f32),
    }
    agrees(small, feeds, threads=threads, tolerance=1e-5)


@pytest.mark.parametrize("operator", [*BINARY[:3], "Div", *COMPARISONS])
def test_pairs_of_special_numbers(model: Any, agrees: Any, operator: str) -> None:
    result = "bool" if operator in COMPARISONS else "float"
    small = model(f"(float[N, 1] x, float[M] z) => ({result}[N, M] y) {{ y = {operator}(x, z) }}")
    with np.errstate(all="ignore"):
        agrees(small, {"x": SPECIAL[:, None], "z": SPECIAL}, tolerance=1e-6)


@pytest.mark.parametrize("operator", ["Max", "Min"])
def test_the_largest_of_several_is_nan_if_one_is(model: Any, agrees: Any, operator: str) -> None:
    small = model(
        f"(float[N] a, float[N] b, float[N] c) => (float[N] y) {{ y = {operator}(a, b, c) }}"
    )
    nan = np.nan
    feeds = {
        "a": np.array([1, nan, 1, 3, nan], f32),
        "b": np.array([2, 1, nan, 2, nan], f32),
        "c": np.array([3, 0, 0, nan, nan], f32),
    }
    agrees(small, feeds)


@pytest.mark.parametrize("exponent", [2.0, 3.0, 0.5, -1.0, 1.7, 0.0])
@pytest.mark.parametrize("kind", [np.float32, np.int64, np.int32])
def test_powers(model: Any, agrees: Any, exponent: float, kind: Any) -> None:
    small = model(
        "(float[N] x) => (float[N] y) { y = Pow(x, e) }", e=np.array(exponent, f32).astype(kind)
    )
    agrees(small, {"x": np.linspace(0.1, 5, 40, dtype=f32)}, tolerance=1e-5)


@pytest.mark.parametrize("operator", ["Add", "Sub", "Mul", "Max", "Min"])
@pytest.mark.parametrize("kind", ["int64", "int32", "double"])
def test_other_number_types(model: Any, agrees: Any, operator: str, kind: str) -> None:
    small = model(f"({kind}[N] x, {kind}[N] z) => ({kind}[N] y) {{ y = {operator}(x, z) }}")
    dtype = np.float64 if kind == "double" else kind
    random = np.random.default_rng(0)
    feeds = {name: random.integers(-99, 99, 20).astype(dtype) for name in "xz"}
    agrees(small, feeds)


@pytest.mark.parametrize("kind", ["int64", "int32"])
@pytest.mark.parametrize("operator", ["Mul", "Add", "Sub", "MatMul"])
def test_what_is_beyond_a_type_of_integers_loses_its_upper_bits(
    model: Any, agrees: Any, operator: str, kind: str
) -> None:
    given = f"{kind}[N, N] x, {kind}[N, N] z"
    small = model(f"({given}) => ({kind}[N, N] y) {{ y = {operator}(x, z) }}")
    limits = np.iinfo(kind)
    random = np.random.default_rng(0)
    agrees(small, {n: random.integers(limits.min, limits.max, (9, 9), kind) for n in "xz"})


def test_division_of_integers_rounds_towards_zero(model: Any, agrees: Any) -> None:
    small = model("(int64[N] x) => (int64[N] y) { y = Div(x, three) }", three=np.array(3))
    agrees(small, {"x": np.arange(-10, 11)})


def test_division_by_what_may_be_zero_is_left_to_onnx_runtime(model: Any, agrees: Any) -> None:
    small = model("(int64[N] x, int64[N] z) => (int64[N] y) { y = Div(x, z) }")
    feeds = {"x": np.arange(-10, 11), "z": np.arange(1, 22)}
    agrees(small, feeds, native=False)


def test_logic(model: Any, agrees: Any) -> None:
    small = model(
        """(bool[N] x, bool[N] z) => (bool[N] a, bool[N] b, bool[N] c, bool[N] d) {
            a = And(x, z)  b = Or(x, z)  c = Xor(x, z)  d = Not(x) }"""
    )
    agrees(small, {"x": np.array([0, 0, 1, 1], bool), "z": np.array([0, 1, 0, 1], bool)})


TYPES = {"float": 1, "double": 11, "int64": 7, "int32": 6, "bool": 9}
NUMPY = {"float": f32, "double": np.float64, "int64": np.int64, "int32": np.int32, "bool": bool}


@pytest.mark.parametrize("source", TYPES)
@pytest.mark.parametrize("target", TYPES)
def test_casts(model: Any, agrees: Any, source: str, target: str) -> None:
    small = model(f"({source}[N] x) => ({target}[N] y) {{ y = Cast<to={TYPES[target]}>(x) }}")
    x = np.array([0, 1, -1, 2.7, -2.7, 100, -0.2]).astype(NUMPY[source])
    agrees(small, {"x": x})


def test_casts_of_numbers_out_of_range_do_not_crash(model: Any, agrees: Any) -> None:
    """What they give is not defined; here they saturate, and NaN becomes 0."""
    from gossamer.runtime import compile

    compiled = compile(unary(model, "Cast<to=6>", result="int32"), engine="gossamer")
    (y,) = compiled.run(None, {"x": np.array([np.nan, np.inf, -np.inf, 1e20], f32)})
    assert y.tolist() == [0, 2**31 - 1, -(2**31), 2**31 - 1]


@pytest.mark.parametrize("bounds", ["x, low, high", "x, low", "x, , high", "x"])
def test_clip(model: Any, agrees: Any, bounds: str) -> None:
    small = model(
        f"(float[N] x) => (float[N] y) {{ y = Clip({bounds}) }}",
        low=np.array(-1.0),
        high=np.array(1.5),
    )
    agrees(small, {"x": SPECIAL})
    layer = model(
        f"(float[N, 1] a) => (float[N, 1] y) {{ x = MatMul(a, one)  y = Clip({bounds}) }}",
        one=np.ones((1, 1)),
        low=np.array(-1.0),
        high=np.array(1.5),
    )
    agrees(layer, {"a": SPECIAL[:, None]})


def test_clip_with_attributes(model: Any, agrees: Any) -> None:
    small = model("(float[N] x) => (float[N] y) { y = Clip<min=0.0, max=6.0>(x) }", opset=6)
    agrees(small, {"x": SPECIAL[:8]})


def test_where(model: Any, agrees: Any, random: np.random.Generator) -> None:
    small = model(
        "(bool[N, 1] c, float[M] x, float[N, M] z) => (float[N, M] y) { y = Where(c, x, z) }"
    )
    feeds = {
        "c": np.array([[True], [False], [True]]),
        "x": random.standard_normal(4).astype(f32),
        "z": random.standard_normal((3, 4)).astype(f32),
    }
    agrees(small, feeds, threads=3)


MOVES = {
    "transpose": ("Transpose<perm=[2, 0, 1]>(x)", "[5, N, 4]", {}),
    "unsqueeze": ("Unsqueeze(x, a)", "[1, N, 4, 1, 5]", {"a": np.array([0, -2])}),
    "slice": ("Slice(x, s, e, a)", "[N, 2, 3]", {"s": [1, -4], "e": [3, -1], "a": [1, 2]}),
    "slice with steps": (
        "Slice(x, s, e, a, t)",
        "[N, 2, 3]",
        {"s": [3, 0], "e": [-9, 5], "a": [1, 2], "t": [-2, 2]},
    ),
    "gather": ("Gather<axis=2>(x, i)", "[N, 4, 2, 2]", {"i": [[0, -1], [4, 2]]}),
    "gather one": ("Gather<axis=1>(x, i)", "[N, 5]", {"i": np.array(-2)}),
    "expand": ("Expand(x, s)", "[3, N, 4, 5]", {"s": np.array([3, 1, 4, 5])}),
    "concat": ("Concat<axis=1>(x, x, x)", "[N, 12, 5]", {}),
    "concat last": ("Concat<axis=-1>(x, x)", "[N, 4, 10]", {}),
    "reshape": ("Reshape(x, s)", "[N, 20]", {"s": np.array([0, -1])}),
    "flatten": ("Flatten<axis=2>(x)", "[M, 5]", {}),
}


@pytest.mark.parametrize("name", MOVES)
def test_movement(model: Any, agrees: Any, random: np.random.Generator, name: str) -> None:
    call, shape, constants = MOVES[name]
    small = model(
        f"(float[N, 4, 5] x) => (float{shape} y) {{ moved = {call}  y = Neg(moved) }}", **constants
    )
    agrees(small, {"x": random.standard_normal((2, 4, 5)).astype(f32)}, threads=2)


def test_concatenation_of_different_sizes_and_of_nothing(model: Any, agrees: Any) -> None:
    small = model(
        """(float[N, 2] x) => (float[N, M] y) {
            n = Neg(x)  y = Concat<axis=0>(none, n, row, none, x) }""",
        none=np.zeros((0, 2)),
        row=np.array([[7.0, 8.0]]),
    )
    agrees(small, {"x": np.arange(6, dtype=f32).reshape(3, 2)}, threads=2)


def test_squeeze(model: Any, agrees: Any, random: np.random.Generator) -> None:
    small = model(
        "(float[N, 1, 3, 1] x) => (float[N, 3] y) { y = Squeeze(x, a) }", a=np.array([1, -1])
    )
    agrees(small, {"x": random.standard_normal((4, 1, 3, 1)).astype(f32)})


def test_squeeze_that_names_no_axis_takes_all_of_size_1(model: Any, agrees: Any) -> None:
    small = model(
        """(float[2, 1, 3, 1] x) => (float[a, b] y, float[c] z) {
            y = Squeeze(x, none)  z = Squeeze(row, none) }""",
        none=np.zeros(0, np.int64),
        row=np.ones((1, 3)),
    )
    agrees(small, {"x": np.arange(6, dtype=f32).reshape(2, 1, 3, 1)})


@pytest.mark.parametrize("batch", [0, 1])
def test_gather_nd(model: Any, agrees: Any, random: np.random.Generator, batch: int) -> None:
    result = ["[2, 6, 5, 3]", "[2, 6, 3]"][batch]
    small = model(
        f"""(float[2, 4, 5, 3] x, int64[2, 6, 2] i) => (float{result} y) {{
            y = GatherND<batch_dims={batch}>(x, i) }}"""
    )
    high = [(2, 4), (4, 5)][batch]
    indices = np.stack([random.integers(-n, n, (2, 6)) for n in high], axis=-1)
    feeds = {"x": random.standard_normal((2, 4, 5, 3)).astype(f32), "i": indices}
    agrees(small, feeds, threads=2)


@pytest.mark.parametrize("axis", [0, 1, -1])
def test_gather_elements(model: Any, agrees: Any, random: np.random.Generator, axis: int) -> None:
    small = model(
        f"""(float[3, 4] x, int32[3, 4] i) => (float[3, 4] y) {{
            y = GatherElements<axis={axis}>(x, i) }}"""
    )
    feeds = {
        "x": random.standard_normal((3, 4)).astype(f32),
        "i": random.integers(-3, 3, (3, 4)).astype(np.int32),
    }
    agrees(small, feeds)


@pytest.mark.parametrize(
    ("call", "shape", "result"),
    [
        ("Gather<axis=0>(x, i)", (4, 1), "A, B, C"),
        ("GatherElements<axis=1>(x, i)", (4, 4), "A, B"),
        ("GatherND(x, i)", (4, 1), "A, B"),
    ],
)
@pytest.mark.parametrize("wrong", [4, -5, 2**40])
def test_an_index_outside_is_reported(
    model: Any, agrees: Any, call: str, shape: tuple[int, int], result: str, wrong: int
) -> None:
    small = model(f"(float[4, 4] x, int64{list(shape)} i) => (float[{result}] y) {{ y = {call} }}")
    right = {"x": np.eye(4, dtype=f32), "i": np.zeros(shape, np.int64)}
    session = agrees(small, right)
    with pytest.raises(DataError, match="lies outside"):
        session.run(None, right | {"i": np.full(shape, wrong)})
    assert session.run(None, right)


def test_range_and_sizes_of_the_input(model: Any, agrees: Any) -> None:
    small = model(
        """(float[B, S] x) => (int64[S] y, float[B, S] z) {
            shape = Shape(x)
            length = Gather(shape, one)
            range = Range(nought, length, one)
            y = Add(range, length)
            kept = ConstantOfShape<value = float[1] {2.5}>(shape)
            z = Add(kept, x)
        }""",
        one=np.array(1),
        nought=np.array(0),
    )
    for shape in [(1, 1), (3, 7)]:
        agrees(small, {"x": np.ones(shape, f32)}, threads=2)


def test_a_chain_is_one_kernel(model: Any, agrees: Any, random: np.random.Generator) -> None:
    small = model(
        """(float[B, S, 4] x, bool[B, S] m) => (float[B, 1, 4, S] y) {
            a = Cast<to=1>(m)  b = Sub(one, a)  c = Mul(b, least)
            d = Unsqueeze(c, last)  e = Add(x, d)  f = Transpose<perm=[0, 2, 1]>(e)
            g = Unsqueeze(f, first)  y = Relu(g)
        }""",
        one=np.array(1.0),
        least=np.array(-1e4),
        last=np.array([2]),
        first=np.array([1]),
    )
    feeds = {
        "x": random.standard_normal((2, 5, 4)).astype(f32),
        "m": random.random((2, 5)) < 0.5,
    }
    session = agrees(small, feeds, threads=2)
    (line,) = session.explain()
    assert line.op == "Cast+Sub+Mul+Unsqueeze+Add+Transpose+Unsqueeze+Relu"


def test_a_value_that_two_take_is_computed_once(model: Any, agrees: Any) -> None:
    small = model(
        "(float[N] x) => (float[N] y) { a = Exp(x)  b = Neg(a)  c = Relu(a)  y = Add(b, c) }"
    )
    session = agrees(small, {"x": np.linspace(-1, 1, 9, dtype=f32)})
    assert [line.op for line in session.explain()].count("Exp") == 1


def test_values_between_layers_are_read_in_any_layout(
    model: Any, agrees: Any, random: np.random.Generator
) -> None:
    """Tiles of tokens meet planes of images and row-major inputs."""
    small = model(
        """(float[B, 20, 6] x, float[B, 3, 20, 4] p, float[20, 1] r)
           => (float[B, 3, 20, 4] y, float[B, 20, 12] z) {
            a = MatMul(x, w)  b = Add(a, r)  c = Reshape(b, split)
            d = Transpose<perm=[0, 2, 1, 3]>(c)  e = Conv(p, k)  y = Mul(d, e)
            s = Sigmoid(a)  z = Mul(a, s)
        }""",
        w=random.standard_normal((6, 12)),
        k=random.standard_normal((3, 3, 1, 1)),
        split=np.array([0, 20, 3, 4]),
    )
    feeds = {
        "x": random.standard_normal((3, 20, 6)).astype(f32),
        "p": random.standard_normal((3, 3, 20, 4)).astype(f32),
        "r": random.standard_normal((20, 1)).astype(f32),
    }
    agrees(small, feeds, threads=2)
