from __future__ import annotations

import sys
from collections import defaultdict
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime
import pytest
import torch
from onnx import TensorProto, helper, numpy_helper
from torch import Tensor

from gossamer.errors import DataError, ModelError
from gossamer.models import open_model
from gossamer.models.calibration import read_batches
from gossamer.models.onnx_model import OnnxModel

Arrays = dict[str, np.ndarray[Any, Any]]
LAYERS = ["conv", "gemm", "matmul"]


@pytest.fixture
def images() -> Arrays:
    return {"x": np.random.default_rng(1).standard_normal((5, 4, 9, 8)).astype(np.float32)}


def captured(adapter: Any, batches: list[Arrays], names: list[str]) -> dict[str, Tensor]:
    pieces: dict[str, list[Tensor]] = defaultdict(list)
    adapter.capture(batches, names, lambda name, inputs: pieces[name].append(inputs))
    return {name: torch.cat(parts, dim=-2) for name, parts in pieces.items()}


def outputs(model: onnx.ModelProto, feeds: Arrays, *names: str) -> list[np.ndarray[Any, Any]]:
    shown = onnx.ModelProto()
    shown.CopyFrom(model)
    del shown.graph.output[:]
    shown.graph.output.extend(onnx.ValueInfoProto(name=name) for name in names)
    return list(onnxruntime.InferenceSession(shown.SerializeToString()).run(None, feeds))


def test_layers_are_found_in_initializers_and_constant_nodes(onnx_cnn: onnx.ModelProto) -> None:
    layers = open_model(onnx_cnn).layers()
    assert [(layer.name, layer.rows, layer.columns, layer.groups) for layer in layers] == [
        ("conv", 6, 18, 2),
        ("gemm", 7, 6, 1),
        ("matmul", 5, 7, 1),
    ]


@pytest.mark.parametrize("name", LAYERS)
def test_a_weight_written_is_the_weight_that_runs(
    onnx_cnn: onnx.ModelProto, images: Arrays, name: str
) -> None:
    adapter = open_model(onnx_cnn).copy()
    weight = adapter.weight(name)
    adapter.set_weight(name, weight)
    before = outputs(onnx_cnn, images, "y")[0]
    np.testing.assert_allclose(outputs(adapter.model, images, "y")[0], before, rtol=1e-6)
    adapter.set_weight(name, weight * 0)
    assert not np.allclose(outputs(adapter.model, images, "y")[0], before)
    assert open_model(onnx_cnn).weight(name).count_nonzero() == weight.numel()


def test_captured_inputs_times_the_weight_are_the_layer_s_outputs(
    onnx_cnn: onnx.ModelProto, images: Arrays
) -> None:
    adapter = open_model(onnx_cnn)
    inputs = captured(adapter, [images], LAYERS)
    conv, gemm, matmul = outputs(onnx_cnn, images, "c", "g", "y")
    bias = numpy_helper.to_array(onnx_cnn.graph.initializer[1])
    grouped = inputs["conv"] @ adapter.weight("conv").reshape(2, 3, 18).transpose(1, 2)
    flat = torch.cat(list(grouped), dim=1).numpy() + bias
    np.testing.assert_allclose(
        flat, conv.transpose(0, 2, 3, 1).reshape(-1, 6), rtol=1e-4, atol=1e-4
    )
    for name, expected in (("gemm", gemm), ("matmul", matmul)):
        product = inputs[name] @ adapter.weight(name).T
        np.testing.assert_allclose(product.numpy(), expected, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("automatic", ["SAME_UPPER", "SAME_LOWER", "VALID"])
def test_automatic_padding_of_a_convolution(
    onnx_cnn: onnx.ModelProto, images: Arrays, automatic: str
) -> None:
    (node,) = [node for node in onnx_cnn.graph.node if node.op_type == "Conv"]
    for name in ("pads", "dilations"):
        node.attribute.remove(next(given for given in node.attribute if given.name == name))
    node.attribute.append(helper.make_attribute("auto_pad", automatic))
    adapter = open_model(onnx_cnn)
    inputs = captured(adapter, [images], ["conv"])["conv"]
    product = inputs @ adapter.weight("conv").reshape(2, 3, 18).transpose(1, 2)
    bias = numpy_helper.to_array(onnx_cnn.graph.initializer[1])
    expected = outputs(onnx_cnn, images, "c")[0].transpose(0, 2, 3, 1).reshape(-1, 6)
    flat = torch.cat(list(product), dim=1).numpy() + bias
    np.testing.assert_allclose(flat, expected, rtol=1e-4, atol=1e-4)


def test_each_part_sees_the_changes_of_the_parts_before(
    onnx_cnn: onnx.ModelProto, images: Arrays
) -> None:
    adapter = open_model(onnx_cnn).copy()
    halves = [{"x": images["x"][:2]}, {"x": images["x"][2:]}]
    seen: dict[str, list[Tensor]] = defaultdict(list)
    order = []
    groups = [["matmul"], ["conv"], ["gemm"]]
    for group in adapter.walk(halves, groups, lambda name, part, _: seen[name].append(part)):
        order += group
        for name in group:
            adapter.set_weight(name, adapter.weight(name) * 0.5)
    assert order == LAYERS
    gemm_input, matmul_input = outputs(adapter.model, images, "m", "g")
    np.testing.assert_allclose(torch.cat(seen["gemm"]), gemm_input, rtol=1e-5)
    np.testing.assert_allclose(torch.cat(seen["matmul"]), matmul_input, rtol=1e-5)


def test_the_walk_of_an_exported_transformer_equals_that_of_the_module(
    bert: torch.nn.Module, tokens: Arrays, tmp_path: Path
) -> None:
    module = open_model(bert)
    module.export_onnx(tmp_path / "bert.onnx", tokens)
    graph = OnnxModel(onnx.load(tmp_path / "bert.onnx"))
    names = [layer.name for layer in module.layers() if layer.block]
    same_names = [layer.name for layer in graph.layers() if layer.block]
    ours = captured(graph, [tokens], same_names)
    theirs = captured(module.copy(), [tokens], names)
    for name, other in zip(names, same_names, strict=True):
        torch.testing.assert_close(ours[other], theirs[name], rtol=1e-4, atol=1e-5)


def test_a_weight_that_two_nodes_share_is_one_layer(images: Arrays) -> None:
    weight = numpy_helper.from_array(np.eye(3, dtype=np.float32), "w")
    graph = helper.make_graph(
        [
            helper.make_node("MatMul", ["x", "w"], ["h"], "one"),
            helper.make_node("Identity", ["w"], ["same"], "tied"),
            helper.make_node("MatMul", ["h", "same"], ["y"], "two"),
        ],
        "tied",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["batch", 3])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, ["batch", 3])],
        [weight],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    adapter = open_model(model)
    assert [layer.name for layer in adapter.layers()] == ["one"]
    assert len(captured(adapter, [{"x": np.ones((4, 3), np.float32)}], ["one"])["one"]) == 8


def test_half_precision_weights_stay_half() -> None:
    weight = numpy_helper.from_array(np.ones((3, 2), np.float16), "w")
    graph = helper.make_graph(
        [helper.make_node("MatMul", ["x", "w"], ["y"], "matmul")],
        "half",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT16, ["batch", 3])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT16, ["batch", 2])],
        [weight],
    )
    adapter = OnnxModel(helper.make_model(graph)).copy()
    adapter.set_weight("matmul", adapter.weight("matmul") * 0.5)
    (tensor,) = adapter.model.graph.initializer
    assert tensor.data_type == TensorProto.FLOAT16 and tensor.name == "w"
    assert numpy_helper.to_array(tensor).tolist() == [[0.5, 0.5]] * 3


def test_weights_are_counted_with_constant_nodes(onnx_cnn: onnx.ModelProto) -> None:
    adapter = open_model(onnx_cnn).copy()
    adapter.set_weight("matmul", torch.zeros(5, 7))
    assert adapter.count_weights() == (6 * 18 + 6 + 42 + 35, 35)


def test_data_that_does_not_fit_the_graph_is_refused(onnx_cnn: onnx.ModelProto) -> None:
    inputs = open_model(onnx_cnn).inputs()
    with pytest.raises(DataError, match=r"'x' has shape .*4, 9, 8"):
        read_batches({"x": np.ones((5, 4, 9, 9), np.float32)}, inputs)
    with pytest.raises(DataError, match="floating-point"):
        read_batches({"x": np.ones((5, 4, 9, 8), np.int64)}, inputs)


def test_sizes_written_as_minus_one_are_free(onnx_cnn: onnx.ModelProto) -> None:
    onnx_cnn.graph.input[0].type.tensor_type.shape.dim[0].dim_value = -1
    (given,) = open_model(onnx_cnn).inputs()
    assert given.shape == (None, 4, 9, 8)
    (batch,) = read_batches({"x": np.ones((5, 4, 9, 8), np.float32)}, [given])
    assert len(batch["x"]) == 5


def test_without_onnxruntime_the_extra_is_named(
    onnx_cnn: onnx.ModelProto, images: Arrays, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "onnxruntime", None)
    with pytest.raises(ModelError, match=r"gossamer\[ort\]"):
        captured(open_model(onnx_cnn), [images], ["gemm"])


def test_the_model_is_written_as_it_is(onnx_cnn: onnx.ModelProto, tmp_path: Path) -> None:
    open_model(onnx_cnn).export_onnx(tmp_path / "out.onnx", {})
    assert onnx.load(tmp_path / "out.onnx") == onnx_cnn


def test_evaluate_receives_what_runs_the_session_factory_s_session(
    onnx_cnn: onnx.ModelProto,
) -> None:
    class Session:
        threads = 7

        def __init__(self, model: onnx.ModelProto) -> None:
            self.model = model

    adapter = OnnxModel(onnx_cnn, session=Session).copy()
    with adapter.evaluated() as given:
        assert given.model == onnx_cnn
        assert given.threads == 7
