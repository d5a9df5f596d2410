"""The accuracy-guarded search: the cheapest model whose drop stays within bounds."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any

from gossamer.energy.environment import processor
from gossamer.models.adapter import ModelAdapter
from gossamer.pruning.allocations import ALLOCATIONS, Plan
from gossamer.pruning.costs import Objective, checked_objective, figures, total
from gossamer.pruning.evaluation import TOLERANCE, Evaluate, Evaluation, compare, score
from gossamer.pruning.folder import Folder, short_digest
from gossamer.pruning.job import Job
from gossamer.pruning.result import LayerResult, Scores, Trial
from gossamer.pruning.search import STEPS, highest_accepted
from gossamer.sparsity.allocation import Choice
from gossamer.sparsity.patterns import get_pattern
from gossamer.version import __version__


@dataclass(frozen=True)
class Accepted:
    """The cheapest model that was accepted.

    Attributes:
        model: itself.
        layers: what became of each.
        plan: by which it was pruned.
        trial: that tried it.
        scores: of the dense model and of this one.
    """

    model: ModelAdapter
    layers: tuple[LayerResult, ...]
    plan: Plan
    trial: Trial
    scores: Scores


@dataclass(frozen=True)
class _Tried:
    """A trial, and what was made for it; an earlier process's model is not at hand."""

    trial: Trial
    plan: Plan
    made: tuple[ModelAdapter, tuple[LayerResult, ...]] | None


class GuardedSearch:
    """Tries models from dear to cheap by bisection, each pruned anew from the dense one.

    With allocation `cost` the search is over the budget, in hundredths of what can be saved at
    most; with any other over the overall sparsity, in hundredths.

    Args:
        job: the dense model and what follows from it.
        allocation: by name.
        objective: what is to be saved; with any allocation but `cost`, sparsity.
        evaluate: scores a model.
        dense: the dense model's evaluation.
        noise: by how much two evaluations of the dense model differ.
        max_drop: the bound.
        folder: where trials are logged and found again.

    Attributes:
        trials: so far, those of an earlier process included where they are part of this search.
        notes: what the user should know, each one sentence.
    """

    def __init__(
        self,
        job: Job,
        allocation: str,
        objective: Objective,
        evaluate: Evaluate,
        dense: Evaluation,
        noise: float,
        max_drop: float,
        folder: Folder | None,
    ) -> None:
        self.trials: list[Trial] = []
        self.notes: list[str] = []
        self._job = job
        self._allocation = allocation
        self._objective = objective
        self._evaluate = evaluate
        self._dense = dense
        self._noise = noise
        self._max_drop = max_drop
        self._folder = folder
        self._best: _Tried | None = None
        self._by_plan: dict[str, Trial] = {}
        self._repeated = 0
        self._plan = self._planner()
        self._logged = self._read_log()

    def run(self) -> Accepted | None:
        """Return the cheapest accepted model; None if not even the least step is accepted."""
        best = highest_accepted(self._attempt)
        self._tell_limits(best)
        if best is None:
            return None
        model, layers = best.made or self._job.prune(best.plan, "making the accepted model again")
        trial = best.trial
        scores = Scores(trial.score + trial.drop, trial.score, trial.interval)
        return Accepted(model, layers, best.plan, trial, scores)

    def _told(self, trial: Trial) -> str:
        """A trial in one line."""
        within = f" to {trial.interval[1]:.4g}" if trial.interval else ""
        return (
            f"trial {len(self.trials)}: {100 * trial.sparsity:.1f} % sparse, {100 * trial.cost:.1f}"
            f" % of the {self._objective} remains; score {trial.score:.4g}, drop {trial.drop:.4g}"
            f"{within} ({'within' if trial.accepted else 'more than'} {self._max_drop:g})"
        )

    def _tell_limits(self, best: _Tried | None) -> None:
        """Note where levels, and not accuracy, ended the search."""
        highest = max(level.sparsity for level in self._job.levels)
        if best is not None and self._allocation == "cost":
            given = [best.plan.get(name) for name in self._job.names]
            if all(one is not None and one.sparsity >= highest for one in given):
                self.notes.append(
                    f"Every layer is at the highest level, {highest:g}, and the score still within "
                    "the bound: levels= with a higher one may save more."
                )
        if self._repeated:
            self.notes.append(
                f"{self._repeated} of {len(self.trials)} trials came to a model that had been "
                "tried already, and were not made again: levels= with more levels allows finer "
                "steps."
            )

    def _planner(self) -> Callable[[int], tuple[float, Plan]]:
        """Return the function from a step to what is asked for, and its plan."""
        if self._allocation != "cost":
            allocate = ALLOCATIONS[self._allocation]
            return lambda step: (step / STEPS, allocate(self._job, step / STEPS))
        least = self._job.least_budget(self._objective)

        def by_budget(step: int) -> tuple[float, Plan]:
            budget = 1 - step / STEPS * (1 - least)
            return budget, self._job.mix(self._objective, budget)

        return by_budget

    def _attempt(self, share: float) -> _Tried | None:
        step = round(share * STEPS)
        tried = self._logged.get(step)
        if tried is None:
            tried = self._try(step)
            self._log(step, tried)
        bound = tried.trial.drop if tried.trial.interval is None else tried.trial.interval[1]
        trial = replace(tried.trial, accepted=bound <= self._max_drop + TOLERANCE)
        self.trials.append(trial)
        self._job.progress.tell(self._told(trial))
        if not trial.accepted:
            return None
        self._best = replace(tried, trial=trial)
        return self._best

    def _try(self, step: int) -> _Tried:
        started = time.perf_counter()
        asked, plan = self._plan(step)
        key = json.dumps(plan_to_json(plan))
        before = self._by_plan.get(key)
        if before is not None:
            # Levels are steps: two budgets may lead to one mix.
            self._repeated += 1
            made = self._best.made if self._best and self._best.plan == plan else None
            return _Tried(replace(before, asked=asked), plan, made)
        with self._job.stage("trials"):
            word = "budget" if self._allocation == "cost" else "sparsity"
            model, layers = self._job.prune(
                plan, f"trial {len(self.trials) + 1}: {word} {asked:.2f}"
            )
            self._job.progress.start(f"trial {len(self.trials) + 1}: running evaluate")
            evaluation = score(self._evaluate, model, example=self._job.example)
        scores = compare(self._dense, evaluation)
        trial = Trial(
            asked=asked,
            sparsity=sum(layer.zeros for layer in layers) / sum(layer.weights for layer in layers),
            cost=self._job.cost_of(plan, self._objective),
            objective=self._objective,
            figures=self._figures(plan),
            score=scores.sparse,
            drop=scores.drop,
            interval=scores.interval,
            accepted=False,
            seconds=time.perf_counter() - started,
        )
        # Not its model: each takes as much memory as the dense one.
        self._by_plan[key] = trial
        return _Tried(trial, plan, (model, layers))

    def _log(self, step: int, tried: _Tried) -> None:
        if self._folder is not None:
            self._folder.add_trial(
                {
                    **self._identity(),
                    **self._evaluation(),
                    "step": step,
                    **tried.trial.to_dict(),
                    "plan": plan_to_json(tried.plan),
                    "coefficients": self._job.found_coefficients,
                }
            )

    def _figures(self, plan: Mapping[str, Choice]) -> dict[str, float]:
        kinds: dict[Objective, None] = {self._objective: None, "bytes": None, "sparsity": None}
        found: dict[str, float] = {}
        for kind in kinds:
            costs = self._job.costs(kind)
            found.update(figures(costs, total(costs, self._job.names, plan)))
        return found

    def _identity(self) -> dict[str, Any]:
        """Return what makes a logged trial one of this search."""
        return {
            "allocation": self._allocation,
            "objective": self._objective,
            "levels": [[level.pattern.name, level.sparsity] for level in self._job.levels],
            # What costs depend on.
            "threads": self._job.threads if self._objective == "latency" else None,
            "processor": processor(),
            "version": __version__,
        }

    def _evaluation(self) -> dict[str, Any]:
        """Return what is known of the evaluation that scores were made by."""
        name = getattr(self._evaluate, "__qualname__", type(self._evaluate).__qualname__)
        return {
            "evaluation": name,
            "dense_score": self._dense.mean,
            "dense_scores": digest_of_scores(self._dense),
        }

    def _read_log(self) -> dict[int, _Tried]:
        """Return the trials of earlier processes that belong to this search, by step."""
        if self._folder is None:
            return {}
        found: dict[int, _Tried] = {}
        coefficients: list[float] | None = None
        for line in self._folder.trials():
            if any(line.get(key) != value for key, value in self._identity().items()):
                continue
            try:
                tried = _from_log(line)
                step = int(line["step"])
                belongs = set(tried.plan) <= set(self._job.names) and self._agrees(line)
                coefficients = line["coefficients"] or coefficients
            except (AttributeError, LookupError, TypeError, ValueError):
                # Of an older version, or damaged: it is tried again.
                continue
            if belongs:
                found[step] = tried
        if coefficients:
            self._job.start_from(coefficients)
        if found and not self._is_scored_alike(found):
            self.notes.append(
                "The folder's trials were scored by another evaluation: they were made again."
            )
            return {}
        for tried in found.values():
            self._by_plan[json.dumps(plan_to_json(tried.plan))] = tried.trial
        return found

    def _agrees(self, line: Mapping[str, Any]) -> bool:
        """Whether a logged trial's evaluation scored the dense model as this one does."""
        known = self._evaluation()
        if line.get("evaluation") != known["evaluation"]:
            return False
        if self._noise:
            return bool(abs(line["dense_score"] - self._dense.mean) <= 2 * self._noise)
        return bool(line.get("dense_scores") == known["dense_scores"])

    def _is_scored_alike(self, found: dict[int, _Tried]) -> bool:
        """Whether the logged trial that lost most, made again, gets the score that it had.

        Two evaluations may have one name and score the dense model alike (all answers are right,
        of other questions): a model that lost something tells them apart.
        """
        step = max(found, key=lambda step: abs(found[step].trial.drop))
        logged = found[step]
        with self._job.stage("trials"):
            model, layers = self._job.prune(logged.plan, "checking the folder's trials")
            score_now = score(self._evaluate, model, example=self._job.example).mean
        found[step] = replace(logged, made=(model, layers))
        return abs(score_now - logged.trial.score) <= 2 * self._noise + TOLERANCE


def _from_log(line: Mapping[str, Any]) -> _Tried:
    """Return the trial that a line of the log tells of.

    Raises:
        AttributeError, LookupError, TypeError, ValueError: if it does not tell of one.
    """
    number = {name: float(line[name]) for name in _NUMBERS}
    interval = line["interval"]
    trial = Trial(
        **number,
        objective=checked_objective(line["objective"]),
        figures={str(name): float(value) for name, value in line["figures"].items()},
        interval=None if interval is None else (float(interval[0]), float(interval[1])),
        accepted=False,
    )
    return _Tried(trial, plan_from_json(line["plan"]), None)


_NUMBERS = ("asked", "sparsity", "cost", "score", "drop", "seconds")


def digest_of_scores(evaluation: Evaluation) -> str:
    """Return a digest of an evaluation's scores, one a sample where there are such."""
    return short_digest(evaluation.mean if evaluation.samples is None else list(evaluation.samples))


def plan_to_json(plan: Mapping[str, Choice]) -> dict[str, Any]:
    """Return a plan as JSON-ready values."""
    return {name: [choice.pattern.name, choice.sparsity] for name, choice in plan.items()}


def plan_from_json(document: Mapping[str, Any]) -> Plan:
    """Undo `plan_to_json`."""
    return {
        name: Choice(get_pattern(pattern), sparsity)
        for name, (pattern, sparsity) in document.items()
    }
