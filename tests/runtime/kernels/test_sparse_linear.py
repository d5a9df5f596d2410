"""The sparse linear kernel, for every shape and place of zeros."""

from __future__ import annotations

from typing import Any
from unittest import mock

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gossamer.runtime import tuning

f32 = np.float32
LINEAR = "(float[B, T, {k}] x) => (float[B, T, {n}] y) {{ y = MatMul(x, w) }}"


def sparse(random: np.random.Generator, rows: int, columns: int, sparsity: float) -> Any:
    weight = random.standard_normal((columns, rows)).astype(f32)
    return weight * (random.random(weight.shape) >= sparsity)


def run(
    model: Any, agrees: Any, weight: Any, block: int, batch: int, length: int, **how: Any
) -> None:
    columns, rows = weight.shape
    small = model(LINEAR.format(k=columns, n=rows), w=weight)
    x = np.random.default_rng(0).standard_normal((batch, length, columns)).astype(f32)
    choice = tuning.Choice(sparse=True, block=min(block, columns))
    with mock.patch.object(tuning, "choose_linear", return_value=choice):
        session = agrees(small, {"x": x}, **how)
    assert "sparse linear" in [line.kernel for line in session.explain()]


@settings(max_examples=60, deadline=None)
@given(
    rows=st.integers(1, 70),
    columns=st.integers(1, 300),
    sparsity=st.sampled_from([0, 0.3, 0.75, 0.95, 1]),
    block=st.sampled_from([1, 5, 96, 256]),
    batch=st.integers(1, 4),
    length=st.integers(1, 70),
    threads=st.integers(1, 3),
    target=st.sampled_from(["host", "avx2"]),
    seed=st.integers(0, 99),
)
def test_any_matrix(
    model: Any,
    agrees: Any,
    rows: int,
    columns: int,
    sparsity: float,
    block: int,
    batch: int,
    length: int,
    threads: int,
    target: str,
    seed: int,
) -> None:
    weight = sparse(np.random.default_rng(seed), rows, columns, sparsity)
    run(model, agrees, weight, block, batch, length, threads=threads, target=target)


@pytest.mark.parametrize("shape", [(1, 1), (1, 40), (40, 1), (129, 257), (64, 1024)])
def test_all_zero_and_fully_dense(model: Any, agrees: Any, shape: tuple[int, int]) -> None:
    run(model, agrees, np.zeros(shape, f32), 128, 1, 5)
    run(model, agrees, np.ones(shape, f32), 128, 1, 5)


def test_empty_rows_and_columns(model: Any, agrees: Any, random: np.random.Generator) -> None:
    weight = sparse(random, 50, 200, 0.5)
    weight[:, ::3] = 0
    weight[::7] = 0
    weight[:, 10:40] = 0
    run(model, agrees, weight, 96, 2, 33, threads=2)


def test_all_nonzeros_in_one_row(model: Any, agrees: Any, random: np.random.Generator) -> None:
    weight = np.zeros((300, 40), f32)
    weight[:, 17] = random.standard_normal(300)
    run(model, agrees, weight, 96, 2, 33, threads=3)


def test_more_inputs_than_one_block_and_than_16_bits_reach(
    model: Any, agrees: Any, random: np.random.Generator
) -> None:
    run(model, agrees, sparse(random, 9, 2100, 0.9), 256, 1, 20, threads=2)


@pytest.mark.parametrize("special", [np.nan, np.inf, -np.inf])
def test_special_numbers_stay_in_their_token(model: Any, special: float) -> None:
    from gossamer.runtime import compile

    weight = np.eye(8, dtype=f32)
    choice = tuning.Choice(sparse=True, block=8)
    with mock.patch.object(tuning, "choose_linear", return_value=choice):
        session = compile(model(LINEAR.format(k=8, n=8), w=weight), threads=1)
    x = np.ones((1, 20, 8), f32)
    x[0, 3, 2] = special
    (y,) = session.run(None, {"x": x})
    np.testing.assert_array_equal(y, x)


FINISHED = """(float[B, T, 24] x, float[B, T, 40] r) => (float[B, T, 40] y) {
    a = MatMul(x, w)  b = Add(bias, a)  c = Add(b, r)  y = %s(c) }"""


@pytest.mark.parametrize("activation", ["Relu", "Sigmoid", "Tanh", "Identity"])
@pytest.mark.parametrize("is_sparse", [True, False])
def test_bias_residual_and_activation_are_part_of_the_kernel(
    model: Any, agrees: Any, random: np.random.Generator, activation: str, is_sparse: bool
) -> None:
    weight = sparse(random, 40, 24, 0.5)
    small = model(FINISHED % activation, w=weight, bias=random.standard_normal(40))
    feeds = {
        "x": random.standard_normal((3, 21, 24)).astype(f32),
        "r": random.standard_normal((3, 21, 40)).astype(f32),
    }
    with mock.patch.object(tuning, "choose_linear", return_value=tuning.Choice(is_sparse, 16)):
        session = agrees(small, feeds, threads=2)
    assert [line.op for line in session.explain()].count("Linear") == 1
    assert not {"Add", activation} & {line.op for line in session.explain()} - {"Identity"}
