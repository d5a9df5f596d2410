"""Zeros stay zero, whatever trains the model."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from gossamer.errors import OptionError
from gossamer.pruning.masks import Masks


@pytest.fixture
def model() -> nn.Module:
    torch.manual_seed(0)
    made = nn.Sequential(nn.Linear(8, 16), nn.ReLU(), nn.Linear(16, 4))
    with torch.no_grad():
        made[0].weight[:, ::2] = 0
    return made


def train(model: nn.Module, optimizer: torch.optim.Optimizer, steps: int = 3) -> None:
    for _ in range(steps):
        optimizer.zero_grad()
        model(torch.randn(32, 8)).square().sum().backward()
        optimizer.step()


def test_the_masks_are_where_the_zeros_are(model: nn.Module) -> None:
    masks = Masks.of_zeros(model)
    assert list(masks) == ["0.weight"], "a layer without zeros has no mask"
    assert torch.equal(masks["0.weight"], model[0].weight != 0)


@pytest.mark.parametrize(
    "optimizer",
    [
        lambda parameters: torch.optim.SGD(parameters, 0.1, momentum=0.9, weight_decay=0.1),
        lambda parameters: torch.optim.AdamW(parameters, 0.1),
        lambda parameters: torch.optim.Rprop(parameters, 0.1),
    ],
    ids=["sgd", "adamw", "rprop"],
)
def test_zeros_survive_any_optimizer(model: nn.Module, optimizer: object) -> None:
    zero = model[0].weight == 0
    before = model[0].weight.detach().clone()
    trainer = optimizer(model.parameters())  # type: ignore[operator]
    Masks.of_zeros(model).hold(model, trainer)
    train(model, trainer)
    assert (model[0].weight[zero] == 0).all()
    assert (model[0].weight != before)[~zero].all(), "the others learn"


def test_a_removed_hold_lets_the_weights_go(model: nn.Module) -> None:
    trainer = torch.optim.SGD(model.parameters(), 0.1)
    Masks.of_zeros(model).hold(model, trainer).remove()
    train(model, trainer)
    assert (model[0].weight != 0).all()


def test_wrappers_come_and_go(model: nn.Module) -> None:
    masks = Masks.of_zeros(model)
    wrapped = nn.Module()
    wrapped.module = model
    compiled = nn.Module()
    compiled.module = nn.Module()
    compiled.module._orig_mod = model
    other_way = nn.Module()
    other_way._orig_mod = nn.Module()
    other_way._orig_mod.module = model
    for outer in (wrapped, compiled, other_way):
        model[0].weight.data.fill_(1.0)
        masks.apply(outer)
        assert torch.equal(model[0].weight != 0, masks["0.weight"])
        assert list(Masks.of_zeros(outer, layers=None)) == ["0.weight"]


def test_a_tied_weight_has_one_mask(model: nn.Module) -> None:
    tied = nn.Sequential(model[0], nn.ReLU(), nn.Linear(16, 8), nn.Linear(8, 16))
    tied[3].weight = model[0].weight
    assert list(Masks.of_zeros(tied)) == ["0.weight"]


def test_a_weight_gone_wrong_is_still_zeroed(model: nn.Module) -> None:
    masks = Masks.of_zeros(model)
    model[0].weight.data.fill_(float("nan"))
    masks.apply(model)
    assert (model[0].weight[~masks["0.weight"]] == 0).all()


def test_masks_of_another_model_are_refused(model: nn.Module) -> None:
    with pytest.raises(OptionError, match=r"no parameter '0\.weight'"):
        Masks.of_zeros(model).apply(nn.Sequential(nn.Linear(4, 4)))


def test_a_layer_that_is_not_there_is_named(model: nn.Module) -> None:
    with pytest.raises(OptionError, match="'head'"):
        Masks.of_zeros(model, ["head"])
