from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from onnx import TensorProto, helper, numpy_helper

from gossamer.errors import ModelError, OptionError, UnsafeModelError
from gossamer.runtime import compile
from gossamer.runtime.onnx_file import InvalidOnnx, read

X = np.linspace(-1, 1, 2 * 40, dtype=np.float32).reshape(2, 40)


def weight() -> np.ndarray[Any, Any]:
    return np.random.default_rng(0).standard_normal((40, 50), np.float32)


def matmul(**graph: Any) -> onnx.ModelProto:
    """y = x w + b, with a weight large enough to be taken out and a bias that is not."""
    made = helper.make_graph(
        [helper.make_node("MatMul", ["x", "w"], ["p"]), helper.make_node("Add", ["p", "b"], ["y"])],
        "small",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["n", 40])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, ["n", 50])],
        [
            numpy_helper.from_array(weight(), "w"),
            numpy_helper.from_array(np.ones(50, np.float32), "b"),
        ],
    )
    return helper.make_model(made, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "m.onnx"
    onnx.save(matmul(), path)
    return path


def test_large_weights_are_arrays_and_the_rest_is_a_model_without_them(file: Path) -> None:
    parts = read(file)
    assert list(parts.weights) == ["w"]
    np.testing.assert_array_equal(parts.weights["w"], weight())
    assert [tensor.name for tensor in parts.model.graph.initializer] == ["b"]
    assert [info.name for info in parts.model.graph.input] == ["x", "w"]
    assert parts.model.ByteSize() < weight().nbytes


@pytest.mark.parametrize("kind", ["path", "text", "bytes", "model"])
def test_files_bytes_and_messages_come_apart_alike(file: Path, kind: str) -> None:
    given_as = {"path": file, "text": str(file), "bytes": file.read_bytes(), "model": matmul()}
    parts, expected = read(given_as[kind]), read(file)
    assert parts.model == expected.model
    np.testing.assert_array_equal(parts.weights["w"], expected.weights["w"])


def test_the_message_that_was_given_stays_as_it_is() -> None:
    model = matmul()
    read(model)
    assert model == matmul()


def test_weights_that_old_models_list_among_their_inputs_are_not_listed_twice(file: Path) -> None:
    model = matmul()
    model.ir_version = 3
    for name, shape in (("w", [40, 50]), ("b", [50])):
        model.graph.input.append(helper.make_tensor_value_info(name, TensorProto.FLOAT, shape))
    onnx.save(model, file)
    assert [info.name for info in read(file).model.graph.input] == ["x", "w", "b"]


def test_a_weight_in_another_file_is_read_into_an_array(tmp_path: Path) -> None:
    path = tmp_path / "m.onnx"
    onnx.save(matmul(), path, save_as_external_data=True, size_threshold=0)
    parts = read(path)
    np.testing.assert_array_equal(parts.weights["w"], weight())
    np.testing.assert_array_equal(parts.weights["b"], np.ones(50, np.float32))


def test_elements_can_be_given_apart_from_the_model() -> None:
    model = matmul()
    constant = numpy_helper.from_array(weight(), "w")
    del model.graph.initializer[0]
    constant.ClearField("raw_data")
    model.graph.node.insert(0, helper.make_node("Constant", [], ["w"], value=constant))
    result = compile(model, weights=[("w", weight())], threads=1).run(None, {"x": X})[0]
    np.testing.assert_allclose(result, X @ weight() + 1, rtol=1e-4, atol=1e-5)


def test_functions_that_cannot_be_inlined_are_no_valid_model() -> None:
    model = onnx.parser.parse_model(
        """<ir_version: 8, opset_import: ["" : 17, "own" : 1]>
        main (float[2] x) => (float[2] y) { y = own.twice(x, x) }
        <domain: "own", opset_import: ["" : 17]> twice (a) => (b) { b = Add(a, a) }"""
    )
    with pytest.raises(InvalidOnnx, match=r"parameters\); export it anew") as error:
        read(model)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize("weights", [5, None, "w", [1], [("w", 1)], {"w": None}, {1: weight()}])
def test_weights_that_are_no_arrays_by_name_are_one_line(weights: Any) -> None:
    with pytest.raises(OptionError, match="weights must be pairs of a name and an array"):
        read(matmul(), weights)


@pytest.mark.parametrize("shape", [[40, 51], [40, -50], [1 << 40, 1 << 40], []])
def test_bytes_that_do_not_fill_the_stated_shape_are_refused(file: Path, shape: list[int]) -> None:
    model = matmul()
    model.graph.initializer[0].dims[:] = shape
    file.write_bytes(model.SerializeToString())
    with pytest.raises(ModelError, match=r"m\.onnx is not valid ONNX \(.*'w'.*\); export it anew"):
        read(file)


@settings(deadline=None)
@given(st.data())
def test_a_damaged_file_is_refused_or_read_but_never_anything_else(data: st.DataObject) -> None:
    content = bytearray(matmul().SerializeToString())
    for _ in range(data.draw(st.integers(0, 3))):
        place = data.draw(st.integers(0, len(content) - 1))
        content[place] = data.draw(st.integers(0, 255))
    del content[data.draw(st.integers(0, len(content))) :]
    try:
        parts = read(bytes(content))
    except ModelError:
        return
    assert all(array.nbytes <= len(content) for array in parts.weights.values())


def test_what_is_read_has_no_sparse_tensor_larger_than_memory(model: Any) -> None:
    """Whoever reads it; a session has refused it before."""
    broken = model("(float[2, 3] x) => (float[2, 3] y) { y = Add(x, s) }", s=np.ones((2, 3)))
    del broken.graph.initializer[:]
    values = helper.make_tensor("v", TensorProto.FLOAT, [1], [1.0])
    indices = helper.make_tensor("i", TensorProto.INT64, [1], [5])
    sparse = helper.make_sparse_tensor(values, indices, [40, 40, 1 << 40])
    node = helper.make_node("Constant", [], ["s"])
    node.attribute.append(helper.make_attribute("sparse_value", sparse))
    broken.graph.node.insert(0, node)
    with pytest.raises(UnsafeModelError, match="sparse tensors that take"):
        read(broken)
