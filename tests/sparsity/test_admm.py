from __future__ import annotations

import itertools

import numpy as np
import pytest
import torch
from torch import Tensor

from gossamer.errors import OptionError
from gossamer.sparsity.admm import solve_admm
from gossamer.sparsity.obs import solve_obs
from gossamer.sparsity.patterns import get_pattern
from gossamer.sparsity.solvers import get_solver
from gossamer.sparsity.statistics import LayerStatistics

unstructured = get_pattern("unstructured")


def problem(rows: int, columns: int, seed: int = 0) -> tuple[Tensor, Tensor, LayerStatistics]:
    random = torch.Generator().manual_seed(seed)
    weight = torch.randn(rows, columns, generator=random)
    mixing = torch.randn(columns, columns, generator=random)
    inputs = torch.randn(8 * columns, columns, generator=random) @ mixing
    statistics = LayerStatistics("layer", columns)
    statistics.update(inputs)
    return weight, inputs, statistics


def loss(inputs: Tensor, dense: Tensor, sparse: Tensor) -> float:
    return float((inputs @ (dense - sparse).T).square().sum())


def least_possible(weight: Tensor, inputs: Tensor, kept: int) -> float:
    """Try every support of one row, each with its least squares."""
    x, y = inputs.double().numpy(), (inputs @ weight[0]).double().numpy()
    return min(
        float(np.linalg.lstsq(x[:, list(support)], y, rcond=None)[1][0])
        for support in itertools.combinations(range(weight.shape[1]), kept)
    )


def test_small_layers_come_near_the_best_of_all_supports() -> None:
    ours = best = greedy = 0.0
    for seed in range(20):
        weight, inputs, statistics = problem(1, 10, seed)
        sparse, *_ = solve_admm(weight, statistics, unstructured, 0.6, damping=1e-6)
        found, least = loss(inputs, weight, sparse), least_possible(weight, inputs, 4)
        assert found >= least * (1 - 1e-3)
        ours, best = ours + found, best + least
        other, _ = solve_obs(weight, statistics, unstructured, 0.6, damping=1e-6)
        greedy += loss(inputs, weight, other)
    assert best < ours < 1.7 * best
    assert ours < 0.7 * greedy


def test_it_loses_much_less_than_working_through_the_columns_once() -> None:
    weight, inputs, statistics = problem(32, 48)
    ours, *_ = solve_admm(weight, statistics, unstructured, 0.7, damping=0.01)
    other, _ = solve_obs(weight, statistics, unstructured, 0.7, damping=0.01)
    assert loss(inputs, weight, ours) < 0.8 * loss(inputs, weight, other)


@pytest.mark.parametrize("pattern", ["unstructured", "2:4", "1:3", "block:4x1", "block:1x4"])
def test_the_mask_is_one_that_the_pattern_allows(pattern: str) -> None:
    weight, _, statistics = problem(16, 24)
    allowed = get_pattern(pattern)
    sparsity = allowed.sparsity or 0.5
    sparse, mask, *_ = solve_admm(weight, statistics, allowed, sparsity)
    assert torch.equal(sparse != 0, mask)
    # The pattern itself chooses the same mask again: what is kept scores above what is not.
    assert torch.equal(allowed.mask(mask.float(), sparsity), mask)
    assert 1 - mask.float().mean() == pytest.approx(sparsity)


def test_targets_are_what_it_aims_at() -> None:
    """The inputs have drifted; the least squares of the dense outputs makes up for that."""
    weight, inputs, _ = problem(12, 16)
    drifted = inputs + 2 * torch.randn(inputs.shape, generator=torch.Generator().manual_seed(1))
    wanted = inputs @ weight.T
    plain, aimed = LayerStatistics("layer", 16), LayerStatistics("layer", 16)
    plain.update(drifted)
    aimed.update(drifted, wanted)

    def miss(statistics: LayerStatistics) -> float:
        sparse, *_ = solve_admm(weight, statistics, unstructured, 0.5)
        return float((drifted @ sparse.T - wanted).square().sum())

    assert miss(aimed) < 0.95 * miss(plain)


def test_weights_that_were_zero_stay_zero_and_count() -> None:
    weight, _, statistics = problem(8, 12)
    weight[:, ::3] = 0
    sparse, mask, *_ = solve_admm(weight, statistics, unstructured, 0.5)
    assert (sparse[weight == 0] == 0).all() and not mask[weight == 0].any()
    assert int((sparse == 0).sum()) == 48
    more, *_ = solve_admm(weight, statistics, unstructured, 0.1)
    assert torch.equal(more == 0, weight == 0), "already sparser than asked for"


@pytest.mark.parametrize("sparsity", [0.0, 1.0])
def test_nothing_and_everything_can_go(sparsity: float) -> None:
    weight, _, statistics = problem(4, 6)
    sparse, mask, *_ = solve_admm(weight, statistics, unstructured, sparsity)
    assert float(mask.float().mean()) == 1 - sparsity
    torch.testing.assert_close(sparse, weight * (1 - sparsity), rtol=1e-3, atol=1e-4)


def test_dependent_and_dead_inputs_do_no_harm() -> None:
    weight, inputs, _ = problem(8, 12)
    inputs[:, 3], inputs[:, 5] = inputs[:, 4], 0.0
    statistics = LayerStatistics("layer", 12)
    statistics.update(inputs[:4])
    sparse, *_ = solve_admm(weight, statistics, unstructured, 0.5)
    assert sparse.isfinite().all()
    assert loss(inputs[:4], weight, sparse) < loss(inputs[:4], weight, torch.zeros_like(weight))


def test_a_grouped_layer_is_solved_with_the_inputs_of_each_group() -> None:
    """One sparsity is chosen over the layer; with 1:2 the groups are problems of their own."""
    pattern = get_pattern("1:2")
    whole = LayerStatistics("layer", 8, groups=2)
    weight, inputs = torch.randn(6, 8), torch.randn(2, 50, 8)
    whole.update(inputs)
    together, *_ = solve_admm(weight, whole, pattern, 0.5)
    for group in range(2):
        alone = LayerStatistics("layer", 8)
        alone.update(inputs[group])
        rows = slice(3 * group, 3 * group + 3)
        own, *_ = solve_admm(weight[rows], alone, pattern, 0.5)
        torch.testing.assert_close(together[rows], own, rtol=1e-3, atol=1e-4)


def test_the_solver_of_that_name_needs_calibration() -> None:
    solver = get_solver("admm")
    assert (solver.needs, solver.aims) == ("hessian", True)
    with pytest.raises(OptionError, match="'admm' needs calibration data"):
        solver.solve(torch.ones(2, 2), None, unstructured, 0.5)


def test_weights_of_dead_inputs_go_first() -> None:
    weight, inputs, _ = problem(8, 12)
    inputs[:, ::2] = 0
    statistics = LayerStatistics("layer", 12)
    statistics.update(inputs)
    sparse, mask, _ = solve_admm(weight, statistics, unstructured, 0.5)
    assert not mask[:, ::2].any() and mask[:, 1::2].all()
    torch.testing.assert_close(sparse[:, 1::2], weight[:, 1::2], rtol=1e-3, atol=1e-4)
    kept, *_ = solve_admm(weight, statistics, unstructured, 0.25)
    left = kept[:, ::2] != 0
    assert left.any()
    torch.testing.assert_close(kept[:, ::2][left], weight[:, ::2][left], rtol=1e-3, atol=1e-4)
