"""The benchmark of edge inference: what it runs, and what its tables say."""

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
def table() -> Iterator[ModuleType]:
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(str(BENCHMARKS))
        yield importlib.import_module("edge_table")


ENVIRONMENT = {
    "kind": "edge environment",
    "processor": "X",
    "platform": "Y",
    "solvers": {"cvxpy": "1.9"},
}


def instance(**total_w: float | None) -> dict[str, Any]:
    names = {"mixed": "mixed l1,2", "transmit": "log-sum with transmit", "log_sum": "log-sum"}
    known = {names.get(name, name): watts for name, watts in total_w.items()}
    return {
        "kind": "edge instance",
        "optimum_w": 1.0,
        "total_w": known,
        "sparsest_w": {"log-sum": 1.5},
    }


def interval(middle: float, name: str) -> dict[str, float]:
    return {name: middle, "low": 0.9 * middle, "high": 1.1 * middle}


SAME = instance(refined=1.0, transmit=1.0, log_sum=1.02, mixed=1.01, strongest=None)


def test_gaps_are_above_the_optimum_and_held_to_the_limits(table: ModuleType) -> None:
    rows = table.write([ENVIRONMENT, *[SAME] * 20])
    assert any(row.startswith("| refined | 0.00 % (0.00 to 0.00) | 0.00 %") for row in rows)
    assert any("| log-sum | 2.00 %" in row and "| reached | 20 of 20 |" in row for row in rows)
    assert "| strongest | - | - |  |  | 0 of 20 |" in rows
    assert rows[-1] == "X, Y; cvxpy 1.9."


def test_a_tail_that_is_missed_is_said(table: ModuleType) -> None:
    far = instance(refined=1.0, transmit=1.2, log_sum=1.3, mixed=1.3, strongest=1.0)
    rows = table.write([ENVIRONMENT, *[SAME] * 18, *[far] * 2])
    row = next(row for row in rows if row.startswith("| log-sum with transmit"))
    assert "mean reached, 95th percentile **missed**" in row
    row = next(row for row in rows if row.startswith("| strongest"))
    assert row.endswith("|  |  | 2 of 20 |")


def test_log_sum_stands_beside_the_mixed_norm(table: ModuleType) -> None:
    rows = table.write([ENVIRONMENT, *[SAME] * 20])
    told = next(row for row in rows if row.startswith("Beside mixed l1,2"))
    assert "log-sum with transmit -0.99 % (-0.99 to -0.99): less;" in told
    assert "log-sum +0.99 % (+0.99 to +0.99): **more**." in told
    assert "is 50.0 % above the optimum" in told


def test_the_sweep_has_a_row_a_target(table: ModuleType) -> None:
    rows = [
        {"method": "refined", "met": 9, "total_w": interval(2, "median"), "excess": None},
        {"method": "everywhere", "met": 9, "excess": interval(0.5, "mean")},
        {"method": "strongest", "met": 4, "excess": None},
    ]
    points = [
        {
            "kind": "edge sweep",
            "sinr_target_db": decibels,
            "realisations": 10,
            "feasible": 9,
            "rows": rows,
        }
        for decibels in (3, 0)
    ]
    told = table.write([ENVIRONMENT, SAME, *points])
    start = next(i for i, row in enumerate(told) if row.startswith("| SINR target"))
    assert told[start + 2] == (
        "| 0 dB | 2.00 (1.80 to 2.20) | +50.0 % (45.0 to 55.0) | met in 4 | 9 of 10 |"
    )
    assert told[start + 3].startswith("| 3 dB |")


def test_the_large_instance_is_held_to_its_time(table: ModuleType) -> None:
    line = {
        "kind": "edge large",
        "method": "refined",
        "access_points": 20,
        "users": 20,
        "antennas": 2,
        "seconds": 100.0,
        "solves": 240,
        "total_w": 6.8,
        "placed": 44,
    }
    failed = {**line, "method": "strongest", "seconds": 301.0, "total_w": None, "placed": None}
    rows = table.write([ENVIRONMENT, SAME, line, failed])
    assert "| refined | 100 | 240 | 6.80 | 44 | reached |" in rows
    assert "| strongest | 301 | 240 | not met | - | **missed** |" in rows


def test_without_instances_there_is_no_table(table: ModuleType) -> None:
    with pytest.raises(SystemExit, match="no small instance"):
        table.write([ENVIRONMENT])


def test_an_instance_is_solved_by_every_method(
    table: ModuleType, capsys: pytest.CaptureFixture[str]
) -> None:
    pytest.importorskip("cvxpy")
    benchmark = importlib.import_module("edge")
    seed = next(seed for seed in range(20) if benchmark.instance(seed))
    line = json.loads(capsys.readouterr().out)
    assert line["seed"] == seed
    assert line["access_points"] * line["users"] <= 12
    assert line["total_w"]["refined"] >= line["optimum_w"] * (1 - 1e-4)
    assert line["sparsest_w"].keys() >= {"log-sum", "mixed l1,2"}
