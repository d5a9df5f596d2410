"""Two installations of Gossamer in turn, on a model small enough for a test."""

from __future__ import annotations

import importlib
import json
import os
import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

BENCHMARKS = Path(__file__).parents[2] / "benchmarks"

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="it reads /proc")


@pytest.fixture
def against(monkeypatch: pytest.MonkeyPatch) -> Iterator[ModuleType]:
    monkeypatch.setattr(os, "environ", os.environ.copy())
    monkeypatch.syspath_prepend(str(BENCHMARKS))
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join(sys.path))
    yield importlib.import_module("against")


class Fake:
    """An engine whose windows take so long, one after the other."""

    def __init__(self, name: str, seconds: list[float], order: list[str]) -> None:
        self.name, self._seconds, self._order = name, iter(seconds), order
        self.windows: list[dict[str, float]] = []
        self.made = {"version": f"of {name}", "compile_seconds": 1.0}

    def window(self, seconds: float) -> dict[str, float]:
        self._order.append(self.name)
        taken = next(self._seconds)
        return {"seconds": taken, "cpu_seconds": 2 * taken}


def test_pairs_take_turns_and_their_ratios_count(against: ModuleType) -> None:
    """A machine that becomes slower and slower changes no ratio."""
    order: list[str] = []
    drift = np.linspace(1, 9, 120)
    other = Fake("other", list(drift), order)
    ours = Fake("ours", list(1.25 * drift), order)
    against.take_turns(other, ours, pairs=120)
    assert len(order) == 240
    pairs = [set(order[first : first + 2]) for first in range(0, 240, 2)]
    assert pairs == [{"ours", "other"}] * 120
    assert order[:4] == ["ours", "other", "other", "ours"]
    found = against.summary(other, ours)
    assert found["pairs"] == 120
    assert found["times_as_long"] == pytest.approx({"median": 1.25, "low": 1.25, "high": 1.25})
    assert found["times_the_cpu_time"]["median"] == pytest.approx(1.25)
    assert found["versions"] == {"other": "of other", "ours": "of ours"}
    assert found["seconds"]["other"]["median"] == pytest.approx(5)


def test_a_hundred_pairs_at_least(against: ModuleType) -> None:
    order: list[str] = []
    other, ours = (Fake(name, [1.0] * 100, order) for name in ("other", "ours"))
    against.take_turns(other, ours, pairs=3)
    assert len(order) == 200


def build(model: str, sparsity: float, pattern: str, batch: int, file: Path) -> None:
    weight = np.eye(64, dtype=np.float32)
    graph = helper.make_graph(
        [helper.make_node("MatMul", ["x", "w"], ["y"])],
        model,
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, [batch, 64])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, [batch, 64])],
        [numpy_helper.from_array(weight, "w")],
    )
    made = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    onnx.save(made, file)


@pytest.mark.slow
def test_another_installation_runs_in_its_own_interpreter(
    against: ModuleType,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    python = tmp_path / "python"
    # One that finds what it needs by itself, and nothing of this process's.
    python.write_text(
        f'#!/bin/sh\n[ -z "$PYTHONPATH" ] || exit 7\n'
        f"PYTHONPATH='{os.pathsep.join(filter(None, sys.path))}' exec {sys.executable} \"$@\"\n"
    )
    python.chmod(0o755)
    runtime = importlib.import_module("runtime")
    monkeypatch.setattr(runtime, "build", build)
    monkeypatch.setattr(runtime, "example", lambda *_: {"x": np.ones((1, 64), np.float32)})
    monkeypatch.setattr(against, "LEAST_PAIRS", 2)
    monkeypatch.setattr(against, "WINDOW", 0.01)
    runtime.main(["--against", str(python), "--pairs", "3", "--threads", "1"])
    lines: list[dict[str, Any]] = list(map(json.loads, capsys.readouterr().out.splitlines()))
    assert [line["model"] for line in lines] == list(runtime.MODELS)
    for line in lines:
        assert (line["kind"], line["pairs"], line["threads"]) == ("against", 3, 1)
        ratio = line["times_as_long"]
        assert 0 < ratio["low"] <= ratio["median"] <= ratio["high"]
        assert line["max_relative_difference"] == 0
        assert line["environment"]["processor"]
