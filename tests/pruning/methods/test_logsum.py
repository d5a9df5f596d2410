from __future__ import annotations

import numpy as np
import pytest
import torch
from scipy.optimize import minimize
from torch import nn

from gossamer.models.torch_layers import find_layers
from gossamer.pruning.methods.logsum import LogSum, group_norms
from gossamer.pruning.methods.method import Moment
from gossamer.pruning.methods.trained_layer import TrainedLayer
from gossamer.pruning.sparsifier import Sparsifier
from gossamer.sparsity.patterns import get_pattern


def layer(weight: torch.Tensor, pattern: str) -> TrainedLayer:
    model = nn.Sequential(nn.Linear(weight.shape[1], weight.shape[0], bias=False))
    model[0].weight.data = weight.clone()
    return TrainedLayer("0.weight", find_layers(model)[0], 0.5, get_pattern(pattern))


def test_the_step_is_the_minimum_of_distance_and_penalty() -> None:
    """SciPy minimises 1/2 |v - w|^2 + amount * sqrt(4) * rms(v) for every block of four."""
    torch.manual_seed(0)
    weight = torch.randn(8, 3)
    one = layer(weight, "block:4x1")
    method = LogSum()
    method.renew(one, Moment(0.0, 0.5, 4, 0.2))
    amount = one.state["shrink"]
    method.after_step(one)
    for rows in (slice(0, 4), slice(4, 8)):
        for column in range(3):
            block = weight[rows, column].double().numpy()
            # The root mean square is the norm over sqrt(4), so the penalty's factor is 2 amounts.
            factor = 2 * float(amount[rows.start, column])
            best = minimize(
                lambda v, block=block, factor=factor: (
                    0.5 * np.square(v - block).sum() + factor * np.sqrt(np.square(v).sum() + 1e-16)
                ),
                block,
                tol=1e-12,
            ).x
            found = one.weight()[rows, column].numpy()
            np.testing.assert_allclose(found, best, atol=1e-4)


def test_weights_of_groups_are_those_of_the_log_sum() -> None:
    one = layer(torch.tensor([[1.0, 2.0, 3.0, 4.0]]), "unstructured")
    LogSum().renew(one, Moment(0.0, 0.5, 2, 0.5))
    epsilon = 0.1 * 2.5
    # The two smallest must go in two steps: the larger of them sets lambda.
    strength = 1.001 * 2.0 * (2.0 + epsilon) / 2
    expected = [strength / (norm + epsilon) for norm in (1.0, 2.0, 3.0, 4.0)]
    assert one.state["shrink"].flatten().tolist() == pytest.approx(expected)


@pytest.mark.parametrize("pattern", ["unstructured", "block:4x1", "block:3x5", "channel"])
def test_without_a_gradient_the_ramp_follows_its_schedule(pattern: str) -> None:
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(20, 40, bias=False))
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    sparsifier = Sparsifier(0.8, steps=50, method="logsum", pattern=pattern, every=5, ramp=(0, 1))
    sparsifier.prepare(model, optimizer)
    for step in range(1, 50):
        optimizer.step()
        sparsifier.step()
        if step % 5 == 0 and step > 5:
            asked = 0.8 * (1 - (1 - step / 50) ** 3)
            # To a group: a row here has 20 of 800 weights.
            assert sparsifier.current_sparsity == pytest.approx(asked, abs=0.026)


def test_norms_are_the_root_mean_square_of_whole_and_cut_groups() -> None:
    weight = torch.arange(1.0, 16.0).reshape(5, 3)
    norms = group_norms(weight, get_pattern("block:4x2"))
    assert norms[0, 0] == pytest.approx(float(weight[:4, :2].square().mean().sqrt()))
    assert norms[4, 2] == weight[4, 2]
    rows = group_norms(weight, get_pattern("channel"))
    assert torch.allclose(rows[:, 0], weight.square().mean(dim=1).sqrt())
    assert torch.equal(rows[:, 0], rows[:, 2])
