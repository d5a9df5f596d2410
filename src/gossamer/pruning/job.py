"""One dense model, and what is worked out of it on the way to a sparse one."""

from __future__ import annotations

import math
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import asdict
from functools import cached_property
from types import TracebackType
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gossamer.energy import Spender, Spending
from gossamer.errors import DataError, OptionError, OutputError
from gossamer.files import temporary_folder
from gossamer.models.adapter import Batch, Layer, ModelAdapter
from gossamer.models.calibration import samples_in
from gossamer.progress import Progress
from gossamer.pruning.coefficients import (
    Mix,
    Stitched,
    measured_coefficients,
    search,
)
from gossamer.pruning.costs import TIMED, Bytes, Costs, Objective, Weights, total
from gossamer.pruning.database import Database
from gossamer.pruning.folder import DATABASE, ENERGY_FILE, Folder
from gossamer.pruning.measured_costs import measure, one_sample
from gossamer.pruning.one_shot import count_zeros, prune
from gossamer.pruning.result import LayerResult, Spent
from gossamer.sparsity.allocation import Choice
from gossamer.sparsity.mixture import least_loss
from gossamer.sparsity.patterns import Pattern
from gossamer.sparsity.scores import SCORES
from gossamer.sparsity.solvers import Solver
from gossamer.sparsity.statistics import LayerStatistics

# One batch in so many is held back from the database, to judge mixes on.
_HELD_BACK = 4
# Samples that mixes are judged on at most: the more, the fewer mixes can be tried.
_JUDGED = 64


class Job:
    """A dense model, its calibration data, and what follows from them; each is made when needed.

    Args:
        dense: the dense model; it is left as it is.
        layers: that may be pruned.
        batches: calibration data; may be empty if the solver needs none.
        solver: how weights are removed.
        patterns: of the zeros; the first is that of allocations that know only one.
        levels: of the database.
        threads: of one inference, for measured costs.
        search_seconds: that one search for coefficients takes at most.
        folder: where what was worked out is kept; None for a temporary one.
        progress: told of everything.
    """

    def __init__(
        self,
        dense: ModelAdapter,
        layers: Sequence[Layer],
        batches: Sequence[Batch],
        solver: Solver,
        patterns: Sequence[Pattern],
        levels: Sequence[Choice],
        *,
        threads: int | None,
        search_seconds: float,
        folder: Folder | None,
        progress: Progress,
    ) -> None:
        self.dense = dense
        self.layers = list(layers)
        self.names = [layer.name for layer in layers]
        self.patterns = list(patterns)
        self.levels = list(levels)
        self.progress = progress
        self._batches = list(batches)
        self._solver = solver
        self.threads = threads
        self._search_seconds = search_seconds
        self._folder = folder
        self._spent: dict[str, Spent] = {}
        self._spender = Spender(gpu=_gpu_of(dense))
        self._spent_earlier = None if folder is None else Spending.read(folder.read(ENERGY_FILE))
        self._costs: dict[Objective, Costs] = {}
        self._coefficients: NDArray[np.float64] | None = None
        self._temporary = ExitStack()

    def __enter__(self) -> Job:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._temporary.close()
        self.energy_spent()

    @property
    def example(self) -> Batch | None:
        """One batch of the calibration data; None without."""
        return self._batches[0] if self._batches else None

    @contextmanager
    def stage(self, name: str) -> Iterator[None]:
        """Count the time of a block to a stage."""
        wall, cpu = time.perf_counter(), time.process_time()
        try:
            yield
        finally:
            before = self._spent.get(name, Spent(0.0, 0.0))
            self._spent[name] = Spent(
                before.seconds + time.perf_counter() - wall,
                before.cpu_seconds + time.process_time() - cpu,
            )
        # Noted now and then, so that little of it is lost where the process is killed.
        self.energy_spent()

    def energy_spent(self) -> Spending:
        """Return what all of it has taken so far, and note it in the folder."""
        spent = self._spender.spent()
        if self._spent_earlier is not None:
            spent = self._spent_earlier + spent
        if self._folder is not None:
            # Where it cannot be written, what was worked out is worth more than this note.
            with suppress(OutputError):
                self._folder.write(ENERGY_FILE, asdict(spent))
        return spent

    @property
    def spent(self) -> dict[str, Spent]:
        """Wall and CPU seconds so far, by stage."""
        return dict(self._spent)

    @property
    def calibrated(self) -> bool:
        """Whether there is calibration data."""
        return bool(self._batches)

    @property
    def notes(self) -> list[str]:
        """What the costs that were used have to say."""
        return [note for costs in self._costs.values() for note in costs.notes]

    @cached_property
    def weights(self) -> dict[str, int]:
        """Number of weights of each layer."""
        return {layer.name: layer.weights for layer in self.layers}

    @cached_property
    def untouched(self) -> tuple[LayerResult, ...]:
        """The layers as they are in the dense model."""
        return count_zeros(self.dense, self.layers)

    def prune(
        self, plan: Mapping[str, Choice], description: str
    ) -> tuple[ModelAdapter, tuple[LayerResult, ...]]:
        """Return a copy of the dense model, sparse by a plan, and its layers."""
        self.progress.start(description, len(plan))
        sparse = self.dense.copy()
        pruned = prune(
            sparse,
            self._batches,
            self.layers,
            plan,
            self._solver,
            self.progress,
            self.dense.copy() if self._batches else None,
        )
        return sparse, pruned

    @cached_property
    def scores(self) -> dict[str, NDArray[Any]]:
        """How much each weight matters, by layer.

        The score is Wanda's, size times the norm of the input in the dense model; without
        calibration data it is the size alone.
        """

        if not self._batches:
            sizes = SCORES["magnitude"].function
            return {name: sizes(self.dense.weight(name), None).cpu().numpy() for name in self.names}
        statistics = {
            layer.name: LayerStatistics(
                layer.name, layer.columns, groups=layer.groups, hessian=False
            )
            for layer in self.layers
        }
        self.dense.copy().capture(
            self._batches, self.names, lambda name, inputs: statistics[name].update(inputs)
        )
        for layer in self.layers:
            if not statistics[layer.name].count:
                # No batch reaches it, or its inputs are not seen: then its size decides.
                statistics[layer.name].update(layer.unit_inputs())
        wanda = SCORES["wanda"].function
        return {
            name: wanda(self.dense.weight(name), statistics[name]).cpu().numpy()
            for name in self.names
        }

    def costs(self, objective: Objective) -> Costs:
        """Return what layers cost, measuring it where need be.

        Raises:
            ModelError: if the model cannot be compiled.
            DataError: if there is no sample to time it on.
        """
        if objective not in self._costs:
            with self.stage("costs"):
                self._costs[objective] = self._make_costs(objective)
        return self._costs[objective]

    def _make_costs(self, objective: Objective) -> Costs:
        nonzeros = {layer.name: layer.weights - layer.zeros for layer in self.untouched}
        if objective == "sparsity":
            return Weights(self.layers, nonzeros)
        if objective == "bytes":
            others = self.dense.count_weights()[0] - sum(self.weights.values())
            return Bytes(self.layers, nonzeros, others)
        assert objective in TIMED
        self._need_batches(f"objective {objective!r}")
        return measure(
            self.dense,
            self.layers,
            self.levels,
            one_sample(self._batches, self.dense),
            objective,
            self.threads,
            self._folder,
            self.progress,
        )

    def dense_cost(self, objective: Objective) -> float:
        """Return what the dense model costs."""
        # Of a model that is nothing but zeros any fraction is nothing.
        return total(self.costs(objective), self.names, {}) or 1.0

    def least_budget(self, objective: Objective) -> float:
        """Return the fraction of the dense model's cost that remains with the cheapest levels."""
        costs = self.costs(objective)
        cheapest = costs.rest + sum(
            min(costs.layer(name, level) for level in (None, *self.levels)) for name in self.names
        )
        return cheapest / self.dense_cost(objective)

    def mix(self, objective: Objective, budget: float) -> dict[str, Choice]:
        """Return the plan that loses least within a budget, by the database and a search.

        Args:
            objective: what the budget is of.
            budget: fraction of the dense model's cost that may remain.

        Raises:
            OptionError: if even the cheapest levels exceed it; the message names what can be met.
        """
        losses = self._losses()
        options = self._options(objective)
        bound = budget * self.dense_cost(objective) - self.costs(objective).rest
        if self._solve(losses, options, bound, np.ones(len(self.names))) is None:
            raise self.unmet(objective, budget)

        def solve(coefficients: NDArray[np.float64]) -> Mix:
            mix = self._solve(losses, options, bound, coefficients)
            assert mix is not None
            return mix

        with self.stage("search"):
            later = self._coefficients is not None
            found = search(
                self._stitched,
                solve,
                [self.coefficients(budget), np.ones(len(self.names))],
                self.progress,
                later=later,
                seconds=self._search_seconds,
            )
            self._coefficients = found.coefficients
        return self._plan(found.mix)

    def cost_of(self, plan: Mapping[str, Choice], objective: Objective) -> float:
        """Return the fraction of the dense model's cost that remains under a plan."""
        return total(self.costs(objective), self.names, plan) / self.dense_cost(objective)

    def unmet(
        self, objective: Objective, budget: float, nearest: float | None = None
    ) -> OptionError:
        """Return the error for a budget that cannot be met, and for the nearest that can."""
        if nearest is None:
            nearest = self.least_budget(objective)
        nearest = math.ceil(1000 * nearest - 1e-9) / 1000
        return OptionError(
            f"a budget of {budget:g} of the dense model's {objective} cannot be met: with every "
            f"layer as sparse as can be {nearest:g} remains; give budget={nearest:g} or more"
        )

    def mix_to(self, sparsity: float, *, searched: bool) -> dict[str, Choice]:
        """Return the plan that loses least of those that leave so many weights.

        Args:
            sparsity: over all layers; reached as nearly as the levels allow.
            searched: search coefficients, and do not only measure them.
        """
        losses, options = self._losses(), self._options("sparsity")
        bound = (1 - sparsity) * sum(self.weights.values())
        ones = np.ones(len(self.names))
        if self._solve(losses, options, bound, ones) is None:
            # Sparser than any level: all at the sparsest, from where the caller goes on.
            sparsest = max(self.levels, key=lambda level: level.sparsity)
            return dict.fromkeys(self.names, sparsest)
        if searched:
            return self.mix("sparsity", bound / self.dense_cost("sparsity"))
        with self.stage("search"):
            mix = self._solve(losses, options, bound, self.coefficients(1 - sparsity))
        assert mix is not None
        return self._plan(mix)

    def coefficients(self, budget: float) -> NDArray[np.float64]:
        """Return the coefficients of the layers' losses: the last that were found, or measured."""
        if self._coefficients is None:
            # Single layers are tried about as sparse as they will be.
            reference = min(
                range(len(self.levels)), key=lambda at: abs(1 - self.levels[at].sparsity - budget)
            )
            return measured_coefficients(self._stitched, self._losses(), reference, self.progress)
        return self._coefficients

    def start_from(self, coefficients: Sequence[float]) -> None:
        """Go on from coefficients that an interrupted search had found."""
        if len(coefficients) == len(self.names):
            self._coefficients = np.array(coefficients, np.float64)

    @property
    def found_coefficients(self) -> list[float] | None:
        """The coefficients of the last search, ready for JSON."""
        return None if self._coefficients is None else self._coefficients.tolist()

    def _solve(
        self,
        losses: Sequence[NDArray[np.float64]],
        options: Sequence[NDArray[np.float64]],
        bound: float,
        coefficients: NDArray[np.float64],
    ) -> Mix | None:
        # A solver's loss may be a little less where more is removed: zero is dense's alone.
        weighed = [
            np.concatenate([[0.0], own * loss])
            for own, loss in zip(coefficients, losses, strict=True)
        ]
        chosen = least_loss(weighed, options, bound)
        return None if chosen is None else tuple(at - 1 if at else None for at in chosen)

    def _plan(self, mix: Mix) -> dict[str, Choice]:
        return {
            name: self.levels[level]
            for name, level in zip(self.names, mix, strict=True)
            if level is not None
        }

    def _options(self, objective: Objective) -> list[NDArray[np.float64]]:
        costs = self.costs(objective)
        return [
            np.array([costs.layer(name, level) for level in (None, *self.levels)])
            for name in self.names
        ]

    def _losses(self) -> list[NDArray[np.float64]]:
        return [self._database.losses(name) for name in self.names]

    @cached_property
    def _database(self) -> Database:
        self._need_batches("a database of solved layers")
        if self._folder is not None:
            path = self._folder.path / DATABASE
        else:
            path = self._temporary.enter_context(temporary_folder())
        with self.stage("database"):
            database = Database(
                self.dense, self.layers, self.levels, self._solver, self._solved_on, path
            )
            database.fill(self.progress)
        return database

    @cached_property
    def _stitched(self) -> Stitched:
        return Stitched(self.dense, self._database, self.names, self._judged_on)

    @cached_property
    def _parts(self) -> tuple[list[Batch], list[Batch]]:
        return hold_back(self._batches, fixed=_is_fixed(self.dense))

    @property
    def _solved_on(self) -> list[Batch]:
        return self._parts[0]

    @property
    def _judged_on(self) -> list[Batch]:
        return self._parts[1]

    def _need_batches(self, what: str) -> None:
        if not self._batches:
            raise DataError(f"{what} needs calibration data; give some")


def _gpu_of(adapter: ModelAdapter) -> int | None:
    """Return the index of the GPU that a module is on; None for others."""
    parameters = getattr(adapter.model, "parameters", None)
    first = next(parameters(), None) if callable(parameters) else None
    if first is None or first.device.type != "cuda":
        return None
    return int(first.device.index or 0)


def _is_fixed(adapter: ModelAdapter) -> bool:
    return any(wanted.shape and wanted.shape[0] for wanted in adapter.inputs())


def hold_back(batches: Sequence[Batch], *, fixed: bool) -> tuple[list[Batch], list[Batch]]:
    """Return calibration batches to solve layers on, and others to judge mixes on.

    One batch in four is held back; of a single batch, one sample in four. Where there is but one
    sample, or one batch of a model that is fixed to its size, both see the same.
    """
    if len(batches) > 1:
        at = range(min(_HELD_BACK, len(batches)) - 1, len(batches), _HELD_BACK)
        kept = [batch for index, batch in enumerate(batches) if index not in at]
        judged: list[Batch] = []
        samples = 0
        for index in at:
            if samples < _JUDGED:
                judged.append(batches[index])
                samples += samples_in(batches[index])
        return kept, judged
    count = samples_in(batches[0])
    if fixed or count < 2:
        return list(batches), list(batches)
    held = np.arange(count) % _HELD_BACK == min(_HELD_BACK, count) - 1
    parts = [{name: array[rows] for name, array in batches[0].items()} for rows in (~held, held)]
    return [parts[0]], [parts[1]]
