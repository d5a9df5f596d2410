from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import Tensor

from gossamer.sparsity.least_squares import TRUST, least_squares
from gossamer.sparsity.statistics import LayerStatistics

Problem = tuple[Tensor, Tensor, Tensor, LayerStatistics]


def problem(*, groups: int = 1, aimed: bool = True, dead: int | None = None) -> Problem:
    """Return weight `[6, 8]`, inputs `[groups, 40, 8]`, targets and their statistics."""
    random = torch.Generator().manual_seed(0)
    weight = torch.randn(6, 8, generator=random, dtype=torch.float64)
    inputs = torch.randn(groups, 40, 8, generator=random, dtype=torch.float64)
    if dead is not None:
        inputs[:, :, dead] = 0
    targets = torch.randn(groups, 40, 6 // groups, generator=random, dtype=torch.float64)
    statistics = LayerStatistics("layer", 8, groups=groups)
    for start in (0, 25):
        part = slice(start, start + 25)
        statistics.update(inputs[:, part], targets[:, part] if aimed else None)
    return weight, inputs, targets, statistics


def objective(weight: Tensor, dense: Tensor, inputs: Tensor, targets: Tensor, d: Tensor) -> Tensor:
    """The objective as the docstring of `LeastSquares` has it."""
    groups = inputs.shape[0]
    weight, dense = (part.reshape(groups, -1, 8) for part in (weight, dense))
    outputs, own = inputs @ weight.mT, inputs @ dense.mT
    return (
        TRUST * (outputs - targets).square().sum()
        + (1 - TRUST) * (outputs - own).square().sum()
        + (d * (weight - dense).square()).sum()
    )


@pytest.mark.parametrize("groups", [1, 2])
def test_the_error_is_the_objective_but_for_a_constant(groups: int) -> None:
    dense, inputs, targets, statistics = problem(groups=groups)
    found = least_squares(dense, statistics, damping=0.1)
    damping = 0.1 * inputs.square().sum(dim=1).mean(dim=1)[:, None, None]
    other = torch.randn_like(dense)
    expected = objective(other, dense, inputs, targets, damping)
    expected -= objective(dense, dense, inputs, targets, damping)
    got = found.error(found.scaled(other)) - found.error(found.scaled(dense))
    assert got == pytest.approx(float(expected), rel=1e-9)


@pytest.mark.parametrize("groups", [1, 2])
def test_refitted_weights_are_the_least_squares_of_each_row(groups: int) -> None:
    dense, inputs, targets, statistics = problem(groups=groups)
    found = least_squares(dense, statistics, damping=1e-9)
    mask = torch.rand(groups, 6 // groups, 8) < 0.6
    refitted = found.unscaled(found.refitted(found.scaled(dense) * mask, mask, steps=40))
    own = inputs @ dense.reshape(groups, -1, 8).mT
    wanted = TRUST * targets + (1 - TRUST) * own
    for row in range(6):
        group, place = divmod(row, 6 // groups)
        keep = mask[group, place].numpy()
        expected = np.zeros(8)
        expected[keep] = np.linalg.lstsq(
            inputs[group].numpy()[:, keep], wanted[group, :, place].numpy(), rcond=None
        )[0]
        np.testing.assert_allclose(refitted[row].numpy(), expected, rtol=1e-6, atol=1e-8)


def test_without_targets_the_dense_layer_is_the_aim() -> None:
    dense, _, _, statistics = problem(aimed=False)
    found = least_squares(dense, statistics)
    everything = torch.ones(1, 6, 8, dtype=torch.bool)
    start = torch.zeros(1, 6, 8, dtype=torch.float64)
    refitted = found.unscaled(found.refitted(start, everything, steps=60))
    torch.testing.assert_close(refitted, dense, rtol=1e-6, atol=1e-8)


def test_a_dead_input_keeps_its_weights() -> None:
    dense, _, _, statistics = problem(dead=3)
    found = least_squares(dense, statistics)
    everything = torch.ones(1, 6, 8, dtype=torch.bool)
    refitted = found.refitted(found.scaled(dense), everything, steps=60)
    torch.testing.assert_close(found.unscaled(refitted)[:, 3], dense[:, 3])


def test_inputs_that_are_all_zero_leave_the_layer_as_it_is() -> None:
    statistics = LayerStatistics("layer", 8)
    statistics.update(torch.zeros(5, 8))
    dense = torch.randn(6, 8)
    found = least_squares(dense, statistics)
    everything = torch.ones(1, 6, 8, dtype=torch.bool)
    refitted = found.refitted(found.scaled(dense), everything)
    torch.testing.assert_close(found.unscaled(refitted), dense)


def test_the_inverse_is_one() -> None:
    dense, _, _, statistics = problem(groups=2)
    found = least_squares(dense, statistics)
    product = found.inverse(0.3) @ (found.hessian + 0.3 * torch.eye(8, dtype=torch.float64))
    torch.testing.assert_close(product, torch.eye(8, dtype=torch.float64).expand(2, 8, 8))


def test_a_bias_is_solved_for_with_the_weights() -> None:
    """The least squares with a column of ones more, whose weight is the offset."""
    dense, inputs, targets, _ = problem()
    inputs = inputs + 3.0
    statistics = LayerStatistics("layer", 8, bias=True)
    statistics.update(inputs, targets)
    found = least_squares(dense, statistics, damping=1e-9)
    mask = torch.rand(1, 6, 8) < 0.6
    solved = found.refitted(found.scaled(dense) * mask, mask, steps=60)
    offset = found.offset(solved)
    assert offset is not None
    wanted = TRUST * targets[0] + (1 - TRUST) * inputs[0] @ dense.T
    for row in range(6):
        keep = mask[0, row].numpy()
        columns = np.column_stack([inputs[0].numpy()[:, keep], np.ones(40)])
        expected = np.linalg.lstsq(columns, wanted[:, row].numpy(), rcond=None)[0]
        got = found.unscaled(solved)[row].numpy()[keep]
        np.testing.assert_allclose(np.append(got, offset[row]), expected, rtol=1e-5, atol=1e-7)


def test_without_a_bias_or_targets_there_is_no_offset() -> None:
    dense, *_, statistics = problem()
    assert least_squares(dense, statistics).means is None
    own = LayerStatistics("layer", 8, bias=True)
    own.update(torch.randn(20, 8))
    assert least_squares(dense, own).means is None
