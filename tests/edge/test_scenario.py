"""A scenario is read whole or refused with one line that names the key and the remedy."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import pytest
import yaml

from gossamer.edge.scenario import Scenario, read_scenario, scenario_from
from gossamer.errors import OptionError, ScenarioError

EXAMPLE = Path(__file__).parents[2] / "examples" / "edge-scenario.yaml"


def test_the_example_is_a_scenario() -> None:
    scenario = read_scenario(EXAMPLE)
    assert scenario.access_points.count == 4
    assert scenario.users.sinr_target_db == (6.0,) * 4
    assert scenario.sweep_sinr_target_db[0] == 0.0


@pytest.mark.parametrize("path", [None, 5, b"a", ["a"], {}])
def test_what_is_no_path_is_one_line(path: Any) -> None:
    with pytest.raises(OptionError, match="a path must be a str or a Path, not"):
        read_scenario(path)


def test_one_number_stands_for_all(document: dict[str, Any]) -> None:
    scenario = scenario_from(document)
    assert scenario.access_points.power_limit_w == (1.0, 1.0, 1.0)
    assert scenario.tasks.inferences_per_second == (5.0, 5.0)
    # What is left out has a default, for each.
    assert scenario.access_points.relative_joules == (1.0, 1.0, 1.0)
    assert scenario.tasks.idle_w == (0.0, 0.0)
    assert scenario.channel.nearest_m == 10.0
    assert scenario.sweep_sinr_target_db == ()


def test_a_list_gives_each_its_own(document: dict[str, Any]) -> None:
    document["access_points"]["power_limit_w"] = [1, 2, 0.5]
    document["access_points"]["positions_m"] = [[0, 0], [10, 20], [300, 300]]
    scenario = scenario_from(document)
    assert scenario.access_points.power_limit_w == (1.0, 2.0, 0.5)
    assert scenario.access_points.positions_m == ((0, 0), (10, 20), (300, 300))


def test_joules_may_be_left_to_a_comparison(document: dict[str, Any]) -> None:
    del document["tasks"]["joules_per_inference"]
    assert scenario_from(document).tasks.joules_per_inference is None


def test_a_scenario_is_hashable_and_frozen(document: dict[str, Any]) -> None:
    scenario = scenario_from(document)
    assert isinstance(scenario, Scenario) and hash(scenario) == hash(scenario_from(document))
    with pytest.raises(AttributeError):
        scenario.seed = 1  # type: ignore[misc]


REQUIRED = [
    *(f"access_points.{key}" for key in ("count", "antennas", "power_limit_w")),
    *("access_points.amplifier_efficiency", "users.count", "users.sinr_target_db"),
    *("tasks.inferences_per_second", "channel.square_m", "channel.path_loss_exponent"),
    *("channel.path_loss_at_1_m_db", "channel.shadowing_db", "channel.bandwidth_mhz"),
    *("channel.noise_figure_db", "access_points", "users", "tasks", "channel"),
    *("realisations", "seed"),
]


@pytest.mark.parametrize("key", REQUIRED)
def test_a_missing_key_is_named(document: dict[str, Any], key: str) -> None:
    part, _, name = key.rpartition(".")
    del (document[part] if part else document)[name]
    with pytest.raises(ScenarioError, match=rf"^{part or 'the scenario'} lacks {name}.*; add it$"):
        scenario_from(document)


@pytest.mark.parametrize(
    ("part", "key", "says"),
    [
        ("access_points", "power_limit_dbm", "did you mean power_limit_w, in watts?"),
        ("access_points", "power_limit", "did you mean power_limit_w, in watts?"),
        ("users", "sinr_target", "did you mean sinr_target_db, in decibels?"),
        ("channel", "bandwidth_hz", "did you mean bandwidth_mhz, in megahertz?"),
        ("tasks", "inference_per_second", "did you mean inferences_per_second"),
        ("channel", "colour", "it knows square_m, path_loss_at_1_m_db"),
    ],
)
def test_an_unknown_key_is_named_with_what_was_meant(
    document: dict[str, Any], part: str, key: str, says: str
) -> None:
    document[part][key] = 1
    with pytest.raises(ScenarioError) as caught:
        scenario_from(document)
    assert f"{part} has no key {key!r}; " in str(caught.value)
    assert says in str(caught.value)


@pytest.mark.parametrize(
    ("part", "key", "value", "says"),
    [
        ("access_points", "power_limit_w", -1, "is -1, which makes no sense in watts; give"),
        ("access_points", "power_limit_w", [1, -2, 1], r"power_limit_w\[1\] is -2"),
        ("access_points", "power_limit_w", "1 W", "is '1 W'; give a plain number, in watts"),
        ("access_points", "amplifier_efficiency", 25, "is 25, .* a fraction, 0 to 1"),
        ("access_points", "count", 2.5, "is 2.5; give a whole number"),
        ("access_points", "count", math.inf, "is inf, which makes no sense in a count"),
        ("access_points", "count", math.nan, "is nan, which makes no sense in a count"),
        ("access_points", "count", 10**400, "is inf, which makes no sense in a count"),
        ("users", "sinr_target_db", -(10**400), "is -inf, which makes no sense in decibels"),
        ("access_points", "count", 0, "is 0, which makes no sense"),
        ("access_points", "antennas", True, "is True; give a plain number"),
        ("users", "sinr_target_db", 400, "is 400, which makes no sense in decibels"),
        ("users", "sinr_target_db", float("nan"), "is nan, which makes no sense"),
        ("users", "sinr_target_db", None, "sinr_target_db is empty; give decibels"),
        ("tasks", "inferences_per_second", 0, "is 0, which makes no sense"),
        ("tasks", "joules_per_inference", -0.1, "is -0.1, which makes no sense in joules"),
        ("tasks", "idle_w", -1, "is -1, which makes no sense in watts"),
        ("channel", "square_m", 0.4, "is 0.4, which makes no sense in metres"),
        ("channel", "path_loss_exponent", 36.7, "is 36.7, which makes no sense"),
        ("channel", "bandwidth_mhz", 10_000_000, "which makes no sense in megahertz"),
    ],
)
def test_values_that_make_no_sense(
    document: dict[str, Any], part: str, key: str, value: Any, says: str
) -> None:
    document[part][key] = value
    with pytest.raises(ScenarioError, match=rf"^{part}\.{key}.*|{says}") as caught:
        scenario_from(document)
    assert caught.match(says)


@pytest.mark.parametrize(
    ("part", "key", "value", "says"),
    [
        ("access_points", "power_limit_w", [1, 1], "power_limit_w has 2 numbers for 3"),
        ("users", "sinr_target_db", [1, 1, 1], "sinr_target_db has 3 numbers for 2"),
        ("tasks", "inferences_per_second", [1], "inferences_per_second has 1 numbers for 2"),
        ("users", "positions_m", [[1, 1]], "users.positions_m has 1 points for 2"),
        ("users", "positions_m", [[1, 1], [2]], "no list of points"),
        ("users", "positions_m", 7, "no list of points"),
        ("users", "positions_m", [[1, 1], [2, 301]], "outside the square"),
    ],
)
def test_sizes_and_places_must_match(
    document: dict[str, Any], part: str, key: str, value: Any, says: str
) -> None:
    document[part][key] = value
    with pytest.raises(ScenarioError, match=says):
        scenario_from(document)


@pytest.mark.parametrize("document", [None, [], "users", {"users": 3}, {"users": None}])
def test_what_is_no_scenario(document: Any) -> None:
    with pytest.raises(ScenarioError, match=r"give keys with values|lacks"):
        scenario_from(document)


def test_a_part_without_keys(document: dict[str, Any]) -> None:
    document["users"] = None
    with pytest.raises(ScenarioError, match="users is None; give keys with values"):
        scenario_from(document)


def test_files_that_cannot_be_read(tmp_path: Path, document: dict[str, Any]) -> None:
    with pytest.raises(ScenarioError, match=r"gone\.yaml cannot be read .*check the path"):
        read_scenario(tmp_path / "gone.yaml")
    path = tmp_path / "scenario.yaml"
    path.write_text("users: [", encoding="utf-8")
    with pytest.raises(ScenarioError, match="is no YAML"):
        read_scenario(path)
    path.write_bytes(b"\xff\xfe\x00")
    with pytest.raises(ScenarioError):
        read_scenario(path)
    path.write_text(yaml.safe_dump(document), encoding="utf-8")
    assert read_scenario(path) == scenario_from(document)


def test_yaml_makes_no_objects(tmp_path: Path) -> None:
    path = tmp_path / "evil.yaml"
    path.write_text("!!python/object/apply:os.getcwd []", encoding="utf-8")
    with pytest.raises(ScenarioError, match="is no YAML"):
        read_scenario(path)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("[" * 20_000, "nested too deeply"),
        ("a: " + "{b: " * 5_000, "nested too deeply"),
        ("realisations: 2026-13-45", "is no YAML"),
        ("realisations: !!int many", "is no YAML"),
        ("a: [", "is no YAML"),
    ],
)
def test_text_that_the_parser_cannot_take_is_one_line(tmp_path: Path, text: str, said: str) -> None:
    (tmp_path / "bad.yaml").write_text(text)
    with pytest.raises(ScenarioError, match=said):
        read_scenario(tmp_path / "bad.yaml")


def test_a_path_that_no_system_takes_is_named() -> None:
    with pytest.raises(OptionError, match="names no file"):
        read_scenario("a\0b.yaml")
