"""What `gossamer.inspect` counts."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from gossamer.errors import DataError, ModelError
from gossamer.formats import save
from gossamer.verbs.inspect import inspect


def test_counts_the_layers_of_an_onnx_file(small_onnx: Path) -> None:
    found = inspect(small_onnx)
    assert [(layer.name, layer.rows, layer.columns) for layer in found.layers] == [
        ("hidden_layer", 128, 64),
        ("output_layer", 10, 128),
    ]
    assert found.prunable_weights == found.weights == 128 * 64 + 128 * 10
    assert found.multiply_adds == 128 * 64 + 128 * 10
    assert found.zeros == 0
    assert found.notes == () and found.to_dict()["notes"] == []


def test_multiply_adds_follow_the_example(small_onnx: Path) -> None:
    found = inspect(small_onnx, {"x": np.zeros((5, 64), np.float32)})
    assert found.multiply_adds == 5 * (128 * 64 + 128 * 10)
    assert found.inputs == {"x": (5, 64)}


def test_zeros_are_counted_by_layer_and_over_the_model(small_onnx: Path) -> None:
    model = onnx.load(small_onnx)
    weight = numpy_helper.to_array(model.graph.initializer[1]).copy()
    weight[:, :5] = 0
    model.graph.initializer[1].CopyFrom(numpy_helper.from_array(weight, "second"))
    found = inspect(model)
    assert [layer.zeros for layer in found.layers] == [0, 640]
    assert found.sparsity == found.model_sparsity == 640 / 9472


def test_a_convolution_counts_every_pixel() -> None:
    weight = np.ones((8, 3, 3, 3), np.float32)
    graph = helper.make_graph(
        [helper.make_node("Conv", ["x", "w"], ["y"], "conv", strides=[2, 2], pads=[1, 1, 1, 1])],
        "convolution",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["n", 3, 32, 32])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, None)],
        [numpy_helper.from_array(weight, "w")],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    (layer,) = inspect(model).layers
    assert (layer.rows, layer.columns) == (8, 27)
    assert layer.multiply_adds == 8 * 27 * 16 * 16


def test_a_weight_that_two_nodes_share_is_one_layer_with_the_work_of_both() -> None:
    graph = helper.make_graph(
        [
            helper.make_node("MatMul", ["x", "w"], ["y"], "first"),
            helper.make_node("MatMul", ["y", "w"], ["z"], "second"),
        ],
        "shared",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["n", 16])],
        [helper.make_tensor_value_info("z", TensorProto.FLOAT, None)],
        [numpy_helper.from_array(np.ones((16, 16), np.float32), "w")],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    (layer,) = inspect(model).layers
    assert (layer.name, layer.multiply_adds) == ("first", 2 * 16 * 16)


def test_a_sparse_file_with_a_graph_is_inspected_like_the_graph(
    small_onnx: Path, tmp_path: Path
) -> None:
    path = tmp_path / "small.gossamer.safetensors"
    save(onnx.load(small_onnx), path)
    assert inspect(path).to_dict() == inspect(small_onnx).to_dict()


def test_a_sparse_file_without_a_graph_shows_its_tensors(tmp_path: Path) -> None:
    path = tmp_path / "arrays.gossamer.safetensors"
    save({"w": np.eye(8, dtype=np.float32), "b": np.ones(8, np.float32)}, path)
    found = inspect(path)
    assert [(layer.name, layer.zeros) for layer in found.layers] == [("w", 56)]
    assert found.weights == 72
    assert found.multiply_adds is None


def test_a_module_is_asked_through_its_adapter() -> None:
    torch = pytest.importorskip("torch")
    module = torch.nn.Sequential(
        torch.nn.Linear(16, 8), torch.nn.ReLU(), torch.nn.Linear(8, 4, bias=False)
    )
    with torch.no_grad():
        module[2].weight[:2] = 0
    found = inspect(module)
    assert [(layer.name, layer.weights, layer.zeros) for layer in found.layers] == [
        ("0", 128, 0),
        ("2", 32, 16),
    ]
    assert found.multiply_adds is None
    assert inspect(module, {"input": np.zeros((3, 16), np.float32)}).multiply_adds == 3 * 160


def test_a_module_without_layers_runs_its_example_all_the_same() -> None:
    torch = pytest.importorskip("torch")
    found = inspect(torch.nn.ReLU(), {"input": np.zeros((3, 16), np.float32)})
    assert found.layers == () and found.inputs == {"input": (3, 16)}


def test_a_module_of_float8_is_counted_and_has_nothing_to_prune() -> None:
    torch = pytest.importorskip("torch")
    module = torch.nn.Linear(4, 2, bias=False)
    with torch.no_grad():
        module.weight[0] = 0
    found = inspect(module.to(torch.float8_e4m3fn))
    assert (found.layers, found.weights, found.zeros) == ((), 8, 4)
    assert any("elements of torch.float8_e4m3fn" in note for note in found.notes)


def test_an_example_of_another_model_is_refused(small_onnx: Path) -> None:
    with pytest.raises(
        DataError, match="'pixels', which the model does not take; its inputs are: x"
    ):
        inspect(small_onnx, {"pixels": np.zeros((1, 64), np.float32)})


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match=r"gone\.onnx does not exist"):
        inspect(tmp_path / "gone.onnx")


def test_onnx_is_inspected_without_torch(small_onnx: Path) -> None:
    script = (
        "import sys, gossamer; "
        "gossamer.inspect(sys.argv[1]); "
        "assert 'torch' not in sys.modules and 'onnxruntime' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", script, str(small_onnx)], check=True)
