"""What ONNX's checker frowns at and ONNX Runtime runs is let in; what is broken is not."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import pytest
from onnx import TensorProto, helper, numpy_helper

import gossamer
import gossamer.runtime
from gossamer.errors import GossamerError
from gossamer.graphs.check import check


def network() -> onnx.ModelProto:
    graph = helper.make_graph(
        [helper.make_node("Relu", ["x"], ["h"]), helper.make_node("Neg", ["h"], ["y"])],
        "network",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["n"])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, ["n"])],
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)


def test_types_and_shapes_need_not_be_stated() -> None:
    model = network()
    model.graph.output[0].type.tensor_type.ClearField("shape")
    model.graph.output.append(onnx.ValueInfoProto(name="h"))
    with pytest.raises(onnx.checker.ValidationError):
        onnx.checker.check_model(model)
    content = model.SerializeToString()
    onnxruntime.InferenceSession(content).run(None, {"x": np.ones(3, np.float32)})
    check(model)
    assert model.SerializeToString() == content


def test_what_is_broken_is_refused() -> None:
    model = network()
    model.graph.node[1].input[0] = "gone"
    with pytest.raises(onnx.checker.ValidationError):
        check(model)


@pytest.mark.filterwarnings("ignore:.*ONNX Runtime runs it all the same")
@pytest.mark.parametrize("name", ["x", "hidden", "y", "layer", "weight", "length", "Relu", "notes"])
def test_a_word_that_is_no_text_is_one_line(name: str, tmp_path: Path) -> None:
    """Protocol buffers give it as bytes, which nothing expects; ONNX Runtime runs some of these."""
    graph = helper.make_graph(
        [
            helper.make_node("MatMul", ["x", "weight"], ["hidden"], name="layer"),
            helper.make_node("Relu", ["hidden"], ["y"]),
        ],
        "network",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["length", 8])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, ["length", 8])],
        [numpy_helper.from_array(np.eye(8, dtype=np.float32), "weight")],
        doc_string="notes",
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    path = tmp_path / "model.onnx"
    kind = b"" if name != "x" else b"\x01"
    word = kind + name.encode()
    content = model.SerializeToString().replace(word, kind + b"\x92" * len(name))
    path.write_bytes(content)
    x = np.ones((2, 8), np.float32)
    for verb in (
        lambda: gossamer.runtime.compile(path, engine="gossamer").run(None, {"x": x}),
        lambda: gossamer.runtime.compile(path, engine="onnxruntime").run(None, {"x": x}),
        lambda: gossamer.runtime.compile(path).explain({"x": x}),
        lambda: gossamer.runtime.compile(onnx.load(path)).run(None, {"x": x}),
        lambda: gossamer.inspect(path),
        lambda: gossamer.save(onnx.load(path), tmp_path / "model.gossamer.safetensors"),
    ):
        try:
            verb()
        except GossamerError as error:
            assert "utf-8" in str(error).lower()


@pytest.mark.parametrize("opset", [18, 19, 20])
def test_an_operator_that_onnx_withdrew_and_onnx_runtime_runs_is_let_in(opset: int) -> None:
    text = f"""<ir_version: 8, opset_import: ["" : {opset}]>
        network (bool c, float[1, 4, 2] x, float[2] s) => (float[1, 4, 2] y) {{
            n = GroupNormalization<num_groups=2>(x, s, s)
            y = If<then_branch = a () => (float[1, 4, 2] p) {{
                p = GroupNormalization<num_groups=2>(n, s, s) }},
                else_branch = b () => (float[1, 4, 2] q) {{ q = Neg(n) }}>(c) }}"""
    model = onnx.parser.parse_model(text)
    with pytest.raises(onnx.checker.ValidationError):
        onnx.checker.check_model(model)
    content = model.SerializeToString(deterministic=True)
    onnxruntime.InferenceSession(content)
    check(model)
    assert model.SerializeToString(deterministic=True) == content
    model.graph.node[0].input[0] = "gone"
    with pytest.raises(onnx.checker.ValidationError):
        check(model)
