"""The generator of random valid models, and a few hundred of them in Gossamer."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import onnx
import pytest

sys.path.insert(0, str(Path(__file__).parents[1]))

from differential import compare, faults, models, oracle, runner
from differential.registry import GROWTHS, definitions

f32 = np.float32


def test_a_model_is_determined_by_its_seed() -> None:
    first, second = models.make(3), models.make(3)
    assert first.model.SerializeToString() == second.model.SerializeToString()
    for ours, theirs in zip(first.worlds, second.worlds, strict=True):
        assert all(np.array_equal(ours[name], theirs[name], equal_nan=True) for name in ours)


def test_nearly_all_models_are_valid_and_pass_onnx_checker() -> None:
    invalid = 0
    for seed in range(40):
        try:
            onnx.checker.check_model(models.make(seed).model)
        except models.Invalid:
            invalid += 1
    assert invalid <= 2


def test_every_operator_that_has_a_rule_is_generated() -> None:
    from gossamer.graphs.ops import OPERATORS
    from gossamer.runtime.native import LEFT
    from gossamer.runtime.ops import NATIVE

    known = {op for op, _ in definitions()}
    ruled = {op for op, operator in OPERATORS.items() if operator.typed}
    ruled |= {op for op, how in NATIVE.items() if how is not LEFT}
    ruled = {op for op in ruled if onnx.defs.has(op)}
    # Constants are among the operands of all others.
    assert ruled - known <= {"Constant"}
    assert len({growth.name for growth in GROWTHS}) == len(GROWTHS)


def test_outputs_differ_by_type_shape_places_of_nan_and_more_than_1e4_of_the_largest() -> None:
    wanted = np.array([[1.0, -100.0, np.nan, np.inf]], f32)
    assert not compare.difference(wanted + f32(0.009), wanted)
    assert "off" in compare.difference(wanted + f32(0.02), wanted)
    assert "type" in compare.difference(wanted.astype(np.float64), wanted)
    assert "shape" in compare.difference(wanted[0], wanted)
    assert "NaN" in compare.difference(np.nan_to_num(wanted, nan=1.0, posinf=np.inf), wanted)
    assert "infinities" in compare.difference(-wanted, wanted)
    assert compare.difference(np.array([1, 2]), np.array([1, 3]))


def test_no_farther_from_64_bits_than_onnx_runtime_is_agreement() -> None:
    exact = np.array([1.0, 2.0])
    theirs = np.array([1.001, 2.0], f32)
    assert compare.nearer(np.array([1.0005, 2.0], f32), theirs, exact)
    assert not compare.nearer(np.array([1.002, 2.0], f32), theirs, exact)
    assert not compare.nearer(np.array([np.nan, 2.0], f32), theirs, exact)
    one, two = np.array([1]), np.array([2])
    assert compare.nearer(one, two, one)
    assert not compare.nearer(two, one, one)


def one_node(operator: str, **attributes: object) -> onnx.ModelProto:
    node = onnx.helper.make_node(operator, ["x"], ["y"], **attributes)
    inputs = [onnx.helper.make_tensor_value_info("x", onnx.TensorProto.FLOAT, None)]
    outputs = [onnx.helper.make_empty_tensor_value_info("y")]
    graph = onnx.helper.make_graph([node], "one", inputs, outputs)
    return oracle.model_of(graph, {"": 12})


def in_64_bits(model: onnx.ModelProto, x: object) -> np.ndarray:
    found = oracle.in_double(model, {"x": np.array(x, f32)})
    assert found is not None
    return found[0]


@pytest.mark.parametrize("operator", ["ReduceMax", "ReduceMin", "ReduceLogSumExp"])
def test_nan_stays_in_64_bits_wherever_it_lies(operator: str) -> None:
    model = one_node(operator, keepdims=0)
    for row in ([np.inf, 1, np.nan], [np.nan, np.inf, 1], [-np.inf, np.nan, 1]):
        assert np.isnan(in_64_bits(model, row))
    assert np.isfinite(in_64_bits(model, [1, 2, 3]))


def test_nan_is_not_left_out_of_a_mean_in_64_bits() -> None:
    model = one_node("AveragePool", kernel_shape=[3], pads=[1, 1])
    found = in_64_bits(model, [[[1, 2, 3, 4, np.nan]]])
    np.testing.assert_array_equal(found, [[[1.5, 2, 3, np.nan, np.nan]]])


@pytest.mark.parametrize("operator", ["Softmax", "LogSoftmax"])
def test_softmax_in_64_bits_is_onnx_runtimes_and_nan_where_a_row_has_one(operator: str) -> None:
    x = np.random.default_rng(0).standard_normal((3, 4, 5)).astype(f32)
    for opset, axes in ((11, (1, 2)), (13, 2)):
        model = one_node(operator)
        model.opset_import[0].version = opset
        (theirs,) = oracle.run(oracle.session(model), {"x": x})
        np.testing.assert_allclose(in_64_bits(model, x), theirs, rtol=1e-5)
        broken = x.copy()
        broken[1, 2, 3] = np.nan
        expected = np.isnan(broken).any(axes, keepdims=True) | np.zeros(x.shape, bool)
        np.testing.assert_array_equal(np.isnan(in_64_bits(model, broken)), expected)


@pytest.mark.parametrize("size", [1, 3, 5])
def test_nan_does_not_spread_in_64_bits_from_channel_to_channel(size: int) -> None:
    model = one_node("LRN", size=size, alpha=0.5)
    x = np.array([5, 1, 2, -1, 3, 0], f32).reshape(1, 6, 1, 1)
    (theirs,) = oracle.run(oracle.session(model), {"x": x})
    np.testing.assert_allclose(in_64_bits(model, x), theirs, rtol=1e-6)
    x[0, 0] = np.inf
    np.testing.assert_allclose(in_64_bits(model, x)[0, 3:], theirs[0, 3:], rtol=1e-6)


def test_what_does_not_vary_is_0_in_64_bits_and_nan_only_where_it_is_not_finite() -> None:
    x = np.random.default_rng(0).standard_normal((2, 3, 1, 4)).astype(f32)
    for axes in (None, [1], [0, -1]):
        model = one_node("MeanVarianceNormalization", **({"axes": axes} if axes else {}))
        (theirs,) = oracle.run(oracle.session(model), {"x": x})
        np.testing.assert_allclose(in_64_bits(model, x), theirs, rtol=1e-5, atol=1e-6)
    model = one_node("MeanVarianceNormalization", axes=[2])
    x[0, 1, 0, 2] = np.inf
    np.testing.assert_array_equal(in_64_bits(model, x), np.where(np.isinf(x), np.nan, 0))


def test_faults_that_were_mended_can_still_be_put_back() -> None:
    """`python tests/differential find` then says how many graphs find each."""
    faults.check_edits()


@pytest.mark.parametrize(
    "edit",
    [
        faults.Edit("runtime.folding", "what is not there", "else"),
        faults.Edit("runtime.folding", "", "def fold(node):\n    pass\n"),
        faults.Edit("runtime.there_is_none", "", "x = 1\n"),
    ],
    ids=["text", "parameters", "module"],
)
def test_a_fault_whose_place_has_moved_is_an_error(
    edit: faults.Edit, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(faults.FAULTS, "a fault", (edit,))
    with pytest.raises(RuntimeError, match="mend the edit"):
        faults.check_edits()


def test_the_summary_names_the_definition_that_ran_natively_least() -> None:
    results = [
        {"seed": 0, "outcome": "agrees", "nodes": {f"{op}:{since}": [9, 0]}}
        for op, since in definitions()
        if (op, since) != ("Relu", 13)
    ]
    results.append({"seed": 1, "outcome": "agrees", "nodes": {"Relu:13": [4, 1]}})
    assert runner.summary(results)["least natively run"] == "Relu:13 4"


# Three hundred in all, most of them among the slow tests.
@pytest.mark.parametrize(
    "seeds", [range(60), pytest.param(range(60, 300), marks=pytest.mark.slow)], ids=str
)
def test_a_few_hundred_models_agree_with_onnx_runtime(tmp_path: Path, seeds: range) -> None:
    results = runner.run(tmp_path, seeds, jobs=2)
    told = runner.summary(results)
    wrong = {r["seed"]: r.get("reason") for r in results if r["seed"] in told["faults"]}
    assert not wrong
    assert told["graphs"] == len(seeds)
    assert told["valid"] > 0.98
    assert told["native"] > 0.8
    # A rerun finds all of them there.
    assert runner.run(tmp_path, seeds) == results
