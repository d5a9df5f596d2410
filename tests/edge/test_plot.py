"""The pictures hold what the study holds, and are written all or none."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from gossamer.edge.baselines import METHODS
from gossamer.edge.joules import Joules
from gossamer.edge.plot import (
    _STYLES,
    convergence_figure,
    map_figure,
    power_figure,
    write_pictures,
)
from gossamer.edge.scenario import scenario_from
from gossamer.edge.study import study
from gossamer.errors import OutputError


@pytest.fixture(scope="module")
def told(make_document: Callable[[], dict[str, Any]]) -> dict[str, Any]:
    """A study of two models and two targets; not to be changed."""
    document = make_document()
    document["sweep_sinr_target_db"] = [0, 3]
    joules = {name: Joules(name, j, j, j, "measured", "RAPL") for name, j in (("a", 2), ("b", 1))}
    return study(
        scenario_from(document), joules=joules, methods=["log-sum", "mixed l1,2", "everywhere"]
    ).to_dict()


def test_power_has_a_line_for_each_method_and_model(told: dict[str, Any]) -> None:
    figure = power_figure(told)
    above = figure.axes[:2]
    for axis, model in zip(above, ("a", "b"), strict=True):
        assert axis.get_title() == f"{model} model, {2 if model == 'a' else 1} J an inference"
        _, labels = axis.get_legend_handles_labels()
        assert labels == ["refined", "log-sum", "mixed l1,2", "everywhere"]
        medians = axis.containers[0].lines[0].get_ydata()
        # Points come by rising target, whatever the users' own.
        rows = [told["points"][i]["rows"] for i in (1, 0)]
        expected = [
            next(r for r in one if r["model"] == model)["total_w"]["median"] for one in rows
        ]
        assert list(medians) == expected


def test_the_map_has_a_line_for_each_task_that_runs(told: dict[str, Any]) -> None:
    figure = map_figure(told)
    for axis, model in zip(figure.axes, ("a", "b"), strict=True):
        placed = told["example"]["placements"][model]["refined"]["placed"]
        assert len(axis.lines) == placed
        assert f"{placed} tasks run" in axis.get_title()


def test_convergence_shows_history_and_scan(told: dict[str, Any]) -> None:
    left, right = convergence_figure(told).axes
    history = told["example"]["placements"]["a"]["log-sum"]["history"]
    assert [line.get_label() for line in left.lines] == ["log-sum"]
    assert list(left.lines[0].get_ydata()) == [value / history[0] for value in history]
    assert [line.get_label() for line in right.lines] == ["log-sum", "mixed l1,2"]


def test_every_method_has_a_look_of_its_own() -> None:
    assert _STYLES.keys() == METHODS.keys()
    assert len({colour for colour, _, _ in _STYLES.values()}) == len(METHODS)
    assert len({mark for _, mark, _ in _STYLES.values()}) == len(METHODS)


def test_pictures_are_written_with_the_result(told: dict[str, Any], tmp_path: Path) -> None:
    folder = tmp_path / "out"
    pictures = ["convergence.png", "map.png", "power.png"]
    # Without an example there is only power; an earlier result may be replaced.
    for given, written in (({**told, "example": None}, ["power.png"]), (told, pictures)):
        write_pictures(given, folder)
        names = sorted(path.name for path in folder.iterdir())
        assert names == [*written, "result.json"]
        assert (folder / "power.png").read_bytes().startswith(b"\x89PNG")


def test_one_model_and_one_target_make_a_picture(document: dict[str, Any], tmp_path: Path) -> None:
    told = study(scenario_from(document), methods=["everywhere"]).to_dict()
    write_pictures(told, tmp_path / "out")


def test_what_is_there_is_kept(told: dict[str, Any], tmp_path: Path) -> None:
    (tmp_path / "mine.txt").write_text("x", encoding="utf-8")
    with pytest.raises(OutputError, match="exists already"):
        write_pictures(told, tmp_path)


def test_a_sparse_model_s_folder_is_no_earlier_result(told: dict[str, Any], tmp_path: Path) -> None:
    (tmp_path / "result.json").write_text("{}", encoding="utf-8")
    (tmp_path / "model.gossamer.safetensors").write_bytes(b"weights")
    with pytest.raises(OutputError, match="exists already"):
        write_pictures(told, tmp_path)
    assert (tmp_path / "model.gossamer.safetensors").exists()
