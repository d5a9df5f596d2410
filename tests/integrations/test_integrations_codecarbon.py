"""CodeCarbon as a meter, with a stand-in for its tracker and with the package where installed."""

from __future__ import annotations

import sys
import time
from types import SimpleNamespace
from typing import Any

import pytest

from gossamer.errors import MeterError
from gossamer.integrations.codecarbon import CodeCarbonMeter


class Tracker:
    """Reckons 36 W, as CodeCarbon's own does: in kilowatt-hours."""

    made: dict[str, Any]

    def __init__(self, **options: Any) -> None:
        Tracker.made = options
        self.began: dict[str, float] = {}

    def start_task(self, name: str) -> None:
        assert name not in self.began
        self.began[name] = time.perf_counter()

    def stop_task(self, name: str) -> SimpleNamespace:
        seconds = time.perf_counter() - self.began[name]
        return SimpleNamespace(duration=seconds, energy_consumed=36 * seconds / 3.6e6)


@pytest.fixture
def tracker(monkeypatch: pytest.MonkeyPatch) -> None:
    module = SimpleNamespace(OfflineEmissionsTracker=Tracker)
    monkeypatch.setitem(sys.modules, "codecarbon", module)


@pytest.mark.usefixtures("tracker")
def test_kilowatt_hours_become_joules() -> None:
    meter = CodeCarbonMeter(shortest_seconds=0.01, tracking_mode="process")
    for _ in range(2):
        meter.start()
        time.sleep(0.05)
        assert meter.stop() == pytest.approx(1.8, rel=0.3)
    assert meter.kind == "estimated"
    assert Tracker.made["tracking_mode"] == "process"
    assert not Tracker.made["save_to_file"]


@pytest.mark.usefixtures("tracker")
def test_a_window_that_is_too_short_says_so() -> None:
    meter = CodeCarbonMeter()
    meter.start()
    with pytest.raises(MeterError, match="too short for CodeCarbon; measure 1 s or more"):
        meter.stop()
    with pytest.raises(MeterError, match="was not started"):
        meter.stop()


def test_without_the_package_it_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    missing: Any = None
    monkeypatch.setitem(sys.modules, "codecarbon", missing)
    with pytest.raises(MeterError, match=r"install gossamer\[codecarbon\]"):
        CodeCarbonMeter()


@pytest.mark.slow
def test_the_package_itself_measures_a_second() -> None:
    pytest.importorskip("codecarbon")
    meter = CodeCarbonMeter()
    meter.start()
    end = time.perf_counter() + 1.2
    while time.perf_counter() < end:
        pass
    assert meter.stop() > 1
