from __future__ import annotations

import torch
from torch import nn

from gossamer.pruning.sparsifier import Sparsifier


def test_scores_add_up_minus_weight_times_gradient_and_choose_the_mask() -> None:
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(6, 4, bias=False))
    optimizer = torch.optim.SGD(model.parameters(), lr=0.01)
    sparsifier = Sparsifier(0.5, steps=10, method="movement", ramp=(0.5, 0.5), every=1)
    sparsifier.prepare(model, optimizer)
    expected = torch.zeros(4, 6)
    for _ in range(5):
        optimizer.zero_grad()
        model(torch.randn(8, 6)).square().sum().backward()
        gradient = model[0].weight.grad.clone()
        optimizer.step()
        expected -= model[0].weight.detach() * gradient
        sparsifier.step()
    kept = sparsifier.masks["0.weight"]
    assert int(kept.sum()) == 12
    assert expected[kept].min() >= expected[~kept].max()


def test_a_weight_comes_back_with_the_value_that_it_had() -> None:
    """The first weight is removed at once, then its gradient raises its score above the others."""
    model = nn.Sequential(nn.Linear(3, 1, bias=False))
    model[0].weight.data = torch.tensor([[1.0, 2.0, 4.0]])
    optimizer = torch.optim.SGD(model.parameters(), lr=0.0)
    sparsifier = Sparsifier(
        1 / 3, steps=20, method="movement", schedule="constant", ramp=(0, 1), every=1
    )
    sparsifier.prepare(model, optimizer)

    def step(gradient: list[float]) -> list[float]:
        model[0].weight.grad = torch.tensor([gradient])
        optimizer.step()
        sparsifier.step()
        return model[0].weight.flatten().tolist()

    assert step([1.0, -1.0, -1.0]) == [0.0, 2.0, 4.0]
    assert step([-9.0, 0.0, 0.0]) == [1.0, 0.0, 4.0], "its score rises while it is zero"


def test_gradients_are_seen_also_where_the_optimizer_computes_them() -> None:
    def scores(closure: bool) -> torch.Tensor:
        torch.manual_seed(0)
        model = nn.Sequential(nn.Linear(6, 4))
        optimizer = torch.optim.SGD(model.parameters(), lr=0.01)
        sparsifier = Sparsifier(0.5, steps=6, method="movement")
        sparsifier.prepare(model, optimizer)

        def gradient() -> torch.Tensor:
            optimizer.zero_grad()
            loss = model(torch.randn(8, 6)).square().sum()
            loss.backward()
            return loss

        for _ in range(3):
            if closure:
                optimizer.step(gradient)
            else:
                gradient()
                optimizer.step()
            sparsifier.step()
        return sparsifier.state_dict()["layers"]["0.weight"]["score"]

    assert scores(True).count_nonzero()
    assert torch.equal(scores(True), scores(False))
