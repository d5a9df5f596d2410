"""A scenario over many draws of chance: every method, every target, dense and sparse model."""

from __future__ import annotations

import multiprocessing
from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import asdict, dataclass
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gossamer.edge.baselines import EXHAUSTIVE_GROUPS, METHODS, place
from gossamer.edge.channels import draw
from gossamer.edge.joules import Joules
from gossamer.edge.problem import Problem, Programme
from gossamer.edge.result import Placement
from gossamer.edge.scenario import Scenario
from gossamer.energy.statistics import Interval, median_interval
from gossamer.errors import InfeasibleError, OptionError, ScenarioError, SolverError
from gossamer.progress import ProgressLike, showing
from gossamer.quantities import percent
from gossamer.summary import Summary

Array = NDArray[Any]

# The method whose placement is the answer.
BEST = "refined"
# The model whose joules the scenario itself tells.
GIVEN = "as given"
_RESAMPLES = 2000


@dataclass(frozen=True)
class Excess:
    """Watts above those of the best method, as a fraction of them.

    A mean, since most draws leave no difference and a median would tell of none; with the ends of
    its 95 % percentile bootstrap interval over the draws.
    """

    mean: float
    low: float
    high: float


@dataclass(frozen=True, eq=False)
class Found:
    """What one draw of chance came to.

    Attributes:
        number: of the realisation.
        access_points_m, users_m: where they stand, `[N, 2]` and `[K, 2]`.
        placements: by target, model and method; None where the method met no targets.
        infeasible: by target, what to say where nothing meets it.
    """

    number: int
    access_points_m: Array
    users_m: Array
    placements: Mapping[tuple[int, str, str], Placement | None]
    infeasible: Mapping[int, InfeasibleError]


@dataclass(frozen=True, eq=False, repr=False)
class Study(Summary):
    """What a scenario came to over its realisations.

    Attributes:
        scenario: that was studied.
        targets_db: of each point, the SINR target of each user; the users' own targets first.
        joules: of an inference by model, where measured.
        methods: their names.
        found: of each realisation that could be decided.
        undecided: realisations that a solver's failure left out.
    """

    scenario: Scenario
    targets_db: tuple[tuple[float, ...], ...]
    models: tuple[str, ...]
    joules: Mapping[str, Joules]
    methods: tuple[str, ...]
    found: tuple[Found, ...]
    undecided: int

    def feasible(self, target: int) -> list[Found]:
        """Return the realisations in which a target can be met at all."""
        return [one for one in self.found if target not in one.infeasible]

    def watts(self, target: int, model: str, method: str, part: str = "total_w") -> list[float]:
        """Return the watts of a method in each realisation where it met the target."""
        placements = [one.placements[target, model, method] for one in self.feasible(target)]
        return [getattr(one, part) for one in placements if one is not None]

    def interval(self, target: int, model: str, method: str) -> Interval | None:
        """Return the median of a method's total watts over the realisations, with its interval.

        None where the method meets the target in fewer of them than others do: a median over the
        easier half would flatter it.
        """
        watts = self.watts(target, model, method)
        if not watts or len(watts) < len(self.feasible(target)):
            return None
        return median_interval(watts)

    def excess(self, target: int, model: str, method: str) -> Excess | None:
        """Return how much more than the best method a method takes, on average, draw by draw.

        None where it meets the target in fewer realisations than that.
        """
        watts = np.array(self.watts(target, model, method))
        best = np.array(self.watts(target, model, BEST))
        if not watts.size or watts.size < best.size:
            return None
        ratios = watts / best - 1
        chosen = np.random.default_rng(0).integers(0, ratios.size, (_RESAMPLES, ratios.size))
        low, high = np.percentile(ratios[chosen].mean(axis=1), [2.5, 97.5])
        return Excess(float(ratios.mean()), float(low), float(high))

    def saving(self, target: int) -> Mapping[str, Interval] | None:
        """Return the watts and the fraction that the sparse model saves, draw by draw.

        None without two models, or where the target is never met.
        """
        if len(self.models) < 2 or not self.feasible(target):
            return None
        dense, sparse = (np.array(self.watts(target, model, BEST)) for model in self.models)
        return {
            "watts": median_interval(dense - sparse),
            "fraction": median_interval(1 - sparse / dense),
        }

    def summary(self) -> dict[str, str]:
        """Return what it comes to, in words."""
        told = {"realisations": str(len(self.found))}
        for model in self.models:
            watts = self.interval(0, model, BEST)
            if watts is not None:
                told[model] = f"{watts.median:.4g} W ({watts.low:.4g} to {watts.high:.4g})"
        saving = self.saving(0)
        if saving is not None:
            fraction = saving["fraction"]
            told["saved"] = (
                f"{percent(fraction.median)} ({percent(fraction.low)} to {percent(fraction.high)})"
            )
        return told

    def to_dict(self) -> dict[str, Any]:
        """Return everything as JSON-ready values."""
        return {
            "scenario": asdict(self.scenario),
            "models": list(self.models),
            "joules": {model: asdict(joules) for model, joules in self.joules.items()},
            "methods": list(self.methods),
            "realisations": len(self.found),
            "undecided": self.undecided,
            "points": [self._point(target) for target in range(len(self.targets_db))],
            "example": self._example(),
        }

    def _point(self, target: int) -> dict[str, Any]:
        saving = self.saving(target)
        short = [one.infeasible[target] for one in self.found if target in one.infeasible]
        return {
            "sinr_target_db": list(self.targets_db[target]),
            "feasible": len(self.feasible(target)),
            "largest_common_sinr_db": [error.largest_common_sinr_db for error in short],
            "saving": saving and {name: asdict(one) for name, one in saving.items()},
            "rows": [
                self._row(target, model, method) for model in self.models for method in self.methods
            ],
        }

    def _row(self, target: int, model: str, method: str) -> dict[str, Any]:
        interval = self.interval(target, model, method)
        excess = self.excess(target, model, method)
        medians = {
            part: None if interval is None else _median(self.watts(target, model, method, part))
            for part in ("transmit_w", "compute_w", "placed")
        }
        return {
            "model": model,
            "method": method,
            "met": len(self.watts(target, model, method)),
            "total_w": None if interval is None else asdict(interval),
            "excess": None if excess is None else asdict(excess),
            **medians,
        }

    def _example(self) -> dict[str, Any] | None:
        """Return the first realisation in which the users' own targets are met, for pictures."""
        feasible = self.feasible(0)
        if not feasible:
            return None
        one = feasible[0]
        placements = {
            model: {
                method: placement and placement.to_dict()
                for method in self.methods
                for placement in [one.placements[0, model, method]]
            }
            for model in self.models
        }
        return {
            "realisation": one.number,
            "access_points_m": one.access_points_m.tolist(),
            "users_m": one.users_m.tolist(),
            "placements": placements,
        }


def study(
    scenario: Scenario,
    *,
    joules: Mapping[str, Joules] | None = None,
    methods: Sequence[str] | None = None,
    processes: int = 1,
    progress: ProgressLike = None,
) -> Study:
    """Place the tasks of every realisation by every method, at every target, for every model.

    Args:
        scenario: to study.
        joules: of an inference, by model, the dense one first; by default the scenario's own.
        methods: names in `METHODS`; by default all, exhaustive search up to 12 groups only.
        processes: to spread the realisations over. With more than one, a script's own code must
            stand under `if __name__ == "__main__":`.
        progress: True to show how far it is on stderr, or a function that is told the fraction of
            realisations done, 0 to 1; see `gossamer.progress.showing`.

    Raises:
        InfeasibleError: if not one target is met in any realisation.
        OptionError: if a method is unknown or too slow for the size.
        ScenarioError: if neither scenario nor `joules` say what an inference takes, or a user's
            channel is zero.
        SolverError: if no realisation could be decided.
    """
    if joules is None and scenario.tasks.joules_per_inference is None:
        raise ScenarioError(
            "tasks lacks joules_per_inference; add it, or give a comparison with --compare"
        )
    chosen = _methods(scenario, methods)
    targets = _targets(scenario)
    per_inference: dict[str, tuple[float, ...]] = (
        {GIVEN: scenario.tasks.joules_per_inference or ()}
        if joules is None
        else {model: (one.median,) * scenario.users.count for model, one in joules.items()}
    )
    work = partial(_realise, scenario, targets, per_inference, chosen)
    found: list[Found] = []
    undecided = 0
    with showing(progress) as shown:
        shown.start("placing the tasks of each realisation", scenario.realisations)
        for one in _each(work, scenario.realisations, processes):
            if one is None:
                undecided += 1
            else:
                found.append(one)
            shown.advance()
    if not found:
        raise SolverError(
            "no realisation could be decided; check that powers and path loss are of a sensible "
            "order of magnitude"
        )
    if all(len(one.infeasible) == len(targets) for one in found):
        raise found[0].infeasible[0]
    return Study(
        scenario=scenario,
        targets_db=targets,
        models=tuple(per_inference),
        joules=joules or {},
        methods=chosen,
        found=tuple(found),
        undecided=undecided,
    )


def compute_w(scenario: Scenario, joules_per_inference: Sequence[float]) -> Array:
    """Return `[N, K]`, the watts of running each user's task at each access point.

    Pc_nk = joules per inference x inferences a second, times the access point's relative joules,
    and the idle share.
    """
    tasks = scenario.tasks
    busy = np.array(joules_per_inference) * np.array(tasks.inferences_per_second)
    relative = np.array(scenario.access_points.relative_joules)
    watts: Array = np.outer(relative, busy) + np.array(tasks.idle_w)
    return watts


def _realise(
    scenario: Scenario,
    targets_db: Sequence[Sequence[float]],
    joules: Mapping[str, Sequence[float]],
    methods: Sequence[str],
    number: int,
) -> Found | None:
    """Return what one realisation comes to, or None if a solver failed."""
    drawn = draw(scenario, number)
    programme = Programme(drawn.network)
    placements: dict[tuple[int, str, str], Placement | None] = {}
    infeasible: dict[int, InfeasibleError] = {}
    try:
        for index, decibels in enumerate(targets_db):
            target = 10 ** (np.array(decibels) / 10)
            try:
                for model, per_inference in joules.items():
                    problem = Problem(programme, target, compute_w(scenario, per_inference))
                    for method in methods:
                        placements[index, model, method] = place(problem, method)
            except InfeasibleError as error:
                infeasible[index] = error
    except SolverError:
        return None
    return Found(number, drawn.access_points_m, drawn.users_m, placements, infeasible)


def _each(
    work: Callable[[int], Found | None], count: int, processes: int
) -> Iterable[Found | None]:
    """Return what `work` makes of 0, 1, ..., in order, whoever does it."""
    if processes == 1:
        yield from map(work, range(count))
        return
    # A fork would copy the threads of the progress bar in whatever state they are.
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(min(processes, count), mp_context=context) as pool:
        yield from pool.map(work, range(count))


def _methods(scenario: Scenario, methods: Sequence[str] | None) -> tuple[str, ...]:
    groups = scenario.access_points.count * scenario.users.count
    if methods is None:
        return tuple(
            name for name in METHODS if name != "exhaustive" or groups <= EXHAUSTIVE_GROUPS
        )
    unknown = [name for name in methods if name not in METHODS]
    if unknown:
        raise OptionError(f"there is no method {unknown[0]!r}; choose from {', '.join(METHODS)}")
    # What is asked of a study is answered by this one.
    return tuple(dict.fromkeys([BEST, *methods]))


def _targets(scenario: Scenario) -> tuple[tuple[float, ...], ...]:
    """Return the targets of each point: the users' own, and those of the sweep."""
    own = scenario.users.sinr_target_db
    sweep = [(target,) * scenario.users.count for target in scenario.sweep_sinr_target_db]
    return tuple(dict.fromkeys([own, *sweep]))


def _median(values: Sequence[float]) -> float:
    return float(np.median(values))
