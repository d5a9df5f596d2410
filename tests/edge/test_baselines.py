"""All methods through one interface, against brute force."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from gossamer.edge.baselines import METHODS, place
from gossamer.edge.problem import TOLERANCE
from gossamer.errors import InfeasibleError, OptionError

Make = Callable[..., Any]


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("seed", range(3))
def test_every_placement_meets_targets_and_limits(
    make_problem: Make, method: str, seed: int
) -> None:
    problem = make_problem(seed, n=3, k=2, decibels=5.0)
    found = place(problem, method)
    if found is None:
        assert method == "strongest"
        return
    network = problem.network
    assert (network.sinr(found.beams) >= problem.target * (1 - TOLERANCE)).all()
    assert (network.sent_w(found.beams) <= network.power_limit_w * (1 + TOLERANCE)).all()
    assert not found.beams[~found.support].any()
    assert found.total_w == pytest.approx(problem.total_w(found.support, found.beams))
    assert found.solves > 0


@pytest.mark.parametrize("seed", range(3))
def test_exhaustive_search_is_brute_force(make_problem: Make, seed: int) -> None:
    problem = make_problem(seed, n=3, k=2, decibels=6.0)
    totals = []
    for bits in itertools.product([False, True], repeat=6):
        support = np.array(bits).reshape(3, 2)
        beams = problem.least_power(support)
        if beams is not None:
            totals.append(problem.total_w(support, beams))
    assert place(problem, "exhaustive").total_w == pytest.approx(min(totals), rel=1e-5)


@pytest.mark.parametrize("users", [2, pytest.param(3, marks=pytest.mark.slow)])
def test_methods_come_near_the_optimum(make_problem: Make, users: int) -> None:
    gaps: dict[str, list[float]] = {"refined": [], "log-sum with transmit": []}
    for seed in range(12):
        problem = make_problem(seed, n=3, k=users, decibels=3.0 + seed % 3)
        optimum = place(problem, "exhaustive").total_w
        for method in gaps:
            gaps[method].append(place(problem, method).total_w / optimum - 1)
    assert np.mean(gaps["log-sum with transmit"]) < 0.03
    assert np.mean(gaps["refined"]) < 0.005
    assert min(gaps["refined"]) > -1e-4


@pytest.mark.parametrize("seed", range(3))
def test_refined_is_no_worse_than_what_it_starts_from(make_problem: Make, seed: int) -> None:
    problem = make_problem(seed, n=4, k=3, decibels=6.0)
    refined = place(problem, "refined").total_w
    for method in ("log-sum with transmit", "reweighted l2"):
        assert refined <= place(problem, method).total_w * (1 + 1e-6)


def test_everywhere_is_every_task_at_every_access_point(make_problem: Make) -> None:
    problem = make_problem(0)
    found = place(problem, "everywhere")
    assert found.support.all()
    assert found.compute_w == pytest.approx(problem.compute_w.sum())


def test_strongest_is_one_access_point_a_user(make_problem: Make) -> None:
    problem = make_problem(0, decibels=-3.0)
    found = place(problem, "strongest")
    np.testing.assert_array_equal(
        found.support.argmax(axis=0), problem.network.strength.argmax(axis=0)
    )
    assert found.placed == problem.network.users


def test_reweighted_squares_descend(make_problem: Make) -> None:
    history = place(make_problem(1), "reweighted l2").history
    assert all(after <= before * (1 + 1e-5) for before, after in itertools.pairwise(history))


def test_one_access_point_leaves_no_choice(make_problem: Make) -> None:
    problem = make_problem(0, n=1, k=1, decibels=0.0)
    totals = [place(problem, method).total_w for method in METHODS]
    np.testing.assert_allclose(totals, totals[0], rtol=1e-4)


@pytest.mark.parametrize("method", [name for name in METHODS if name != "strongest"])
def test_targets_that_cannot_be_met_are_an_error(make_problem: Make, method: str) -> None:
    problem = make_problem(0, n=2, k=4, decibels=40.0)
    with pytest.raises(InfeasibleError, match="lower sinr_target_db, raise power_limit_w"):
        place(problem, method)


def test_a_method_that_there_is_not(make_problem: Make) -> None:
    with pytest.raises(OptionError, match="no method 'greedy'; choose from refined"):
        place(make_problem(0), "greedy")


def test_exhaustive_search_is_refused_for_many_groups(make_problem: Make) -> None:
    with pytest.raises(OptionError, match="over 15 groups takes too long"):
        place(make_problem(0, n=5, k=3), "exhaustive")
