"""What `advise` times, and what it says about it."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from gossamer.energy import Interval
from gossamer.errors import DataError, ModelError, OptionError
from gossamer.verbs.advise import Advice, Timed, advise, prune_graph
from gossamer.verbs.inspect import inspect

pytest.importorskip("onnxruntime")


def one_layer() -> onnx.ModelProto:
    """A layer of 256 x 256 whose node bears no name, and a step that is no layer."""
    weight = np.random.default_rng(0).standard_normal((256, 256)).astype(np.float32)
    nodes = [helper.make_node("MatMul", ["x", "w"], ["h"]), helper.make_node("Sqrt", ["h"], ["y"])]
    graph = helper.make_graph(
        nodes,
        "one",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["n", 256])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, ["n", 256])],
        [numpy_helper.from_array(weight, "w")],
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)


told: list[float] = []


@pytest.fixture(scope="module", autouse=True)
def hurried() -> Iterator[None]:
    """Figures need not be precise, which takes minutes on a busy machine."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("gossamer.verbs.advise._MOST_SECONDS", 2.0)
        yield


@pytest.fixture(scope="module")
def advice(hurried: None) -> Advice:
    told.clear()
    return advise(
        one_layer(),
        {"x": np.ones((64, 256), np.float32)},
        sparsities=(0.9,),
        patterns=("block", "unstructured"),
        threads=1,
        min_time=0.5,
        progress=told.append,
    )


def test_each_pattern_and_sparsity_is_measured_against_onnx_runtime(advice: Advice) -> None:
    assert advice.reference.engine == "onnxruntime" and advice.reference.gains is None
    assert [one.result.name for one in advice.sparse] == [
        "90 % block:4x1",
        "90 % unstructured",
    ]
    for one in (advice.dense, *advice.sparse):
        assert one.result.engine == "gossamer" and one.result.gains is not None
        assert one.result.gains.latency.median > 0
    assert advice.prunable_weights == 256 * 256
    assert advice.inputs == {"x": (64, 256)}


def test_zeros_make_the_file_smaller(advice: Advice) -> None:
    dense = advice.reference.file_bytes
    assert dense is not None
    for one in advice.sparse:
        assert one.result.file_bytes is not None and one.result.file_bytes < 0.2 * dense


def test_memory_is_known_of_all_and_compared(advice: Advice) -> None:
    dense = advice.reference.peak_memory.bytes
    assert dense is not None
    for one in (advice.dense, *advice.sparse):
        peak, gains = one.result.peak_memory, one.result.gains
        assert peak.bytes is not None and peak.resident is not None and gains is not None
        assert gains.peak_memory_bytes == pytest.approx(dense / peak.bytes)


def test_each_layer_is_timed_by_itself_and_so_is_the_rest(advice: Advice) -> None:
    assert [layer.name for layer in advice.layers] == ["w"], "called after its weight"
    for one in (advice.dense, *advice.sparse):
        (seconds,) = one.layers
        assert seconds is not None and 0 < seconds < 1 and 0 < one.rest < 1


def test_progress_goes_from_start_to_end(advice: Advice) -> None:
    assert told == sorted(told) and told[0] == 0 and told[-1] == pytest.approx(1)


def with_latency(timed: Timed, median: float) -> Timed:
    gains = timed.result.gains
    assert gains is not None
    interval = Interval(median, median - 0.1, median + 0.1)
    # However few rounds a busy machine found time for.
    result = replace(timed.result, gains=replace(gains, latency=interval), rounds=10)
    return replace(timed, result=result)


def as_if(advice: Advice, *, dense: float, **sparse: float) -> Advice:
    """Return the advice as if these gains over dense in ONNX Runtime had been measured.

    `half_block=2.0` stands for 50 % block:4x1 being twice as fast.
    """
    timed = []
    for name, gain in sparse.items():
        amount, pattern = name.split("_")
        one = advice.sparse[("block", "unstructured").index(pattern)]
        one = replace(one, sparsity={"half": 0.5, "most": 0.9}[amount])
        timed.append(with_latency(one, gain))
    return replace(advice, dense=with_latency(advice.dense, dense), sparse=tuple(timed))


def test_the_verdict_names_where_the_gain_begins_and_the_best(advice: Advice) -> None:
    found = as_if(
        advice,
        dense=1.05,
        half_block=0.9,
        most_block=2.0,
        half_unstructured=1.5,
        most_unstructured=1.8,
    )
    assert found.verdict == (
        "Sparsity pays here from 50 % on: with 50 % unstructured the model is 1.50 times faster "
        "(1.40 to 1.60) than dense in ONNX Runtime, with 90 % block:4x1 2.00 times faster (1.90 to "
        "2.10)."
    )
    assert [found.pays(one) for one in found.sparse] == [False, True, True, True]


def test_one_gain_is_named_once(advice: Advice) -> None:
    found = as_if(advice, dense=1.05, half_block=0.9, most_block=2.0)
    assert found.verdict.endswith(
        "from 90 % on: with 90 % block:4x1 the model is 2.00 times faster (1.90 to 2.10) than "
        "dense in ONNX Runtime."
    )


def test_no_gain_is_said(advice: Advice) -> None:
    found = as_if(advice, dense=0.8, half_block=0.5, most_block=1.05)
    assert found.verdict.startswith("No gain") and found.to_dict()["verdict"] == found.verdict
    assert not any(one["pays"] for one in found.to_dict()["sparse"])


def test_what_compiling_gains_is_not_put_down_to_sparsity(advice: Advice) -> None:
    found = as_if(advice, dense=1.5, half_block=1.5, most_block=1.6)
    assert found.verdict.startswith("No gain")
    assert "in Gossamer that is 1.50 times faster (1.40 to 1.60)" in found.verdict


@pytest.mark.usefixtures("memory_unmeasured")
def test_a_model_left_to_onnx_runtime_is_not_timed_further() -> None:
    nodes = [
        helper.make_node("CumSum", ["x", "axis"], ["h"]),
        helper.make_node("MatMul", ["h", "w"], ["y"], "layer"),
    ]
    ends = [helper.make_tensor_value_info(name, TensorProto.DOUBLE, [4, 8]) for name in "xy"]
    constants = [
        numpy_helper.from_array(np.eye(8), "w"),
        numpy_helper.from_array(np.array(1), "axis"),
    ]
    graph = helper.make_graph(nodes, "doubles", ends[:1], ends[1:], constants)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    found = advise(model, min_time=0.0)
    assert found.sparse == () and found.dense.layers == (None,)
    assert found.verdict.startswith("No gain") and "ONNX Runtime" in found.verdict
    assert [layer.name for layer in found.left_dense()] == ["layer"]


def test_a_layer_that_no_sparsity_makes_faster_is_left_dense(advice: Advice) -> None:
    def with_layers(dense: float | None, *sparse: float | None) -> tuple[str, ...]:
        timed = zip(advice.sparse, sparse, strict=True)
        found = replace(
            advice,
            dense=replace(advice.dense, layers=(dense,)),
            sparse=tuple(replace(one, layers=(seconds,)) for one, seconds in timed),
        )
        assert [one["leave_dense"] for one in found.to_dict()["layers"]] == [
            bool(found.left_dense())
        ]
        return tuple(layer.name for layer in found.left_dense())

    assert with_layers(1.0, 1.2, 0.5) == ()
    assert with_layers(1.0, 1.2, 0.98) == ("w",), "a gain within the noise is none"
    assert with_layers(None, None, None) == ("w",), "what ONNX Runtime runs"


def test_everything_is_in_the_json(advice: Advice) -> None:
    document = advice.to_dict()
    assert [(one["pattern"], one["sparsity"]) for one in document["sparse"]] == [
        ("block:4x1", 0.9),
        ("unstructured", 0.9),
    ]
    (layer,) = document["layers"]
    assert layer["dense_seconds"] == advice.dense.layers[0]
    assert layer["sparse_seconds"] == [one.layers[0] for one in advice.sparse]


def weights(model: onnx.ModelProto, number: int) -> np.ndarray[Any, Any]:
    return numpy_helper.to_array(model.graph.initializer[number])


def test_pruning_for_timing_removes_the_smallest(small_onnx: Path) -> None:
    model = onnx.load(small_onnx)
    pruned = prune_graph(model, 0.8)
    assert inspect(pruned).sparsity == pytest.approx(0.8, abs=1e-3)
    assert inspect(model).zeros == 0, "the given model stays as it is"
    before, after = weights(model, 0), weights(pruned, 0)
    assert np.abs(before[after == 0]).max() <= np.abs(after[after != 0]).min()


def test_pruning_for_timing_is_what_the_magnitude_solver_does(small_onnx: Path) -> None:
    torch = pytest.importorskip("torch")
    from gossamer.models.onnx_constants import read
    from gossamer.models.onnx_layers import find_layers
    from gossamer.sparsity.patterns import get_pattern
    from gossamer.sparsity.solvers import get_solver

    model = onnx.load(small_onnx)
    # A tie is broken one way here and the other way there: a channel of 10 rows has none at 0.5.
    names = ("unstructured", "block:2x1", "block:2x8", "1:4", "channel")
    for name, sparsity in ((name, 0.5 if name == "channel" else 0.75) for name in names):
        pruned = prune_graph(model, sparsity, name)
        # Gemm's weight is stored [outputs, inputs], and MatMul's the other way round.
        for before, after in zip(find_layers(model), find_layers(pruned), strict=True):
            matrix = torch.from_numpy(read(before.weight, {}))
            solved = get_solver("magnitude").solve(matrix, None, get_pattern(name), sparsity)
            np.testing.assert_array_equal(read(after.weight, {}), solved.weight.numpy())


def test_rows_that_do_not_fill_a_block_are_pruned_too(small_onnx: Path) -> None:
    after = weights(prune_graph(onnx.load(small_onnx), 0.75, "block:4x1"), 1).T
    assert after.shape == (10, 128)
    for rows in (after[:4], after[4:8], after[8:]):
        assert ((rows == 0).all(axis=0) | (rows != 0).all(axis=0)).all()


def test_sparsities_out_of_range(small_onnx: Path) -> None:
    for sparsities in ((0.5, 1.0), (0.0,), ()):
        with pytest.raises(OptionError, match="between 0 and 1"):
            advise(small_onnx, sparsities=sparsities)


@pytest.mark.parametrize(
    ("option", "message"),
    [
        ({"sparsities": 0.5}, "sparsities= must be a list of numbers, not 0.5"),
        ({"patterns": 4}, "patterns= must be a name or a list of names, not 4"),
        ({"min_time": -1}, "min_time is -1; give seconds"),
        ({"threads": "2"}, "threads is '2'; give a whole number"),
    ],
)
def test_options_of_another_kind(small_onnx: Path, option: dict[str, Any], message: str) -> None:
    with pytest.raises(OptionError, match=message):
        advise(small_onnx, **option)


def test_one_pattern_may_stand_alone(small_onnx: Path) -> None:
    """A name is no list of its letters."""
    with pytest.raises(OptionError, match="unknown pattern 'wave'"):
        advise(small_onnx, patterns="wave")


def test_patterns_that_there_are_not(small_onnx: Path) -> None:
    with pytest.raises(OptionError, match=r"unknown pattern 'wave'.*block, channel, unstructured"):
        advise(small_onnx, patterns=("wave",))
    with pytest.raises(OptionError, match="patterns= is empty"):
        advise(small_onnx, patterns=())


def test_a_misfit_example(small_onnx: Path) -> None:
    with pytest.raises(DataError, match="the example"):
        advise(small_onnx, {"x": np.ones((1, 63), np.float32)})


def test_a_model_without_layers() -> None:
    value = [helper.make_tensor_value_info(name, TensorProto.FLOAT, ["n", 4]) for name in "xy"]
    graph = helper.make_graph([helper.make_node("Relu", ["x"], ["y"])], "g", value[:1], value[1:])
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    with pytest.raises(ModelError, match="no prunable layers"):
        prune_graph(model, 0.5)
