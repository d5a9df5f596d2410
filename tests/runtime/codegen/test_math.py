"""Elementary functions in generated code against those of the C library."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from gossamer.runtime.codegen import jit
from gossamer.runtime.codegen import math as functions
from gossamer.runtime.codegen.builder import F32, LANES, VEC, Builder, Term
from gossamer.runtime.codegen.kernel_builder import KernelBuilder, write_kernel
from gossamer.runtime.codegen.target import target
from gossamer.runtime.memory import Region, view
from gossamer.runtime.signature import Input, Output, Signature

f32 = np.float32


def apply(
    function: Callable[[Builder, Term], Term], x: NDArray[np.float32], name: str, wide: bool
) -> NDArray[np.float32]:
    """A function of each number, on vectors or one by one."""
    count = -(-x.size // LANES) * LANES

    def body(b: KernelBuilder) -> None:
        source, output = b.arguments("x", "y")
        with b.loop(0, count, LANES if wide else 1) as place:
            value = b.load(b.at(source, place), VEC if wide else F32)
            b.store(function(b, value), b.at(output, place))

    region = Region(8 * count)
    memory = view(region.address, (2, count), np.dtype(f32))
    memory[0, : x.size] = x
    pointers = Input("x", "float32", count), Output("y", "float32", count)
    source = write_kernel(Signature("test", pointers, ()), target(name), body)
    kernel = jit.callable_kernel(jit.load(source, target(name)))
    arguments = np.array([region.address, region.address + 4 * count])
    kernel(arguments.ctypes.data, 0, 1)
    return memory[1, : x.size].copy()


def exact(function: Callable[[float], float], x: NDArray[np.float32]) -> NDArray[Any]:
    return np.array([function(float(number)) for number in x])


def exp(x: float) -> float:
    return math.exp(x) if x < 700 else math.inf


def sigmoid(x: float) -> float:
    return 1 / (1 + exp(-x))


def gelu(x: float) -> float:
    return x * 0.5 * math.erfc(-x / math.sqrt(2))


def gelu_tanh(x: float) -> float:
    return 0.5 * x * (1 + math.tanh(math.sqrt(2 / math.pi) * (x + 0.044715 * x**3)))


RANGE = np.concatenate(
    [np.linspace(-12, 12, 4001), np.linspace(-1e-3, 1e-3, 101), [-80, 80, 1e-30, -1e-30]]
).astype(f32)
both = pytest.mark.parametrize(("name", "wide"), [("host", True), ("avx2", True), ("host", False)])


@both
def test_exp_is_exact_to_a_few_units_in_the_last_place(name: str, wide: bool) -> None:
    x = np.linspace(-86.5, 88.7, 20001).astype(f32)
    y, wanted = apply(functions.exp, x, name, wide), exact(exp, x)
    assert np.abs(y / wanted - 1).max() < 6e-7


@both
@pytest.mark.parametrize(
    ("function", "wanted", "error"),
    [
        ("Erf", math.erf, 6e-7),
        ("Tanh", math.tanh, 4e-7),
        ("Sigmoid", sigmoid, 3e-7),
        ("Gelu", gelu, 2e-6),
        ("GeluTanh", gelu_tanh, 2e-6),
        ("Swish", lambda x: x * sigmoid(x), 2e-6),
        ("Mish", lambda x: x * math.tanh(math.log1p(math.exp(x))), 2e-6),
        ("Elu", lambda x: x if x > 0 else math.expm1(x), 4e-7),
        ("HardSwish", lambda x: x * min(max(x / 6 + 0.5, 0), 1), 2e-6),
        ("LeakyRelu", lambda x: max(x, 0.01 * x), 1e-8),
        ("Exp", exp, None),
        ("Relu", lambda x: max(x, 0.0), 0),
    ],
)
def test_absolute_error(
    name: str, wide: bool, function: str, wanted: Callable[[float], float], error: float | None
) -> None:
    x = np.clip(RANGE, -12, 12)
    y = apply(functions.ACTIVATIONS[function], x, name, wide)
    expected = exact(wanted, x)
    if error is None:
        np.testing.assert_allclose(y, expected, rtol=6e-7)
    else:
        assert np.abs(y - expected).max() <= error


@both
@pytest.mark.parametrize("function", ["Erf", "Tanh"])
def test_odd_functions_keep_their_digits_near_zero(name: str, wide: bool, function: str) -> None:
    x = np.array([1e-30, 1e-12, 1e-6, 1e-3, 0.01, -1e-6, -0.01], f32)
    y = apply(functions.ACTIVATIONS[function], x, name, wide)
    wanted = exact(getattr(math, function.lower()), x)
    np.testing.assert_allclose(y, wanted, rtol=2e-6)


@both
@pytest.mark.parametrize(
    ("function", "at_infinity"),
    [
        ("Exp", (0, math.inf)),
        ("Erf", (-1, 1)),
        ("Tanh", (-1, 1)),
        ("Sigmoid", (0, 1)),
        ("Relu", (0, math.inf)),
    ],
)
def test_infinities_and_nan(
    name: str, wide: bool, function: str, at_infinity: tuple[float, float]
) -> None:
    x = np.array([-math.inf, math.inf, math.nan, -3e38, 3e38], f32)
    y = apply(functions.ACTIVATIONS[function], x, name, wide)
    low, high = at_infinity
    if math.isinf(high) and function == "Relu":
        high_finite: float = float(f32(3e38))
    else:
        high_finite = high
    np.testing.assert_allclose(y, [low, high, math.nan, low, high_finite], rtol=1e-6)


@both
@pytest.mark.parametrize("function", functions.ACTIVATIONS)
def test_nan_stays_nan(name: str, wide: bool, function: str) -> None:
    y = apply(functions.ACTIVATIONS[function], np.array([math.nan, 1], f32), name, wide)
    assert np.isnan(y).tolist() == [True, False]


@both
def test_exp_overflows_and_vanishes_where_floats_end(name: str, wide: bool) -> None:
    y = apply(functions.exp, np.array([88.7, 88.8, -86.5, -88.5], f32), name, wide)
    assert np.isfinite(y[0])
    assert y[1] == math.inf
    assert y[2] > 0
    assert y[3] == 0


@both
def test_far_from_zero_the_error_function_is_one(name: str, wide: bool) -> None:
    """To the last place: what is left over would be multiplied by what is far from zero."""
    x = np.array([4, 8, 80, 1e10, 3e38, math.inf], f32)
    np.testing.assert_array_equal(apply(functions.erf, x, name, wide), np.ones(6, f32))
    np.testing.assert_array_equal(apply(functions.erf, -x, name, wide), -np.ones(6, f32))
    for function in (functions.gelu, functions.gelu_tanh):
        below = apply(function, -np.array([8, 20, 80, 1e10, 3e38], f32), name, wide)
        np.testing.assert_array_equal(below, np.zeros(5, f32))


@both
def test_log1p_keeps_what_is_lost_beside_one(name: str, wide: bool) -> None:
    x = np.array([0, 1e-40, 1e-30, 1e-12, 1e-8, 1e-7, 1e-5, 1e-3, 0.1, 1, math.nan], f32)
    y = apply(functions.log1p, x, name, wide)
    np.testing.assert_allclose(y, exact(math.log1p, x), rtol=5e-7)


@both
@pytest.mark.parametrize(("low", "high"), [(-1, 1), (1, -1), (math.nan, 1), (-1, math.nan)])
def test_bounds_that_cross_give_the_upper_one_and_nan_bounds_nothing(
    name: str, wide: bool, low: float, high: float
) -> None:
    x = np.array([-2, 0.5, 2, math.inf, -math.inf, math.nan], f32)
    y = apply(lambda b, x: functions.clip(b, x, low, high), x, name, wide)
    raised = np.where(x < low, low, x)
    np.testing.assert_array_equal(y, np.where(raised > high, high, raised))
