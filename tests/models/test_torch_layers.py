"""Which parameters of a module are weights that can be pruned."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from gossamer.models.torch_layers import find_layers, left_out


@pytest.mark.parametrize(
    ("odd", "reason"),
    [
        (nn.Linear(4, 0), "no element"),
        (nn.Linear(0, 4), "no element"),
        (nn.Conv2d(3, 4, (0, 1)), "no element"),
        (nn.Linear(4, 4).to(torch.float8_e5m2), "elements of torch.float8_e5m2"),
        (nn.Linear(4, 4, dtype=torch.complex64), "elements of torch.complex64"),
    ],
)
@pytest.mark.filterwarnings("ignore")
def test_what_holds_no_real_numbers_is_left_out_and_told(odd: nn.Module, reason: str) -> None:
    model = nn.Sequential(nn.Linear(4, 4), odd)
    assert [found.layer.name for found in find_layers(model)] == ["0"]
    (left,) = left_out(model)
    assert left.name == "1.weight" and reason in left.reason
