"""The convex programmes that every method is made of, solved again and again with new numbers.

With a support fixed, or its choice relaxed, the beamformers come out of a second-order cone
programme (Yang et al., Sparse Optimization for Green Edge AI Inference, 2020; the cone form of an
SINR constraint is that of Wiesel, Eldar and Shamai, IEEE Trans. Signal Processing 54(1), 2006):

    ||[h_k^H v_1, ..., h_k^H v_K, sigma_k]|| <= sqrt(1 + 1/gamma_k) Re(h_k^H v_k)   for each user
    ||[v_n1, ..., v_nK]|| <= sqrt(P_n)                                        for each access point

cvxpy turns each kind of programme into the solver's form once; targets, supports and weights are
parameters. Three things make the solver quick and steady: what users receive is a variable of its
own, which keeps the matrices sparse (15 times quicker at N = K = 20); each user's beamformers are
measured in units of its own channel; and a support is set through the channels, not by bounds on
beamformers, which would leave no interior: where the channel is zero, sending only costs.
"""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gossamer.edge.network import Network, named
from gossamer.errors import InfeasibleError, ScenarioError, SolverError
from gossamer.extras import needed_for

Array = NDArray[Any]

# What a solution may miss a target or a limit by, as a fraction of it.
TOLERANCE = 1e-4
# A gap that double precision can reach, and steps that end short of the cones' boundary.
_GAP = {"tol_feas": 1e-7, "tol_gap_abs": 1e-7, "tol_gap_rel": 1e-7}
# In turn, until one decides. Where channels, noise and limits lay many orders of magnitude apart,
# the first failed at 2 programmes in 100, by rounding; with other scalings all but 4 in 10,000 were
# decided before SCS.
_ATTEMPTS: tuple[tuple[str, dict[str, Any]], ...] = (
    ("CLARABEL", {"max_step_fraction": 0.95, "equilibrate_enable": True, **_GAP}),
    ("CLARABEL", {"max_step_fraction": 0.8, "equilibrate_enable": False, **_GAP}),
    ("CLARABEL", {"max_step_fraction": 0.99, "static_regularization_constant": 1e-9, **_GAP}),
    ("SCS", {"eps_abs": 1e-7, "eps_rel": 1e-7, "max_iters": 50_000}),
)
# A user falls short when its constraint is missed by so much, in units of its noise's amplitude.
_SHORT = 1e-3
_DECIBEL_STEP = 0.05


@dataclass(frozen=True)
class _Compiled:
    """A programme in cvxpy's hands: its parameters by name, and the variables that are read."""

    problem: Any
    parameters: Mapping[str, Any]
    scaled: Any
    slack: Any


class Programme:
    """The cone programmes of one network, each canonicalised when it is first solved.

    Args:
        network: whose channels are constants of the programmes.

    Attributes:
        network: the same.
        solves: how many programmes were solved so far.

    Raises:
        OptionError: if cvxpy is not installed.
    """

    def __init__(self, network: Network) -> None:
        with needed_for("edge inference"):
            import cvxpy  # noqa: F401
        self.network = network
        self.solves = 0
        self._compiled: dict[str, _Compiled] = {}
        channels = network.channels / np.sqrt(network.noise_w)[None, :, None]
        self._rows = [_real_rows(channels[n]) for n in range(network.access_points)]
        # Beamformers of user k in units of 1 / ||h_k||, by the noise's amplitude.
        units = 1 / np.linalg.norm(channels, axis=(0, 2))
        self._units = np.tile(units, network.access_points)[:, None]

    def solve(
        self,
        target: Array,
        support: Array | None = None,
        *,
        square: Array,
        length: Array | None = None,
        pull: Array | None = None,
    ) -> Array | None:
        """Minimise sum square_nk ||v_nk||^2 + sum length_nk ||v_nk|| + Re <pull, v>.

        Args:
            target: `[K]`, SINR as a ratio.
            support: boolean `[N, K]`, True where an access point runs a task; None for all. Each
                group off it must have a price, or its beamformer is not determined.
            square: `[N, K]`, zero or more.
            length: `[N, K]`, zero or more; None for none, which is quicker.
            pull: complex `[N, K, L]`, with `length` only; None for zero.

        Returns:
            The beamformers, complex `[N, K, L]`, or None if there surely are none.

        Raises:
            SolverError: if no solver could decide.
        """
        # The objective in units that bring it near 1, as solvers' tolerances assume.
        units = float((self._units[: self.network.users] ** 2).sum())
        if length is None:
            scale = float(square.min()) * units
            values = {"square": _column(np.sqrt(square / scale))}
            compiled = self._set("squares", target, support, values)
        else:
            scale = float(length.mean()) * units**0.5
            pulls = np.zeros(self.network.channels.shape) if pull is None else pull
            values = {
                "square": _column(np.sqrt(square / scale)),
                "length": length.ravel() / scale,
                "pull": _real(pulls) / scale,
            }
            compiled = self._set("lengths", target, support, values)
        for solver, options in _ATTEMPTS:
            status = self._run(compiled.problem, solver, options)
            if status == "infeasible":
                return None
            if status.startswith("optimal"):
                beams = self._beams(compiled.scaled.value, support)
                if self._holds(beams, target):
                    return beams
        raise SolverError(
            "neither Clarabel nor SCS could decide a cone programme; check that channels, noise "
            "and power limits are of a sensible order of magnitude"
        )

    def shortfall(self, target: Array) -> Array:
        """Return `[K]`, by how much each user's constraint is missed where the sum is least.

        Raises:
            SolverError: if no solver could tell.
        """
        compiled = self._set("slack", target, None, {})
        for solver, options in _ATTEMPTS:
            if self._run(compiled.problem, solver, options).startswith("optimal"):
                short: Array = compiled.slack.value
                return short
        raise SolverError("no solver could tell which users fall short; lower the SINR targets")

    def _set(
        self, kind: str, target: Array, support: Array | None, values: Mapping[str, Array]
    ) -> _Compiled:
        if kind not in self._compiled:
            self._compiled[kind] = self._compile(kind)
        compiled = self._compiled[kind]
        everywhere = np.ones(self.network.channels.shape[:2])
        compiled.parameters["support"].value = _column(everywhere if support is None else support)
        compiled.parameters["cone"].value = np.sqrt(1 + 1 / target)
        for name, value in values.items():
            compiled.parameters[name].value = value
        return compiled

    def _run(self, problem: Any, solver: str, options: Mapping[str, Any]) -> str:
        """Return the status that a solver ends with."""
        import cvxpy

        self.solves += 1
        with warnings.catch_warnings():
            # That a solution may be inaccurate is looked at by `_holds`.
            warnings.simplefilter("ignore")
            try:
                # A solver that is kept would keep the scaling of the numbers that it first saw.
                problem.solve(solver=solver, warm_start=False, **options)
            except cvxpy.error.SolverError:
                return "failed"
        return str(problem.status)

    def _beams(self, scaled: Array, support: Array | None) -> Array:
        n, k, antennas = self.network.channels.shape
        parts = (scaled * self._units).reshape(n, k, 2, antennas)
        beams: Array = parts[:, :, 0] + 1j * parts[:, :, 1]
        return beams if support is None else beams * support[:, :, None]

    def _holds(self, beams: Array, target: Array) -> bool:
        network = self.network
        met = network.sinr(beams) >= target * (1 - TOLERANCE)
        within = network.sent_w(beams) <= network.power_limit_w * (1 + TOLERANCE)
        return bool(met.all() and within.all())

    def _compile(self, kind: str) -> _Compiled:
        import cvxpy as cp

        network = self.network
        n, k, antennas = network.channels.shape
        # Row nk holds v_nk: the real parts, then the imaginary ones.
        scaled = cp.Variable((n * k, 2 * antennas))
        beams = cp.multiply(np.repeat(self._units, 2 * antennas, axis=1), scaled)
        support = cp.Parameter((n * k, 1), nonneg=True)
        heard = cp.multiply(support @ np.ones((1, 2 * antennas)), beams)
        # received[k, j] and received[K + k, j]: real and imaginary part of h_k^H v_j.
        received = cp.Variable((2 * k, k))
        sums = [self._rows[i] @ heard[i * k : (i + 1) * k].T for i in range(n)]
        cone = cp.Parameter(k, nonneg=True)
        slack = cp.Variable(k, nonneg=True) if kind == "slack" else np.zeros(k)
        parameters = {"support": support, "cone": cone}
        constraints = [
            received == sum(sums[1:], sums[0]),
            cp.SOC(
                cp.multiply(cone, cp.sum(cp.multiply(np.eye(k), received[:k]), axis=1)) + slack,
                cp.vstack([received[:k].T, received[k:].T, np.ones((1, k))]),
            ),
            cp.SOC(
                np.sqrt(network.power_limit_w),
                cp.reshape(beams, (n, k * 2 * antennas), order="C"),
                axis=1,
            ),
        ]
        if kind == "slack":
            objective = cp.sum(slack)
        else:
            square = parameters["square"] = cp.Parameter((n * k, 1), nonneg=True)
            objective = cp.sum_squares(cp.multiply(square @ np.ones((1, 2 * antennas)), beams))
        if kind == "lengths":
            lengths = cp.Variable(n * k)
            constraints.append(cp.SOC(lengths, beams, axis=1))
            length = parameters["length"] = cp.Parameter(n * k, nonneg=True)
            pull = parameters["pull"] = cp.Parameter((n * k, 2 * antennas))
            objective = objective + length @ lengths + cp.sum(cp.multiply(pull, beams))
        return _Compiled(cp.Problem(cp.Minimize(objective), constraints), parameters, scaled, slack)


@dataclass(frozen=True, eq=False)
class Problem:
    """Which access points are to run which user's task, for least power.

    Attributes:
        programme: of the network.
        target: `[K]`, the SINR that each user is to have, as a ratio.
        compute_w: `[N, K]`, watts that running a user's task at an access point takes.

    Raises:
        ScenarioError: if sizes do not match, or a number is not above zero.
    """

    programme: Programme
    target: Array
    compute_w: Array

    def __post_init__(self) -> None:
        n, k = self.network.access_points, self.network.users
        for name, values, shape in (
            ("target", self.target, (k,)),
            ("compute_w", self.compute_w, (n, k)),
        ):
            if values.shape != shape:
                raise ScenarioError(f"{name} has shape {values.shape}; give {list(shape)}")
            if not (np.isfinite(values) & (values > 0)).all():
                raise ScenarioError(
                    f"{name} holds {values.min():g}; give finite numbers above zero"
                )

    @property
    def network(self) -> Network:
        """Access points, users, channels."""
        return self.programme.network

    @property
    def everywhere(self) -> Array:
        """Boolean `[N, K]`: each task at each access point."""
        return np.ones(self.compute_w.shape, bool)

    @property
    def draw(self) -> Array:
        """`[N, K]`, watts drawn for each watt that an access point sends, 1 / eta_n."""
        return np.tile(1 / self.network.efficiency[:, None], self.network.users)

    def least_power(self, support: Array) -> Array | None:
        """Return the beamformers on a support that draw least power; None if there are none.

        Args:
            support: boolean `[N, K]`.

        Raises:
            SolverError: if no solver could decide.
        """
        if not support.any(axis=0).all():
            return None
        return self.programme.solve(self.target, support, square=self.draw)

    def total_w(self, support: Array, beams: Array) -> float:
        """Return the watts of a placement: those that sending draws and those of computing."""
        return self.network.transmit_w(beams) + float(self.compute_w[support].sum())

    def infeasible(self) -> InfeasibleError:
        """Return what is to be said where even all tasks everywhere do not meet the targets."""
        short = np.flatnonzero(self.programme.shortfall(self.target) > _SHORT)
        common = largest_common_sinr(self.programme)
        who = f"{named('user', short)} fall{'s' if short.size == 1 else ''}" if short.size else ""
        return InfeasibleError(
            "the SINR targets cannot be met even with every task at every access point"
            f"{f': {who} short' if who else ''}; all users alike can have at most "
            f"{10 * np.log10(common):.1f} dB: lower sinr_target_db, raise power_limit_w, or add "
            "access points",
            users=[int(user) for user in short],
            largest_common_sinr_db=float(10 * np.log10(common)),
        )


def largest_common_sinr(programme: Programme) -> float:
    """Return the largest SINR, as a ratio, that all users can have at once, by bisection.

    The result is feasible, and 0.05 dB more is not.

    Raises:
        SolverError: if no solver could decide on a step of the bisection.
    """
    network = programme.network
    amplitude = np.sqrt(network.power_limit_w) @ np.sqrt(network.strength)
    # Nobody has more than with all power of all access points, in phase, and no interference.
    high = float(10 * np.log10((amplitude**2 / network.noise_w).min()))
    square = np.ones(network.strength.shape)

    def feasible(decibels: float) -> bool:
        target = np.full(network.users, 10 ** (decibels / 10))
        return programme.solve(target, square=square) is not None

    low = high - 20
    while not feasible(low):
        low, high = low - 20, low
    while high - low > _DECIBEL_STEP:
        middle = (low + high) / 2
        low, high = (middle, high) if feasible(middle) else (low, middle)
    return float(10 ** (low / 10))


def _column(values: Array) -> Array:
    column: Array = values.reshape(-1, 1).astype(float)
    return column


def _real(beams: Array) -> Array:
    """Return `[N K, 2 L]` of complex `[N, K, L]`: real parts, then imaginary ones."""
    parts: Array = np.concatenate([beams.real, beams.imag], axis=2)
    return parts.reshape(-1, parts.shape[2])


def _real_rows(channels: Array) -> Array:
    """Return `[2 K, 2 L]`: what gives real and imaginary parts of h_k^H v from those of v."""
    upper = np.concatenate([channels.real, channels.imag], axis=1)
    lower = np.concatenate([-channels.imag, channels.real], axis=1)
    return np.concatenate([upper, lower])
