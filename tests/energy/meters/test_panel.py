"""Meters together: one that fails leaves the others be."""

from __future__ import annotations

import math
import time
from typing import Any

from gossamer.energy.meters import Panel


def test_every_meter_measures_the_window(counter: Any) -> None:
    panel = Panel([counter(8.0, "a"), counter(2.0, "b", shortest_seconds=0.3)])
    assert panel.shortest_seconds == 0.3
    panel.start()
    time.sleep(0.01)
    first, second = panel.stop()
    assert 3.5 < first / second < 4.5
    assert panel.failures == []


def test_a_meter_that_fails_gives_no_figure_and_its_reason(counter: Any) -> None:
    panel = Panel([counter(8.0, "a", fails_after=1), counter(2.0, "b")])
    figures = []
    for _ in range(3):
        panel.start()
        time.sleep(0.002)
        figures.append(panel.stop())
    assert [math.isnan(first) for first, _ in figures] == [False, True, True]
    assert all(second > 0 for _, second in figures)
    assert panel.failures == ["a: the counter is gone; plug it in again"]


def test_what_a_meter_of_someone_else_raises_is_its_own_failure(counter: Any) -> None:
    class Odd(counter):  # type: ignore[misc]
        def start(self) -> None:
            raise RuntimeError("CUDA error\nsee above")

    panel = Panel([Odd(name="odd"), counter(2.0, "odd")])
    panel.start()
    time.sleep(0.002)
    first, second = panel.stop()
    assert math.isnan(first)
    assert second > 0
    assert panel.failures == ["odd: CUDA error see above"]


def test_a_window_may_be_asked_again_as_it_goes_on(counter: Any) -> None:
    panel = Panel([counter(8.0)])
    panel.start()
    time.sleep(0.01)
    (first,) = panel.stop()
    time.sleep(0.01)
    assert panel.stop()[0] > 1.5 * first
