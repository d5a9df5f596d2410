"""The verb `sparsify`."""

from __future__ import annotations

import time
from collections.abc import Iterable
from typing import Any

from gossamer.errors import DataError, OptionError
from gossamer.models.adapter import Batch, Layer, ModelAdapter
from gossamer.models.calibration import read_batches
from gossamer.models.opening import open_model
from gossamer.models.selection import choose_layers
from gossamer.pruning.evaluation import Evaluate, Evaluation, compare, score
from gossamer.pruning.one_shot import check_weights, count_zeros, prune
from gossamer.pruning.progress import Progress, showing
from gossamer.pruning.result import LayerResult, Scores, SparsifyResult, Trial
from gossamer.pruning.search import STEPS, highest_accepted
from gossamer.sparsity.allocation import Choice, uniform
from gossamer.sparsity.patterns import Pattern, get_pattern
from gossamer.sparsity.registry import checked_sparsity
from gossamer.sparsity.solvers import Solver, get_solver


def sparsify(
    model: Any,
    calibration: Any = None,
    *,
    sparsity: float | None = None,
    evaluate: Evaluate | None = None,
    max_drop: float | None = None,
    final_evaluate: Evaluate | None = None,
    solver: str = "obs",
    pattern: str = "unstructured",
    layers: str | Iterable[str] | None = None,
    progress: bool = False,
) -> SparsifyResult:
    """Remove weights from a trained model; the given one stays as it is.

    Either `sparsity` says how many, or `evaluate` and `max_drop` do: then the highest sparsity
    within the drop is found by bisection in steps of 0.01, in at most 7 trials, each of which
    sparsifies the dense model anew and evaluates it.

    Args:
        model: an `nn.Module`, an `onnx.ModelProto`, or the path of an `.onnx` file, a `.pt2` file
            or a Hugging Face directory, or `FILE.py:FUNCTION`; see `gossamer.models.open_model`.
        calibration: some inputs like those that the model will see, a few hundred samples; see
            `gossamer.models.calibration.read_batches`. Solver "magnitude" does without.
        sparsity: fraction of the chosen layers' weights to remove, 0 to 1.
        evaluate: from the model (a module, or for ONNX a session with `run`) to one number or one
            per sample, whose mean counts; higher is better. With `sparsity` it is only reported.
        max_drop: how far the score may fall below the dense model's, in the score's own unit.
        final_evaluate: like `evaluate`, on data that `evaluate` does not use: gives the drop to
            report after a search.
        solver: "obs" (weights that stay are updated), "wanda" or "magnitude".
        pattern: "unstructured", or "block:RxC": that many neighbouring outputs and inputs go
            together, 4x1 with "block" alone. See `gossamer.sparsity.patterns`.
        layers: a regular expression or names of the layers to prune; None for the usual ones, see
            `gossamer.models.selection.default_layers`.
        progress: show a progress bar.

    Returns:
        The sparse model and how it came about. If no sparsity keeps within `max_drop`, the model
        in it is dense and a note says so.

    Raises:
        OptionError: if arguments are out of range or contradict each other.
        ModelError: if the model cannot be read, or has weights that are NaN.
        DataError: if the calibration data is empty, holds NaN or does not fit the model.
        EvaluationError: if an evaluation raises or gives no finite number.
    """
    started = time.perf_counter()
    _check_goal(sparsity, evaluate, max_drop)
    how, which = get_solver(solver), get_pattern(pattern)
    dense = open_model(model)
    chosen = choose_layers(dense.layers(), layers)
    check_weights(dense, chosen)
    batches = _batches(calibration, dense, how)

    with showing(progress) as shown:
        job = _Job(dense, chosen, batches, how, which, shown)
        trials: list[Trial] = []
        notes: list[str] = []
        dense_evaluation = job.score_dense(evaluate, "evaluate")
        if sparsity is not None:
            sparse, pruned = job.prune(sparsity, "sparsifying")
            evaluation = job.score(evaluate, "evaluate", sparse)
        else:
            assert evaluate is not None and max_drop is not None and dense_evaluation is not None
            found = job.search(evaluate, max_drop, dense_evaluation, trials)
            if found is None:
                sparse, evaluation = dense.copy(), dense_evaluation
                pruned = job.untouched()
                notes.append(
                    f"Even a sparsity of {1 / STEPS} drops the score by more than {max_drop:g}: "
                    "the model was left dense."
                )
            else:
                sparse, pruned, evaluation = found
        scores = _compare(dense_evaluation, evaluation)
        final_scores = _compare(
            job.score_dense(final_evaluate, "final_evaluate"),
            job.score(final_evaluate, "final_evaluate", sparse),
        )
    if trials and final_scores is None:
        notes.append(
            "The drop was measured on the data that the search used, so it flatters; "
            "give final_evaluate for one on unseen data."
        )
    weights, zeros = sparse.count_weights()
    return SparsifyResult(
        model=sparse.model,
        layers=pruned,
        model_weights=weights,
        model_zeros=zeros,
        solver=solver,
        pattern=which.name,
        requested_sparsity=sparsity,
        max_drop=max_drop,
        trials=tuple(trials),
        scores=scores,
        final_scores=final_scores,
        notes=tuple(notes),
        seconds=time.perf_counter() - started,
    )


class _Job:
    """One dense model and what is done to copies of it."""

    def __init__(
        self,
        dense: ModelAdapter,
        layers: list[Layer],
        batches: list[Batch],
        solver: Solver,
        pattern: Pattern,
        progress: Progress,
    ) -> None:
        self._dense = dense
        self._layers = layers
        self._batches = batches
        self._solver = solver
        self._pattern = pattern
        self._progress = progress

    def prune(
        self, sparsity: float, description: str
    ) -> tuple[ModelAdapter, tuple[LayerResult, ...]]:
        """Return a sparse copy of the dense model, and its layers."""
        self._progress.start(description, len(self._layers))
        sparse = self._dense.copy()
        weights = {layer.name: layer.weights for layer in self._layers}
        plan = {
            name: Choice(self._pattern, own) for name, own in uniform(weights, sparsity).items()
        }
        pruned = prune(
            sparse,
            self._batches,
            self._layers,
            plan,
            self._solver,
            self._progress,
            self._dense.copy(),
        )
        return sparse, pruned

    def untouched(self) -> tuple[LayerResult, ...]:
        """Return the layers as they are in the dense model."""
        return count_zeros(self._dense, self._layers)

    def search(
        self,
        evaluate: Evaluate,
        max_drop: float,
        dense: Evaluation,
        trials: list[Trial],
    ) -> tuple[ModelAdapter, tuple[LayerResult, ...], Evaluation] | None:
        """Find the highest sparsity within `max_drop`; note each attempt in `trials`."""

        def attempt(
            sparsity: float,
        ) -> tuple[ModelAdapter, tuple[LayerResult, ...], Evaluation] | None:
            started = time.perf_counter()
            description = f"trial {len(trials) + 1}: sparsity {sparsity:.2f}"
            sparse, pruned = self.prune(sparsity, description)
            evaluation = score(evaluate, sparse)
            drop = dense.mean - evaluation.mean
            # 0.91 - 0.90 is a little more than 0.01 in binary.
            accepted = drop <= max_drop + 1e-9
            seconds = time.perf_counter() - started
            trials.append(Trial(sparsity, evaluation.mean, drop, accepted, seconds))
            return (sparse, pruned, evaluation) if accepted else None

        return highest_accepted(attempt)

    def score_dense(self, evaluate: Evaluate | None, name: str) -> Evaluation | None:
        """Evaluate a copy of the dense model: an evaluation may change what it is given."""
        return self.score(evaluate, name, self._dense.copy()) if evaluate else None

    def score(
        self, evaluate: Evaluate | None, name: str, adapter: ModelAdapter
    ) -> Evaluation | None:
        """Evaluate a model, if there is an evaluation."""
        if evaluate is None:
            return None
        self._progress.start(f"running {name}", 1)
        return score(evaluate, adapter, name=name)


def _check_goal(sparsity: float | None, evaluate: Evaluate | None, max_drop: float | None) -> None:
    if sparsity is None and max_drop is None:
        raise OptionError("give either sparsity=, or evaluate= with max_drop=")
    if sparsity is not None and max_drop is not None:
        raise OptionError("sparsity= and max_drop= contradict each other; give one of them")
    if sparsity is not None:
        checked_sparsity(sparsity)
    if max_drop is not None:
        if evaluate is None:
            raise OptionError("max_drop= needs an evaluation; give evaluate= too")
        if not 0 <= max_drop < float("inf"):
            raise OptionError(
                f"max_drop is {max_drop!r}; give how far the score may fall, 0 or more"
            )


def _batches(calibration: Any, adapter: ModelAdapter, solver: Solver) -> list[Batch]:
    if calibration is None:
        if solver.needs != "nothing":
            raise DataError(
                f"solver {solver.name!r} needs calibration data; give some, or use 'magnitude'"
            )
        return []
    return read_batches(calibration, adapter.inputs())


def _compare(dense: Evaluation | None, sparse: Evaluation | None) -> Scores | None:
    return compare(dense, sparse) if dense and sparse else None
