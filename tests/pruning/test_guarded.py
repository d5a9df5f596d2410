"""The accuracy-guarded search: what it accepts, logs, and finds again after an interruption."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from gossamer.errors import EvaluationError, ModelError, OptionError
from gossamer.pruning import SparsifyResult, Trial, sparsify
from gossamer.pruning import job as jobs

LEVELS = (0.3, 0.6, 0.9)


class Closeness:
    """An evaluation: minus the outputs' distance from the dense model's; counts its calls."""

    def __init__(self, dense: nn.Module, inputs: np.ndarray, fail_at: int | None = None) -> None:
        self.calls = 0
        self._inputs = torch.from_numpy(inputs)
        self._fail_at = fail_at
        with torch.no_grad():
            self._expected = dense(self._inputs)

    def __call__(self, model: nn.Module) -> float:
        self.calls += 1
        if self.calls == self._fail_at:
            raise RuntimeError("out of memory")
        with torch.no_grad():
            lost = (model(self._inputs) - self._expected).square().sum()
        return -float(lost / (self._expected - self._expected.mean()).square().sum())


def guarded(
    model: nn.Module, inputs: np.ndarray, evaluate: Any = None, **options: Any
) -> SparsifyResult:
    given: dict[str, Any] = {
        "evaluate": evaluate or Closeness(model, inputs),
        "max_drop": 0.1,
        "objective": "bytes",
        "layers": ".",
        "levels": LEVELS,
        "search_seconds": 0.1,
        "threads": 1,
    }
    return sparsify(model, inputs, **{**given, **options})


def same_weights(one: nn.Module, other: nn.Module) -> bool:
    return all(map(torch.equal, one.parameters(), other.parameters()))


def test_the_cheapest_model_within_the_drop_is_found(
    branches: nn.Module, samples: np.ndarray
) -> None:
    result = guarded(branches, samples)
    assert (result.allocation, result.objective) == ("cost", "bytes")
    assert result.drop is not None and 0 < result.drop <= 0.1
    accepted = [trial for trial in result.trials if trial.accepted]
    assert result.cost == min(trial.cost for trial in accepted) < 0.9
    assert len(result.trials) <= 7
    assert all(trial.accepted == (trial.drop <= 0.1 + 1e-9) for trial in result.trials)
    # A step of the search further, the drop was too large.
    refused = [trial.cost for trial in result.trials if not trial.accepted]
    assert max(refused) < result.cost


def test_every_objective_is_saved(branches: nn.Module, samples: np.ndarray) -> None:
    found = guarded(branches, samples, objective="energy", allocation="cost")
    assert {"cpu_seconds", "joules", "bytes", "weights"} == set(found.trials[0].figures)
    found = guarded(branches, samples, objective="sparsity")
    assert set(found.trials[0].figures) == {"bytes", "weights"}
    assert found.cost == pytest.approx(1 - found.sparsity, abs=0.01)


def test_a_mix_is_cheaper_than_uniform_at_the_same_drop(
    branches: nn.Module, samples: np.ndarray
) -> None:
    ours = guarded(branches, samples, search_seconds=1)
    uniform = guarded(branches, samples, allocation="uniform")
    assert ours.trials and uniform.trials
    best = [trial for trial in uniform.trials if trial.accepted][-1]
    assert [t for t in ours.trials if t.accepted][-1].figures["bytes"] < best.figures["bytes"]


def test_the_plan_says_what_each_layer_got(branches: nn.Module, samples: np.ndarray) -> None:
    result = guarded(branches, samples)
    assert list(result.plan) == ["first", "loud", "quiet", "last"]
    assert result.plan["quiet"].sparsity == 0.9
    for layer in result.layers:
        given = result.plan[layer.name]
        assert (given.pattern is None) == (layer.zeros == 0)
        assert layer.sparsity == pytest.approx(given.sparsity, abs=0.5 / layer.weights)


def test_the_guard_goes_by_the_upper_end_of_the_interval(
    branches: nn.Module, samples: np.ndarray
) -> None:
    """Of 200 samples some go wrong: twice as many as there are hundredths of zeros."""

    def right(model: nn.Module) -> np.ndarray:
        zeros = float((model.loud.weight == 0).double().mean())
        found = np.ones(200)
        found[: round(20 * zeros)] = 0
        return found

    result = guarded(branches, samples, right, allocation="uniform", layers="loud", max_drop=0.05)
    assert result.drop_interval is not None and result.drop is not None
    assert result.drop < 0.04 and result.drop_interval[1] <= 0.05 + 1e-9
    assert any(t.drop <= 0.05 < t.interval[1] and not t.accepted for t in result.trials)


def test_the_frontier_has_what_nothing_beats(branches: nn.Module, samples: np.ndarray) -> None:
    result = guarded(branches, samples)
    points = {(trial.cost, trial.score) for trial in result.trials}
    best = {
        (cost, score)
        for cost, score in points
        if not any(c <= cost and s >= score and (c, s) != (cost, score) for c, s in points)
    }
    frontier = [(trial.cost, trial.score) for trial in result.frontier]
    assert set(frontier) == best and frontier == sorted(frontier)


def test_an_evaluation_that_fails_in_the_middle_loses_nothing(
    branches: nn.Module, samples: np.ndarray, tmp_path: Path
) -> None:
    whole = guarded(branches, samples)
    failing = Closeness(branches, samples, fail_at=5)
    with pytest.raises(EvaluationError, match="evaluate failed: RuntimeError: out of memory"):
        guarded(branches, samples, failing, folder=tmp_path / "job")
    logged = (tmp_path / "job" / "trials.jsonl").read_text().splitlines()
    # Two for the dense model; the third trial failed.
    assert len(logged) == 2
    solved = {file.name: file.stat().st_mtime_ns for file in (tmp_path / "job/database").iterdir()}

    going_on = Closeness(branches, samples)
    result = guarded(branches, samples, going_on, folder=tmp_path / "job")
    # One logged trial is made again, to see that it is scored alike.
    assert going_on.calls <= 2 + 1 + len(result.trials) - 2
    assert [trial.asked for trial in result.trials[:2]] == [t.asked for t in whole.trials[:2]]
    for name, when in solved.items():
        assert (tmp_path / "job/database" / name).stat().st_mtime_ns == when, "solved once"

    again = Closeness(branches, samples)
    finished = guarded(branches, samples, again, folder=tmp_path / "job")
    assert again.calls == 2 + 1, "a finished search only checks one trial, and makes its model"
    assert finished.trials == result.trials
    assert same_weights(finished.model, result.model)
    assert finished.drop == pytest.approx(result.drop)


def test_another_bound_goes_on_from_the_same_trials(
    branches: nn.Module, samples: np.ndarray, tmp_path: Path
) -> None:
    guarded(branches, samples, folder=tmp_path / "job")
    other = Closeness(branches, samples)
    result = guarded(branches, samples, other, folder=tmp_path / "job", max_drop=0.02)
    assert other.calls < 2 + 1 + len(result.trials)
    assert result.drop is not None and result.drop <= 0.02


def test_a_plan_that_was_tried_is_not_tried_again(branches: nn.Module, samples: np.ndarray) -> None:
    """One layer has three levels, and seven budgets lead to them."""
    evaluate = Closeness(branches, samples)
    result = guarded(branches, samples, evaluate, layers="quiet", max_drop=5)
    assert len(result.trials) > 3 and evaluate.calls <= 2 + len(LEVELS)
    told = " ".join(result.notes)
    assert "trials came to a model that had been tried already" in told
    assert "Every layer is at the highest level, 0.9, and the score still within" in told


def test_each_trial_is_told_in_a_line(
    branches: nn.Module, samples: np.ndarray, capsys: pytest.CaptureFixture[str]
) -> None:
    result = guarded(branches, samples, progress=True)
    lines = [line for line in capsys.readouterr().err.splitlines() if "% sparse" in line]
    assert len(lines) == len(result.trials)
    for line, trial in zip(lines, result.trials, strict=True):
        assert f"{100 * trial.sparsity:.1f} % sparse" in line
        assert ("(within 0.1)" in line) == trial.accepted


def test_the_log_has_every_figure(branches: nn.Module, samples: np.ndarray, tmp_path: Path) -> None:
    result = guarded(branches, samples, folder=tmp_path / "job")
    lines = [
        json.loads(line) for line in (tmp_path / "job" / "trials.jsonl").read_text().splitlines()
    ]
    assert len(lines) == len(result.trials)
    for line, trial in zip(lines, result.trials, strict=True):
        for name in ("asked", "sparsity", "cost", "figures", "score", "drop", "seconds"):
            assert line[name] == getattr(trial, name)


def test_the_folder_of_another_job_is_refused(
    branches: nn.Module, samples: np.ndarray, tmp_path: Path
) -> None:
    guarded(branches, samples, folder=tmp_path / "job")
    with pytest.raises(OptionError, match="another job: its calibration data differ"):
        guarded(branches, samples + 1, folder=tmp_path / "job")
    with pytest.raises(OptionError, match="another job: its solver differ"):
        guarded(branches, samples, folder=tmp_path / "job", solver="wanda")
    with torch.no_grad():
        branches.first.bias += 1
    with pytest.raises(OptionError, match="another job: its model differ"):
        guarded(branches, samples, folder=tmp_path / "job")


def named_alike(measure: Callable[[Any], float]) -> Callable[[Any], float]:
    """An evaluation whose name says nothing of what it measures."""

    def evaluate(model: Any) -> float:
        return measure(model)

    return evaluate


@pytest.mark.parametrize("value", [1.0, 5.0])
def test_trials_by_another_evaluation_are_made_again(
    branches: nn.Module, samples: np.ndarray, tmp_path: Path, value: float
) -> None:
    """Whether it scores the dense model alike (1) or not (5)."""
    always = named_alike(lambda model: value)
    lenient = guarded(branches, samples, always, folder=tmp_path / "job")
    assert lenient.scores is not None and lenient.scores.sparse == value
    closeness = Closeness(branches, samples)
    evaluate = named_alike(lambda model: 1 + closeness(model))
    result = guarded(branches, samples, evaluate, folder=tmp_path / "job")
    fresh = guarded(branches, samples, evaluate)
    assert result.scores is not None
    assert result.scores.sparse == pytest.approx(evaluate(result.model))
    assert [trial.score for trial in result.trials] == pytest.approx(
        [trial.score for trial in fresh.trials]
    )
    assert any("another evaluation" in note for note in result.notes) == (value == 1.0)


def test_a_log_that_was_damaged_by_hand_is_no_error(
    branches: nn.Module, samples: np.ndarray, tmp_path: Path
) -> None:
    whole = guarded(branches, samples, folder=tmp_path / "job")
    log = tmp_path / "job" / "trials.jsonl"
    line = json.loads(log.read_text().splitlines()[0])
    broken: list[Any] = [[], 3, {}, {**line, "extra": 1}]
    for key in line:
        broken += [{**line, key: value} for value in (None, "x", [], {}, [1], -1, {"a": ["b"]})]
        broken.append({other: line[other] for other in line if other != key})
    log.write_text("\n".join(json.dumps(one) for one in broken) + "\n")
    result = guarded(branches, samples, folder=tmp_path / "job")
    assert result.drop is not None and result.drop <= 0.1
    assert result.cost == pytest.approx(whole.cost)


def test_costs_that_were_damaged_by_hand_are_measured_again(
    branches: nn.Module, samples: np.ndarray, tmp_path: Path
) -> None:
    guarded(branches, samples, folder=tmp_path / "job", objective="energy", allocation="cost")
    (file,) = (tmp_path / "job").glob("costs-*.json")
    file.write_text(json.dumps({"rest": "much", "dense": [], "sparse": {"first": 1}, "notes": 2}))
    again = guarded(
        branches, samples, folder=tmp_path / "job", objective="energy", allocation="cost"
    )
    assert again.cost is not None
    assert set(json.loads(file.read_text())["dense"]) == {"first", "loud", "quiet", "last"}


def test_noise_larger_than_the_bound_is_said(branches: nn.Module, samples: np.ndarray) -> None:
    random = np.random.default_rng(0)
    result = guarded(
        branches, samples, lambda model: random.random(), max_drop=0.001, allocation="uniform"
    )
    assert "noisier than the bound" in result.notes[0]


def test_so_few_samples_that_nothing_can_pass_is_said(
    branches: nn.Module, samples: np.ndarray
) -> None:
    result = guarded(
        branches, samples, lambda model: np.ones(20), max_drop=0.01, allocation="uniform"
    )
    assert "20 samples are too few" in result.notes[0]


def test_a_model_that_cannot_be_compiled_is_searched_uniformly_and_that_is_said(
    branches: nn.Module, samples: np.ndarray, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: Any) -> None:
        raise ModelError("operator Foo has no kernel")

    monkeypatch.setattr(jobs, "measure", refuse)
    result = guarded(branches, samples, objective="energy")
    assert result.allocation == "uniform"
    assert "operator Foo has no kernel" in result.notes[0]
    with pytest.raises(ModelError, match="operator Foo"):
        guarded(branches, samples, objective="energy", allocation="cost")


def test_where_sparsity_saves_nothing_that_is_said(
    branches: nn.Module, samples: np.ndarray, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(jobs.Job, "least_budget", lambda job, objective: 0.995)
    result = guarded(branches, samples, objective="energy")
    assert result.allocation == "uniform" and result.objective == "sparsity"
    assert "saves no energy on this model and machine" in result.notes[0]


def test_a_drop_on_unseen_data_beyond_the_bound_is_said(
    branches: nn.Module, samples: np.ndarray
) -> None:
    strict = Closeness(branches, samples)
    result = guarded(branches, samples, final_evaluate=lambda model: 10 * strict(model))
    assert result.final_drop is not None and result.final_drop > 0.1
    assert any("more than max_drop=0.1" in note for note in result.notes)


def test_an_interval_on_unseen_data_beyond_the_bound_is_said(
    branches: nn.Module, samples: np.ndarray
) -> None:
    """Half of the unseen samples lose far more than the other half: on average, nothing."""
    lost = np.tile([2.0, -2.0], 10)
    touched = [parameter.detach().clone() for parameter in branches.parameters()]

    def held_out(model: nn.Module) -> np.ndarray:
        same = all(map(torch.equal, model.parameters(), touched))
        return np.zeros(20) if same else lost

    result = guarded(branches, samples, final_evaluate=held_out)
    assert result.final_drop == 0
    assert any("but its 95 % interval" in note for note in result.notes)


def test_time_is_told_by_stage(branches: nn.Module, samples: np.ndarray) -> None:
    result = guarded(branches, samples)
    assert {"database", "costs", "search", "trials"} == set(result.spent)
    assert sum(spent.seconds for spent in result.spent.values()) < result.seconds
    told = json.loads(json.dumps(result.to_dict()))
    assert told["spent"]["database"]["cpu_seconds"] > 0
    assert told["plan"]["quiet"] == {"pattern": "unstructured", "sparsity": 0.9}
    assert told["frontier"] == [trial.to_dict() for trial in result.frontier]


def trial(cost: float, score: float) -> Trial:
    return Trial(cost, 0.5, cost, "bytes", {}, score, 0.0, None, True, 1.0)


def test_of_trials_that_cost_the_same_the_better_one_is_on_the_frontier(
    branches: nn.Module, samples: np.ndarray
) -> None:
    from dataclasses import replace

    trials = (trial(0.5, 0.7), trial(0.5, 0.8), trial(0.7, 0.8), trial(0.9, 0.9), trial(0.3, 0.2))
    result = replace(guarded(branches, samples), trials=trials)
    assert [(one.cost, one.score) for one in result.frontier] == [
        (0.3, 0.2),
        (0.5, 0.8),
        (0.9, 0.9),
    ]
