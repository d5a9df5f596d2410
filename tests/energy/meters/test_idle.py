"""What a machine takes when nothing runs can be left out."""

from __future__ import annotations

import time
from typing import Any

import pytest

from gossamer.energy.meters import AboveIdle, idle_watts
from gossamer.errors import MeterError, OptionError


def test_idle_power_is_measured_over_a_window_long_enough(counter: Any) -> None:
    started = time.perf_counter()
    assert idle_watts(counter(12.0, shortest_seconds=0.05), 0.001) == pytest.approx(12, rel=0.05)
    assert time.perf_counter() - started >= 0.05


def test_what_is_no_time_is_refused(counter: Any) -> None:
    with pytest.raises(OptionError, match="idle is inf; give seconds"):
        idle_watts(counter(), float("inf"))


def test_only_what_comes_on_top_is_counted(counter: Any) -> None:
    meter = AboveIdle(counter(12.0), 10.0)
    meter.start()
    time.sleep(0.1)
    assert meter.stop() == pytest.approx(0.2, rel=0.2)
    assert meter.method.endswith("; less 10 W measured idle")
    assert meter.kind == "measured"


def test_less_than_idle_is_no_figure(counter: Any) -> None:
    meter = AboveIdle(counter(8.0), 10.0)
    meter.start()
    time.sleep(0.01)
    with pytest.raises(MeterError, match="no more than the idle 10 W was measured"):
        meter.stop()
