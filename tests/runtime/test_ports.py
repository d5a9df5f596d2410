"""Inputs and outputs are described as ONNX Runtime describes them, whoever runs the model."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import onnx
import onnxruntime
import pytest
from onnx import TensorProto, helper, numpy_helper

from gossamer.errors import ModelError
from gossamer.runtime import compile

X = helper.make_tensor_value_info("x", TensorProto.FLOAT, ["N", 16])
Y = helper.make_tensor_value_info("y", TensorProto.FLOAT, ["N", 8])
LAYER = helper.make_node("MatMul", ["x", "W"], ["y"])


def tensor(name: str, shape: Sequence[Any] | None, kind: int = TensorProto.FLOAT) -> Any:
    return helper.make_tensor_value_info(name, kind, shape)


def make(
    inputs: Sequence[Any],
    outputs: Sequence[Any],
    nodes: Sequence[onnx.NodeProto] = (LAYER,),
    opset: int = 17,
    ir_version: int = 8,
) -> onnx.ModelProto:
    weight = numpy_helper.from_array(np.ones((16, 8), np.float32), "W")
    graph = helper.make_graph(list(nodes), "ports", list(inputs), list(outputs), [weight])
    imports = [helper.make_opsetid("", opset)]
    return helper.make_model(graph, opset_imports=imports, ir_version=ir_version)


def passing(info: Any) -> onnx.ModelProto:
    """A layer, and beside it a value that passes through."""
    other = onnx.ValueInfoProto()
    other.CopyFrom(info)
    other.name = "u"
    return make([X, info], [Y, other], [LAYER, helper.make_node("Identity", ["t"], ["u"])])


MODELS = {
    "open sizes with names": make([X], [Y]),
    "another name for the output's": make([X], [tensor("y", ["M", 8])]),
    "open sizes without names": make([tensor("x", [None, 16])], [tensor("y", [None, 8])]),
    "-1 for open sizes": make([tensor("x", [-1, 16])], [tensor("y", [-1, 8])]),
    "placeholders": make([tensor("x", ["?", 16])], [tensor("y", ["?", 8])]),
    "an output without a shape": make([X], [tensor("y", None)]),
    "an output without a type": make([X], [onnx.ValueInfoProto(name="y")]),
    "an output that is more than it says": make([X], [Y, onnx.ValueInfoProto(name="h")], [
        helper.make_node("MatMul", ["x", "W"], ["h"]), helper.make_node("Relu", ["h"], ["y"])]),
    "a fixed size that the output leaves open": make(
        [tensor("x", [4, 16])], [tensor("y", ["N", "M"])]
    ),
    "a computed size": make(
        [X], [tensor("y", None)], [helper.make_node("Concat", ["x", "x"], ["y"], axis=0)]
    ),
    "a size that is said wrongly": make([X], [tensor("y", ["N", 9])]),
    "no axes": make(
        [X], [tensor("y", [])],
        [helper.make_node("MatMul", ["x", "W"], ["z"]),
         helper.make_node("ReduceSum", ["z"], ["y"], keepdims=0)],
    ),
    "a default": make([X, tensor("W", [16, 8])], [Y]),
    "an initializer that old files list": make(
        [X, tensor("W", [16, 8])], [Y], opset=7, ir_version=3
    ),
    **{
        f"type {kind}": passing(tensor("t", ["N"], kind))
        for kind in (TensorProto.FLOAT16, TensorProto.UINT8, TensorProto.BOOL, TensorProto.STRING,
                     TensorProto.DOUBLE, TensorProto.BFLOAT16)
    },
}  # fmt: skip
ONLY_WHOLE = {
    "a sequence": passing(helper.make_tensor_sequence_value_info("t", TensorProto.FLOAT, ["N"])),
    "an optional": make(
        [X, helper.make_value_info(
            "t", helper.make_optional_type_proto(helper.make_tensor_type_proto(1, [3])))],
        [Y, tensor("u", [], TensorProto.BOOL)],
        [LAYER, helper.make_node("OptionalHasElement", ["t"], ["u"])],
    ),
    "an input of any rank": make([tensor("x", None)], [Y]),
}  # fmt: skip


def described(session: Any) -> list[list[tuple[str, Any, str]]]:
    return [
        [(port.name, port.shape, port.type) for port in ports]
        for ports in (
            session.get_inputs(),
            session.get_outputs(),
            session.get_overridable_initializers(),
        )
    ]


@pytest.mark.parametrize("engine", ["auto", "gossamer", "onnxruntime"])
@pytest.mark.parametrize("name", MODELS)
def test_ports_are_onnx_runtimes(name: str, engine: Any) -> None:
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 4
    model = MODELS[name]
    theirs = onnxruntime.InferenceSession(model.SerializeToString(), options)
    assert described(compile(model, engine=engine)) == described(theirs)


@pytest.mark.parametrize("name", ONLY_WHOLE)
def test_what_is_no_array_is_left_to_onnx_runtime(name: str) -> None:
    model = ONLY_WHOLE[name]
    theirs = onnxruntime.InferenceSession(model.SerializeToString())
    assert described(compile(model)) == described(theirs)


def test_generated_code_takes_arrays(reference: Any) -> None:
    model = ONLY_WHOLE["a sequence"]
    with pytest.raises(ModelError, match=r"'t' is seq\(tensor\(float\)\), which generated code"):
        compile(model, engine="gossamer")
    session = compile(model)
    feeds = {"x": np.ones((2, 16), np.float32), "t": [np.ones(2, np.float32)] * 3}
    assert session.engine == "onnxruntime"
    assert len(session.run(["u"], feeds)[0]) == 3
    assert "'t' is seq(tensor(float))" in session.explain()[0].reason
