"""How nodes that use a layer's weight are told apart."""

from __future__ import annotations

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from gossamer.models.onnx_layers import find_layers, name_uses


def network(*names: str) -> onnx.ModelProto:
    """A chain of MatMuls by weights "w" and "v" in turn, their nodes so named."""
    nodes = [
        helper.make_node("MatMul", [f"h{n}", "wv"[n % 2]], [f"h{n + 1}"], name)
        for n, name in enumerate(names)
    ]
    ends = [
        helper.make_tensor_value_info(name, TensorProto.FLOAT, ["n", 4])
        for name in ("h0", f"h{len(names)}")
    ]
    weights = [numpy_helper.from_array(np.eye(4, dtype=np.float32), name) for name in "wv"]
    graph = helper.make_graph(nodes, "chain", ends[:1], ends[1:], weights)
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)


def test_a_model_whose_layers_have_names_is_left_as_it_is() -> None:
    model = network("first", "second")
    assert name_uses(model) is model


def test_nodes_without_a_name_of_their_own_get_one_and_layers_keep_theirs() -> None:
    for names in (("", "", ""), ("same", "same", "same")):
        model = network(*names)
        before = [found.layer.name for found in find_layers(model)]
        named = name_uses(model)
        assert [found.layer.name for found in find_layers(named)] == before == ["w", "v"]
        assert [node.name for node in named.graph.node] == ["w", "v", "w#1"]
        assert [node.name for node in model.graph.node] == list(names), "the given model"
