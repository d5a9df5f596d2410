"""What a piece of work took is metered like an inference."""

from __future__ import annotations

import time
from dataclasses import replace
from typing import Any

import pytest

from gossamer.energy import Spender, Spending
from gossamer.errors import MeterError


def test_the_first_meter_that_measures_counts(counter: Any) -> None:
    spender = Spender([counter(100.0, "gone", fails_after=0), counter(8.0, "here")])
    time.sleep(0.05)
    spent = spender.spent()
    assert spent.joules == pytest.approx(0.4, rel=0.3)
    assert spent.kind == "measured"
    assert spent.method == "measured: 8 W whatever runs"
    assert spent.seconds == pytest.approx(0.05, rel=0.3)


def test_it_goes_on_counting_from_where_it_was_asked(counter: Any) -> None:
    spender = Spender([counter(10.0)])
    time.sleep(0.05)
    spender.spent()
    time.sleep(0.01)
    assert spender.spent().joules < 0.3


def test_parts_add_up_and_an_estimate_makes_the_whole_one() -> None:
    part = Spending(3.0, "measured", "measured: by x", 1.0, 2.0)
    whole = part + part
    assert (whole.joules, whole.seconds, whole.cpu_seconds) == (6.0, 2.0, 4.0)
    assert (whole.kind, whole.method) == ("measured", "measured: by x")
    mixed = part + replace(part, kind="estimated", method="estimated: by y")
    assert (mixed.kind, mixed.method) == ("estimated", "measured: by x; estimated: by y")


def test_by_default_something_always_measures() -> None:
    assert Spender().spent().joules >= 0


def test_no_meter_at_all_is_said(counter: Any) -> None:
    with pytest.raises(MeterError, match="no meter measured: the counter is gone"):
        Spender([counter(fails_after=0)]).spent()
