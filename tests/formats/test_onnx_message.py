"""Models are copied in parts, so that they may be larger than a message that can be written."""

from __future__ import annotations

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from gossamer.formats.onnx_message import copy_model, without_elements


def model() -> onnx.ModelProto:
    weights = {"large": np.arange(600, dtype=np.float32), "small": np.arange(3)}
    tensors = [numpy_helper.from_array(array, name) for name, array in weights.items()]
    tensors.append(helper.make_tensor("spelt", TensorProto.FLOAT, [2], [1.0, 2.0]))
    graph = helper.make_graph(
        [helper.make_node("Sum", ["x", "large"], ["y"], "sum")],
        "graph",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, [600])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, [600])],
        tensors,
        doc_string="about it",
        value_info=[helper.make_tensor_value_info("y", TensorProto.FLOAT, [600])],
    )
    made = helper.make_model(
        graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8, producer_name="someone"
    )
    helper.set_model_props(made, {"key": "value"})
    return made


def test_a_copy_is_equal_and_independent() -> None:
    given = model()
    copy = copy_model(given)
    assert copy == given and copy.SerializeToString() == given.SerializeToString()
    copy.graph.initializer[0].raw_data = b""
    copy.graph.node[0].name = "other"
    assert given == model()


def test_large_initializers_lose_their_elements_and_nothing_else() -> None:
    given = model()
    copy = without_elements(given, keep=1024)
    assert not copy.graph.initializer[0].HasField("raw_data")
    copy.graph.initializer[0].raw_data = given.graph.initializer[0].raw_data
    assert copy == given == model()
