from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch

from gossamer.errors import EvaluationError
from gossamer.models import open_model
from gossamer.pruning.evaluation import (
    Evaluation,
    compare,
    doubts,
    mean_interval,
    score,
    twice,
)

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
        ("0.5", "returned a str"),
        (["0.5", "0.6"], "returned a list"),
        ({"accuracy": 0.5}, "returned a dict"),
        (0.5 + 1j, "returned a complex"),
        (torch.tensor([1j]), "returned a Tensor"),
        (10**400, "returned a int"),
        (torch.tensor(0.5, device="meta"), "returned a Tensor"),
        (torch.nested.nested_tensor([torch.ones(2), torch.ones(3)]), "returned a Tensor"),
        (np.datetime64("2026-01-01"), "returned a datetime64"),
        (np.ma.masked_array([0.5, 0.9], [True, False]), "returned a MaskedArray"),
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


@pytest.mark.parametrize("kind", ["right or wrong", "continuous"])
def test_the_interval_is_that_of_scipy_s_percentile_bootstrap(kind: str) -> None:
    stats = pytest.importorskip("scipy.stats")
    random = np.random.default_rng(0)
    values = random.choice([-1.0, 0.0, 1.0], 300, p=[0.03, 0.9, 0.07])
    if kind == "continuous":
        values = values + random.random(300)
    expected = stats.bootstrap(
        (values,), np.mean, n_resamples=20_000, method="percentile", random_state=random
    ).confidence_interval
    found = mean_interval(values)
    assert found == pytest.approx((expected.low, expected.high), abs=0.004)
    assert found == mean_interval(values), "the same values give the same interval"


def test_an_evaluation_is_run_twice_to_see_its_noise() -> None:
    scores = iter([[1, 0, 1, 1], [1, 1, 1, 1]])
    dense, noise = twice(lambda module: next(scores), model)
    assert noise == 0.25 and dense.mean == 0.875
    assert dense.samples is not None and dense.samples.tolist() == [1, 0.5, 1, 1]
    assert twice(lambda module: 0.5, model) == (Evaluation(0.5, None), 0.0)


def test_noise_larger_than_the_bound_is_said() -> None:
    dense = Evaluation(0.9, None)
    (told,) = doubts(dense, noise=0.03, max_drop=0.01)
    assert "noisier than the bound" in told and "0.03" in told and "more samples" in told
    assert doubts(dense, noise=0.005, max_drop=0.01) == []


def right(count: int) -> Evaluation:
    samples = np.ones(count)
    samples[: count // 10] = 0
    return Evaluation(0.9, samples)


def test_too_few_samples_for_the_bound_is_said_with_how_many_would_do() -> None:
    (told,) = doubts(right(100), 0.0, 0.01)
    assert told.startswith("100 samples are too few for max_drop=0.01: one more wrong answer")
    assert "at 0.03." in told and "about 1700 would tell" in told
    (told,) = doubts(right(400), 0.0, 0.01)
    assert "two more wrong answers" in told
    assert doubts(right(1700), 0.0, 0.01) == []


def test_scores_that_are_not_right_or_wrong_have_no_such_step() -> None:
    samples = np.random.default_rng(0).random(50)
    assert doubts(Evaluation(samples.mean(), samples), 0.0, 0.01) == []


def test_a_bound_of_nothing_can_hardly_be_kept_and_no_number_of_samples_is_named() -> None:
    (told,) = doubts(right(100), 0.0, 0.0)
    assert "too few" in told and "would tell" not in told


@pytest.mark.parametrize("sparse", [np.ones(9), None])
def test_scores_of_other_samples_are_refused(sparse: Any) -> None:
    dense = Evaluation(1.0, np.ones(10))
    with pytest.raises(EvaluationError, match=r"10 score.* for the dense model and"):
        compare(dense, Evaluation(1.0, sparse))
