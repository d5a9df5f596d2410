"""A model without what is large in it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from gossamer.errors import ModelError
from gossamer.runtime.outline import fingerprint, outline


def big(name: str = "w") -> onnx.TensorProto:
    return numpy_helper.from_array(np.ones((64, 64), np.float32), name)


def everywhere() -> onnx.ModelProto:
    """Large numbers in initializers, attributes, inner graphs and functions."""
    ports = [helper.make_tensor_value_info(n, TensorProto.FLOAT, ["N", 64]) for n in "xy"]
    numbers = helper.make_tensor("v", TensorProto.FLOAT, [64, 64], [1.0] * 4096)
    inner = helper.make_graph(
        [
            helper.make_node("Constant", [], ["c"], value=big("c")),
            helper.make_node("Add", ["x", "c"], ["z"]),
        ],
        "branch",
        [],
        [helper.make_tensor_value_info("z", TensorProto.FLOAT, None)],
        [big("inner")],
    )
    forest = helper.make_node(
        "Forest", ["x"], ["f"], "trees", domain="own", values=[0.5] * 5000, kinds=["leaf"] * 3000
    )
    branch = helper.make_node("If", ["k"], ["y"], then_branch=inner, else_branch=inner)
    made = helper.make_graph([forest, branch], "all", ports[:1], ports[1:], [big(), numbers])
    imports = [helper.make_opsetid("", 17), helper.make_opsetid("own", 1)]
    layer = helper.make_function(
        "own", "Layer", ["a"], ["b"],
        [helper.make_node("Constant", [], ["c"], value=big("c")),
         helper.make_node("MatMul", ["a", "c"], ["b"])],
        imports,
    )  # fmt: skip
    return helper.make_model(made, opset_imports=imports, functions=[layer], ir_version=8)


def shape(model: Any) -> Any:
    """Names, operators, types and shapes at every depth, and no numbers."""
    if isinstance(model, onnx.ModelProto):
        return shape(model.graph), [shape(function) for function in model.functions]
    nodes = [
        (
            *(node.op_type, node.domain, node.name, list(node.input), list(node.output)),
            [(a.name, shape(a.g) if a.HasField("g") else None) for a in node.attribute],
        )
        for node in model.node
    ]
    if isinstance(model, onnx.FunctionProto):
        return model.name, nodes
    tensors = [(t.name, list(t.dims), t.data_type) for t in model.initializer]
    return nodes, tensors, [i.name for i in model.input], [i.name for i in model.output]


@pytest.mark.parametrize("kind", ["path", "bytes"])
def test_all_but_the_numbers_is_there(tmp_path: Path, kind: str) -> None:
    model = everywhere()
    path = tmp_path / "m.onnx"
    path.write_bytes(model.SerializeToString())
    found = outline(path if kind == "path" else path.read_bytes())
    assert shape(found) == shape(model)
    assert model.ByteSize() > 100_000
    assert found.ByteSize() < 5_000


def test_what_is_small_is_as_it_was(model: Any) -> None:
    small = model("(float[N, 4] x) => (float[N, 4] y) { y = MatMul(x, w) }", w=np.eye(4))
    assert outline(small.SerializeToString()) == small


def test_what_is_no_model_is_named(tmp_path: Path) -> None:
    path = tmp_path / "m.onnx"
    with pytest.raises(ModelError, match=r"there is no file .*m\.onnx; check the path"):
        outline(path)
    path.write_bytes(everywhere().SerializeToString()[:-3])
    with pytest.raises(ModelError, match=r"m\.onnx is not valid ONNX \(it is cut short\)"):
        outline(path)


def test_a_change_anywhere_changes_the_fingerprint() -> None:
    first = fingerprint(everywhere())
    assert fingerprint(everywhere()) == first
    weight, attribute, function = everywhere(), everywhere(), everywhere()
    weight.graph.initializer[0].raw_data = bytes(64 * 64 * 4)
    attribute.graph.node[0].attribute[1].floats[7] = 2
    function.functions[0].node[1].op_type = "Add"
    assert len({first, *map(fingerprint, (weight, attribute, function))}) == 4
