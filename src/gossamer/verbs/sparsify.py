"""Making a trained model sparse."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from gossamer.extras import needed_for
from gossamer.progress import ProgressLike

if TYPE_CHECKING:
    from gossamer.pruning import SparsifyResult


@needed_for("sparsifying")
def sparsify(
    model: Any,
    calibration: Any = None,
    *,
    sparsity: float | None = None,
    budget: float | None = None,
    objective: str = "energy",
    allocation: str | None = None,
    evaluate: Callable[[Any], Any] | None = None,
    max_drop: float | None = None,
    final_evaluate: Callable[[Any], Any] | None = None,
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

    One of three says how many: `sparsity`; `budget`; or `evaluate` and `max_drop`, with which the
    cheapest model whose score is within the drop is searched for.

    Args:
        model: what `gossamer.compile` takes.
        calibration: a few hundred unlabelled samples: arrays by input name (first axis: samples),
            an .npz file of such, FILE.py:FUNCTION, or an iterable of batches. The solver
            "magnitude" does without.
        sparsity: fraction of the pruned layers' weights to remove, 0 to 1.
        budget: fraction of the dense model's cost that may remain, above 0 and at most 1.
        objective: what a budget or a search is to save: "energy", "latency", "bytes" or
            "sparsity". The first two are measured on this machine.
        allocation: "uniform", "erk", "global", "sensitivity" or "cost". By default "uniform" for a
            stated sparsity, else "cost".
        evaluate: from the model, called as the given one is, to one number or one a sample; higher
            is better.
        max_drop: how far the mean may fall below the dense model's, in its own unit; with one
            score a sample, what the upper end of the drop's 95 % interval must not exceed.
        final_evaluate: like `evaluate`, on data that the search does not use.
        solver: "admm", which loses least; "obs", "wanda" or "magnitude", which are quicker.
        pattern: "unstructured"; "block:4x1", where four neighbouring outputs keep the same inputs
            (any "block:RxC"); "2:4", where of every four inputs two stay (any n:m); or "channel".
            Of several, allocation "cost" gives each layer the best.
        layers: a regular expression or the names of the layers to prune; None for the usual ones.
        threads: of one inference, for the objective "latency"; by default every core.
        folder: keeps what was worked out, so that the same call goes on after an interruption.
        levels: sparsities at which "sensitivity" and "cost" solve layers beforehand.
        search_seconds: that "cost" looks for the best mix of levels, each time.
        progress: show how far it is on stderr; see `gossamer.progress.showing`.

    Returns:
        The sparse model and how it came about; see `gossamer.pruning.SparsifyResult`.

    Raises:
        OptionError: if arguments are out of range or contradict each other, a budget cannot be
            met, or the folder holds another job.
        ModelError: if the model cannot be read or compiled, or has weights that are NaN.
        DataError: if the calibration data is empty, holds NaN or does not fit the model.
        EvaluationError: if an evaluation raises or gives no finite number.
        OutputError: if the folder cannot be written.
    """
    from gossamer import pruning

    return pruning.sparsify(
        model,
        calibration,
        sparsity=sparsity,
        budget=budget,
        objective=objective,
        allocation=allocation,
        evaluate=evaluate,
        max_drop=max_drop,
        final_evaluate=final_evaluate,
        solver=solver,
        pattern=pattern,
        layers=layers,
        threads=threads,
        folder=folder,
        levels=levels,
        search_seconds=search_seconds,
        progress=progress,
    )
