"""Mixes stitched together from the database, and the search over coefficients."""

from __future__ import annotations

from collections.abc import Callable
from itertools import product

import numpy as np
import pytest
import torch
from torch import nn

from gossamer.models import open_model
from gossamer.progress import showing
from gossamer.pruning.coefficients import Stitched, measured_coefficients, search
from gossamer.pruning.job import Job


def stitched(job_of: Callable[..., Job], network: nn.Module) -> Stitched:
    return job_of(network)._stitched


def test_the_divergence_is_the_squared_difference_over_the_variance(
    job_of: Callable[..., Job], network: nn.Module, samples: np.ndarray
) -> None:
    job = job_of(network)
    held = torch.from_numpy(samples[48:])
    mix = (None, 1, None, 2)
    sparse = open_model(network).copy()
    sparse.set_weight("2", job._database.weight("2", 1))
    sparse.set_weight("6", job._database.weight("6", 2))
    with torch.no_grad():
        before, after = network(held), sparse.model(held)
    expected = (after - before).square().sum() / (before - before.mean()).square().sum()
    assert job._stitched.divergence(mix) == pytest.approx(float(expected), rel=1e-4)


def test_a_mix_does_not_depend_on_what_was_tried_before(
    job_of: Callable[..., Job], network: nn.Module
) -> None:
    one, other = stitched(job_of, network), stitched(job_of, network)
    mixes = [(None, 1, 0, 2), (2, None, 0, None), (None,) * 4, (1, 1, 1, 1)]
    forwards = [one.divergence(mix) for mix in mixes]
    backwards = [other.divergence(mix) for mix in reversed(mixes)]
    assert forwards == pytest.approx(list(reversed(backwards)), rel=1e-6)
    assert forwards[2] == 0


def test_a_layer_that_hardly_matters_has_a_small_coefficient(
    job_of: Callable[..., Job], branches: nn.Module
) -> None:
    job = job_of(branches)
    with showing(False) as progress:
        found = measured_coefficients(job._stitched, job._losses(), 1, progress)
    first, loud, quiet, last = found
    assert quiet < 0.01 * min(first, loud, last)
    alone = job._stitched.divergence((1, None, None, None))
    assert first * job._losses()[0][1] == pytest.approx(alone)


def test_the_search_comes_near_the_best_of_all_mixes(
    job_of: Callable[..., Job], network: nn.Module
) -> None:
    """Against every mix of 4 layers at 4 levels each within the budget."""
    job = job_of(network, search_seconds=20)
    plan = job.mix("sparsity", 0.5)
    weights = {name: job.weights[name] for name in job.names}
    options = [None, *range(len(job.levels))]
    left = {
        mix: sum(
            weights[name] * (1 - (job.levels[at].sparsity if at is not None else 0))
            for name, at in zip(job.names, mix, strict=True)
        )
        for mix in product(options, repeat=4)
    }
    bound = 0.5 * sum(weights.values())
    within = [mix for mix, kept in left.items() if kept <= bound + 1]
    best = min(job._stitched.divergence(mix) for mix in within)
    chosen = tuple(job.levels.index(plan[name]) if name in plan else None for name in job.names)
    assert chosen in within
    assert job._stitched.divergence(chosen) <= 1.25 * best


def test_the_same_seed_searches_alike_and_the_number_of_candidates_is_bounded(
    job_of: Callable[..., Job], network: nn.Module
) -> None:
    def found(candidates: int) -> tuple[list[float], int]:
        job = job_of(network)
        losses, options = job._losses(), job._options("sparsity")
        with showing(False) as progress:
            one = search(
                job._stitched,
                lambda own: job._solve(losses, options, 700, own) or (None,) * 4,
                [np.ones(4)],
                progress,
                candidates=candidates,
                seconds=60,
                seed=3,
            )
        return one.coefficients.tolist(), one.candidates

    assert found(12) == found(12)
    assert found(12)[1] <= 12


def test_a_search_never_ends_worse_than_it_began(
    job_of: Callable[..., Job], network: nn.Module
) -> None:
    job = job_of(network)
    losses, options = job._losses(), job._options("sparsity")

    def solve(own: np.ndarray) -> tuple[int | None, ...]:
        mix = job._solve(losses, options, 600, own)
        assert mix is not None
        return mix

    with showing(False) as progress:
        found = search(job._stitched, solve, [np.ones(4)], progress, seconds=1)
    assert found.divergence <= job._stitched.divergence(solve(np.ones(4)))
    assert job._stitched.divergence(found.mix) == found.divergence
