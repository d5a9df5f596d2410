"""Estimated energy says that it is estimated, and how."""

from __future__ import annotations

import subprocess
import sys
import time

import pytest

from gossamer.energy.meters import CpuTimeEstimate, cpu_time
from gossamer.errors import MeterError, OptionError


def work(seconds: float) -> None:
    end = time.thread_time() + seconds
    while time.thread_time() < end:
        pass


def test_joules_are_busy_seconds_times_watts_and_memory_times_time() -> None:
    meter = CpuTimeEstimate(4.0)
    assert meter.joules(0.5, 2.0) == 2.0
    assert meter.joules(0.5, 2.0, 10.0) == pytest.approx(2.0 + 0.3725 * 20)


def test_a_window_counts_what_this_process_computes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cpu_time, "MEMORY_WATTS_PER_GB", 0.0)
    meter = CpuTimeEstimate(10.0)
    meter.start()
    work(0.1)
    time.sleep(0.1)
    assert 1.0 <= meter.stop() < 1.5


@pytest.mark.parametrize("ended", [True, False], ids=["ended", "alive"])
def test_children_count_whether_they_have_ended_or_not(
    monkeypatch: pytest.MonkeyPatch, ended: bool
) -> None:
    monkeypatch.setattr(cpu_time, "MEMORY_WATTS_PER_GB", 0.0)
    code = (
        "import sys, time\n"
        "while time.process_time() < 0.3: pass\n"
        "print('done', flush=True); sys.stdin.read()"
    )
    meter = CpuTimeEstimate(10.0)
    meter.start()
    child = subprocess.Popen(
        [sys.executable, "-c", code], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    )
    assert child.stdout is not None
    child.stdout.readline()
    if ended:
        child.communicate()
    joules = meter.stop()
    child.communicate()
    assert joules > 2.5


def test_memory_is_charged_while_nothing_is_computed() -> None:
    meter = CpuTimeEstimate(1e-9)
    held = bytearray(500_000_000)
    held[::4096] = b"x" * len(held[::4096])
    meter.start()
    time.sleep(0.2)
    assert meter.stop() > 0.5 * 0.3725 * 0.2


def test_the_word_and_the_method_travel_with_the_figure() -> None:
    meter = CpuTimeEstimate(7.5)
    assert meter.kind == "estimated"
    assert meter.method == (
        "estimated: busy CPU seconds x 7.5 W per core (as given) + 0.37 W per GB of memory"
    )


def test_by_default_the_power_is_what_the_maker_publishes(monkeypatch: pytest.MonkeyPatch) -> None:
    name = "Intel(R) Xeon(R) Platinum 8375C CPU @ 2.90GHz"
    monkeypatch.setattr(cpu_time, "processor", lambda: name)
    monkeypatch.setattr(cpu_time.psutil, "cpu_count", lambda logical=True: 8)
    meter = CpuTimeEstimate()
    assert meter.watts_per_core == 300 / 32
    assert "(Intel Xeon Platinum 8375C: 300 W TDP by 32 threads)" in meter.method
    # Two hardware threads a core share its power.
    monkeypatch.setattr(cpu_time.psutil, "cpu_count", lambda logical=True: 8 if logical else 4)
    assert CpuTimeEstimate().watts_per_core == 300 / 64


def test_an_unknown_processor_is_assumed_to_take_five_watts_a_core(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(cpu_time, "processor", lambda: "Abacus 1")
    meter = CpuTimeEstimate()
    assert meter.watts_per_core == 5
    assert "5 W per core (assumed)" in meter.method


@pytest.mark.parametrize("watts", [0, -1, float("nan"), float("inf")])
def test_what_is_no_power_is_refused(watts: float) -> None:
    with pytest.raises(OptionError, match=r"watts_per_core is .*; give the watts"):
        CpuTimeEstimate(watts)


def test_a_window_must_begin_before_it_ends() -> None:
    with pytest.raises(MeterError, match="was not started"):
        CpuTimeEstimate().stop()
