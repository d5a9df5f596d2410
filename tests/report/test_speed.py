"""The cell that says how much faster a candidate is."""

from __future__ import annotations

import pytest

from gossamer.report.speed import gain_style, times_faster


def test_the_first_candidate_is_what_the_others_are_compared_with() -> None:
    assert times_faster({"gains": None}).plain == "1"


def test_a_gain_has_its_interval_beside_it() -> None:
    cell = times_faster({"gains": {"latency": {"median": 2.0, "low": 1.8, "high": 2.2}}})
    assert cell.plain == "2.00 (1.80-2.20)"
    assert cell.style == "green"


@pytest.mark.parametrize(
    ("low", "high", "style"), [(1.1, 1.3, "green"), (0.7, 0.9, "red"), (0.9, 1.3, "dim")]
)
def test_only_an_interval_without_one_in_it_is_coloured(
    low: float, high: float, style: str
) -> None:
    assert gain_style({"low": low, "high": high}) == style
