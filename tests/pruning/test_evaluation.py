from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch

from gossamer.errors import EvaluationError
from gossamer.models import open_model
from gossamer.pruning.evaluation import Evaluation, compare, score

model = open_model(torch.nn.Linear(2, 2))


def test_one_number_is_the_score() -> None:
    assert score(lambda module: 0.75, model) == Evaluation(0.75, None)
    assert score(lambda module: torch.tensor(2.0, requires_grad=True), model).mean == 2.0


def test_of_one_score_per_sample_the_mean_counts() -> None:
    given = score(lambda module: [True, False, True, True], model)
    assert given.mean == 0.75 and given.samples is not None and len(given.samples) == 4


def test_the_model_is_what_evaluate_receives() -> None:
    assert score(lambda module: float(module is model.model), model).mean == 1.0


@pytest.mark.parametrize(
    ("returned", "message"),
    [
        (float("nan"), "NaN"),
        ([0.5, float("inf")], "NaN or infinity"),
        (None, "returned"),
        ("good", "returned a str"),
        ([], "no score"),
    ],
)
def test_what_is_no_score_is_refused(returned: Any, message: str) -> None:
    with pytest.raises(EvaluationError, match=message):
        score(lambda module: returned, model)


def test_an_evaluation_that_raises_is_told_by_its_name() -> None:
    def broken(module: Any) -> float:
        raise KeyError("labels")

    with pytest.raises(EvaluationError, match=r"final_evaluate failed: KeyError: 'labels'"):
        score(broken, model, name="final_evaluate")


def test_per_sample_scores_give_a_paired_interval_around_the_drop() -> None:
    random = np.random.default_rng(0)
    dense = random.random(200)
    sparse = dense - 0.1 + 0.01 * random.standard_normal(200)
    scores = compare(Evaluation(dense.mean(), dense), Evaluation(sparse.mean(), sparse))
    assert scores.interval is not None
    low, high = scores.interval
    # Pairing removes the samples' own spread: unpaired, the interval would be 0.1 wide.
    assert low < scores.drop < high and high - low < 0.01
    assert compare(Evaluation(1, None), Evaluation(0.5, None)).interval is None
