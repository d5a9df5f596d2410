"""Estimated energy says that it is estimated, and how."""

from __future__ import annotations

import pytest

from gossamer.energy.meter import CpuTimeEstimate
from gossamer.energy.statistics import Interval
from gossamer.errors import OptionError


def test_joules_are_busy_seconds_times_watts() -> None:
    energy = CpuTimeEstimate(4.0).energy(Interval(0.5, 0.25, 1.0))
    assert energy.joules == Interval(2.0, 1.0, 4.0)


def test_the_word_and_the_method_travel_with_the_figure() -> None:
    energy = CpuTimeEstimate().energy(Interval(1, 1, 1))
    assert energy.kind == "estimated"
    assert energy.method == "estimated: busy CPU seconds x 5 W per core"


@pytest.mark.parametrize("watts", [0, -1, float("nan"), float("inf")])
def test_what_is_no_power_is_refused(watts: float) -> None:
    with pytest.raises(OptionError, match="is no power; give the watts"):
        CpuTimeEstimate(watts)
