"""Layers within a model's own functions are found, as compiling finds them."""

from __future__ import annotations

from typing import Any

import numpy as np
import onnx
import onnxruntime
import pytest
from onnx import TensorProto, helper, numpy_helper

import gossamer
from gossamer.errors import ModelError
from gossamer.models import open_model
from gossamer.models.onnx_functions import inlined

RANDOM = np.random.default_rng(0)
X = RANDOM.standard_normal((64, 16)).astype(np.float32)


def weight(rows: int, columns: int) -> Any:
    return RANDOM.standard_normal((rows, columns)).astype(np.float32)


@pytest.fixture
def network() -> onnx.ModelProto:
    """Three layers by a function with the weight for an argument, and one with its own."""
    opset = [helper.make_opsetid("", 17)]
    own = numpy_helper.from_array(weight(16, 16), "own")
    functions = [
        helper.make_function(
            "local",
            "Layer",
            ["x", "w"],
            ["y"],
            [
                helper.make_node("MatMul", ["x", "w"], ["t"]),
                helper.make_node("Relu", ["t"], ["y"]),
            ],
            opset,
        ),
        helper.make_function(
            "local",
            "Own",
            ["x"],
            ["y"],
            [
                helper.make_node("Constant", [], ["w"], value=own),
                helper.make_node("MatMul", ["x", "w"], ["y"]),
            ],
            opset,
        ),
    ]
    nodes = [
        helper.make_node("Own", ["x"], ["o"], domain="local"),
        *(
            helper.make_node("Layer", [a, w], [b], domain="local")
            for a, w, b in (("o", "a", "p"), ("p", "b", "q"), ("q", "c", "y"))
        ),
    ]
    graph = helper.make_graph(
        nodes,
        "graph",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["n", 16])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, ["n", 4])],
        [
            numpy_helper.from_array(weight(*shape), name)
            for name, shape in {"a": (16, 32), "b": (32, 32), "c": (32, 4)}.items()
        ],
    )
    opsets = [helper.make_opsetid("", 17), helper.make_opsetid("local", 1)]
    return helper.make_model(graph, opset_imports=opsets, ir_version=8, functions=functions)


def run(model: onnx.ModelProto) -> Any:
    return onnxruntime.InferenceSession(model.SerializeToString()).run(None, {"x": X})[0]


def test_a_model_without_functions_is_left_as_it_is(onnx_cnn: onnx.ModelProto) -> None:
    assert inlined(onnx_cnn) is onnx_cnn


def test_functions_become_nodes_that_do_the_same(network: onnx.ModelProto) -> None:
    flat = inlined(network)
    assert not flat.functions
    np.testing.assert_array_equal(run(flat), run(network))


def test_layers_in_functions_are_inspected_and_pruned(network: onnx.ModelProto) -> None:
    shapes = [(layer.rows, layer.columns) for layer in open_model(network).layers()]
    assert shapes == [(16, 16), (32, 16), (32, 32), (4, 32)]
    note = "The model's functions 'Layer', 'Own' were replaced by their nodes."
    found = gossamer.inspect(network)
    assert len(found.layers) == 4 and found.multiply_adds == found.prunable_weights
    assert note in found.notes
    result = gossamer.sparsify(network, {"x": X}, sparsity=0.5, layers=".")
    assert result.model_sparsity == pytest.approx(0.5, abs=0.01) and note in result.notes
    assert run(result.model).shape == (64, 4)


def test_functions_that_become_too_many_nodes_are_refused(network: onnx.ModelProto) -> None:
    for level in range(20):
        inner = "Layer" if level == 0 else f"Twice{level - 1}"
        inputs = ["x", "w"]
        nodes = [
            helper.make_node(inner, inputs, ["h"], domain="local"),
            helper.make_node(inner, inputs, ["y"], domain="local"),
        ]
        opsets = [helper.make_opsetid("", 17), helper.make_opsetid("local", 1)]
        network.functions.append(
            helper.make_function("local", f"Twice{level}", inputs, ["y"], nodes, opsets)
        )
    network.graph.node[1].op_type = "Twice19"
    with pytest.raises(ModelError, match="functions become"):
        open_model(network)
