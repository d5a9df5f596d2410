"""The table of allocations shows every point, and what choosing by cost saves."""

from __future__ import annotations

import importlib
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
        yield importlib.import_module("allocation_table")


POINT: dict[str, Any] = {
    "kind": "allocation",
    "task": "cnn",
    "allocation": "cost",
    "asked": 0.5,
    "solver": "admm",
    "seed": 0,
    "sparsity": 0.613,
    "loss": 0.0042,
    "cpu_seconds": 0.00125,
    "cpu_seconds_interval": [0.00124, 0.00127],
    "times_less_than_dense": 2.0,
    "rounds": 40,
    "environment": {"processor": "X", "platform": "Y"},
}


def summary(**values: Any) -> dict[str, Any]:
    return {"kind": "allocation summary", "task": "cnn", "target": 0.15, **values}


def test_a_point_shows_its_budget_loss_and_cost(table: ModuleType) -> None:
    rows = table.write([POINT, summary(saved=0.2, saved_range=[0.18, 0.25], met=True)])
    assert "| cnn | cost 0.5 | 61.3 % | 0.0042 | 1.250 | 1.240 to 1.270 | 2.00 |" in rows
    assert "| cnn | 20.0 % | 18.0 to 25.0 % | 15 % | reached |" in rows
    assert "40 rounds" in rows[-1]


def test_a_miss_is_said(table: ModuleType) -> None:
    rows = table.write([POINT, summary(saved=0.1, saved_range=[0.05, 0.12], met=False)])
    assert "| cnn | 10.0 % | 5.0 to 12.0 % | 15 % | **missed** |" in rows


def test_models_without_a_loss_in_common_are_not_compared(table: ModuleType) -> None:
    rows = table.write([POINT, summary(saved=None, saved_range=None, met=False)])
    assert "| cnn | no loss in common |  | 15 % | **missed** |" in rows


def test_an_unfinished_benchmark_has_no_table(table: ModuleType) -> None:
    with pytest.raises(SystemExit, match="no summary"):
        table.write([POINT])
