"""What the loop notes: thinned history, and what all processes spent."""

from __future__ import annotations

import torch

from gossamer.pruning.recovery.processes import Processes
from gossamer.pruning.recovery.training import Spent, State, Watch, progress_of, state_of


def test_history_holds_means_and_is_thinned() -> None:
    state = State(steps=1001)
    for step in range(1001):
        state.note({"loss": float(step)}, 0.1)
    assert len(state.history) == 167, "six steps a mean, and what is left"
    assert state.history[0] == {"step": 6, "learning_rate": 0.1, "loss": 2.5}
    assert state.history[-1]["step"] == 1001
    few = State(steps=3)
    for step in range(3):
        few.note({"loss": float(step)}, 0.1)
    assert [point["loss"] for point in few.history] == [0.0, 1.0, 2.0]


def test_a_state_survives_being_written_down() -> None:
    state = State(steps=1000, spent=Spent(1.5, 2.5))
    for step in range(7):
        state.note({"loss": float(step)}, 0.1)
    assert state_of(progress_of(state)) == state


class Four(Processes):
    """This process and three that used as much again as it did, twice over."""

    size = 4

    def mean(self, tensor: torch.Tensor) -> torch.Tensor:
        return tensor * 2


def test_time_of_all_processes_counts_once() -> None:
    spent = Spent(10.0, 20.0)
    watch = Watch(Four(torch.device("cpu")), spent)
    sum(range(10**6))
    watch.read()
    first = Spent(spent.seconds, spent.cpu_seconds)
    assert first.seconds > 10.0
    assert first.cpu_seconds > 20.0
    watch.read(together=True)
    own = (first.cpu_seconds - 20.0) / 4
    assert own * 8 <= spent.cpu_seconds - 20.0 < own * 8 + 1.0
