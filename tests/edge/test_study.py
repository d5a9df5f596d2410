"""A study: the same over processes, fair between methods, and honest about what is not met."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from gossamer.edge import study as module
from gossamer.edge.joules import Joules
from gossamer.edge.scenario import scenario_from
from gossamer.edge.study import compute_w, study
from gossamer.errors import InfeasibleError, OptionError, ScenarioError, SolverError

METHODS = ("refined", "everywhere", "strongest")
JOULES = {
    "dense": Joules("dense, ONNX Runtime", 0.2, 0.19, 0.21, "measured", "RAPL"),
    "sparse": Joules("sparse, Gossamer", 0.05, 0.04, 0.06, "measured", "RAPL"),
}


def test_computing_power_is_joules_times_rate(document: dict[str, Any]) -> None:
    document["tasks"] = {"inferences_per_second": [5, 2], "idle_w": [0, 0.5]}
    document["access_points"]["relative_joules"] = [1, 2, 1]
    watts = compute_w(scenario_from(document), (0.1, 0.3))
    np.testing.assert_allclose(watts, [[0.5, 1.1], [1.0, 1.7], [0.5, 1.1]])


def test_processes_change_nothing(document: dict[str, Any]) -> None:
    scenario = scenario_from(document)
    alone = study(scenario, methods=METHODS).to_dict()
    together = study(scenario, methods=METHODS, processes=2).to_dict()
    assert json.dumps(alone) == json.dumps(together)


def test_the_sparse_model_saves_what_its_placement_takes_less(document: dict[str, Any]) -> None:
    document["sweep_sinr_target_db"] = [0, 3]
    found = study(scenario_from(document), joules=JOULES, methods=METHODS)
    # The users' own targets first, and each once.
    assert found.targets_db == ((3.0, 3.0), (0.0, 0.0))
    dense = np.array(found.watts(0, "dense", "refined"))
    sparse = np.array(found.watts(0, "sparse", "refined"))
    saving = found.saving(0)
    assert saving is not None
    assert saving["watts"].median == pytest.approx(np.median(dense - sparse))
    assert saving["fraction"].median == pytest.approx(np.median(1 - sparse / dense))
    # At least the computing of one placement of each task is saved.
    assert (dense - sparse >= 2 * 5 * (0.2 - 0.05) - 1e-6).all()


def test_without_a_comparison_nothing_is_saved(document: dict[str, Any]) -> None:
    found = study(scenario_from(document), methods=METHODS)
    assert found.models == ("as given",)
    assert found.saving(0) is None


def test_a_method_that_meets_fewer_targets_has_no_median(document: dict[str, Any]) -> None:
    document["users"] |= {"count": 3, "sinr_target_db": 9}
    document["realisations"] = 8
    found = study(scenario_from(document), methods=METHODS)
    met = len(found.watts(0, "as given", "strongest"))
    assert met < len(found.feasible(0))
    assert found.interval(0, "as given", "strongest") is None
    assert found.excess(0, "as given", "strongest") is None
    refined, everywhere = (found.excess(0, "as given", name) for name in METHODS[:2])
    assert refined is not None and everywhere is not None
    assert refined.mean == 0.0
    assert 0 < everywhere.low <= everywhere.mean <= everywhere.high


def test_targets_that_are_missed_now_and_then_are_told(document: dict[str, Any]) -> None:
    document["users"] |= {"count": 4, "sinr_target_db": 6}
    document["access_points"] |= {"count": 2}
    document["realisations"] = 8
    found = study(scenario_from(document), methods=METHODS)
    told = found.to_dict()["points"][0]
    assert 0 < told["feasible"] < 8
    assert len(told["largest_common_sinr_db"]) == 8 - told["feasible"]
    assert all(common < 6 for common in told["largest_common_sinr_db"])
    assert found.to_dict()["example"]["realisation"] == found.feasible(0)[0].number


def test_targets_that_are_never_met_are_an_error(document: dict[str, Any]) -> None:
    document["users"]["sinr_target_db"] = 60
    with pytest.raises(InfeasibleError, match=r"users? .* short; all users alike can have at most"):
        study(scenario_from(document), methods=METHODS)


def test_what_no_solver_decides_is_left_out_and_said(
    document: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    real, calls = module.place, []

    def place(problem: Any, method: str) -> Any:
        calls.append(method)
        if len(calls) == 1:
            raise SolverError("undecided")
        return real(problem, method)

    monkeypatch.setattr(module, "place", place)
    found = study(scenario_from(document), methods=METHODS)
    assert found.undecided == 1
    assert [one.number for one in found.found] == [1]


def test_no_realisation_decided_is_an_error(
    document: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    def place(problem: Any, method: str) -> Any:
        raise SolverError("undecided")

    monkeypatch.setattr(module, "place", place)
    with pytest.raises(SolverError, match="no realisation could be decided"):
        study(scenario_from(document), methods=METHODS)


def test_progress_ends_at_one(document: dict[str, Any]) -> None:
    told: list[float] = []
    study(scenario_from(document), methods=METHODS, progress=told.append)
    assert told == [0.5, 1.0]


def test_somebody_must_say_what_an_inference_takes(document: dict[str, Any]) -> None:
    del document["tasks"]["joules_per_inference"]
    scenario = scenario_from(document)
    with pytest.raises(ScenarioError, match=r"lacks joules_per_inference; .*--compare"):
        study(scenario, methods=METHODS)
    assert study(scenario, joules=JOULES, methods=METHODS).models == ("dense", "sparse")


def test_exhaustive_search_is_among_the_methods_of_small_sizes(document: dict[str, Any]) -> None:
    scenario = replace(scenario_from(document), realisations=1)
    assert "exhaustive" in study(scenario).methods
    document["access_points"]["count"] = 7
    large = replace(scenario_from(document), realisations=1)
    assert "exhaustive" not in study(large).methods


def test_a_method_that_there_is_not(document: dict[str, Any]) -> None:
    with pytest.raises(OptionError, match="no method 'greedy'"):
        study(scenario_from(document), methods=["greedy"])
