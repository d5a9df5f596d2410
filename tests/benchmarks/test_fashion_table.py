"""The table of sparse training compares like with like, and says what was reached."""

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
        yield importlib.import_module("fashion_table")


def line(method: str, sparsity: float, seed: int, accuracy: float) -> dict[str, Any]:
    return {
        "kind": "fashion",
        "method": method,
        "pattern": "unstructured",
        "sparsity": sparsity,
        "seed": seed,
        "epochs": 3,
        "accuracy": accuracy,
        "model_sparsity": 0.99 * sparsity,
        "weights": 1000,
        "cpu_seconds": 60.0,
        "environment": {"processor": "X", "platform": "Y", "versions": {"torch": "2"}},
    }


DENSE = [line("dense", 0.0, 0, 0.93), line("dense", 0.0, 1, 0.91)]


def test_each_seed_is_compared_with_its_own_dense_network(table: ModuleType) -> None:
    rows = table.write([*DENSE, line("magnitude", 0.9, 1, 0.908), line("magnitude", 0.9, 2, 0.5)])
    assert "| 90 % | 89.1 % | `magnitude` | 90.80 | 0.20 | 0.3 | reached | 1 |" in rows


def test_the_best_method_is_held_to_the_limit_by_its_mean(table: ModuleType) -> None:
    sparse = [line("rigl", 0.95, 0, 0.92), line("rigl", 0.95, 1, 0.904)]
    rows = table.write([*DENSE, *sparse, line("movement", 0.95, 0, 0.90)])
    assert "| 95 % | 94.0 % | `rigl` | 91.20 ± 1.13 | 0.80 | 0.7 | **missed** | 2 |" in rows
    assert "| 95 % | 94.0 % | `movement` | 90.00 | 3.00 |  |  | 1 |" in rows
    assert "|  |  | dense | 92.00 ± 1.41 |  |  |  | 2 |" in rows


def test_without_the_dense_network_there_is_no_table(table: ModuleType) -> None:
    with pytest.raises(SystemExit, match="no line of the dense network"):
        table.write([line("rigl", 0.9, 0, 0.9)])
