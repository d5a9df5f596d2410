"""Zeus as a meter, with a stand-in for its monitor."""

from __future__ import annotations

import sys
from types import SimpleNamespace
from typing import Any

import pytest

from gossamer.errors import MeterError
from gossamer.integrations.zeus import ZeusMeter


class Monitor:
    """Gives a window's measurement as ZeusMonitor does."""

    def __init__(self, **measurement: Any) -> None:
        self.measurement = {"time": 2.0, "gpu_energy": {}, "cpu_energy": None, "dram_energy": None}
        self.measurement |= measurement
        self.windows = 0

    def begin_window(self, key: str, restart: bool) -> None:
        self.windows += restart

    def end_window(self, key: str) -> SimpleNamespace:
        return SimpleNamespace(**self.measurement)


def test_processors_memory_and_gpus_are_added() -> None:
    monitor = Monitor(gpu_energy={0: 10.0, 1: 5.0}, cpu_energy={0: 3.0}, dram_energy={0: 0.5})
    meter = ZeusMeter(monitor)
    meter.start()
    assert meter.stop() == 18.5
    assert meter.kind == "measured"
    assert monitor.windows == 1


@pytest.mark.parametrize(
    ("measurement", "message"),
    [({"time": 0.1, "cpu_energy": {0: 1.0}}, "too short for Zeus"), ({}, "no counter that moved")],
)
def test_what_was_not_measured_is_no_zero(measurement: dict[str, Any], message: str) -> None:
    meter = ZeusMeter(Monitor(**measurement))
    meter.start()
    with pytest.raises(MeterError, match=message):
        meter.stop()
    with pytest.raises(MeterError, match="was not started"):
        meter.stop()


def test_without_the_package_or_a_device_the_reason_is_named(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    missing: Any = None
    monkeypatch.setitem(sys.modules, "zeus.monitor", missing)
    with pytest.raises(MeterError, match=r"install gossamer\[zeus\]"):
        ZeusMeter()

    def fail() -> None:
        raise RuntimeError("no RAPL")

    monkeypatch.setitem(sys.modules, "zeus", SimpleNamespace())
    monkeypatch.setitem(sys.modules, "zeus.monitor", SimpleNamespace(ZeusMonitor=fail))
    with pytest.raises(MeterError, match=r"Zeus cannot measure here \(no RAPL\)"):
        ZeusMeter()
