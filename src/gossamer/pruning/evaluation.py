"""Calling the user's evaluation function."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from gossamer.errors import EvaluationError
from gossamer.models.adapter import ModelAdapter
from gossamer.models.python_file import describe
from gossamer.pruning.result import Scores

Evaluate = Callable[[Any], Any]
"""From a model to one number, or one score per sample; higher is better."""

_RESAMPLES = 2000


@dataclass(frozen=True)
class Evaluation:
    """What an evaluation gave: its mean, and the scores of the samples if there were several."""

    mean: float
    samples: np.ndarray[Any, np.dtype[np.float64]] | None


def score(evaluate: Evaluate, adapter: ModelAdapter, *, name: str = "evaluate") -> Evaluation:
    """Call `evaluate` with the model, or for an ONNX model with a session that runs it.

    Raises:
        EvaluationError: if it raises, or gives anything but finite numbers.
    """
    model = adapter.evaluated()
    try:
        given = evaluate(model)
    except Exception as error:
        raise EvaluationError(
            f"{name} failed: {describe(error)}; it is called with the model"
        ) from error
    if hasattr(given, "detach"):
        given = given.detach().cpu()
    try:
        numbers = np.asarray(given, dtype=np.float64)
    except (TypeError, ValueError) as error:
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


def compare(dense: Evaluation, sparse: Evaluation) -> Scores:
    """Return both means, with a paired bootstrap interval of the drop over the samples."""
    interval = None
    if (
        dense.samples is not None
        and sparse.samples is not None
        and len(dense.samples) == len(sparse.samples)
    ):
        drops = dense.samples - sparse.samples
        # A fixed seed: the same evaluation must always print the same interval.
        random = np.random.default_rng(0)
        means = [float(random.choice(drops, size=len(drops)).mean()) for _ in range(_RESAMPLES)]
        low, high = np.percentile(means, (2.5, 97.5))
        interval = (float(low), float(high))
    return Scores(dense.mean, sparse.mean, interval)
