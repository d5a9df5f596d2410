"""What follows from a dense model: plans within a budget, and what is held back for judging."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from torch import nn

from gossamer.errors import DataError, OptionError
from gossamer.pruning.costs import Objective, total
from gossamer.pruning.job import Job, hold_back


@pytest.mark.parametrize("objective", ["sparsity", "bytes", "energy"])
@pytest.mark.parametrize("share", [0.3, 0.6, 0.95])
def test_a_plan_keeps_to_its_budget(
    job_of: Callable[..., Job], network: nn.Module, objective: Objective, share: float
) -> None:
    job = job_of(network)
    least = job.least_budget(objective)
    budget = least + share * (1 - least)
    plan = job.mix(objective, budget)
    assert total(job.costs(objective), job.names, plan) <= budget * job.dense_cost(objective) + 1e-9
    assert job.cost_of(plan, objective) <= budget + 1e-9
    assert all(choice in job.levels for choice in plan.values())


def test_with_the_whole_budget_everything_stays_dense(
    job_of: Callable[..., Job], network: nn.Module
) -> None:
    assert job_of(network).mix("bytes", 1.0) == {}


def test_a_budget_that_cannot_be_met_names_the_nearest_that_can(
    job_of: Callable[..., Job], network: nn.Module
) -> None:
    job = job_of(network)
    with pytest.raises(OptionError, match=r"budget of 0\.05 .*sparsity cannot be met") as refused:
        job.mix("sparsity", 0.05)
    nearest = float(str(refused.value).rpartition("budget=")[2].split()[0])
    assert nearest == pytest.approx(0.1, abs=0.003)
    assert set(job.mix("sparsity", nearest)) == {"0", "2", "4", "6"}


def test_layers_that_matter_less_lose_more(job_of: Callable[..., Job], branches: nn.Module) -> None:
    plan = job_of(branches).mix("sparsity", 0.6)
    others = [plan[name].sparsity for name in ("first", "loud", "last") if name in plan]
    assert plan["quiet"].sparsity == 0.9 > max(others)


def test_of_two_patterns_the_cheaper_one_is_taken_where_both_lose_alike(
    job_of: Callable[..., Job], network: nn.Module
) -> None:
    job = job_of(network, patterns=("unstructured", "block:4x1"))
    plan = job.mix("sparsity", 0.5)
    # At the same number of weights, blocks lose more.
    assert {choice.pattern.name for choice in plan.values()} == {"unstructured"}


def test_time_is_counted_by_stage(job_of: Callable[..., Job], network: nn.Module) -> None:
    job = job_of(network)
    job.mix("energy", 0.5 + 0.5 * job.least_budget("energy"))
    assert {"database", "costs", "search"} <= set(job.spent)
    assert all(spent.seconds > 0 and spent.cpu_seconds >= 0 for spent in job.spent.values())


def test_a_folder_keeps_the_database(
    job_of: Callable[..., Job], network: nn.Module, tmp_path: Path
) -> None:
    job_of(network, folder=tmp_path / "job").mix("bytes", 0.6)
    assert len(list((tmp_path / "job" / "database").iterdir())) == 4 * 3


def test_without_calibration_data_there_is_no_database(
    job_of: Callable[..., Job], network: nn.Module
) -> None:
    job = job_of(network, batches=[], solver="magnitude")
    with pytest.raises(DataError, match="database of solved layers needs calibration"):
        job.mix("sparsity", 0.5)
    with pytest.raises(DataError, match="objective 'energy' needs calibration"):
        job.costs("energy")


def test_what_mixes_are_judged_on_is_held_back(samples: np.ndarray) -> None:
    batches = [{"input": samples[at : at + 8]} for at in range(0, 72, 8)]
    kept, judged = hold_back(batches, fixed=False)
    assert [id(batch) for batch in judged] == [id(batches[3]), id(batches[7])]
    assert len(kept) == 7
    kept, judged = hold_back(batches[:2], fixed=False)
    assert kept == batches[:1] and judged == batches[1:2]


def test_of_a_single_batch_one_sample_in_four_is_held_back(samples: np.ndarray) -> None:
    (kept,), (judged,) = hold_back([{"input": samples[:9]}], fixed=False)
    np.testing.assert_array_equal(judged["input"], samples[[3, 7]])
    np.testing.assert_array_equal(kept["input"], samples[[0, 1, 2, 4, 5, 6, 8]])
    for batch, fixed in ((samples[:1], False), (samples[:9], True)):
        kept, judged = hold_back([{"input": batch}], fixed=fixed)
        assert kept == judged == [{"input": batch}]


def test_no_more_is_judged_on_than_is_needed(samples: np.ndarray) -> None:
    _, judged = hold_back([{"input": samples[:32]}] * 40, fixed=False)
    assert len(judged) == 2
