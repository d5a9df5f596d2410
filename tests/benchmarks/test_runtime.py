"""The benchmark of engines, on a model small enough for a test."""

from __future__ import annotations

import contextlib
import importlib
import io
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


def build(model: str, sparsity: float, pattern: str, batch: int, file: Path) -> None:
    random = np.random.default_rng(0)
    weight = random.standard_normal((64, 64), np.float32)
    weight[random.random(weight.shape) < sparsity] = 0
    graph = helper.make_graph(
        [helper.make_node("MatMul", ["x", "w"], ["y"])],
        "tiny",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, [batch, 64])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, [batch, 64])],
        [numpy_helper.from_array(weight, "w")],
    )
    made = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    onnx.save(made, file)


def example(model: str, batch: int) -> dict[str, np.ndarray[Any, Any]]:
    return {"x": np.ones((batch, 64), np.float32)}


@pytest.fixture(scope="module")
def benchmark() -> Iterator[ModuleType]:
    """The script, which finds its neighbours beside it, with a tiny model for every name."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(os, "environ", os.environ.copy())
        patch.syspath_prepend(str(BENCHMARKS))
        patch.setenv("PYTHONPATH", os.pathsep.join(sys.path))
        found = importlib.import_module("runtime")
        patch.setattr(found, "build", build)
        patch.setattr(found, "example", example)
        yield found


ARGUMENTS = ["--model", "minilm", "--sparsity", "0.9", "--threads", "1"]
SHORT = ["--rounds", "1", "--window", "0.02"]


@pytest.fixture(scope="module")
def lines(benchmark: ModuleType) -> list[dict[str, Any]]:
    printed = io.StringIO()
    with contextlib.redirect_stdout(printed):
        benchmark.main([*ARGUMENTS, *SHORT, "--engines", "gossamer,onnxruntime"])
    return [json.loads(line) for line in printed.getvalue().splitlines()]


def test_each_engine_has_a_line_that_stands_for_itself(lines: list[dict[str, Any]]) -> None:
    assert [line["engine"] for line in lines] == ["gossamer", "onnxruntime"]
    for line in lines:
        assert line["kind"] == "engine"
        assert (line["model"], line["sparsity"], line["pattern"]) == ("minilm", 0.9, "unstructured")
        assert (line["batch"], line["threads"], line["rounds"]) == (1, 1, 1)
        assert line["version"] and line["environment"]["processor"]
        assert 0 < line["seconds"]["low"] <= line["seconds"]["median"] <= line["seconds"]["high"]
        assert line["cpu_seconds"]["median"] > 0
        assert 0 < line["resident_bytes"] <= line["peak_bytes"]
        assert line["compile_seconds"] > 0
        assert line["max_relative_difference"] <= 1e-4
        assert line["idle_cpu"] >= 0 and line["others_cpu"] >= 0


def test_ratios_of_two_engines_are_each_others_inverse(lines: list[dict[str, Any]]) -> None:
    ours, theirs = (
        line["times_faster_than"][other]["seconds"]["median"]
        for line, other in zip(lines, ("onnxruntime", "gossamer"), strict=True)
    )
    assert ours * theirs == pytest.approx(1)


def test_only_gossamer_has_a_cold_start(lines: list[dict[str, Any]]) -> None:
    ours, theirs = lines
    assert ours["cold"]["compile_seconds"] > 0
    assert ours["cold"]["peak_bytes"] > 0
    assert theirs["cold"] is None


@pytest.mark.usefixtures("benchmark")
def test_the_lines_become_a_table(
    lines: list[dict[str, Any]], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "runtime.jsonl"
    file.write_text("\n".join(map(json.dumps, lines)), encoding="utf-8")
    importlib.import_module("tables").main([str(file)])
    rows = capsys.readouterr().out.splitlines()
    header, _, row = (line.split(" | ") for line in rows[:3])
    assert row[0] == "| MiniLM, 128 tokens, 90 %, batch 1"
    cells = dict(zip(header, row, strict=True))
    assert float(cells["to ONNX Runtime"].split(" (")[0]) > 0
    assert cells["to DeepSparse"] == ""
    assert f"1 threads, {lines[0]['environment']['platform']}" in "\n".join(rows)


def test_an_engine_that_fails_has_a_line_that_says_so(
    benchmark: ModuleType, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    broken = benchmark.Setting("no-such-engine", "sparse")
    monkeypatch.setitem(benchmark.ENGINES, "deepsparse", [broken])
    engines = ["--engines", "onnxruntime,deepsparse", "--deepsparse-python", sys.executable]
    benchmark.main([*ARGUMENTS, *SHORT, *engines])
    failed, engine = map(json.loads, capsys.readouterr().out.splitlines())
    assert failed["kind"] == "failed" and "no-such-engine" in failed["error"]
    assert engine["engine"] == "onnxruntime"


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--engines", "gossamer,tpu"], "no engine tpu; the engines are gossamer,"),
        (["--engines", "deepsparse"], "deepsparse needs --deepsparse-python"),
    ],
)
def test_engines_that_cannot_run_are_named(
    benchmark: ModuleType, capsys: pytest.CaptureFixture[str], arguments: list[str], message: str
) -> None:
    with pytest.raises(SystemExit):
        benchmark.main([*ARGUMENTS, *arguments])
    assert message in capsys.readouterr().err


def test_engines_need_a_model(benchmark: ModuleType, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        benchmark.main(["--threads", "1"])
    assert "name a --model; the models are resnet50," in capsys.readouterr().err


TOGETHER = {"unstructured": 1, "block:4x1": 4}


@pytest.mark.usefixtures("benchmark")
@pytest.mark.parametrize("pattern", TOGETHER)
def test_pruning_leaves_the_largest_in_the_pattern_asked_for(pattern: str) -> None:
    torch = pytest.importorskip("torch")
    models = importlib.import_module("runtime_models")
    weight = torch.randn(64, 32, 3, 3, generator=torch.Generator().manual_seed(0))
    before = weight.clone()
    models._prune(weight, 0.8, TOGETHER[pattern])
    kept = weight.reshape(64 // TOGETHER[pattern], TOGETHER[pattern], -1) != 0
    assert (kept == kept[:, :1]).all()
    assert float((weight == 0).float().mean()) == pytest.approx(0.8, abs=0.01)
    assert (weight[weight != 0] == before[weight != 0]).all()
