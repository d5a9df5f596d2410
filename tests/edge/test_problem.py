"""The cone programmes give the closed-form answers, and what they give meets the constraints."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from gossamer.edge.network import Network
from gossamer.edge.problem import TOLERANCE, Problem, Programme, largest_common_sinr
from gossamer.errors import InfeasibleError, ScenarioError, SolverError

Make = Callable[..., Any]


def single_user(network: Network, decibels: float) -> Problem:
    n = network.access_points
    return Problem(Programme(network), np.array([10 ** (decibels / 10)]), np.ones((n, 1)))


def meets(problem: Problem, beams: Any) -> bool:
    network = problem.network
    met = network.sinr(beams) >= problem.target * (1 - TOLERANCE)
    within = network.sent_w(beams) <= network.power_limit_w * (1 + TOLERANCE)
    return bool(met.all() and within.all())


# Closed forms


def test_one_user_gets_the_matched_filter(make_network: Make) -> None:
    # Alone, a user needs ||v||^2 = gamma sigma^2 / ||h||^2, sent along its channel.
    network = make_network(0, n=2, k=1, antennas=3)
    problem = single_user(network, 6.0)
    beams = problem.least_power(problem.everywhere)
    needed = problem.target[0] * network.noise_w[0] / network.strength.sum()
    assert network.sent_w(beams).sum() == pytest.approx(needed, rel=1e-4)
    matched = network.channels * np.sqrt(needed / network.strength.sum())
    phase = np.vdot(beams, matched) / abs(np.vdot(beams, matched))
    np.testing.assert_allclose(beams * phase, matched, atol=1e-3 * abs(matched).max())


def test_one_access_point_gets_its_own_matched_filter(make_network: Make) -> None:
    network = make_network(1, n=3, k=1)
    problem = single_user(network, 3.0)
    nearest = int(network.strength.argmax())
    support = np.arange(3)[:, None] == nearest
    beams = problem.least_power(support)
    needed = problem.target[0] * network.noise_w[0] / network.strength[nearest, 0]
    assert network.transmit_w(beams) == pytest.approx(needed / 0.25, rel=1e-4)
    assert not beams[~support].any()


def test_orthogonal_users_do_not_disturb_each_other() -> None:
    network = Network(
        channels=1e-6 * np.array([[[1, 0], [0, 2]]], complex),
        noise_w=np.full(2, 1e-13),
        power_limit_w=np.array([10.0]),
        efficiency=np.array([0.5]),
    )
    problem = Problem(Programme(network), np.array([2.0, 8.0]), np.ones((1, 2)))
    beams = problem.least_power(problem.everywhere)
    np.testing.assert_allclose((abs(beams) ** 2).sum(axis=2), [[0.2, 0.2]], rtol=1e-4)


def test_the_largest_common_sinr_of_one_user_is_that_of_all_power_in_phase(
    make_network: Make,
) -> None:
    network = make_network(2, n=3, k=1)
    best = np.sqrt(network.strength).sum() ** 2 / network.noise_w[0]
    found = largest_common_sinr(Programme(network))
    assert 10 * np.log10(best / found) == pytest.approx(0.0, abs=0.06)


# What is returned


@pytest.mark.parametrize("seed", range(6))
def test_beamformers_meet_targets_and_limits(make_problem: Make, seed: int) -> None:
    problem = make_problem(seed, n=3, k=3, decibels=5.0)
    random = np.random.default_rng(seed)
    for _ in range(6):
        support = random.random((3, 3)) < 0.6
        beams = problem.least_power(support)
        if beams is not None:
            assert meets(problem, beams)
            assert not beams[~support].any()


def test_least_power_lies_at_the_targets(make_problem: Make) -> None:
    problem = make_problem(3)
    beams = problem.least_power(problem.everywhere)
    np.testing.assert_allclose(problem.network.sinr(beams), problem.target, rtol=1e-3)


def test_more_tasks_never_need_more_power_to_send(make_problem: Make) -> None:
    problem = make_problem(4, n=3, k=2)
    full = problem.network.transmit_w(problem.least_power(problem.everywhere))
    for n in range(3):
        support = problem.everywhere
        support[n, 0] = False
        beams = problem.least_power(support)
        assert beams is None or problem.network.transmit_w(beams) >= full * (1 - 1e-5)


def test_a_user_without_a_server_has_no_solution(make_problem: Make) -> None:
    problem = make_problem(0)
    support = problem.everywhere
    support[:, 1] = False
    assert problem.least_power(support) is None


def test_the_mixed_norm_is_no_greater_anywhere_else(make_problem: Make) -> None:
    problem = make_problem(5)
    length = np.sqrt(problem.compute_w)
    least = problem.programme.solve(problem.target, square=np.zeros((3, 2)), length=length)
    other = problem.least_power(problem.everywhere)

    def cost(beams: Any) -> float:
        return float((length * np.linalg.norm(beams, axis=2)).sum())

    assert cost(least) <= cost(other) * (1 + 1e-5)


def test_the_total_is_computing_and_sending(make_problem: Make) -> None:
    problem = make_problem(0)
    support = problem.everywhere
    beams = problem.least_power(support)
    expected = problem.network.transmit_w(beams) + problem.compute_w.sum()
    assert problem.total_w(support, beams) == pytest.approx(expected)


# Infeasible, and undecided


def test_targets_that_nobody_can_meet_are_explained(make_problem: Make) -> None:
    problem = make_problem(0, n=2, k=4, decibels=40.0)
    assert problem.least_power(problem.everywhere) is None
    error = problem.infeasible()
    assert isinstance(error, InfeasibleError)
    assert error.users and set(error.users) <= set(range(4))
    assert f"{error.largest_common_sinr_db:.1f} dB" in str(error)
    # What all can have is feasible, and a little more is not.
    for decibels, feasible in ((0.0, True), (0.1, False)):
        target = 10 ** ((error.largest_common_sinr_db + decibels) / 10)
        asked = Problem(problem.programme, np.full(4, target), problem.compute_w)
        assert (asked.least_power(asked.everywhere) is not None) == feasible


def test_the_user_who_falls_short_is_the_one_that_is_far(make_network: Make) -> None:
    network = make_network(0, n=2, k=3)
    channels = network.channels.copy()
    channels[:, 1] *= 1e-4
    far = Network(channels, network.noise_w, network.power_limit_w, network.efficiency)
    error = Problem(Programme(far), np.full(3, 1.0), np.ones((2, 3))).infeasible()
    assert error.users == [1]
    assert "user 2 falls short" in str(error)


def test_an_infeasible_error_survives_another_process(make_problem: Make) -> None:
    import pickle

    error = make_problem(0, n=2, k=4, decibels=40.0).infeasible()
    again = pickle.loads(pickle.dumps(error))
    assert str(again) == str(error)
    assert again.users == error.users


@pytest.fixture
def solver(monkeypatch: pytest.MonkeyPatch) -> Callable[[str, str], None]:
    """Let a solver end with a status, whatever it would have found."""
    real = Programme._run
    ends: dict[str, str] = {}

    def run(self: Programme, problem: Any, name: str, options: Any) -> str:
        return ends[name] if name in ends else real(self, problem, name, options)

    monkeypatch.setattr(Programme, "_run", run)
    return ends.__setitem__


def test_another_solver_takes_over_after_a_numerical_failure(
    make_problem: Make, solver: Any
) -> None:
    expected = make_problem(0)
    watts = expected.network.transmit_w(expected.least_power(expected.everywhere))
    solver("CLARABEL", "failed")
    problem = make_problem(0)
    beams = problem.least_power(problem.everywhere)
    assert problem.network.transmit_w(beams) == pytest.approx(watts, rel=1e-3)
    assert meets(problem, beams)


@pytest.mark.parametrize("status", ["failed", "infeasible_inaccurate", "user_limit"])
def test_unknown_is_never_infeasible(make_problem: Make, solver: Any, status: str) -> None:
    solver("CLARABEL", status)
    solver("SCS", status)
    problem = make_problem(0)
    with pytest.raises(SolverError, match="neither Clarabel nor SCS could decide"):
        problem.least_power(problem.everywhere)


def test_a_solution_that_misses_a_target_is_none(
    make_problem: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Programme, "_holds", lambda *_: False)
    problem = make_problem(0)
    with pytest.raises(SolverError):
        problem.least_power(problem.everywhere)


# Bad input


def test_sizes_must_match(make_network: Make) -> None:
    programme = Programme(make_network(0))
    with pytest.raises(ScenarioError, match=r"target has shape \(3,\); give \[2\]"):
        Problem(programme, np.ones(3), np.ones((3, 2)))
    with pytest.raises(ScenarioError, match=r"compute_w has shape \(2, 2\); give \[3, 2\]"):
        Problem(programme, np.ones(2), np.ones((2, 2)))


@pytest.mark.parametrize("bad", [0.0, -1.0, np.nan])
def test_computing_takes_power(make_network: Make, bad: float) -> None:
    programme = Programme(make_network(0))
    with pytest.raises(ScenarioError, match=r"compute_w holds .*above zero"):
        Problem(programme, np.ones(2), np.full((3, 2), bad))
    with pytest.raises(ScenarioError, match=r"target holds .*above zero"):
        Problem(programme, np.array([1.0, bad]), np.ones((3, 2)))


def test_a_programme_is_made_once(make_problem: Make) -> None:
    problem = make_problem(0)
    problem.least_power(problem.everywhere)
    compiled = problem.programme._compiled["squares"].problem
    support = problem.everywhere
    support[0, 0] = False
    problem.least_power(support)
    assert problem.programme._compiled["squares"].problem is compiled
    assert problem.programme.solves == 2
