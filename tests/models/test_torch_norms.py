"""Statistics of batch normalisation move by what pruning changed, and by nothing else."""

from __future__ import annotations

import copy

import torch
from torch import nn

from gossamer.models.torch_norms import correct_statistics, measured_statistics, replace_statistics


def network() -> nn.Sequential:
    torch.manual_seed(0)
    model = nn.Sequential(nn.Conv2d(1, 4, 3), nn.BatchNorm2d(4, momentum=0.3), nn.Dropout(0.9))
    model.train()(torch.randn(8, 1, 6, 6) * 7)
    return model.eval()


def batches(*sizes: int) -> list[dict[str, torch.Tensor]]:
    return [{"input": torch.randn(samples, 1, 6, 6)} for samples in sizes]


def test_what_is_measured_are_the_means_over_the_samples() -> None:
    model = network()
    before = copy.deepcopy(model.state_dict())
    seen = batches(5, 8, 2)
    ((mean, variance),) = measured_statistics(model, seen)
    shares = torch.tensor([5, 8, 2]) / 15
    inside = [model[0](batch["input"]).detach() for batch in seen]
    torch.testing.assert_close(mean, shares @ torch.stack([x.mean((0, 2, 3)) for x in inside]))
    torch.testing.assert_close(variance, shares @ torch.stack([x.var((0, 2, 3)) for x in inside]))
    torch.testing.assert_close(model.state_dict(), before)
    assert model[1].momentum == 0.3
    assert not any(module.training for module in model.modules())


def test_means_are_moved_and_variances_multiplied() -> None:
    dense = network()
    sparse = copy.deepcopy(dense)
    with torch.no_grad():
        sparse[0].weight *= 0.5
        sparse[0].bias += 3
    seen = batches(40)
    expected, found = measured_statistics(dense, seen), measured_statistics(sparse, seen)
    correct_statistics(sparse, dense, expected, found)
    moved = (found[0][0] - expected[0][0]).clone()
    torch.testing.assert_close(sparse[1].running_mean, dense[1].running_mean + moved)
    quarter = dense[1].running_var / 4
    torch.testing.assert_close(sparse[1].running_var, quarter, rtol=1e-3, atol=0)


def test_a_model_that_pruning_did_not_change_keeps_its_statistics() -> None:
    dense = network()
    same = copy.deepcopy(dense)
    seen = batches(3, 4)
    correct_statistics(
        same, dense, measured_statistics(dense, seen), measured_statistics(same, seen)
    )
    torch.testing.assert_close(same.state_dict(), dense.state_dict(), rtol=0, atol=0)


def test_they_can_be_replaced() -> None:
    model = network()
    found = measured_statistics(model, batches(40))
    replace_statistics(model, found)
    torch.testing.assert_close((model[1].running_mean, model[1].running_var), found[0])


def test_a_channel_that_died_stays_finite() -> None:
    dense = network()
    with torch.no_grad():
        dense[0].weight[0] = 0
    sparse = copy.deepcopy(dense)
    with torch.no_grad():
        sparse[0].weight[1] = 0
    seen = batches(6)
    correct_statistics(
        sparse, dense, measured_statistics(dense, seen), measured_statistics(sparse, seen)
    )
    assert sparse(torch.randn(1, 1, 6, 6)).isfinite().all()


def test_a_module_without_them_is_not_even_run() -> None:
    model = nn.Sequential(nn.Linear(2, 2), nn.BatchNorm1d(2, track_running_stats=False))
    assert measured_statistics(model, iter(lambda: 1 / 0, None)) == []
