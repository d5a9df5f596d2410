from __future__ import annotations

import pytest
import torch

from gossamer.errors import DataError
from gossamer.sparsity.statistics import LayerStatistics


@pytest.mark.parametrize("columns", [6, 256, 600])
def test_batches_add_up_to_the_hessian_of_all_inputs(columns: int) -> None:
    inputs = torch.randn(50, columns, dtype=torch.float64)
    statistics = LayerStatistics("layer", columns)
    for batch in inputs.split(20):
        statistics.update(batch)
    assert statistics.count == 50
    torch.testing.assert_close(statistics.hessian()[0], inputs.T @ inputs)
    torch.testing.assert_close(statistics.square_sums()[0], inputs.square().sum(0))


def test_norms_alone_agree_with_the_hessians_diagonal() -> None:
    inputs = torch.randn(3, 40, 5)
    full = LayerStatistics("layer", 5, groups=3)
    light = LayerStatistics("layer", 5, groups=3, hessian=False)
    full.update(inputs)
    light.update(inputs)
    torch.testing.assert_close(light.square_sums(), full.square_sums(), rtol=1e-5, atol=1e-5)


def test_half_precision_inputs_do_not_overflow() -> None:
    statistics = LayerStatistics("layer", 2)
    statistics.update(torch.full((4, 2), 60000.0, dtype=torch.float16))
    assert statistics.hessian().isfinite().all()


@pytest.mark.parametrize("hessian", [True, False])
@pytest.mark.parametrize("bad", [float("nan"), float("inf")])
def test_nan_and_infinity_are_refused_by_the_layers_name(bad: float, hessian: bool) -> None:
    inputs = torch.ones(3, 4)
    inputs[1, 2] = bad
    with pytest.raises(DataError, match=r"encoder\.3"):
        LayerStatistics("encoder.3", 4, hessian=hessian).update(inputs)


def test_inputs_of_another_width_are_refused() -> None:
    with pytest.raises(DataError, match="takes 4 inputs"):
        LayerStatistics("layer", 4).update(torch.ones(3, 5))


def test_a_layer_that_saw_nothing_says_so() -> None:
    with pytest.raises(DataError, match=r"'head' was never reached"):
        LayerStatistics("head", 4).hessian()


def test_targets_add_up_to_their_products_with_the_inputs() -> None:
    inputs = torch.randn(2, 50, 6, dtype=torch.float64)
    targets = torch.randn(2, 50, 3, dtype=torch.float64)
    statistics = LayerStatistics("layer", 6, groups=2)
    for part in (slice(0, 20), slice(20, 50)):
        statistics.update(inputs[:, part], targets[:, part])
    assert statistics.targeted
    torch.testing.assert_close(statistics.products(), targets.mT @ inputs)


def test_a_batch_without_targets_makes_those_of_the_others_useless() -> None:
    statistics = LayerStatistics("layer", 6)
    statistics.update(torch.randn(5, 6), torch.randn(5, 3))
    statistics.update(torch.randn(5, 6))
    statistics.update(torch.randn(5, 6), torch.randn(5, 3))
    assert not statistics.targeted
    with pytest.raises(ValueError, match="without targets"):
        statistics.products()


def test_targets_that_are_not_finite_are_refused() -> None:
    with pytest.raises(DataError, match="'layer' gives NaN or infinite outputs"):
        LayerStatistics("layer", 2).update(torch.ones(1, 2), torch.tensor([[float("nan")]]))
