"""All methods behind one interface: from a problem to a placement, entered by name in METHODS."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gossamer.edge.method import Relaxed, Supports, exchange, log_sum, mixed_norm, select
from gossamer.edge.network import norms
from gossamer.edge.problem import Problem
from gossamer.edge.result import Placement, placement
from gossamer.errors import OptionError

Array = NDArray[Any]

# Groups up to which all supports can be looked at: some thousands.
EXHAUSTIVE_GROUPS = 12
# Supports that `refined` may look at to improve by single groups.
_EXCHANGES = 200
_POWER = 0.5
_SMOOTHING = 1e-3
_STEPS = 15


def refined(problem: Problem) -> Placement | None:
    """The better of log-sum with the power of sending and reweighted l2, then exchange: ours."""
    found = [log_sum_with_transmit(problem), reweighted_squares(problem)]
    return exchange(problem, min(found, key=lambda one: one.total_w), _EXCHANGES)


def log_sum_with_transmit(problem: Problem) -> Placement:
    """Log-sum with the power of sending in the objective: ours."""
    return select(problem, log_sum(problem, transmit=True))


def log_sum_only(problem: Problem) -> Placement | None:
    """Log-sum over the groups' lengths, as in Yang et al. 2020."""
    return select(problem, log_sum(problem))


def mixed(problem: Problem) -> Placement | None:
    """The mixed l1,2 norm: one convex programme.

    Y. Shi, J. Zhang, K. B. Letaief, Group Sparse Beamforming for Green Cloud-RAN, IEEE Trans.
    Wireless Communications 13(5), 2014.
    """
    return select(problem, mixed_norm(problem))


def reweighted_squares(problem: Problem) -> Placement:
    """Smoothed lp by reweighted squares: sum rho_nk (||v_nk||^2 + eps^2)^(p/2) with p = 1/2.

    Y. Shi, J. Cheng, J. Zhang, B. Bai, W. Chen, K. B. Letaief, Smoothed Lp-Minimization for Green
    Cloud-RAN with User Admission Control, IEEE J. Selected Areas in Communications 34(4), 2016.
    """
    price = np.sqrt(problem.compute_w * problem.draw)
    eps = _SMOOTHING * np.sqrt(problem.network.power_limit_w)[:, None]
    weight, history = price, []
    for _ in range(_STEPS):
        solved = problem.programme.solve(problem.target, square=weight)
        if solved is None:
            raise problem.infeasible()
        beams = solved
        smooth = norms(beams) ** 2 + eps**2
        weight = price * _POWER / 2 * smooth ** (_POWER / 2 - 1)
        history.append(float((price * smooth ** (_POWER / 2)).sum()))
    return select(problem, Relaxed(beams, tuple(history)))


def everywhere(problem: Problem) -> Placement | None:
    """All tasks at all access points, which beam together: coordinated beamforming."""
    beams = problem.least_power(problem.everywhere)
    if beams is None:
        raise problem.infeasible()
    return placement(problem, problem.everywhere, beams)


def strongest(problem: Problem) -> Placement | None:
    """Each task where its user's channel is strongest, and nowhere else."""
    support = ~problem.everywhere
    support[problem.network.strength.argmax(axis=0), np.arange(problem.network.users)] = True
    beams = problem.least_power(support)
    return None if beams is None else placement(problem, support, beams)


def exhaustive(problem: Problem) -> Placement | None:
    """The optimum, from all supports; for at most 12 groups.

    Supports come by rising computing power; since any support sends with no less power than all
    tasks everywhere, the search ends where computing power with that alone exceeds the best.

    Raises:
        OptionError: if there are more than 12 groups.
    """
    if problem.compute_w.size > EXHAUSTIVE_GROUPS:
        raise OptionError(
            f"exhaustive search over {problem.compute_w.size} groups takes too long; leave it out "
            f"above {EXHAUSTIVE_GROUPS} (access points x users)"
        )
    supports = Supports(problem)
    full = supports.beams(problem.everywhere)
    if full is None:
        raise problem.infeasible()
    least = problem.network.transmit_w(full)
    best, total = problem.everywhere, supports.total_w(problem.everywhere)
    columns = [c for c in itertools.product([False, True], repeat=len(best)) if any(c)]
    everything = (
        np.array(chosen).T.copy() for chosen in itertools.product(columns, repeat=best.shape[1])
    )
    priced = ((float(problem.compute_w[one].sum()), one) for one in everything)
    for price, support in sorted(priced, key=lambda pair: pair[0]):
        if price + least >= total:
            break
        if (watts := supports.total_w(support)) < total:
            best, total = support, watts
    beams = supports.beams(best)
    assert beams is not None
    return placement(problem, best, beams)


# By name, the best first; the last only for small sizes.
METHODS: Mapping[str, Callable[[Problem], Placement | None]] = {
    "refined": refined,
    "log-sum with transmit": log_sum_with_transmit,
    "log-sum": log_sum_only,
    "mixed l1,2": mixed,
    "reweighted l2": reweighted_squares,
    "everywhere": everywhere,
    "strongest": strongest,
    "exhaustive": exhaustive,
}


def place(problem: Problem, method: str = "refined") -> Placement | None:
    """Return the placement that a method finds; None if it finds none that meets the targets.

    Args:
        problem: to solve.
        method: a name in METHODS.

    Raises:
        InfeasibleError: if no placement meets the targets, with the users that fall short and
            the largest SINR that all could have.
        OptionError: if there is no such method, or the problem is too large for it.
        SolverError: if no solver could decide on a programme.
    """
    if method not in METHODS:
        raise OptionError(f"there is no method {method!r}; choose from {', '.join(METHODS)}")
    before = problem.programme.solves
    found = METHODS[method](problem)
    return None if found is None else replace(found, solves=problem.programme.solves - before)
