"""Calling the user's evaluation function."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gossamer import arguments
from gossamer.errors import EvaluationError
from gossamer.models.adapter import Batch, ModelAdapter
from gossamer.pruning.result import Scores
from gossamer.user_code import describe

Evaluate = Callable[[Any], Any]
"""From a model to one number, or one score per sample; higher is better."""

Samples = NDArray[np.float64]

TOLERANCE = 1e-9
"""0.91 - 0.90 is a little more than 0.01 in binary."""

_RESAMPLES = 10_000
# Resamples that are drawn at once, and different values from which on they are drawn by samples.
_AT_ONCE = 100
_FEW = 16


@dataclass(frozen=True)
class Evaluation:
    """What an evaluation gave: its mean, and the scores of the samples if there were several."""

    mean: float
    samples: Samples | None


def check_evaluation(name: str, evaluate: object) -> None:
    """See that an evaluation can be called; None, where none is given, need not be.

    Raises:
        OptionError: if it cannot.
    """
    arguments.check_function(name, evaluate, "from the model to one number or one per sample")


def score(
    evaluate: Evaluate,
    adapter: ModelAdapter,
    *,
    name: str = "evaluate",
    like: ModelAdapter | None = None,
    example: Batch | None = None,
) -> Evaluation:
    """Call `evaluate` with the model; see `gossamer.models.evaluated`.

    Args:
        evaluate: the user's function.
        adapter: of the model; its module is evaluated as it is, so give a copy.
        name: of the function, for errors.
        like: see `ModelAdapter.evaluated`.
        example: likewise.

    Raises:
        EvaluationError: if it raises, or gives anything but finite numbers.
    """
    with adapter.evaluated(like=like, example=example) as model:
        try:
            given = evaluate(model)
        except Exception as error:
            raise EvaluationError(
                f"{name} failed: {describe(error)}; it is called with the model"
            ) from error
    try:
        numbers = _numbers(given)
    except Exception as error:  # Of what is no score, any library may say so in its own way.
        raise EvaluationError(
            f"{name} returned a {type(given).__name__}; return one number or one per sample"
        ) from error
    if numbers.size == 0:
        raise EvaluationError(f"{name} returned no score; return one number or one per sample")
    if not np.isfinite(numbers).all():
        raise EvaluationError(
            f"{name} returned NaN or infinity; return finite scores, higher being better"
        )
    samples = numbers.ravel() if numbers.size > 1 else None
    return Evaluation(float(numbers.mean()), samples)


def _numbers(given: Any) -> Samples:
    """Return what an evaluation gave as numbers; raise whatever says that it is none."""
    if hasattr(given, "detach"):
        given = given.detach().cpu()
        given = given.double() if given.is_floating_point() else given
    found = np.ma.asarray(given)
    # Fractions and the like are objects to numpy.
    if found.dtype.kind not in "fiubO" or np.ma.is_masked(found):
        raise TypeError
    numbers: Samples = np.asarray(found, dtype=np.float64)
    return numbers


def compare(dense: Evaluation, sparse: Evaluation) -> Scores:
    """Return both means, with a paired bootstrap interval of the drop over the samples."""
    interval = None
    if dense.samples is not None or sparse.samples is not None:
        counts = [1 if one.samples is None else len(one.samples) for one in (dense, sparse)]
        if dense.samples is None or sparse.samples is None or counts[0] != counts[1]:
            raise EvaluationError(
                f"the evaluation gave {counts[0]} score(s) for the dense model and {counts[1]} for "
                "a sparse one; return one a sample, for the same samples each time"
            )
        interval = mean_interval(dense.samples - sparse.samples)
    return Scores(dense.mean, sparse.mean, interval)


def mean_interval(values: Samples) -> tuple[float, float]:
    """Return the 95 % percentile bootstrap interval of the mean of `values` `[n]`.

    The resampling has a fixed seed: the same values always give the same interval. Where they take
    few different values, as the drops of right and wrong answers do, it draws how often each of
    these occurs, which is the same and much faster.
    """
    random = np.random.default_rng(0)
    count = len(values)
    distinct, occurrences = np.unique(values, return_counts=True)
    if len(distinct) <= _FEW:
        drawn = random.multinomial(count, occurrences / count, size=_RESAMPLES)
        means = drawn @ distinct / count
    else:
        means = np.concatenate(
            [
                values[random.integers(0, count, (_AT_ONCE, count))].mean(axis=1)
                for _ in range(_RESAMPLES // _AT_ONCE)
            ]
        )
    low, high = np.percentile(means, (2.5, 97.5))
    return float(low), float(high)


def twice(
    evaluate: Evaluate, adapter: ModelAdapter, example: Batch | None = None
) -> tuple[Evaluation, float]:
    """Evaluate a model two times, to see how far the evaluation agrees with itself.

    Args:
        evaluate: the user's function.
        adapter: of the model, which stays as it is.
        example: see `ModelAdapter.evaluated`.

    Returns:
        The mean of both, sample by sample where there are as many, and by how much they differ.
    """
    first, second = (score(evaluate, adapter.copy(), example=example) for _ in range(2))
    samples = None
    if (
        first.samples is not None
        and second.samples is not None
        and len(first.samples) == len(second.samples)
    ):
        samples = (first.samples + second.samples) / 2
    noise = abs(first.mean - second.mean)
    return Evaluation((first.mean + second.mean) / 2, samples), noise


def doubts(dense: Evaluation, noise: float, max_drop: float) -> list[str]:
    """Say in plain words why an evaluation can hardly tell drops as small as the bound.

    Args:
        dense: the dense model's evaluation.
        noise: by how much two evaluations of the dense model differ.
        max_drop: the bound.
    """
    told = []
    if noise > max_drop:
        told.append(
            f"The evaluation is noisier than the bound: the dense model's score differs by "
            f"{noise:.4g} from itself, and max_drop is {max_drop:g}. What was accepted is partly "
            "chance; fix its random seed, or evaluate on more samples."
        )
    if dense.samples is None:
        return told
    values = np.unique(dense.samples)
    if len(values) > 2:
        return told
    # Right and wrong answers: what one or two more wrong ones do to the interval.
    step = float(values[-1] - values[0]) if len(values) == 2 else 1.0
    count = len(dense.samples)
    for wrong in (1, 2):
        drops = np.zeros(count)
        drops[:wrong] = step
        high = mean_interval(drops)[1]
        if high > max_drop + TOLERANCE:
            needed = "" if max_drop <= 0 else f"; about {_needed(step, max_drop)} would tell"
            told.append(
                f"{count} samples are too few for max_drop={max_drop:g}: "
                f"{'one more wrong answer puts' if wrong == 1 else 'two more wrong answers put'} "
                f"the drop's upper end at {high:.4g}. Evaluate on more samples{needed}."
            )
            break
    return told


def _needed(step: float, max_drop: float) -> int:
    """Return with how many samples ten more wrong answers are still within the bound.

    The number of wrong answers that chance could make of ten is at most 17, in 97.5 of 100 cases.
    """
    return math.ceil(17 * step / max_drop / 100) * 100
