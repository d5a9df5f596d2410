"""The three stages: descent and its bound, the order, bisection and scan, exchange."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from gossamer.edge.method import (
    Supports,
    _scan,
    exchange,
    log_sum,
    mixed_norm,
    order,
    select,
)
from gossamer.edge.network import norms
from gossamer.edge.problem import TOLERANCE
from gossamer.edge.result import placement
from gossamer.errors import InfeasibleError, SolverError

Make = Callable[..., Any]

# What the solver leaves open of an objective, as a fraction of it.
OPEN = 1e-5


# Stage 1


@pytest.mark.parametrize("transmit", [False, True])
@pytest.mark.parametrize("beta", [0.01, 1.0])
@pytest.mark.parametrize("seed", range(4))
def test_each_step_descends_by_beta_times_its_square(
    make_problem: Make, seed: int, beta: float, transmit: bool
) -> None:
    found = log_sum(make_problem(seed, n=3, k=3), transmit=transmit, beta=beta, steps=8)
    assert len(found.history) == len(found.moves) + 1
    for before, after, move in zip(found.history, found.history[1:], found.moves, strict=False):
        assert before - after >= beta * move - OPEN * before


@pytest.mark.parametrize("seed", range(4))
def test_the_smallest_step_falls_as_one_by_the_number_of_steps(
    make_problem: Make, seed: int
) -> None:
    beta = 0.1
    found = log_sum(make_problem(seed, n=3, k=3), beta=beta)
    for steps in range(1, len(found.moves) + 1):
        least = min(found.moves[:steps])
        assert least <= found.history[0] / (beta * steps) + OPEN
    # Which follows from this.
    assert beta * sum(found.moves) <= found.history[0] - found.history[-1] + OPEN


def test_log_sum_starts_from_the_mixed_norm_and_ends_sparser(make_problem: Make) -> None:
    problem = make_problem(1, n=3, k=3, decibels=6.0)
    start, end = mixed_norm(problem), log_sum(problem)
    small = 1e-3 * np.sqrt(problem.network.power_limit_w)[:, None]
    assert (norms(end.beams) > small).sum() <= (norms(start.beams) > small).sum()
    assert end.history[-1] <= end.history[0]


def test_the_objective_is_what_it_says(make_problem: Make) -> None:
    problem = make_problem(2)
    p = np.array([3.0, 5.0, 7.0])
    found = log_sum(problem, p=p, steps=3)
    price = np.sqrt(problem.compute_w / problem.network.efficiency[:, None])
    expected = (price * np.log(1 + p[:, None] * norms(found.beams))).sum()
    assert found.history[-1] == pytest.approx(expected)


def test_with_transmit_a_group_at_a_hundredth_of_the_limit_costs_its_computing(
    make_problem: Make,
) -> None:
    problem = make_problem(2)
    found = log_sum(problem, transmit=True, steps=2)
    length = norms(found.beams)
    price = problem.compute_w * np.log1p(length / 0.1) / np.log(2)
    assert found.history[-1] == pytest.approx((price + length**2 / 0.25).sum())


def test_beamformers_of_stage_1_meet_targets_and_limits(make_problem: Make) -> None:
    problem = make_problem(3, n=3, k=3)
    for found in (mixed_norm(problem), log_sum(problem), log_sum(problem, transmit=True)):
        assert (problem.network.sinr(found.beams) >= problem.target * (1 - TOLERANCE)).all()
        assert (problem.network.sent_w(found.beams) <= 1 + TOLERANCE).all()


# Stage 2


def test_groups_go_in_the_order_of_theta(make_problem: Make) -> None:
    problem = make_problem(0)
    beams = log_sum(problem).beams
    theta = np.sqrt(problem.network.strength * 0.25 / problem.compute_w) * norms(beams)
    dropped = order(problem, beams)
    values = [theta[n, k] for n, k in dropped]
    assert values == sorted(values)
    # Each user keeps its best group to the end.
    kept = {(int(theta[:, k].argmax()), k) for k in range(2)}
    assert kept | set(dropped) == {(n, k) for n in range(3) for k in range(2)}
    assert not kept & set(dropped)


# Stage 3


@pytest.mark.parametrize("seed", range(4))
def test_selection_is_the_best_of_all_supports_in_order(make_problem: Make, seed: int) -> None:
    problem = make_problem(seed, n=3, k=3, decibels=6.0)
    relaxed = mixed_norm(problem)
    supports, support = Supports(problem), problem.everywhere
    totals = [supports.total_w(support)]
    for n, k in order(problem, relaxed.beams):
        support = support.copy()
        support[n, k] = False
        totals.append(supports.total_w(support))
    found = select(problem, relaxed)
    assert found.total_w == pytest.approx(min(totals), rel=1e-4)
    # The scan goes from all tasks to the sparsest support that is feasible.
    assert found.scan[0][0] == 9
    assert found.scan[-1][0] == 9 - max(i for i, watts in enumerate(totals) if watts < np.inf)


def test_feasibility_ends_at_one_point(make_problem: Make) -> None:
    problem = make_problem(2, n=3, k=3, decibels=9.0)
    supports, support = Supports(problem), problem.everywhere
    feasible = [True]
    for n, k in order(problem, mixed_norm(problem).beams):
        support = support.copy()
        support[n, k] = False
        feasible.append(supports.beams(support) is not None)
    assert feasible == sorted(feasible, reverse=True)


def test_a_long_way_is_scanned_coarse_to_fine() -> None:
    looked: list[int] = []

    def total_w(count: int) -> float:
        looked.append(count)
        return abs(count - 271) + 10.0

    totals = _scan(total_w, 380)
    assert min(totals, key=lambda count: totals[count]) == 271
    assert len(looked) == len(set(looked)) < 40


def test_a_short_way_is_looked_at_whole() -> None:
    assert sorted(_scan(float, 10)) == list(range(11))
    assert sorted(_scan(float, 0)) == [0]


def test_a_support_is_solved_once(make_problem: Make) -> None:
    problem = make_problem(0)
    supports = Supports(problem)
    supports.total_w(problem.everywhere)
    supports.total_w(problem.everywhere)
    assert problem.programme.solves == 1


def test_targets_that_cannot_be_met_are_an_error(make_problem: Make) -> None:
    problem = make_problem(0, n=2, k=4, decibels=40.0)
    for stage in (mixed_norm, log_sum):
        with pytest.raises(InfeasibleError, match="cannot be met even with every task"):
            stage(problem)


# Exchange


def test_exchange_leaves_what_no_single_change_improves(make_problem: Make) -> None:
    problem = make_problem(1, n=3, k=2)
    start = placement(problem, problem.everywhere, problem.least_power(problem.everywhere))
    found = exchange(problem, start, 200)
    assert found.total_w <= start.total_w
    supports = Supports(problem)
    for n in range(3):
        for k in range(2):
            changed = found.support.copy()
            changed[n, k] = not changed[n, k]
            assert supports.total_w(changed) >= found.total_w * (1 - 1e-4)


def test_exchange_leaves_alone_what_is_undecided(
    make_problem: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    problem = make_problem(1, n=3, k=2)
    start = placement(problem, problem.everywhere, problem.least_power(problem.everywhere))

    def undecided(self: Any, support: Any) -> Any:
        raise SolverError("undecided")

    monkeypatch.setattr(Supports, "beams", undecided)
    assert exchange(problem, start, 200).total_w == start.total_w


def test_exchange_looks_at_no_more_than_it_may(make_problem: Make) -> None:
    problem = make_problem(1, n=3, k=2)
    start = placement(problem, problem.everywhere, problem.least_power(problem.everywhere))
    before = problem.programme.solves
    exchange(problem, start, 3)
    assert problem.programme.solves - before <= 3
