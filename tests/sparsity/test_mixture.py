"""The dynamic programme, against every combination and against a solver of integer programmes."""

from __future__ import annotations

from itertools import product

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gossamer.sparsity.mixture import least_loss

optimize = pytest.importorskip("scipy.optimize")


def loss_of(chosen: list[int], losses: list[np.ndarray]) -> float:
    return sum(float(loss[level]) for loss, level in zip(losses, chosen, strict=True))


def best_of_all(losses: list[np.ndarray], costs: list[np.ndarray], budget: float) -> float | None:
    found = None
    for chosen in product(*(range(len(loss)) for loss in losses)):
        if loss_of(list(chosen), costs) <= budget + 1e-9:
            loss = loss_of(list(chosen), losses)
            found = loss if found is None else min(found, loss)
    return found


layers = st.lists(
    st.lists(st.tuples(st.floats(0, 10), st.integers(0, 12)), min_size=1, max_size=4),
    min_size=1,
    max_size=5,
)


@given(layers=layers, budget=st.integers(0, 50))
def test_whole_costs_give_the_best_of_all_combinations(
    layers: list[list[tuple[float, int]]], budget: int
) -> None:
    losses = [np.array([loss for loss, _ in levels]) for levels in layers]
    costs = [np.array([float(cost) for _, cost in levels]) for levels in layers]
    slack = int(budget - sum(cost.min() for cost in costs))
    chosen = least_loss(losses, costs, budget, buckets=max(slack, 1))
    expected = best_of_all(losses, costs, budget)
    if expected is None:
        assert chosen is None
        return
    assert chosen is not None and loss_of(chosen, costs) <= budget + 1e-9
    assert loss_of(chosen, losses) == pytest.approx(expected)


@pytest.mark.parametrize("seed", range(6))
def test_random_instances_come_close_to_an_integer_programme(seed: int) -> None:
    random = np.random.default_rng(seed)
    count, levels = 30, 9
    costs = [np.sort(random.random(levels))[::-1] * random.uniform(0.1, 5) for _ in range(count)]
    losses = [np.sort(random.random(levels)) ** 3 * random.uniform(0.1, 9) for _ in range(count)]
    budget = 0.4 * sum(cost[0] for cost in costs)
    chosen = least_loss(losses, costs, budget)
    assert chosen is not None and loss_of(chosen, costs) <= budget
    one_each = np.kron(np.eye(count), np.ones(levels))
    solved = optimize.milp(
        np.concatenate(losses),
        integrality=np.ones(count * levels),
        bounds=optimize.Bounds(0, 1),
        constraints=[
            optimize.LinearConstraint(one_each, 1, 1),
            optimize.LinearConstraint(np.concatenate(costs), -np.inf, budget),
        ],
    )
    assert solved.status == 0
    assert loss_of(chosen, losses) <= 1.01 * solved.fun + 1e-9


def test_a_budget_that_the_cheapest_levels_just_meet_is_met() -> None:
    losses, costs = [np.array([0.0, 1.0])] * 2, [np.array([0.3, 0.1])] * 2
    assert least_loss(losses, costs, 0.2) == [1, 1]
    assert least_loss(losses, costs, 0.19) is None
    assert least_loss(losses, costs, 1.0) == [0, 0]


def test_a_sparser_level_that_is_neither_cheaper_nor_better_is_never_chosen() -> None:
    losses = [np.array([0.0, 0.5, 0.6])]
    costs = [np.array([1.0, 1.2, 0.8])]
    assert least_loss(losses, costs, 0.9) == [2]
    assert least_loss(losses, costs, 5.0) == [0]
