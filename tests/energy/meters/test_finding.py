"""Which meters work here, and what would make more of them work."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from gossamer.energy.meters import default_meters, find_meters, finding
from gossamer.errors import MeterError, OptionError


def missing() -> None:
    raise MeterError("there is none; buy one")


@pytest.fixture
def machine(monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    def has(rapl: Any = missing, nvml: Any = missing) -> None:
        monkeypatch.setattr(finding, "_COUNTERS", {"RAPL": rapl, "NVML": nvml})
        monkeypatch.setattr(finding, "Rapl", rapl)

    return has


def test_a_meter_that_is_missing_says_what_to_do(machine: Any) -> None:
    machine()
    rapl, nvml, estimate = find_meters()
    assert (rapl.meter, rapl.says) == (None, "there is none; buy one")
    assert nvml.meter is None
    assert estimate.meter is not None
    assert estimate.says.startswith("estimated")
    assert [meter.name for meter in default_meters()] == ["CPU time"]


def test_what_is_measured_comes_before_what_is_estimated(machine: Any, counter: Any) -> None:
    machine(rapl=lambda: counter(name="RAPL"), nvml=lambda: counter(name="NVML"))
    assert [found.says[:8] for found in find_meters()] == ["measured", "measured", "estimate"]
    assert [meter.name for meter in default_meters()] == ["RAPL", "CPU time"]


def test_a_power_that_the_user_gives_is_the_estimate_s(machine: Any, counter: Any) -> None:
    machine(rapl=lambda: counter(name="RAPL"))
    measured, estimate = default_meters(watts_per_core=3.0)
    assert measured.name == "RAPL"
    assert "3 W per core (as given)" in estimate.method
    with pytest.raises(OptionError, match="watts_per_core is -1; give the watts"):
        find_meters(watts_per_core=-1)
