"""Two processes that train one model choose the same masks."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import torch

TRAINING = """
import sys
import torch
from torch import distributed, nn
import gossamer as gs

rank, folder = int(sys.argv[1]), sys.argv[2]
distributed.init_process_group(
    "gloo", init_method=f"file://{folder}/meeting", rank=rank, world_size=2
)


def train(method, wrapped):
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(12, 24), nn.ReLU(), nn.Linear(24, 30), nn.ReLU(),
                          nn.Linear(30, 4))
    trained = nn.parallel.DistributedDataParallel(model) if wrapped else model
    optimizer = torch.optim.SGD(trained.parameters(), lr=0.1, momentum=0.9)
    sparsifier = gs.Sparsifier(0.8, steps=30, method=method)
    sparsifier.prepare(trained, optimizer)
    torch.manual_seed(rank)
    for _ in range(30):
        optimizer.zero_grad()
        x = torch.randn(16, 12)
        nn.functional.cross_entropy(trained(x), (x[:, 0] > 0).long()).backward()
        optimizer.step()
        sparsifier.step()
    (mask,) = sparsifier.finalize().values()
    return mask, model.get_parameter("2.weight").detach()


torch.save(
    {
        f"{method} {'wrapped' if wrapped else 'alone'}": train(method, wrapped)
        for method in ("magnitude", "movement", "rigl", "logsum")
        for wrapped in (True, False)
    },
    f"{folder}/{rank}.pt",
)
"""


def test_masks_are_equal_on_all_ranks(tmp_path: Path) -> None:
    """Also without DistributedDataParallel, where the gradients are each process's own."""
    script = tmp_path / "training.py"
    script.write_text(TRAINING, encoding="utf-8")
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    processes = [
        subprocess.Popen(
            [sys.executable, str(script), str(rank), str(tmp_path)],
            env=environment,
            stderr=subprocess.PIPE,
            text=True,
        )
        for rank in range(2)
    ]
    for process in processes:
        _, errors = process.communicate(timeout=120)
        assert process.returncode == 0, errors
    first, second = (torch.load(tmp_path / f"{rank}.pt", weights_only=True) for rank in range(2))
    assert len(first) == 8
    for run, (mask, weight) in first.items():
        other_mask, other_weight = second[run]
        assert torch.equal(mask, other_mask), run
        assert int((~mask).sum()) == 576
        assert (weight[~mask] == 0).all() and (other_weight[~mask] == 0).all()
        assert torch.equal(weight, other_weight) == ("wrapped" in run), run
