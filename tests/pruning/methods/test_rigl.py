from __future__ import annotations

import math

import pytest
import torch
from torch import nn

from gossamer.models.torch_layers import find_layers
from gossamer.pruning.methods.method import Moment
from gossamer.pruning.methods.rigl import RigL
from gossamer.pruning.methods.trained_layer import TrainedLayer
from gossamer.pruning.sparsifier import Sparsifier
from gossamer.sparsity.patterns import get_pattern


def layer(weight: torch.Tensor, sparsity: float, pattern: str = "unstructured") -> TrainedLayer:
    model = nn.Sequential(nn.Linear(weight.shape[1], weight.shape[0], bias=False))
    model[0].weight.data = weight
    return TrainedLayer("0.weight", find_layers(model)[0], sparsity, get_pattern(pattern))


@pytest.mark.parametrize("progress", [0.0, 0.3, 0.7, 1.0])
def test_drop_and_grow_are_those_of_the_paper(progress: float) -> None:
    """Algorithm 1 by sorting: ArgTopK(-|w|) of the active, ArgTopK(|g|) of all that are left."""
    torch.manual_seed(0)
    one = layer(torch.randn(10, 20), 0.8)
    method = RigL()
    method.start(one, 0.8, torch.Generator().manual_seed(0))
    one.apply()
    assert int(one.mask.sum()) == 40
    gradient = torch.randn(10, 20)
    active = set(one.mask.flatten().nonzero().flatten().tolist())
    size = one.weight().abs().flatten()
    kept_count = 200 - round(200 * (1 - 0.2 * (1 - 0.15 * (1 + math.cos(math.pi * progress)))))
    kept = set(sorted(active, key=lambda index: -size[index])[:kept_count])
    grown = sorted(set(range(200)) - kept, key=lambda index: -abs(gradient.flatten()[index]))
    expected = kept | set(grown[: 40 - kept_count])

    method.see_gradient(one, gradient, due=True)
    method.renew(one, Moment(0.8, 0.8, 10, progress))
    assert set(one.mask.flatten().nonzero().flatten().tolist()) == expected
    assert (expected == active) == (progress == 1.0)


def test_blocks_drop_and_grow_whole() -> None:
    torch.manual_seed(0)
    one = layer(torch.randn(16, 12), 0.75, "block:4x1")
    method = RigL()
    method.start(one, 0.75, torch.Generator().manual_seed(0))
    one.apply()
    before = one.mask
    method.see_gradient(one, torch.randn(16, 12), due=True)
    method.renew(one, Moment(0.75, 0.75, 10, 0.1))
    blocks = one.mask.reshape(4, 4, 12)
    assert (blocks.all(dim=1) == blocks.any(dim=1)).all()
    assert int(one.mask.sum()) == 48 and not torch.equal(one.mask, before)


def test_sparsity_is_constant_and_what_grows_starts_at_zero_without_momentum() -> None:
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(20, 30), nn.ReLU(), nn.Linear(30, 40), nn.ReLU())
    optimizer = torch.optim.SGD(model.parameters(), lr=0.05, momentum=0.9)
    sparsifier = Sparsifier(0.8, steps=40, method="rigl", every=5, layers=".*")
    sparsifier.prepare(model, optimizer)
    changes = 0
    for _ in range(40):
        before = sparsifier.masks
        optimizer.zero_grad()
        model(torch.randn(32, 20)).square().sum().backward()
        optimizer.step()
        sparsifier.step()
        masks = sparsifier.masks
        assert sum(int(mask.sum()) for mask in masks.values()) == 360
        for name, parameter in model.named_parameters():
            if name in masks:
                grown = masks[name] & ~before[name]
                changes += int(grown.sum())
                assert (parameter[grown] == 0).all()
                assert (optimizer.state[parameter]["momentum_buffer"][grown] == 0).all()
    assert changes > 0
