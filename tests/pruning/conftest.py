"""A module with layers of several kinds, its data, and jobs on it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from gossamer.models import open_model
from gossamer.progress import showing
from gossamer.pruning.database import levels_of
from gossamer.pruning.folder import Folder
from gossamer.pruning.job import Job
from gossamer.sparsity.patterns import get_pattern
from gossamer.sparsity.solvers import get_solver

LEVELS = (0.3, 0.6, 0.9)


@pytest.fixture
def samples() -> np.ndarray[Any, Any]:
    return np.random.default_rng(0).standard_normal((96, 12)).astype(np.float32)


@pytest.fixture
def network() -> nn.Module:
    torch.manual_seed(0)
    torch.set_num_threads(1)
    return nn.Sequential(
        nn.Linear(12, 24), nn.ReLU(), nn.Linear(24, 24), nn.ReLU(), nn.Linear(24, 24), nn.ReLU(),
        nn.Linear(24, 5),
    ).eval()  # fmt: skip


class Branches(nn.Module):
    """Two layers side by side, one of which hardly matters."""

    def __init__(self) -> None:
        super().__init__()
        self.first = nn.Linear(12, 24)
        self.loud, self.quiet = nn.Linear(24, 24), nn.Linear(24, 24)
        self.last = nn.Linear(24, 5)

    def forward(self, input: torch.Tensor) -> torch.Tensor:
        hidden = self.first(input).relu()
        return self.last(self.loud(hidden) + 0.02 * self.quiet(hidden))


@pytest.fixture
def branches() -> nn.Module:
    torch.manual_seed(0)
    torch.set_num_threads(1)
    return Branches().eval()


@pytest.fixture
def job_of(samples: np.ndarray[Any, Any]) -> Iterator[Callable[..., Job]]:
    """A function that makes a job; what it holds is freed when the test ends."""
    made: list[Job] = []

    def make(
        model: Any,
        *,
        batches: list[dict[str, np.ndarray[Any, Any]]] | None = None,
        patterns: tuple[str, ...] = ("unstructured",),
        solver: str = "obs",
        folder: Path | None = None,
        search_seconds: float = 0.5,
    ) -> Job:
        dense = open_model(model)
        which = [get_pattern(name) for name in patterns]
        if batches is None:
            batches = [{"input": samples[:48]}, {"input": samples[48:]}]
        with showing(False) as progress:
            job = Job(
                dense,
                dense.layers(),
                batches,
                get_solver(solver),
                which,
                levels_of(which, LEVELS),
                threads=1,
                search_seconds=search_seconds,
                folder=Folder(folder, {}) if folder else None,
                progress=progress,
            )
        made.append(job)
        return job

    yield make
    for job in made:
        job.__exit__(None, None, None)
