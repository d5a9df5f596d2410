from __future__ import annotations

import itertools

import pytest
import torch
from torch import Tensor

from gossamer.errors import ModelError, OptionError
from gossamer.sparsity.obs import solve_obs
from gossamer.sparsity.patterns import get_pattern
from gossamer.sparsity.statistics import LayerStatistics

unstructured = get_pattern("unstructured")
TINY = 1e-10


class Fixed:
    """A pattern that removes given positions, whatever the scores."""

    name = "fixed"
    shape = (1, 1)

    def __init__(self, keep: Tensor) -> None:
        self.keep = keep
        self.start = 0

    def mask(self, scores: Tensor, sparsity: float, *, per_row: bool = False) -> Tensor:
        end = self.start + scores.shape[1]
        part = self.keep[:, self.start : end]
        self.start = end
        return part


def problem(rows: int, columns: int, seed: int = 0) -> tuple[Tensor, Tensor, LayerStatistics]:
    random = torch.Generator().manual_seed(seed)
    weight = torch.randn(rows, columns, generator=random, dtype=torch.float64)
    mixing = torch.randn(columns, columns, generator=random, dtype=torch.float64)
    inputs = torch.randn(5 * columns, columns, generator=random, dtype=torch.float64) @ mixing
    statistics = LayerStatistics("layer", columns)
    statistics.update(inputs)
    return weight, inputs, statistics


def loss(inputs: Tensor, dense: Tensor, sparse: Tensor) -> float:
    return float((inputs @ (dense - sparse).T).square().sum())


def best_for(mask: Tensor, weight: Tensor, hessian: Tensor) -> Tensor:
    """Solve the least squares of every row over its kept weights, by the normal equations."""
    best = torch.zeros_like(weight)
    for row, keep in enumerate(mask):
        right = hessian[keep] @ weight[row]
        best[row, keep] = torch.linalg.solve(hessian[keep][:, keep], right)
    return best


def test_one_removed_weight_is_made_up_for_as_in_the_closed_form() -> None:
    """Hassibi, Stork, 1993: w_k -= w_j / [H^-1]_jj [H^-1]_jk, at a loss of w_j^2 / [H^-1]_jj."""
    weight, inputs, statistics = problem(1, 7)
    keep = torch.ones(1, 7, dtype=torch.bool)
    keep[0, 0] = False
    sparse, _ = solve_obs(weight, statistics, Fixed(keep), 1 / 7, damping=TINY)
    inverse = torch.linalg.inv(inputs.T @ inputs)
    expected = weight[0] - weight[0, 0] / inverse[0, 0] * inverse[0]
    torch.testing.assert_close(sparse[0], expected, rtol=1e-6, atol=1e-8)
    cost = float(weight[0, 0] ** 2 / inverse[0, 0])
    assert loss(inputs, weight, sparse) == pytest.approx(cost, rel=1e-5)


def test_a_later_removed_weight_is_made_up_for_by_those_after_it() -> None:
    """The columns before are settled, so the closed form holds for the columns from it on."""
    weight, inputs, statistics = problem(1, 7)
    keep = torch.ones(1, 7, dtype=torch.bool)
    keep[0, 3] = False
    sparse, _ = solve_obs(weight, statistics, Fixed(keep), 1 / 7, damping=TINY)
    inverse = torch.linalg.inv((inputs.T @ inputs)[3:, 3:])
    expected = weight[0].clone()
    expected[3:] -= weight[0, 3] / inverse[0, 0] * inverse[0]
    torch.testing.assert_close(sparse[0], expected, rtol=1e-6, atol=1e-8)


@pytest.mark.parametrize("block", [3, 16, 128])
def test_removing_leading_columns_leaves_the_exact_least_squares(block: int) -> None:
    weight, inputs, statistics = problem(4, 40)
    keep = torch.ones(4, 40, dtype=torch.bool)
    for row, removed in enumerate((0, 5, 17, 30)):
        keep[row, :removed] = False
    sparse, mask = solve_obs(weight, statistics, Fixed(keep), 0.3, block=block, damping=TINY)
    assert torch.equal(mask, keep)
    expected = best_for(keep, weight, inputs.T @ inputs)
    torch.testing.assert_close(sparse, expected, rtol=1e-4, atol=1e-6)


def test_the_size_of_blocks_and_strips_does_not_change_a_fixed_mask_s_result() -> None:
    weight, _, statistics = problem(8, 150)
    keep = torch.rand(8, 150, generator=torch.Generator().manual_seed(1)) > 0.5
    results = [
        solve_obs(weight, statistics, Fixed(keep), 0.5, block=block)[0] for block in (1, 50, 150)
    ]
    torch.testing.assert_close(results[0], results[1])
    torch.testing.assert_close(results[0], results[2])


@pytest.mark.parametrize("seed", range(10))
@pytest.mark.parametrize("sparsity", [0.1, 0.5, 0.9])
@pytest.mark.parametrize("damping", [TINY, 0.01])
def test_the_error_is_between_the_optimum_of_the_mask_and_that_without_update(
    seed: int, sparsity: float, damping: float
) -> None:
    weight, inputs, statistics = problem(12, 30, seed)
    sparse, mask = solve_obs(weight, statistics, unstructured, sparsity, damping=damping)
    updated = loss(inputs, weight, sparse)
    optimum = loss(inputs, weight, best_for(mask, weight, inputs.T @ inputs))
    assert optimum <= updated * (1 + 1e-9)
    assert updated <= loss(inputs, weight, weight * mask) * (1 + 1e-9)


def test_with_one_weight_to_remove_the_mask_is_the_best_there_is_by_brute_force() -> None:
    """A block of independent inputs: the cheapest removal is the global optimum."""
    weight, _, _ = problem(1, 6)
    inputs = torch.diag(torch.tensor([1.0, 0.3, 2.0, 0.1, 5.0, 0.7], dtype=torch.float64))
    statistics = LayerStatistics("layer", 6)
    statistics.update(inputs)
    sparse, _ = solve_obs(weight, statistics, unstructured, 0.5, damping=TINY)
    best = min(
        loss(inputs, weight, weight * torch.tensor([i not in gone for i in range(6)]))
        for gone in itertools.combinations(range(6), 3)
    )
    assert loss(inputs, weight, sparse) == pytest.approx(best, rel=1e-6)


def test_blocks_of_rows_go_by_their_summed_cost() -> None:
    """With independent inputs no removal changes another's cost: the best choice is known."""
    weight, _, _ = problem(4, 6)
    scale = torch.tensor([1.0, 0.3, 2.0, 0.1, 5.0, 0.7], dtype=torch.float64)
    statistics = LayerStatistics("layer", 6)
    statistics.update(torch.diag(scale))
    _, mask = solve_obs(weight, statistics, get_pattern("block"), 0.5, damping=TINY)
    costs = (weight * scale).square().sum(0)
    assert mask[0].tolist() == (costs >= costs.sort().values[3]).tolist()
    assert (mask == mask[0]).all()


def test_a_block_with_a_zero_in_it_is_judged_by_its_other_weights() -> None:
    weight = torch.tensor([[0.0, 1], [9, 1], [9, 1], [9, 1]], dtype=torch.float64)
    statistics = LayerStatistics("layer", 2)
    statistics.update(torch.eye(2, dtype=torch.float64))
    sparse, mask = solve_obs(weight, statistics, get_pattern("block"), 0.5)
    assert mask.tolist() == [[False, False], *[[True, False]] * 3]
    torch.testing.assert_close(sparse[:, 0], weight[:, 0])


def test_groups_are_solved_as_layers_of_their_own() -> None:
    parts = [problem(3, 5, seed) for seed in (1, 2)]
    together = LayerStatistics("layer", 5, groups=2)
    together.update(torch.stack([inputs for _, inputs, _ in parts]))
    weight = torch.cat([part for part, _, _ in parts])
    keep = torch.rand(6, 5, generator=torch.Generator().manual_seed(0)) > 0.4
    sparse, _ = solve_obs(weight, together, Fixed(keep), 0.4)
    for number, (part, _, statistics) in enumerate(parts):
        rows = slice(3 * number, 3 * number + 3)
        alone, _ = solve_obs(part, statistics, Fixed(keep[rows]), 0.4)
        torch.testing.assert_close(sparse[rows], alone)


def test_dead_inputs_lose_their_weights_first_and_disturb_nothing() -> None:
    weight, inputs, _ = problem(4, 8)
    inputs[:, [2, 5]] = 0
    statistics = LayerStatistics("layer", 8)
    statistics.update(inputs)
    sparse, mask = solve_obs(weight, statistics, unstructured, 0.25, damping=TINY)
    assert (~mask).nonzero()[:, 1].unique().tolist() == [2, 5]
    alive = [0, 1, 3, 4, 6, 7]
    torch.testing.assert_close(sparse[:, alive], weight[:, alive])


def test_an_input_that_never_was_alive_keeps_the_value_of_a_kept_weight() -> None:
    weight = torch.randn(2, 3)
    statistics = LayerStatistics("layer", 3)
    statistics.update(torch.zeros(5, 3))
    sparse, mask = solve_obs(weight, statistics, unstructured, 0.5)
    assert torch.equal(sparse, weight * mask)


def test_inputs_that_are_copies_of_each_other_are_no_obstacle() -> None:
    weight, inputs, _ = problem(4, 6)
    inputs = inputs[:, [0, 0, 0, 1, 1, 2]]
    statistics = LayerStatistics("layer", 6)
    statistics.update(inputs)
    sparse, _ = solve_obs(weight, statistics, unstructured, 0.5, damping=0.0)
    assert sparse.isfinite().all()
    # Three independent inputs are left for three kept weights a row: almost nothing need be lost.
    assert loss(inputs, weight, sparse) < 0.05 * loss(inputs, weight, torch.zeros_like(weight))


def test_zeros_stay_zero_and_count() -> None:
    weight, _, statistics = problem(4, 10)
    weight[:, ::2] = 0
    sparse, mask = solve_obs(weight, statistics, unstructured, 0.5)
    assert torch.equal(sparse != 0, weight != 0) and torch.equal(mask, weight != 0)
    sparser, _ = solve_obs(weight, statistics, unstructured, 0.2)
    assert torch.equal(sparser, weight)


def test_a_hessian_beyond_repair_names_the_layer() -> None:
    statistics = LayerStatistics("encoder.7", 3)
    statistics.update(torch.ones(4, 3))
    statistics.hessian()[0, 0, 1] = float("nan")
    with pytest.raises(ModelError, match=r"encoder\.7"):
        solve_obs(torch.ones(2, 3), statistics, unstructured, 0.5)


def test_a_sparsity_outside_0_to_1_is_refused() -> None:
    weight, _, statistics = problem(2, 3)
    with pytest.raises(OptionError, match="from 0 to 1"):
        solve_obs(weight, statistics, unstructured, 1.5)
