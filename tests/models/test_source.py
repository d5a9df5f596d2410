"""From whatever names a model to ONNX, and to inputs that fit it."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper

from gossamer.errors import DataError
from gossamer.formats import save
from gossamer.models.places import SPARSE_FILE
from gossamer.models.source import as_onnx, first_samples, graph_example, named, one_inference


def inputs(*values: onnx.ValueInfoProto) -> onnx.ModelProto:
    graph = helper.make_graph([], "inputs", values, values)
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)


def test_open_sizes_are_one_sample_of_128_tokens_or_224_pixels() -> None:
    made = graph_example(
        inputs(
            helper.make_tensor_value_info("ids", TensorProto.INT64, ["batch", "sequence"]),
            helper.make_tensor_value_info("pixels", TensorProto.FLOAT, ["batch", 3, "h", "w"]),
            helper.make_tensor_value_info("fixed", TensorProto.FLOAT16, [4, 7]),
        )
    )
    assert {name: (array.shape, array.dtype.name) for name, array in made.items()} == {
        "ids": ((1, 128), "int64"),
        "pixels": ((1, 3, 224, 224), "float32"),
        "fixed": ((4, 7), "float16"),
    }
    assert (made["ids"] == 1).all()


def test_what_cannot_be_made_up_is_asked_for() -> None:
    for value in (
        helper.make_tensor_value_info("words", TensorProto.STRING, ["n"]),
        helper.make_tensor_value_info("anything", TensorProto.FLOAT, None),
    ):
        with pytest.raises(DataError, match="give example inputs"):
            graph_example(inputs(value))


def test_the_folder_of_a_sparse_file_stands_for_it(small_onnx: Path, tmp_path: Path) -> None:
    save(onnx.load(small_onnx), tmp_path / SPARSE_FILE)
    found = as_onnx(tmp_path)
    assert [node.op_type for node in found.graph.node] == ["Gemm", "Relu", "MatMul"]


def test_samples_are_taken_across_batches(small_onnx: Path) -> None:
    batches = [np.full((3, 64), index, np.float32) for index in range(3)]
    taken = first_samples(small_onnx, batches, 5)
    assert taken["x"][:, 0].tolist() == [0, 0, 0, 1, 1]


def test_asking_for_more_samples_than_there_are(small_onnx: Path) -> None:
    with pytest.raises(DataError, match="holds 3 samples; 4 are asked for"):
        first_samples(small_onnx, {"x": np.zeros((3, 64), np.float32)}, 4)


def test_a_batch_that_does_not_fit_is_called_by_its_number(small_onnx: Path) -> None:
    batches = [np.zeros((1, 64 if number < 10 else 3), np.float32) for number in range(1, 11)]
    with pytest.raises(DataError, match=r"^batch 10: 'x' has shape"):
        first_samples(small_onnx, batches, 10)
    with pytest.raises(DataError, match=r"^data is empty"):
        first_samples(small_onnx, [], 1)


def test_an_example_is_checked_against_the_model(small_onnx: Path) -> None:
    model = onnx.load(small_onnx)
    assert one_inference(model)["x"].shape == (1, 64)
    assert one_inference(model, np.zeros((2, 64), np.float32))["x"].shape == (2, 64)
    with pytest.raises(DataError, match=r"the example: 'x' has shape \(2, 3\)"):
        one_inference(model, np.zeros((2, 3), np.float32))
    with pytest.raises(DataError, match="NaN"):
        one_inference(model, np.full((2, 64), np.nan, np.float32))


def test_nodes_of_a_module_bear_the_names_of_its_layers(small_onnx: Path) -> None:
    nn = pytest.importorskip("torch.nn")
    layers = [nn.Linear(8, 8), nn.ReLU(), nn.Sequential(nn.Linear(8, 4), nn.Tanh())]
    graph, names = named(nn.Sequential(*layers), np.zeros((1, 8), np.float32))
    assert set(names.values()) == {"0", "2.0"}
    assert set(names) < {node.name for node in graph.graph.node}
    assert named(small_onnx)[1] == {}
