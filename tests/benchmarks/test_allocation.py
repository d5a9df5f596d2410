"""The benchmark of allocation: curves at equal loss, and all of it on a tiny model."""

from __future__ import annotations

import importlib
import json
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

BENCHMARKS = Path(__file__).parents[2] / "benchmarks"


@pytest.fixture(scope="module")
def allocation() -> Any:
    sys.path.insert(0, str(BENCHMARKS))
    yield importlib.import_module("allocation")
    sys.path.remove(str(BENCHMARKS))


def line(allocation: str, loss: float, seconds: float) -> dict[str, Any]:
    return {"allocation": allocation, "loss": loss, "cpu_seconds": seconds}


def test_savings_are_read_off_at_equal_loss(allocation: Any) -> None:
    uniform = [(0.01, 10.0), (0.1, 8.0), (1.0, 6.0)]
    assert allocation.savings(uniform, [(loss, 0.8 * s) for loss, s in uniform]) == (
        pytest.approx([0.2] * 21)
    )
    # Ten times the loss costs two seconds less: a tenth of the loss is worth as much.
    shifted = [(loss / 10, seconds) for loss, seconds in uniform]
    found = allocation.savings(uniform, shifted)
    assert found == pytest.approx([2 / s for s in np.linspace(10, 8, 21)])


def test_curves_that_do_not_overlap_say_nothing(allocation: Any) -> None:
    assert allocation.savings([(0.1, 2.0), (0.2, 1.0)], [(0.3, 2.0), (0.4, 1.0)]) == []
    assert allocation.savings([(0.1, 2.0)], [(0.1, 2.0), (0.4, 1.0)]) == []
    assert allocation.summary([line("uniform", 0.1, 2.0)])["saved"] is None


def test_points_that_others_beat_are_left_out(allocation: Any) -> None:
    lines = [line("cost", 0.1, 5.0), line("cost", 0.2, 6.0), line("cost", 0.3, 4.0)]
    assert allocation.curve(lines, "cost") == [(0.1, 5.0), (0.3, 4.0)]


def test_the_summary_says_whether_the_target_is_met(allocation: Any) -> None:
    lines = [
        *(line("uniform", loss, seconds) for loss, seconds in ((0.1, 10.0), (0.2, 8.0))),
        *(line("cost", loss, seconds) for loss, seconds in ((0.1, 8.0), (0.2, 6.4))),
    ]
    found = allocation.summary(lines)
    assert found["saved"] == pytest.approx(0.2) and found["met"]
    assert found["saved_range"] == pytest.approx([0.2, 0.2])


class Tiny:
    """A task that takes no time."""

    name = "tiny"

    def __init__(self) -> None:
        torch.manual_seed(0)
        self.model = nn.Sequential(
            nn.Linear(16, 64), nn.ReLU(), nn.Linear(64, 64), nn.ReLU(), nn.Linear(64, 64),
            nn.ReLU(), nn.Linear(64, 4),
        ).eval()  # fmt: skip

    def load(self) -> nn.Module:
        return self.model

    def calibration(self, seed: int, tokens: int) -> dict[str, np.ndarray]:
        random = np.random.default_rng(seed)
        return {"input": random.standard_normal((tokens, 16)).astype(np.float32)}

    def score(self, model: nn.Module) -> dict[str, float]:
        x = torch.randn(50, 16, generator=torch.Generator().manual_seed(1))
        with torch.no_grad():
            return {"loss": float((model(x) - self.model(x)).square().mean())}


@pytest.mark.slow
def test_every_point_is_a_line_and_the_last_sums_up(
    allocation: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(allocation, "make_task", lambda name: Tiny())
    out = tmp_path / "out.jsonl"
    allocation.main(
        ["--task", "minilm", "--sparsity", "0.3", "0.6", "--budget", "1.0", "--out", str(out),
         "--calibration-tokens", "96", "--search-seconds", "0.1", "--min-time", "0.1",
         "--levels", "0.5", "0.9"]
    )  # fmt: skip
    *points, summary = [json.loads(text) for text in out.read_text().splitlines()]
    assert [(one["allocation"], one["asked"]) for one in points] == [
        ("uniform", 0.3), ("uniform", 0.6), ("cost", 1.0)
    ]  # fmt: skip
    assert [round(one["sparsity"], 2) for one in points[:2]] == [0.3, 0.6]
    assert all(one["cpu_seconds"] > 0 and one["environment"]["cores"] for one in points)
    assert points[0]["loss"] < points[1]["loss"]
    assert summary["kind"] == "allocation summary" and summary["task"] == "tiny"


@pytest.mark.slow
def test_the_cnn_is_a_task(allocation: Any) -> None:
    pytest.importorskip("sklearn")
    task = importlib.import_module("allocation_cnn").Task(epochs=0)
    pixels = task.calibration(0, 640)["pixels"]
    assert pixels.shape == (10, 1, 32, 32)
    model = task.load()
    assert task.score(model)["loss"] == 0
    with torch.no_grad():
        model.classifier.weight.zero_()
        model.classifier.bias.zero_()
    assert task.score(model)["loss"] > 0.1
