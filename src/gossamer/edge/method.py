"""The three stages: relax, order, select.

1. Solve a relaxation in which running a task has a price that beamformers pay by their length, so
   that most groups (the beamformer of one access point for one user) become small.
2. Order the groups by what they contribute against what they cost.
3. Drop them in this order as long as the targets can be met, and keep the support of least power.

Stages, ordering and the log-sum penalty are those of Yang et al. 2020 (see the package). Ours are:
the scan of stage 3 for least total power beside the bisection, the variant of stage 1 that carries
the power of sending, and the exchange of single groups at the end.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gossamer.edge.network import norms
from gossamer.edge.problem import Problem
from gossamer.edge.result import Placement, placement
from gossamer.errors import SolverError

Array = NDArray[Any]

# Of the power limit, the part from whose square root on a group's length counts as not small.
_SMALL = 0.01
# Only to make each step unique: it slows the descent, and its size hardly matters below 1.
BETA = 0.01
_STEPS = 20
_CHANGE = 1e-3
# Supports looked at in one round of the scan; where fewer are open, each is.
_POINTS = 13
# A gain below this fraction of the power is none: the solver's solutions are no better known.
_GAIN = 1e-5


@dataclass(frozen=True, eq=False)
class Relaxed:
    """What stage 1 found.

    Attributes:
        beams: complex `[N, K, L]`.
        history: the objective before the first step and after each.
        moves: ||v^{t+1} - v^t||^2 of each step.
    """

    beams: Array
    history: tuple[float, ...] = ()
    moves: tuple[float, ...] = ()


def mixed_norm(problem: Problem) -> Relaxed:
    """Minimise sum sqrt(Pc_nk / eta_n) ||v_nk||: the mixed l1,2 norm, where log-sum starts.

    Raises:
        InfeasibleError: if no placement meets the targets.
        SolverError: if no solver could decide.
    """
    length = np.sqrt(problem.compute_w * problem.draw)
    beams = problem.programme.solve(problem.target, square=np.zeros(length.shape), length=length)
    if beams is None:
        raise problem.infeasible()
    return Relaxed(beams)


def log_sum(
    problem: Problem,
    *,
    transmit: bool = False,
    p: Array | None = None,
    beta: float = BETA,
    steps: int = _STEPS,
) -> Relaxed:
    """Minimise F(v) = sum rho_nk log(1 + p_n ||v_nk||) by proximal iterative reweighting.

    With w_nk = rho_nk p_n / (1 + p_n ||v_nk^t||), each step takes the v^{t+1} that minimises
    G(v) = sum w_nk ||v_nk|| + (beta / 2) ||v - v^t||^2 under the constraints (Yang et al. 2020,
    stage 1), from the solution of the mixed norm.

    With `transmit`, F and G have the term sum (1 / eta_n) ||v_nk||^2 besides, and rho is such that
    the price of a group reaches Pc_nk where 1 % of the power limit is sent (ours): F is then a
    smooth stand-in for the total power itself.

    Descent. log is concave: F(v^{t+1}) - F(v^t) <= [G(v^{t+1}) - (beta / 2) d] - G(v^t), with
    d = ||v^{t+1} - v^t||^2. G is strongly convex with modulus beta (beta + 2 / max eta with
    `transmit`), the feasible set is convex and holds v^t, and v^{t+1} minimises G over it:
    G(v^t) - G(v^{t+1}) >= (beta / 2) d. Together F(v^t) - F(v^{t+1}) >= beta d, in both variants.
    Since F >= 0, adding up T steps gives the ergodic bound min_t d_t <= F(v^0) / (beta T).

    Args:
        problem: to relax.
        transmit: whether the objective carries the power of sending.
        p: `[N]`, by square root of watts; by default 10 / sqrt(P_n).
        beta: weight of the proximal term, above zero.
        steps: at most; it ends earlier when the beamformers move by less than a thousandth.

    Raises:
        InfeasibleError: if no placement meets the targets.
        SolverError: if no solver could decide.
    """
    small = np.sqrt(_SMALL * problem.network.power_limit_w)
    slope = (1 / small if p is None else p)[:, None]
    if transmit:
        price = problem.compute_w / np.log1p(slope * small[:, None])
        square = problem.draw
    else:
        price = np.sqrt(problem.compute_w * problem.draw)
        square = np.zeros(price.shape)

    def objective(beams: Array) -> float:
        length = norms(beams)
        return float((price * np.log1p(slope * length) + square * length**2).sum())

    beams = mixed_norm(problem).beams
    history, moves = [objective(beams)], []
    for _ in range(steps):
        step = problem.programme.solve(
            problem.target,
            # (beta / 2) ||v - v^t||^2 without its constant.
            square=square + beta / 2,
            length=price * slope / (1 + slope * norms(beams)),
            pull=-beta * beams,
        )
        if step is None:
            # The mixed norm has found a point that meets the same constraints.
            raise problem.infeasible()
        moves.append(float((np.abs(step - beams) ** 2).sum()))
        beams = step
        history.append(objective(beams))
        if moves[-1] <= _CHANGE**2 * float((np.abs(beams) ** 2).sum()):
            break
    return Relaxed(beams, tuple(history), tuple(moves))


def order(problem: Problem, beams: Array) -> list[tuple[int, int]]:
    """Return the groups (n, k) in the order in which to drop them, each user's best one left out.

    By theta_nk = sqrt(||h_nk||^2 eta_n / Pc_nk) ||v_nk||, least first (Yang et al. 2020, stage 2).
    """
    network = problem.network
    worth = network.strength * network.efficiency[:, None] / problem.compute_w
    theta = np.sqrt(worth) * norms(beams)
    best = theta.argmax(axis=0)
    indices = (np.unravel_index(i, theta.shape) for i in np.argsort(theta, axis=None))
    return [(int(n), int(k)) for n, k in indices if n != best[k]]


class Supports:
    """Total power by support, each solved once.

    Args:
        problem: that they belong to.
    """

    def __init__(self, problem: Problem) -> None:
        self.problem = problem
        self._beams: dict[bytes, Array | None] = {}

    def beams(self, support: Array) -> Array | None:
        """Return the best beamformers on a support, or None if there are none."""
        key = support.tobytes()
        if key not in self._beams:
            self._beams[key] = self.problem.least_power(support)
        return self._beams[key]

    def total_w(self, support: Array) -> float:
        """Return the watts of a support; infinity where it does not meet the targets."""
        beams = self.beams(support)
        return float("inf") if beams is None else self.problem.total_w(support, beams)


def select(problem: Problem, relaxed: Relaxed) -> Placement:
    """Return the placement of least power on the supports that dropping in order gives.

    A support holds those that follow it, so that feasibility ends at one point, which bisection
    finds (Yang et al. 2020, stage 3). Total power need not fall up to there: the scan looks at a
    few supports over the whole way, then at more around the best, until it has seen all there.

    Args:
        problem: to solve.
        relaxed: of stage 1.

    Raises:
        InfeasibleError: if no placement meets the targets.
        SolverError: if no solver could decide.
    """
    supports = Supports(problem)
    dropped = order(problem, relaxed.beams)

    def support(count: int) -> Array:
        left = problem.everywhere
        for n, k in dropped[:count]:
            left[n, k] = False
        return left

    if supports.beams(support(0)) is None:
        raise problem.infeasible()
    last, beyond = 0, len(dropped) + 1
    while beyond - last > 1:
        middle = (last + beyond) // 2
        feasible = supports.beams(support(middle)) is not None
        last, beyond = (middle, beyond) if feasible else (last, middle)
    totals = _scan(lambda count: supports.total_w(support(count)), last)
    best = support(min(totals, key=lambda count: totals[count]))
    beams = supports.beams(best)
    assert beams is not None
    scan = [(problem.compute_w.size - count, totals[count]) for count in sorted(totals)]
    return placement(problem, best, beams, scan=scan, history=relaxed.history)


def _scan(total_w: Callable[[int], float], last: int) -> dict[int, float]:
    """Return watts by count, for counts spread over 0..last and dense around the best."""
    totals: dict[int, float] = {}
    left, right = 0, last
    while True:
        points = np.unique(np.linspace(left, right, _POINTS).round().astype(int)).tolist()
        totals |= {count: total_w(count) for count in points if count not in totals}
        if right - left < _POINTS:
            return totals
        best = min(range(len(points)), key=lambda i: totals[points[i]])
        left, right = points[max(best - 1, 0)], points[min(best + 1, len(points) - 1)]


Edits = tuple[tuple[int, int, bool], ...]


def exchange(problem: Problem, found: Placement, looks: int) -> Placement:
    """Return a placement that no single change improves, or the best when `looks` are spent: ours.

    A change drops a group, moves one to another access point, or adds one. Each that helps is
    kept, and all are tried again until none helps.

    Args:
        problem: to solve.
        found: where to start.
        looks: supports that may be looked at, each a cone programme.
    """
    supports = Supports(problem)
    best, total = found.support, found.total_w
    changed = True
    while changed and looks > 0:
        changed = False
        for edits in _changes(problem, best):
            candidate = _edited(best, edits)
            if candidate is None:
                continue
            if looks == 0:
                break
            looks -= 1
            try:
                watts = supports.total_w(candidate)
            except SolverError:
                # What is not known to be better is not taken.
                continue
            if watts < total * (1 - _GAIN):
                best, total, changed = candidate, watts, True
    beams = found.beams if best is found.support else supports.beams(best)
    assert beams is not None
    return placement(problem, best, beams, scan=found.scan, history=found.history)


def _changes(problem: Problem, support: Array) -> list[Edits]:
    """Return the changes of a support: drops, then moves, then additions.

    Of each kind the most promising come first: what costs much for its channel goes, and what
    costs little comes.
    """
    network = problem.network
    worth = network.strength * network.efficiency[:, None] / problem.compute_w
    placed, free = np.argwhere(support).tolist(), np.argwhere(~support).tolist()
    drops = sorted(placed, key=lambda nk: worth[*nk])
    moves = sorted(
        ((n, k, m) for n, k in placed for m, of in free if of == k),
        key=lambda move: worth[move[0], move[1]] / worth[move[2], move[1]],
    )
    adds = sorted(free, key=lambda nk: -worth[*nk])
    return [
        *(((n, k, False),) for n, k in drops),
        *(((n, k, False), (m, k, True)) for n, k, m in moves),
        *(((n, k, True),) for n, k in adds),
    ]


def _edited(support: Array, edits: Edits) -> Array | None:
    """Return the support after a change; None where it no longer applies or leaves a user out."""
    candidate = support.copy()
    for n, k, place in edits:
        if candidate[n, k] == place:
            return None
        candidate[n, k] = place
    return candidate if candidate.any(axis=0).all() else None
