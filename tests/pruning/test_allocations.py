"""Every allocation, by name: exact overall sparsity, and who loses how much."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
import torch
from torch import nn

from gossamer.errors import OptionError
from gossamer.models import Layer
from gossamer.pruning.allocations import ALLOCATIONS, get_allocation, shape_of
from gossamer.pruning.job import Job
from gossamer.sparsity.erk import erk


@pytest.mark.parametrize("name", ALLOCATIONS)
@pytest.mark.parametrize("sparsity", [0, 0.05, 0.5, 0.83, 0.97, 1])
def test_the_overall_sparsity_is_exact(
    job_of: Callable[..., Job], network: nn.Module, name: str, sparsity: float
) -> None:
    job = job_of(network, search_seconds=0.2)
    plan = get_allocation(name)(job, sparsity)
    _, layers = job.prune(plan, "")
    if name == "uniform":
        # Each layer has its own rounding.
        assert all(abs(one.sparsity - sparsity) <= 0.5 / one.weights for one in layers)
        return
    weights = sum(one.weights for one in layers)
    assert sum(one.zeros for one in layers) == round(sparsity * weights)


def test_erk_is_told_the_layers_sides(job_of: Callable[..., Job], network: nn.Module) -> None:
    plan = ALLOCATIONS["erk"](job_of(network), 0.7)
    shapes = {"0": (24, 12), "2": (24, 24), "4": (24, 24), "6": (5, 24)}
    assert {name: choice.sparsity for name, choice in plan.items()} == erk(shapes, 0.7)
    convolution = Layer("c", "convolution", 64, 32 * 9, kernel=(3, 3))
    assert shape_of(convolution) == (64, 32, 3, 3)


def test_one_threshold_is_over_wanda_s_scores_of_all_layers(
    job_of: Callable[..., Job], network: nn.Module, samples: np.ndarray
) -> None:
    plan = ALLOCATIONS["global"](job_of(network), 0.6)
    scores = {}
    hidden = torch.from_numpy(samples)
    with torch.no_grad():
        for index in (0, 2, 4, 6):
            score = network[index].weight.abs() * hidden.norm(dim=0)
            scores[str(index)] = (score / score.square().mean().sqrt()).flatten()
            hidden = network[index](hidden).relu()
    together = torch.cat(list(scores.values())).sort().values
    threshold = together[round(0.6 * len(together))]
    for name, score in scores.items():
        share = float((score < threshold).double().mean())
        assert plan[name].sparsity == pytest.approx(share, abs=0.003)


def test_without_data_the_threshold_is_over_sizes(
    job_of: Callable[..., Job], network: nn.Module
) -> None:
    with torch.no_grad():
        network[2].weight[:12] *= 1e-3
    plan = ALLOCATIONS["global"](job_of(network, batches=[], solver="magnitude"), 0.4)
    # Half of the layer is next to nothing.
    assert plan["2"].sparsity > 0.5 > plan["4"].sparsity


@pytest.mark.parametrize("name", ["sensitivity", "cost"])
def test_what_hardly_matters_loses_most(
    job_of: Callable[..., Job], branches: nn.Module, name: str
) -> None:
    plan = ALLOCATIONS[name](job_of(branches), 0.6)
    sparsities = {layer: choice.sparsity for layer, choice in plan.items()}
    assert max(sparsities, key=lambda layer: sparsities[layer]) == "quiet"


def test_mixes_lose_less_than_uniform(
    job_of: Callable[..., Job], branches: nn.Module, samples: np.ndarray
) -> None:
    inputs = torch.from_numpy(samples)
    lost = {}
    for name in ("uniform", "sensitivity", "cost"):
        job = job_of(branches)
        sparse, _ = job.prune(ALLOCATIONS[name](job, 0.6), "")
        with torch.no_grad():
            lost[name] = float((sparse.model(inputs) - branches(inputs)).square().mean())
    assert lost["sensitivity"] < 0.8 * lost["uniform"] and lost["cost"] < 0.8 * lost["uniform"]


@pytest.mark.parametrize("name", ["uniform", "erk", "global"])
def test_only_a_cost_mixes_patterns(
    job_of: Callable[..., Job], network: nn.Module, name: str
) -> None:
    job = job_of(network, patterns=("unstructured", "block:4x1"))
    with pytest.raises(OptionError, match=r"several patterns .*allocation 'cost'"):
        ALLOCATIONS[name](job, 0.5)


def test_an_unknown_allocation_is_refused_with_those_that_there_are() -> None:
    with pytest.raises(OptionError, match="cost, erk, global, sensitivity, uniform"):
        get_allocation("fair")


def test_a_pattern_of_one_sparsity_takes_no_other(
    job_of: Callable[..., Job], network: nn.Module
) -> None:
    job = job_of(network, patterns=("2:4",))
    plan = ALLOCATIONS["uniform"](job, 0.5)
    assert {choice.pattern.name for choice in plan.values()} == {"2:4"}
    with pytest.raises(OptionError, match=r"'2:4' always has a sparsity of 0\.5; give"):
        ALLOCATIONS["uniform"](job, 0.6)


def test_layers_of_a_pattern_of_one_sparsity_stay_at_that(
    job_of: Callable[..., Job], network: nn.Module
) -> None:
    job = job_of(network, patterns=("2:4", "unstructured"))
    plan = ALLOCATIONS["sensitivity"](job, 0.6)
    kinds = {choice.pattern.name for choice in plan.values()}
    assert all(choice.sparsity == 0.5 for choice in plan.values() if choice.pattern.name == "2:4")
    _, layers = job.prune(plan, "")
    zeros = sum(layer.zeros for layer in layers)
    if "unstructured" in kinds:
        assert zeros == pytest.approx(0.6 * sum(job.weights.values()), abs=len(layers))
    told = {layer.name: layer.sparsity for layer in layers}
    for name, choice in plan.items():
        assert told[name] == pytest.approx(choice.sparsity, abs=0.01), "what the plan says"
