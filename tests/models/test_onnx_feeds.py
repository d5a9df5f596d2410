"""Inputs of ONNX models that are no arrays of numbers, from calibration data to ONNX Runtime."""

from __future__ import annotations

from typing import Any

import numpy as np
import onnx
import pytest
import torch
from onnx import TensorProto, helper, numpy_helper

from gossamer.errors import ModelError
from gossamer.models import open_model
from gossamer.models.calibration import read_batches
from gossamer.models.onnx_feeds import as_taken, declare
from gossamer.pruning import sparsify

Array = np.ndarray[Any, Any]
RANDOM = np.random.default_rng(0)


def model(
    nodes: list[onnx.NodeProto], given: onnx.ValueInfoProto, **tensors: Array
) -> onnx.ModelProto:
    graph = helper.make_graph(
        nodes,
        "graph",
        [given],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, None)],
        [numpy_helper.from_array(array, name) for name, array in tensors.items()],
    )
    opsets = [helper.make_opsetid("", 17), helper.make_opsetid("ai.onnx.ml", 3)]
    return helper.make_model(graph, opset_imports=opsets, ir_version=8)


def weight(*shape: int) -> Array:
    return RANDOM.standard_normal(shape).astype(np.float32)


@pytest.fixture
def of_text() -> onnx.ModelProto:
    nodes = [
        helper.make_node(
            "LabelEncoder",
            ["s"],
            ["i"],
            domain="ai.onnx.ml",
            keys_strings=["a", "b"],
            values_floats=[1.0, 2.0],
            default_float=0.0,
        ),
        helper.make_node("MatMul", ["i", "w"], ["h"], "first"),
        helper.make_node("MatMul", ["h", "v"], ["y"], "second"),
    ]
    given = helper.make_tensor_value_info("s", TensorProto.STRING, ["n", 3])
    return model(nodes, given, w=weight(3, 4), v=weight(4, 4))


@pytest.fixture
def of_sequences() -> onnx.ModelProto:
    nodes = [
        helper.make_node("SequenceAt", ["s", "at"], ["a"]),
        helper.make_node("MatMul", ["a", "w"], ["h"], "first"),
        helper.make_node("SequenceAt", ["s", "next"], ["b"]),
        helper.make_node("Add", ["h", "b"], ["i"]),
        helper.make_node("MatMul", ["i", "v"], ["y"], "second"),
    ]
    given = helper.make_tensor_sequence_value_info("s", TensorProto.FLOAT, ["n", 4])
    at = {"at": np.array(0), "next": np.array(1)}
    return model(nodes, given, w=weight(4, 4), v=weight(4, 4), **at)


def test_text_reaches_the_layers(of_text: onnx.ModelProto) -> None:
    adapter = open_model(of_text)
    (given,) = adapter.inputs()
    assert (given.text, given.floating, given.shape) == (True, None, (None, 3))
    words = np.array([["a", "b", "?"], ["b", "b", "b"]])
    seen: dict[str, torch.Tensor] = {}
    adapter.capture(read_batches({"s": words}, [given]), ["first"], seen.__setitem__)
    assert seen["first"].tolist() == [[1, 2, 0], [2, 2, 2]]
    result = sparsify(of_text, {"s": np.repeat(words, 9, axis=0).astype(object)}, sparsity=0.5)
    assert result.sparsity == pytest.approx(0.5, abs=0.05)


def test_sequences_reach_the_layers_and_cross_from_part_to_part(
    of_sequences: onnx.ModelProto,
) -> None:
    (given,) = open_model(of_sequences).inputs()
    assert given.sequence and given.floating
    parts = [weight(5, 4), weight(5, 4)]
    adapter = open_model(of_sequences).copy()
    seen: dict[str, torch.Tensor] = {}
    batches = read_batches({"s": parts}, [given])
    walk = adapter.walk(
        batches, [["first"], ["second"]], lambda name, inputs, _: seen.update({name: inputs})
    )
    for (name,) in walk:
        adapter.set_weight(name, adapter.weight(name) * 0)
    np.testing.assert_array_equal(seen["first"], parts[0])
    np.testing.assert_array_equal(seen["second"], parts[1])


def test_a_job_with_sequences_is_known_again(of_sequences: onnx.ModelProto, tmp_path: Any) -> None:
    data = {"s": [weight(5, 4), weight(5, 4)]}
    how: dict[str, Any] = {"allocation": "sensitivity", "levels": [0.5]}
    first = sparsify(of_sequences, data, sparsity=0.5, folder=tmp_path / "job", **how)
    again = sparsify(of_sequences, data, sparsity=0.5, folder=tmp_path / "job", **how)
    assert first.model == again.model


def test_feeds_have_the_types_of_the_inputs(of_sequences: onnx.ModelProto) -> None:
    (batch,) = read_batches({"s": [np.ones((2, 4))]}, open_model(of_sequences).inputs())
    taken = as_taken(of_sequences.graph, batch)["s"]
    assert isinstance(taken, list) and taken[0].dtype == np.float32


def test_what_cannot_cross_is_said() -> None:
    with pytest.raises(ModelError, match=r"'maps' of the ONNX graph .*solver='magnitude'"):
        declare("maps", [{0: 1.0}])
