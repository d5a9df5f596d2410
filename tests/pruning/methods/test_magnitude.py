from __future__ import annotations

import torch
from torch import nn

from gossamer.pruning.sparsifier import Sparsifier


def test_the_smallest_weights_go_along_the_cubic_schedule() -> None:
    """Without gradients the masks are those of the first weights, as many as the paper says."""
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(20, 50))
    first = model[0].weight.detach().abs().flatten()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    sparsifier = Sparsifier(0.8, steps=100, ramp=(0.2, 0.7), every=5)
    sparsifier.prepare(model, optimizer)
    for step in range(1, 101):
        optimizer.step()
        sparsifier.step()
        renewed = min(step // 5 * 5, 70)
        progress = max(0.0, (renewed - 20) / 50)
        removed = round(1000 * 0.8 * (1 - (1 - progress) ** 3)) if renewed >= 20 else 0
        zero = model[0].weight.detach().flatten() == 0
        assert int(zero.sum()) == removed, step
        if removed:
            assert first[zero].max() <= first[~zero].min()
