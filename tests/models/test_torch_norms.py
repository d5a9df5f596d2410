"""Statistics of batch normalisation are those of the module as it is now."""

from __future__ import annotations

import torch
from torch import nn

from gossamer.models.torch_norms import estimate_statistics


def test_the_statistics_are_the_means_over_the_samples() -> None:
    torch.manual_seed(0)
    model = nn.Sequential(nn.Conv2d(1, 4, 3), nn.BatchNorm2d(4, momentum=0.3), nn.Dropout(0.9))
    model.train()(torch.randn(8, 1, 6, 6) * 7)
    model.eval()
    batches = [torch.randn(samples, 1, 6, 6) for samples in (5, 8, 2)]
    shares = torch.tensor([5, 8, 2]) / 15
    estimate_statistics(model, [{"input": batch} for batch in batches])
    inside = [model[0](batch).detach() for batch in batches]
    mean = shares @ torch.stack([one.mean((0, 2, 3)) for one in inside])
    variance = shares @ torch.stack([one.var((0, 2, 3)) for one in inside])
    torch.testing.assert_close(model[1].running_mean, mean)
    torch.testing.assert_close(model[1].running_var, variance)
    assert model[1].momentum == 0.3
    assert not any(module.training for module in model.modules())


def test_a_module_without_them_is_not_even_run() -> None:
    model = nn.Sequential(nn.Linear(2, 2), nn.BatchNorm1d(2, track_running_stats=False))
    estimate_statistics(model, iter(lambda: 1 / 0, None))
