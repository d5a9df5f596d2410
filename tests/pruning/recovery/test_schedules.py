"""The learning rate rises, and falls to nothing."""

from __future__ import annotations

import pytest
import torch

from gossamer.errors import OptionError
from gossamer.pruning.recovery.schedules import scheduler


def rates(schedule: str, steps: int, warmup: float) -> list[float]:
    optimizer = torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))], lr=2.0)
    plan = scheduler(optimizer, schedule, steps, warmup)
    found = []
    for _ in range(steps):
        found.append(optimizer.param_groups[0]["lr"])
        optimizer.step()
        plan.step()
    return [*found, optimizer.param_groups[0]["lr"]]


def test_linear_is_a_tent() -> None:
    assert rates("linear", 6, 0.34) == pytest.approx([0.5, 1.0, 1.5, 2.0, 4 / 3, 2 / 3, 0.0])


def test_cosine_is_torchs_own_without_warm_up() -> None:
    optimizer = torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))], lr=2.0)
    theirs = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, 8)
    expected = []
    for _ in range(9):
        expected.append(optimizer.param_groups[0]["lr"])
        optimizer.step()
        theirs.step()
    assert rates("cosine", 8, 0.0) == pytest.approx(expected)


def test_constant_stays_after_the_warm_up() -> None:
    assert rates("constant", 4, 0.25) == [1.0, 2.0, 2.0, 2.0, 2.0]


def test_a_warm_up_over_all_steps_only_rises() -> None:
    found = rates("linear", 4, 1.0)[:-1]
    assert found == sorted(found)
    assert found[-1] < 2.0


def test_an_unknown_schedule_is_refused() -> None:
    with pytest.raises(OptionError, match="unknown schedule 'step'; choose one of: constant"):
        rates("step", 4, 0.0)
