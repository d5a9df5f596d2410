"""The scenario: a YAML file whose keys carry their units, checked before anything is computed."""

from __future__ import annotations

import difflib
import math
from collections.abc import Mapping, Sequence
from dataclasses import MISSING, Field, dataclass, field, fields
from pathlib import Path
from typing import Any, TypeVar

from gossamer.errors import ScenarioError
from gossamer.extras import needed_for
from gossamer.files import as_path

Point = tuple[float, float]
Part = TypeVar("Part")


def _number(low: float, high: float, unit: str, **more: Any) -> Any:
    """Declare one number within a range, ends included."""
    return field(metadata={"low": low, "high": high, "unit": unit}, **more)


# Above zero, but nothing that anybody builds is smaller.
_TINY = 1e-9


@dataclass(frozen=True)
class AccessPoints:
    """Base stations with computing power.

    Attributes:
        count: N.
        antennas: L, of each.
        power_limit_w: watts that each may send, `[N]`.
        amplifier_efficiency: watts sent by watts drawn, `[N]`.
        relative_joules: what an inference takes here, by what it takes on the machine where it was
            measured, `[N]`; 1 by default.
        positions_m: `[N]` points in the square; drawn by chance if left out.
    """

    count: int = _number(1, 1000, "a count")
    antennas: int = _number(1, 256, "a count")
    power_limit_w: tuple[float, ...] = _number(1e-6, 1e4, "watts")
    amplifier_efficiency: tuple[float, ...] = _number(1e-3, 1, "a fraction, 0 to 1")
    relative_joules: tuple[float, ...] = _number(1e-3, 1e3, "a ratio", default=(1.0,))
    positions_m: tuple[Point, ...] | None = None


@dataclass(frozen=True)
class Users:
    """Who asks for inferences.

    Attributes:
        count: K.
        sinr_target_db: signal by interference and noise that each is to have, `[K]`.
        positions_m: `[K]` points in the square; drawn by chance if left out.
    """

    count: int = _number(1, 1000, "a count")
    sinr_target_db: tuple[float, ...] = _number(-30, 60, "decibels")
    positions_m: tuple[Point, ...] | None = None


@dataclass(frozen=True)
class Tasks:
    """What each user's task takes where it runs.

    Attributes:
        inferences_per_second: `[K]`.
        joules_per_inference: `[K]`; None where a comparison is to tell.
        idle_w: watts of having a task placed at all, `[K]`; 0 by default.
    """

    inferences_per_second: tuple[float, ...] = _number(_TINY, 1e9, "inferences a second")
    joules_per_inference: tuple[float, ...] | None = _number(_TINY, 1e6, "joules", default=None)
    idle_w: tuple[float, ...] = _number(0, 1e5, "watts", default=(0.0,))


@dataclass(frozen=True)
class Channel:
    """How radio waves fade on their way.

    Attributes:
        square_m: side of the square that all stand in.
        path_loss_at_1_m_db: mean loss over the first metre.
        path_loss_exponent: 2 in free space, 3 to 4 in towns.
        shadowing_db: standard deviation of what buildings add or take.
        bandwidth_mhz: noise grows with it.
        noise_figure_db: what a user's receiver adds to thermal noise.
        nearest_m: nobody counts as nearer to an access point; 10 by default.
    """

    square_m: float = _number(1, 1e5, "metres")
    path_loss_at_1_m_db: float = _number(0, 120, "decibels")
    path_loss_exponent: float = _number(1, 8, "a number, 2 in free space")
    shadowing_db: float = _number(0, 20, "decibels")
    bandwidth_mhz: float = _number(1e-3, 1e4, "megahertz")
    noise_figure_db: float = _number(0, 30, "decibels")
    nearest_m: float = _number(1e-2, 1e3, "metres", default=10.0)


@dataclass(frozen=True)
class Scenario:
    """Everything that a study of an edge system needs.

    Attributes:
        access_points, users, tasks, channel: its parts.
        realisations: draws of positions and fading over which figures are taken.
        seed: of these draws.
        sweep_sinr_target_db: targets common to all users, beside their own; none by default.
    """

    access_points: AccessPoints
    users: Users
    tasks: Tasks
    channel: Channel
    realisations: int = _number(1, 10_000, "a count")
    seed: int = _number(0, 2**32 - 1, "a whole number")
    sweep_sinr_target_db: tuple[float, ...] = _number(-30, 60, "decibels", default=())


def read_scenario(path: str | Path) -> Scenario:
    """Return the scenario of a YAML file.

    Raises:
        ScenarioError: if the file cannot be read or is no scenario: the message names the key
            that is missing, unknown, out of range or of the wrong size, and what to do.
        OptionError: if pyyaml is not installed, or `path` is none.
    """
    with needed_for("reading a scenario"):
        import yaml
    path = as_path(path)
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, ValueError) as error:
        raise ScenarioError(f"{path} cannot be read ({error}); check the path") from error
    try:
        return scenario_from(yaml.safe_load(text))
    except RecursionError:
        raise ScenarioError(f"{path} is nested too deeply; a scenario has two levels") from None
    except (yaml.YAMLError, ValueError) as error:
        # Of a date or number that is none PyYAML's own code says so.
        raise ScenarioError(f"{path} is no YAML ({error}); mend it there") from error


def scenario_from(document: Any) -> Scenario:
    """Return the scenario of a dictionary, as a YAML file gives it.

    Raises:
        ScenarioError: as `read_scenario`.
    """
    top = _mapping(Scenario, document, "")
    points = _part(AccessPoints, top["access_points"], "access_points")
    users = _part(Users, top["users"], "users")
    channel = _part(Channel, top["channel"], "channel")
    for name, part in (("access_points", points), ("users", users)):
        for point in part.positions_m or ():
            if not all(0 <= coordinate <= channel.square_m for coordinate in point):
                raise ScenarioError(
                    f"{name}.positions_m holds {list(point)}, outside the square; give points of "
                    f"0 to channel.square_m = {channel.square_m:g} metres"
                )
    rest = {key: value for key, value in top.items() if key not in _PARTS}
    return Scenario(
        access_points=points,
        users=users,
        tasks=_part(Tasks, top["tasks"], "tasks", users.count),
        channel=channel,
        **_values(Scenario, rest, "", None),
    )


_PARTS = ("access_points", "users", "tasks", "channel")


def _part(kind: type[Part], document: Any, where: str, count: int | None = None) -> Part:
    """Return a part of the scenario; `count` is how many numbers its lists hold, if not its own."""
    mapping = _mapping(kind, document, where)
    if "count" in mapping:
        count = _one(mapping["count"], _field(kind, "count"), f"{where}.count")
    return kind(**_values(kind, mapping, where, count))


def _mapping(kind: type[Any], document: Any, where: str) -> dict[str, Any]:
    """Return what a part holds, once every key is known and none is missing."""
    name = where or "the scenario"
    if not isinstance(document, Mapping):
        raise ScenarioError(f"{name} is {document!r}; give keys with values, as in docs/edge.md")
    known = {one.name: one for one in fields(kind)}
    for key in document:
        if key not in known:
            raise ScenarioError(f"{name} has no key {key!r}; {_instead(str(key), known)}")
    for one in known.values():
        if one.name not in document and one.default is MISSING:
            unit = f" ({one.metadata['unit']})" if one.metadata else ""
            raise ScenarioError(f"{name} lacks {one.name}{unit}; add it")
    return dict(document)


def _instead(key: str, known: Mapping[str, Field[Any]]) -> str:
    """Say which key may have been meant: the same quantity in another unit, or a like spelling."""
    stem = key.rpartition("_")[0]
    same = [name for name in known if stem and name.rpartition("_")[0] == stem]
    same += [name for name in known if name.startswith(f"{key}_")]
    near = same or difflib.get_close_matches(key, known, 1)
    if not near:
        return f"it knows {', '.join(known)}"
    unit = known[near[0]].metadata.get("unit")
    return f"did you mean {near[0]}{f', in {unit}' if unit else ''}?"


def _values(
    kind: type[Any], mapping: Mapping[str, Any], where: str, count: int | None
) -> dict[str, Any]:
    """Return the checked values of a part, lists filled up to `count`; None for any length."""
    found: dict[str, Any] = {}
    for one in fields(kind):
        if one.name in _PARTS:
            continue
        key = f"{where}.{one.name}" if where else one.name
        value = mapping.get(one.name, one.default)
        if value is None:
            if one.default is not None:
                raise ScenarioError(f"{key} is empty; give {one.metadata['unit']}")
            found[one.name] = None
        elif one.name == "positions_m":
            found[one.name] = _points(value, key, count)
        elif str(one.type).startswith("tuple"):
            found[one.name] = _many(value, one, key, count)
        else:
            found[one.name] = _one(value, one, key)
    return found


def _one(value: Any, declared: Field[Any], key: str) -> Any:
    """Return one number within its range, whole where a count is wanted."""
    low, high, unit = (declared.metadata[name] for name in ("low", "high", "unit"))
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise ScenarioError(
            f"{key} is {value!r}; give a plain number, in {unit}: the unit is that of the key"
        )
    number = _float(value)
    if declared.type == "int" and math.isfinite(number) and not number.is_integer():
        raise ScenarioError(f"{key} is {number:g}; give a whole number")
    if not low <= number <= high:
        raise ScenarioError(
            f"{key} is {number:g}, which makes no sense in {unit}; give {low:g} to {high:g}"
        )
    return int(number) if declared.type == "int" else number


def _float(value: Any) -> float:
    """A number as Python's float: infinite where it is beyond that."""
    try:
        return float(value)
    except OverflowError:
        return math.inf if value > 0 else -math.inf


def _many(value: Any, declared: Field[Any], key: str, count: int | None) -> tuple[float, ...]:
    """Return a number for each: one given stands for all."""
    if value is declared.default:
        return tuple(declared.default) * (1 if count is None else count)
    if not isinstance(value, Sequence) or isinstance(value, str):
        return (_one(value, declared, key),) * (1 if count is None else count)
    if count is not None and len(value) != count:
        raise ScenarioError(
            f"{key} has {len(value)} numbers for {count}; give one for each, or one for all"
        )
    return tuple(_one(item, declared, f"{key}[{i}]") for i, item in enumerate(value))


def _points(value: Any, key: str, count: int | None) -> tuple[Point, ...]:
    try:
        points = tuple((_float(x), _float(y)) for x, y in value)
    except (TypeError, ValueError) as error:
        raise ScenarioError(f"{key} is no list of points; give [[x, y], ...] in metres") from error
    if len(points) != count:
        raise ScenarioError(f"{key} has {len(points)} points for {count}; give one for each")
    return points


def _field(kind: type[Any], name: str) -> Field[Any]:
    return next(one for one in fields(kind) if one.name == name)
