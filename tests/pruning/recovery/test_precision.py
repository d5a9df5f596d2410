"""Half-precision modules train in float32 and come back as they were."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from gossamer.pruning.recovery.precision import restore_precision, to_single


@pytest.mark.parametrize("half", [torch.float16, torch.bfloat16])
def test_a_module_goes_and_comes_back(half: torch.dtype) -> None:
    model = nn.Sequential(nn.Linear(4, 4), nn.BatchNorm1d(4), nn.Linear(4, 4)).to(half)
    model[2].weight = model[0].weight
    model[1].double()
    before = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    found = to_single(model)
    assert model[0].weight.dtype == model[2].bias.dtype == torch.float32
    assert model[1].running_mean.dtype == torch.float64, "what is no half is left alone"
    assert model[0].weight is model[2].weight
    restore_precision(model, found)
    assert model[0].weight is model[2].weight
    for name, tensor in model.state_dict().items():
        assert tensor.dtype == before[name].dtype
        assert torch.equal(tensor, before[name])


def test_buffers_keep_their_place() -> None:
    model = nn.Module()
    model.register_buffer("kept", torch.ones(2, dtype=torch.float16))
    model.register_buffer("passing", torch.ones(2, dtype=torch.float16), persistent=False)
    found = to_single(model)
    assert model.kept.dtype == model.passing.dtype == torch.float32
    assert list(model.state_dict()) == ["kept"]
    restore_precision(model, found)
    assert model.kept.dtype == model.passing.dtype == torch.float16
