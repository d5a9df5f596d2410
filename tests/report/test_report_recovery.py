"""What the terminal shows of a recovery."""

from __future__ import annotations

import io
from typing import Any

from rich.console import Console

from gossamer.report.recovery import print_recovery

RESULT: dict[str, Any] = {
    "steps": 600,
    "batch_size": 32,
    "samples": 4000,
    "epochs": 4.8,
    "losses": {"hidden": 1.0},
    "history": [
        {"step": 10 * n, "learning_rate": 5e-4, "loss": 1.0 / n, "hidden": 1.0 / n}
        for n in range(1, 61)
    ],
    "sparsity": 0.8,
    "weights": 10_616_832,
    "before": {"dense": 0.9, "sparse": 0.7, "drop": 0.2, "interval": None},
    "after": {"dense": 0.9, "sparse": 0.89, "drop": 0.01, "interval": [0.004, 0.016]},
    "device": "cpu",
    "seconds": 60.0,
    "cpu_seconds": 110.0,
    "energy_spent": {"joules": 550.0, "method": "estimated: so and so"},
    "notes": ["The CPU time allowed 600 of 800 steps."],
}


def shown(**changed: Any) -> str:
    stream = io.StringIO()
    print_recovery({**RESULT, **changed}, Console(file=stream, width=80))
    return " ".join(stream.getvalue().split())


def test_the_loss_is_shown_from_first_to_last_and_what_came_back() -> None:
    text = shown()
    assert "10 0.0005 1 1 " in text and "600 0.0005 0.01667 0.01667" in text
    assert text.count("0.0005") == 10
    assert "0.9000 dense, 0.7000 sparse before and 0.8900 after" in text
    assert "drop +0.2000 before, +0.0100 (+0.0040 to +0.0160) after" in text
    assert "Sparsity 80.0 % over 10.6 M weights was kept" in text
    assert "The CPU time allowed 600 of 800 steps." in text


def test_without_scores_or_history_there_is_a_summary_all_the_same() -> None:
    text = shown(before=None, after=None, history=[])
    assert "was kept" in text and "Score" not in text
