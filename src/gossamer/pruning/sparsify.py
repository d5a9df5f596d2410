"""The verb `sparsify`."""

from __future__ import annotations

import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from gossamer import arguments
from gossamer.errors import DataError, GossamerError, ModelError, OptionError
from gossamer.files import as_path
from gossamer.models.adapter import Batch, Layer, ModelAdapter
from gossamer.models.calibration import example_in, read_batches
from gossamer.models.eligibility import eligibility
from gossamer.models.opening import open_model
from gossamer.models.pretrained import source_of
from gossamer.models.selection import choose_layers
from gossamer.progress import ProgressLike, showing
from gossamer.pruning.allocations import Plan, get_allocation
from gossamer.pruning.coefficients import SECONDS
from gossamer.pruning.costs import TIMED, Objective, checked_objective
from gossamer.pruning.database import GRID, levels_of
from gossamer.pruning.evaluation import (
    Evaluate,
    Evaluation,
    check_evaluation,
    compare,
    doubts,
    score,
    twice,
)
from gossamer.pruning.folder import Folder, digest_of_batches
from gossamer.pruning.guarded import GuardedSearch
from gossamer.pruning.job import Job
from gossamer.pruning.one_shot import check_weights
from gossamer.pruning.result import LayerPlan, LayerResult, Scores, SparsifyResult, Trial
from gossamer.sparsity.allocation import Choice
from gossamer.sparsity.patterns import get_pattern
from gossamer.sparsity.registry import checked_sparsity
from gossamer.sparsity.solvers import Solver, get_solver

# With less to gain than this at most, it is not worth a search.
_LEAST_SAVING = 0.02
# Sparsities that a budget is turned into are told apart by this.
_RESOLUTION = 1000


def sparsify(
    model: Any,
    calibration: Any = None,
    *,
    sparsity: float | None = None,
    budget: float | None = None,
    objective: str = "energy",
    allocation: str | None = None,
    evaluate: Evaluate | None = None,
    max_drop: float | None = None,
    final_evaluate: Evaluate | None = None,
    solver: str = "admm",
    pattern: str | Sequence[str] = "unstructured",
    layers: str | Iterable[str] | None = None,
    threads: int | None = None,
    folder: str | Path | None = None,
    levels: Sequence[float] | None = None,
    search_seconds: float | None = None,
    progress: ProgressLike = False,
) -> SparsifyResult:
    """Remove weights from a trained model; the given one stays as it is.

    One of three says how many: `sparsity`; `budget`, the fraction of the dense model's cost that
    may remain; or `evaluate` with `max_drop`, the guarded search, which finds the cheapest model
    whose score stays within the drop. The search takes at most 7 trials, each of which prunes the
    dense model anew and evaluates it.

    Args:
        model: any form of a model, see `gossamer.models.open_model`; of a folder that holds a
            module and a graph, the module.
        calibration: some inputs like those that the model will see, a few hundred samples; see
            `gossamer.models.calibration.read_batches`. Solver "magnitude" does without, unless an
            allocation or a measured cost needs it.
        sparsity: fraction of the chosen layers' weights to remove, 0 to 1.
        budget: fraction of the dense model's cost that may remain at most, above 0 and up to 1.
        objective: what is to be saved by a budget or a search: "energy" (CPU seconds of one
            inference in Gossamer on this machine), "latency" (seconds, with `threads`), "bytes"
            (of the sparse file) or "sparsity" (weights of the chosen layers).
        allocation: how sparsity is shared out among the layers; see
            `gossamer.pruning.allocations`. By default "uniform" for a stated sparsity, else "cost"
            where the model can be compiled.
        evaluate: from the model, which is called as the one that was given (see
            `gossamer.models.evaluated`), to one number or one per sample, whose mean counts; higher
            is better. Without `max_drop` it is only reported.
        max_drop: how far the score may fall below the dense model's, in the score's own unit. With
            one score a sample, it is the upper end of the drop's 95 % interval that must not
            exceed it.
        final_evaluate: like `evaluate`, on data that `evaluate` does not use: gives the drop to
            report after a search.
        solver: "admm" (weights that stay are fitted to what the dense model gives; loses least),
            "obs" (they are updated; quicker), "wanda" or "magnitude"; see
            `gossamer.sparsity.solvers`.
        pattern: "unstructured"; "block:RxC": that many neighbouring outputs and inputs go
            together, 4x1 with "block" alone; n:m such as "2:4"; or "channel": whole outputs. See
            `gossamer.sparsity.patterns`. Of several, each layer gets the best by allocation "cost".
        layers: a regular expression or names of the layers to prune; None for the usual ones, see
            `gossamer.models.selection.default_layers`. Layers whose zeros no kernel skips
            (embeddings, recurrent layers, stacked experts, ...) are pruned where they are named.
        threads: of one inference, for "latency"; by default every core.
        folder: keeps what was worked out, so that the same call goes on where an interrupted one
            stopped: solved layers, measured costs, and each trial as a line of JSON.
        levels: sparsities at which layers are solved beforehand, by allocations "sensitivity" and
            "cost", `gossamer.pruning.database.GRID` by default; dense is always one more.
        search_seconds: that one search of "cost" for the best mix of levels takes at most, beyond
            trying single layers; 60 by default.
        progress: show how far it is on stderr; see `gossamer.progress.showing`.

    Returns:
        The sparse model and how it came about. If no model keeps within `max_drop`, the one in it
        is dense and a note says so.

    Raises:
        OptionError: if arguments are out of range or contradict each other, a budget cannot be
            met, or the folder holds another job.
        ModelError: if the model cannot be read, or has weights that are NaN; with allocation "cost"
            if it cannot be compiled.
        DataError: if the calibration data is empty, holds NaN or does not fit the model.
        EvaluationError: if an evaluation raises or gives no finite number.
        OutputError: if the folder cannot be written.
    """
    started = time.perf_counter()
    sparsity, budget, max_drop = _checked_goal(sparsity, budget, evaluate, max_drop)
    check_evaluation("evaluate", evaluate)
    check_evaluation("final_evaluate", final_evaluate)
    if threads is not None:
        threads = arguments.whole("threads", threads, 1)
    if search_seconds is not None:
        search_seconds = arguments.seconds("search_seconds", search_seconds)
    wanted = checked_objective(objective)
    if allocation is not None:
        get_allocation(allocation)
    how = get_solver(solver)
    which = [get_pattern(name) for name in arguments.names("pattern", pattern)]
    if not which:
        raise OptionError("pattern= is empty; leave it out for 'unstructured'")
    if sparsity is None and allocation not in (None, "cost"):
        for one in which:
            if one.sparsity is not None:
                raise OptionError(
                    f"pattern '{one.name}' always has a sparsity of {one.sparsity:g}: only "
                    "allocation 'cost' can meet a budget or a drop with it; leave allocation= out"
                )
    dense = open_model(model, trainable=True)
    chosen = choose_layers(dense.layers(), layers)
    spared: list[str] = []
    if sparsity is None and wanted in TIMED and allocation in (None, "cost"):
        chosen, spared = _worth_searching(chosen, wanted)
    check_weights(dense, chosen)
    told: list[str] = []
    batches = _batches(calibration, dense, how, told)
    kept = None
    if folder is not None:
        kept = Folder(
            as_path(folder),
            {
                "model": dense.digest(),
                "calibration data": digest_of_batches(batches),
                "layers": [layer.name for layer in chosen],
                "solver": solver,
                "patterns": [one.name for one in which],
            },
        )

    with (
        showing(progress) as shown,
        Job(
            dense,
            chosen,
            batches,
            how,
            which,
            levels_of(which, GRID if levels is None else levels),
            threads=threads,
            search_seconds=SECONDS if search_seconds is None else search_seconds,
            folder=kept,
            progress=shown,
        ) as job,
    ):
        notes = list(spared)
        # The dense model's scores come first, so that an evaluation that fails costs nothing.
        final_dense = _score_dense(job, final_evaluate, "final_evaluate")
        if max_drop is None:
            dense_score = _score_dense(job, evaluate, "evaluate")
            made = _by_goal(job, sparsity, budget, wanted, allocation)
            scores = _compare(dense_score, _score(job, evaluate, "evaluate", made.model))
        else:
            assert evaluate is not None
            made = _by_search(job, wanted, allocation, evaluate, max_drop, kept, notes)
            scores = made.scores
        final_scores = _compare(
            final_dense, _score(job, final_evaluate, "final_evaluate", made.model)
        )
        notes += job.notes
    if max_drop is not None:
        notes += _last_words(final_scores, max_drop)
    weights, zeros = made.model.count_weights()
    reached = {layer.name for layer in chosen}
    notes += eligibility(dense.layers(), reached, dense.left_out(), weights)
    notes += [*told, *dense.notes(), *made.model.notes()]
    return SparsifyResult(
        model=made.model.model,
        layers=made.layers,
        model_weights=weights,
        model_zeros=zeros,
        solver=solver,
        pattern=", ".join(one.name for one in which),
        allocation=made.allocation,
        objective=made.objective,
        requested_sparsity=sparsity,
        budget=budget,
        max_drop=max_drop,
        trials=made.trials,
        plan={layer.name: _told(made.plan.get(layer.name)) for layer in chosen},
        cost=made.cost,
        scores=scores,
        final_scores=final_scores,
        notes=tuple(dict.fromkeys(notes)),
        seconds=time.perf_counter() - started,
        energy_spent=job.energy_spent(),
        spent=job.spent,
        example=example_in(batches),
        source=source_of(model),
    )


def _worth_searching(
    layers: Sequence[Layer], objective: Objective
) -> tuple[list[Layer], list[str]]:
    """Return the layers whose zeros save time, if there are any, and what to tell of others."""
    gaining = [layer for layer in layers if layer.gain]
    idle = len(layers) - len(gaining)
    if not gaining or not idle:
        return list(layers), []
    note = (
        f"Zeros save no {objective} in {idle} of the layers that layers= names: the search for "
        "less of it leaves them dense. objective='bytes' or 'sparsity' prunes them too."
    )
    return gaining, [note]


def _told(choice: Choice | None) -> LayerPlan:
    return LayerPlan(choice.pattern.name, choice.sparsity) if choice else LayerPlan(None, 0.0)


@dataclass(frozen=True)
class _Made:
    """A sparse model, and what is told about it."""

    model: ModelAdapter
    layers: tuple[LayerResult, ...]
    plan: Plan
    allocation: str
    objective: Objective
    cost: float | None
    trials: tuple[Trial, ...] = ()
    scores: Scores | None = None


def _by_goal(
    job: Job,
    sparsity: float | None,
    budget: float | None,
    objective: Objective,
    allocation: str | None,
) -> _Made:
    """Prune to a stated sparsity or budget."""
    if sparsity is not None:
        allocation = allocation or "uniform"
        plan = get_allocation(allocation)(job, sparsity)
        objective = "sparsity"
    else:
        assert budget is not None
        allocation = allocation or "cost"
        if allocation == "cost":
            plan = job.mix(objective, budget)
        else:
            plan = _cheap_enough(job, allocation, objective, budget)
    with job.stage("trials"):
        model, layers = job.prune(plan, "sparsifying")
    cost = None if budget is None else job.cost_of(plan, objective)
    return _Made(model, layers, plan, allocation, objective, cost)


def _cheap_enough(job: Job, allocation: str, objective: Objective, budget: float) -> Plan:
    """Return the plan of least sparsity whose cost is within a budget, by bisection."""
    allocate = get_allocation(allocation)
    sparsest = max(level.sparsity for level in job.levels)
    if objective not in TIMED:
        sparsest = 1.0
    dear, cheap = 0, round(_RESOLUTION * sparsest)
    plan = allocate(job, cheap / _RESOLUTION)
    if job.cost_of(plan, objective) > budget:
        raise job.unmet(objective, budget, job.cost_of(plan, objective))
    while cheap - dear > 1:
        middle = (dear + cheap) // 2
        candidate = allocate(job, middle / _RESOLUTION)
        if job.cost_of(candidate, objective) > budget:
            dear = middle
        else:
            cheap, plan = middle, candidate
    return plan


def _by_search(
    job: Job,
    objective: Objective,
    allocation: str | None,
    evaluate: Evaluate,
    max_drop: float,
    folder: Folder | None,
    notes: list[str],
) -> _Made:
    """Find the cheapest model within a drop; tell in `notes` what the user should know."""
    job.progress.start("running evaluate on the dense model, twice")
    dense, noise = twice(evaluate, job.dense, job.example)
    notes += doubts(dense, noise, max_drop)
    chosen = allocation or _default_allocation(job, objective, notes)
    if chosen != "cost":
        objective = "sparsity"
    search = GuardedSearch(job, chosen, objective, evaluate, dense, noise, max_drop, folder)
    found = search.run()
    notes += search.notes
    trials = tuple(search.trials)
    if found is None:
        notes.append(
            f"Even the least step, a hundredth of what can be saved, drops the score by more than "
            f"{max_drop:g}: the model was left dense."
        )
        return _Made(
            job.dense.copy(),
            job.untouched,
            {},
            chosen,
            objective,
            1.0,
            trials,
            compare(dense, dense),
        )
    return _Made(
        found.model,
        found.layers,
        found.plan,
        chosen,
        objective,
        found.trial.cost,
        trials,
        found.scores,
    )


def _default_allocation(job: Job, objective: Objective, notes: list[str]) -> str:
    """Return "cost" if costs can be known and something can be saved, else "uniform"."""
    try:
        if not job.calibrated:
            raise DataError("there is no calibration data")
        least = job.least_budget(objective)
    except (ModelError, DataError) as error:
        if len(job.patterns) > 1 or job.patterns[0].sparsity is not None:
            # Without costs only sparsities can be searched over, which these cannot have.
            raise
        notes.append(
            f"Costs are not known ({_first_line(error)}): every layer was given the same sparsity, "
            "and the highest sparsity was searched for."
        )
        return "uniform"
    if least > 1 - _LEAST_SAVING and len(job.patterns) == 1 and job.patterns[0].sparsity is None:
        notes.append(
            f"Sparsity saves no {objective} on this model and machine: at best "
            f"{100 * least:.0f} % of it remains. The highest uniform sparsity was searched for "
            "instead."
        )
        return "uniform"
    return "cost"


def _first_line(error: GossamerError) -> str:
    return " ".join(str(error).split())


def _last_words(final: Scores | None, max_drop: float) -> list[str]:
    """Return what is to be said about the drop after a search."""
    if final is None:
        return [
            "The drop was measured on the data that the search used, so it flatters; "
            "give final_evaluate for one on unseen data."
        ]
    if final.drop <= max_drop < (final.interval or (0.0, final.drop))[1]:
        assert final.interval is not None
        return [
            f"On unseen data the drop is within max_drop={max_drop:g}, but its 95 % interval "
            f"({final.interval[0]:.4g} to {final.interval[1]:.4g}) is not: more samples in "
            "final_evaluate would tell."
        ]
    if final.drop > max_drop:
        return [
            f"On unseen data the drop is {final.drop:.4g}, more than max_drop={max_drop:g}: the "
            "data of the search was too little, or of another kind. Search on more."
        ]
    return []


def _score_dense(job: Job, evaluate: Evaluate | None, name: str) -> Evaluation | None:
    """Evaluate a copy of the dense model: an evaluation may change what it is given."""
    return _score(job, evaluate, name, job.dense.copy()) if evaluate is not None else None


def _score(
    job: Job, evaluate: Evaluate | None, name: str, adapter: ModelAdapter
) -> Evaluation | None:
    """Evaluate a model, if there is an evaluation."""
    if evaluate is None:
        return None
    job.progress.start(f"running {name}")
    return score(evaluate, adapter, name=name, example=job.example)


def _checked_goal(
    sparsity: float | None,
    budget: float | None,
    evaluate: Evaluate | None,
    max_drop: float | None,
) -> tuple[float | None, float | None, float | None]:
    """Return sparsity, budget and drop as Python's numbers, of which one is given."""
    goals = {"sparsity=": sparsity, "budget=": budget, "max_drop=": max_drop}
    given = [name for name, value in goals.items() if value is not None]
    if not given:
        raise OptionError("give either sparsity=, budget=, or evaluate= with max_drop=")
    if len(given) > 1:
        raise OptionError(f"{' and '.join(given)} contradict each other; give one of them")
    if sparsity is not None:
        sparsity = checked_sparsity(sparsity)
    if budget is not None:
        budget = arguments.number(
            "budget",
            budget,
            lambda it: 0 < it <= 1,
            "the fraction of the dense model's cost that may remain, above 0 and at most 1",
        )
    if max_drop is not None:
        if evaluate is None:
            raise OptionError("max_drop= needs an evaluation; give evaluate= too")
        max_drop = arguments.number(
            "max_drop", max_drop, lambda it: it >= 0, "how far the score may fall, 0 or more"
        )
    return sparsity, budget, max_drop


def _batches(
    calibration: Any, adapter: ModelAdapter, solver: Solver, notes: list[str]
) -> list[Batch]:
    if calibration is None:
        if solver.needs != "nothing":
            raise DataError(
                f"solver {solver.name!r} needs calibration data; give some, or use 'magnitude'"
            )
        return []
    return read_batches(calibration, adapter.inputs(), notes)


def _compare(dense: Evaluation | None, sparse: Evaluation | None) -> Scores | None:
    return compare(dense, sparse) if dense and sparse else None
