"""The benchmark of the comparison itself: what it runs, and what its table says."""

from __future__ import annotations

import importlib
import json
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

BENCHMARKS = Path(__file__).parents[2] / "benchmarks"


@pytest.fixture(scope="module")
def modules() -> Iterator[tuple[ModuleType, ModuleType]]:
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(str(BENCHMARKS))
        yield importlib.import_module("coverage"), importlib.import_module("coverage_table")


def comparison(kind: str, low: float, high: float) -> dict[str, Any]:
    gain = [low, (low + high) / 2, high]
    return {
        "kind": "comparison",
        "candidates": kind,
        "true_gain": 1.0 if kind == "equal" else 1 / 1.05,
        "gains": dict.fromkeys(("latency", "cpu_seconds", "energy"), gain),
        "rounds": 20,
        "seconds": 3.0,
    }


LINES: list[dict[str, Any]] = [
    {"kind": "coverage environment", "processor": "X", "platform": "Y"},
    {
        "kind": "overhead",
        "meters": ["CPU time"],
        "milliseconds": 10.0,
        "seconds_of_a_reading": 0.001,
        "longer_with_meters": 0.002,
    },
]


def test_the_table_counts_intervals_that_hold_the_truth(modules: Any) -> None:
    equal = [comparison("equal", 0.99, 1.01)] * 95 + [comparison("equal", 1.01, 1.02)] * 5
    copies = [comparison("copies", 0.99, 0.999), comparison("copies", 0.99, 1.0)]
    unequal = [comparison("different", 0.94, 0.96)] * 9 + [comparison("different", 0.94, 1.1)]
    rows = modules[1].write([*LINES, *equal, *copies, *unequal])
    row = "| latency | 95 of 100, 95.0 % | 88.8 to 97.8 % | 92 to 98 % | reached |"
    assert row in rows
    assert "| latency | 1 of 2, 50.0 % | 9.5 to 90.5 % | 0.9948 | 0.6 % |" in rows
    assert "| energy | 9 of 10 | 0.950 | 3.0, 3.0 |" in rows
    assert any("takes +0.20 % between two readings (at most 1 %: reached)" in row for row in rows)


def test_a_miss_is_said(modules: Any) -> None:
    rows = modules[1].write([*LINES, *[comparison("equal", 0.99, 1.01)] * 50])
    assert any("50 of 50, 100.0 %" in row and "**missed**" in row for row in rows)


def test_without_comparisons_there_is_no_table(modules: Any) -> None:
    with pytest.raises(SystemExit, match="no comparison of equals"):
        modules[1].write(LINES)


def test_a_comparison_is_told_with_its_gains(
    modules: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    modules[0].compared("different", 100, 200, 0.0)
    line = json.loads(capsys.readouterr().out)
    assert line["true_gain"] == 0.5
    assert line["gains"].keys() == {"latency", "cpu_seconds", "energy"}
    assert 0.2 < line["gains"]["cpu_seconds"][1] < 1
    assert modules[0].overhead(modules[0].work(100))["seconds_of_a_reading"] > 0
