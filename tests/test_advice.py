"""What `advise` times, and what it says about it."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import onnx
import pytest

from gossamer.advice import Advice, advise, prune_graph
from gossamer.energy import Interval
from gossamer.errors import DataError, ModelError, OptionError
from gossamer.inspection import inspect

pytest.importorskip("onnxruntime")


@pytest.fixture(scope="module")
def advice(tmp_path_factory: pytest.TempPathFactory) -> Advice:
    from onnx import TensorProto, helper, numpy_helper

    random = np.random.default_rng(0)
    weight = random.standard_normal((256, 256)).astype(np.float32)
    graph = helper.make_graph(
        [helper.make_node("MatMul", ["x", "w"], ["y"], "only")],
        "one",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["n", 256])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, ["n", 256])],
        [numpy_helper.from_array(weight, "w")],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    return advise(
        model, {"x": np.ones((8, 256), np.float32)}, sparsities=(0.9, 0.5), threads=1, min_time=0.2
    )


def test_each_sparsity_is_measured_against_onnx_runtime(advice: Advice) -> None:
    assert advice.sparsities == (0.5, 0.9)
    first, *others = advice.comparison.candidates
    assert first.engine == "onnxruntime"
    assert [candidate.engine for candidate in others] == ["gossamer"] * 3
    assert [one.name for _, one in advice.sparse] == ["50 % sparse", "90 % sparse"]
    assert advice.prunable_weights == 256 * 256


def test_zeros_make_the_file_smaller(advice: Advice) -> None:
    half, most = (found.file_bytes for _, found in advice.sparse)
    dense = advice.comparison.candidates[0].file_bytes
    assert half is not None and most is not None and dense is not None
    assert most < 0.2 * dense < half < 0.6 * dense


def with_gains(advice: Advice, *latency: Interval) -> Advice:
    """Return the advice as if these had been measured for its sparsities."""
    candidates = list(advice.comparison.candidates)
    for index, interval in enumerate(latency, start=2):
        gains = candidates[index].gains
        assert gains is not None
        candidates[index] = replace(candidates[index], gains=replace(gains, latency=interval))
    comparison = replace(advice.comparison, candidates=tuple(candidates))
    return replace(advice, comparison=comparison)


def test_the_verdict_names_the_first_sparsity_that_gains(advice: Advice) -> None:
    found = with_gains(advice, Interval(1.0, 0.9, 1.1), Interval(2.0, 1.9, 2.1))
    assert found.verdict.startswith("From a sparsity of 0.9 on")
    assert "2.00 times faster (1.90 to 2.10)" in found.verdict


def test_no_gain_is_said(advice: Advice) -> None:
    found = with_gains(advice, Interval(0.5, 0.4, 0.6), Interval(1.05, 0.95, 1.2))
    assert found.verdict.startswith("No gain")
    assert found.to_dict()["verdict"] == found.verdict


def test_pruning_for_timing_removes_the_smallest(small_onnx: Path) -> None:
    model = onnx.load(small_onnx)
    pruned = prune_graph(model, 0.8)
    assert inspect(pruned).sparsity == pytest.approx(0.8, abs=1e-3)
    assert inspect(model).zeros == 0, "the given model stays as it is"
    before = onnx.numpy_helper.to_array(model.graph.initializer[0])
    after = onnx.numpy_helper.to_array(pruned.graph.initializer[0])
    assert np.abs(before[after == 0]).max() <= np.abs(after[after != 0]).min()


def test_sparsities_out_of_range(small_onnx: Path) -> None:
    for sparsities in ((0.5, 1.0), (0.0,), ()):
        with pytest.raises(OptionError, match="between 0 and 1"):
            advise(small_onnx, sparsities=sparsities)


def test_a_misfit_example(small_onnx: Path) -> None:
    with pytest.raises(DataError, match="the example"):
        advise(small_onnx, {"x": np.ones((1, 63), np.float32)})


def test_a_model_without_layers() -> None:
    from onnx import TensorProto, helper

    value = [helper.make_tensor_value_info(name, TensorProto.FLOAT, ["n", 4]) for name in "xy"]
    graph = helper.make_graph([helper.make_node("Relu", ["x"], ["y"])], "g", value[:1], value[1:])
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    with pytest.raises(ModelError, match="no prunable layers"):
        prune_graph(model, 0.5)
