"""Peak memory: of a process that loads one candidate and runs it once."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from gossamer.energy import Candidate
from gossamer.energy.memory import peak_memory
from gossamer.energy.memory_process import resident_peak

MEGABYTE = 2**20


def big_model(path: Path, columns: int) -> Path:
    weight = np.ones((64, columns), np.float32)
    graph = helper.make_graph(
        [helper.make_node("MatMul", ["x", "w"], ["y"])],
        "big",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, [1, 64])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, [1, columns])],
        [numpy_helper.from_array(weight, "w")],
    )
    opset = [helper.make_opsetid("", 17)]
    onnx.save(helper.make_model(graph, opset_imports=opset, ir_version=8), path)
    return path


def test_a_larger_model_takes_more_and_this_process_does_not_count(tmp_path: Path) -> None:
    ballast = np.ones(300 * MEGABYTE // 8)
    feeds = {"x": np.ones((1, 64), np.float32)}
    small, large = (
        peak_memory(Candidate.from_file(big_model(tmp_path / f"{n}.onnx", n), threads=1), feeds)
        for n in (64, 200_000)
    )
    assert small.bytes is not None
    assert large.bytes is not None
    assert large.bytes - small.bytes > 40 * MEGABYTE
    assert small.bytes < ballast.nbytes
    assert "fresh process" in small.method
    for found in (small, large):
        assert found.resident is None or 0 < found.resident <= (found.bytes or 0)


def test_a_callable_without_a_file_is_not_measured() -> None:
    found = peak_memory(Candidate("callable", lambda feeds: feeds), {})
    assert found.bytes is None
    assert found.method == "not measured: no file to load in a fresh process"


def test_a_process_that_fails_gives_the_reason(small_onnx: Path) -> None:
    candidate = Candidate.from_file(small_onnx, threads=1)
    found = peak_memory(candidate, {"wrong": np.ones(3)})
    assert found.bytes is None
    assert found.method.startswith("not measured: inputs named wrong do not fit")


def test_the_peak_of_this_process_counts_what_was_touched() -> None:
    before, method = resident_peak()
    ballast = np.ones(64 * MEGABYTE // 8) if before < 2**40 else None
    after, _ = resident_peak()
    assert ballast is not None
    assert after >= max(before, ballast.nbytes)
    assert "fresh process" in method
