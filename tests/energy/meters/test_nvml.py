"""NVML, with a stand-in for NVIDIA's library."""

from __future__ import annotations

import sys
import time
from types import SimpleNamespace
from typing import Any

import pytest

from gossamer.energy.meters import Nvml, nvml
from gossamer.errors import MeterError


class NVMLError(Exception):
    """As the library raises."""


class Driver:
    """Counts millijoules by hand; GPUs may be lost."""

    NVMLError = NVMLError

    def __init__(self, counters: list[int]) -> None:
        self.counters = counters
        self.lost: set[int] = set()
        self.answers = True

    def nvmlInit(self) -> None:
        if not self.answers:
            raise NVMLError("Driver Not Loaded")

    def nvmlDeviceGetCount(self) -> int:
        return len(self.counters)

    def nvmlDeviceGetHandleByIndex(self, index: int) -> int:
        return index

    def nvmlDeviceGetName(self, handle: int) -> bytes:
        return f"GPU-{handle}".encode()

    def nvmlDeviceGetTotalEnergyConsumption(self, handle: int) -> int:
        if handle in self.lost:
            raise NVMLError("GPU is lost")
        return self.counters[handle]


@pytest.fixture
def driver(monkeypatch: pytest.MonkeyPatch) -> Driver:
    found = Driver([5_000, 9_000])
    monkeypatch.setitem(sys.modules, "pynvml", found)
    monkeypatch.setattr(Nvml, "shortest_seconds", 0.01)
    return found


def test_several_gpus_are_added(driver: Driver) -> None:
    meter = Nvml()
    meter.start()
    driver.counters = [5_250, 9_750]
    time.sleep(0.02)
    assert meter.stop() == pytest.approx(1.0)
    assert meter.method == "measured: NVML total energy of GPU-0, GPU-1"


def test_one_gpu_may_be_chosen(driver: Driver) -> None:
    meter = Nvml([1])
    meter.start()
    driver.counters = [6_000, 9_500]
    time.sleep(0.02)
    assert meter.stop() == pytest.approx(0.5)


def test_queued_work_is_waited_for(driver: Driver, monkeypatch: pytest.MonkeyPatch) -> None:
    waited: list[int] = []
    cuda = SimpleNamespace(
        is_available=lambda: True,
        is_initialized=lambda: True,
        device_count=lambda: 2,
        memory_reserved=lambda device: 100,
        synchronize=waited.append,
    )
    monkeypatch.setitem(sys.modules, "torch", SimpleNamespace(cuda=cuda))
    meter = Nvml()
    meter.start()
    assert waited == [0, 1]
    driver.counters = [5_100, 9_100]
    time.sleep(0.02)
    meter.stop()
    assert waited == [0, 1, 0, 1]


def test_a_window_that_is_too_short_says_so(driver: Driver) -> None:
    meter = Nvml()
    meter.start()
    driver.counters = [5_100, 9_100]
    with pytest.raises(MeterError, match=r"too short for NVML.*or more"):
        meter.stop()
    assert nvml._SHORTEST_SECONDS == 1.0


@pytest.mark.parametrize(
    ("counters", "message"), [([4_000, 9_000], "went backwards"), ([5_000, 9_000], "did not move")]
)
def test_a_counter_that_is_not_to_be_trusted_is_no_figure(
    driver: Driver, counters: list[int], message: str
) -> None:
    meter = Nvml()
    meter.start()
    driver.counters = counters
    time.sleep(0.02)
    with pytest.raises(MeterError, match=message):
        meter.stop()


def test_a_gpu_that_disappears_is_named(driver: Driver) -> None:
    meter = Nvml()
    meter.start()
    driver.lost = {1}
    time.sleep(0.02)
    with pytest.raises(MeterError, match=r"GPU 1 \(GPU-1\) cannot be read \(GPU is lost\)"):
        meter.stop()


def test_a_driver_that_does_not_answer_is_explained(driver: Driver) -> None:
    driver.answers = False
    with pytest.raises(MeterError, match=r"does not answer \(Driver Not Loaded\); check"):
        Nvml()


@pytest.mark.parametrize("devices", [[2], [-1], []])
def test_a_gpu_that_is_not_there_is_refused(driver: Driver, devices: list[int]) -> None:
    with pytest.raises(MeterError, match="is not there; this machine shows 2"):
        Nvml(devices)


def test_without_the_library_the_extra_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    missing: Any = None
    monkeypatch.setitem(sys.modules, "pynvml", missing)
    with pytest.raises(MeterError, match=r"install gossamer\[gpu\]"):
        Nvml()
