"""The rivals: what the dense model does in ordinary runtimes."""

from __future__ import annotations

import importlib.util
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from gossamer.energy.engines import open_model
from gossamer.errors import ModelError
from gossamer.verbs import baselines as module
from gossamer.verbs.baselines import baselines, quantize

pytest.importorskip("onnxruntime")
FEEDS = {"x": np.random.default_rng(0).standard_normal((4, 64)).astype(np.float32)}


@pytest.fixture
def convolution(tmp_path: Path) -> Path:
    """An ONNX file of one convolution."""
    weight = np.random.default_rng(0).standard_normal((4, 3, 3, 3)).astype(np.float32)
    graph = helper.make_graph(
        [helper.make_node("Conv", ["x", "w"], ["y"], "conv", pads=[1, 1, 1, 1])],
        "convolution",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["batch", 3, 8, 8])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, ["batch", 4, 8, 8])],
        [numpy_helper.from_array(weight, "w")],
    )
    path = tmp_path / "convolution.onnx"
    onnx.save(
        helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8), path
    )
    return path


def test_int8_is_written_and_near_the_dense_model(small_onnx: Path, tmp_path: Path) -> None:
    quantize(small_onnx, tmp_path / "int8.onnx", FEEDS)
    assert (tmp_path / "int8.onnx").stat().st_size < small_onnx.stat().st_size / 2
    dense = open_model(small_onnx, "onnxruntime", 1).run(FEEDS)[0]
    int8 = open_model(tmp_path / "int8.onnx", "onnxruntime", 1).run(FEEDS)[0]
    assert 0 < np.abs(int8 - dense).max() < 0.05 * np.abs(dense).max()


def test_convolutions_are_calibrated_since_dynamic_int8_makes_them_slower(
    convolution: Path, tmp_path: Path
) -> None:
    feeds = {"x": np.random.default_rng(1).standard_normal((2, 3, 8, 8)).astype(np.float32)}
    quantize(convolution, tmp_path / "int8.onnx", feeds)
    operators = {node.op_type for node in onnx.load(tmp_path / "int8.onnx").graph.node}
    assert "QuantizeLinear" in operators
    assert not {"ConvInteger", "DynamicQuantizeLinear"} & operators
    dense = open_model(convolution, "onnxruntime", 1).run(feeds)[0]
    int8 = open_model(tmp_path / "int8.onnx", "onnxruntime", 1).run(feeds)[0]
    assert np.abs(int8 - dense).max() < 0.1 * np.abs(dense).max()


def test_every_ordinary_runtime_that_is_installed_is_a_rival(
    small_onnx: Path, tmp_path: Path
) -> None:
    found, notes = baselines(small_onnx, FEEDS, tmp_path)
    assert notes == []
    names = [one.name for one in found]
    assert names[0] == "int8, ONNX Runtime"
    if importlib.util.find_spec("openvino"):
        assert names[1] in ("dense bf16, OpenVINO", "dense fp32, OpenVINO")
        assert names[2] == "int8, OpenVINO"
    for one in found:
        assert open_model(one.file, one.engine, 1).run(FEEDS)[0].shape == (4, 10)


def test_a_rival_that_cannot_be_made_is_said(
    small_onnx: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*given: object) -> None:
        raise ValueError("no such operator\nat line 5")

    monkeypatch.setattr(module, "_quantize", fail)
    with pytest.raises(ModelError, match=r"cannot quantize the model \(no such operator\)"):
        quantize(small_onnx, tmp_path / "int8.onnx", FEEDS)
    found, notes = baselines(small_onnx, FEEDS, tmp_path)
    assert all("int8" not in one.name for one in found)
    assert notes == [
        "There is no int8 baseline: ONNX Runtime cannot quantize the model (no such operator)."
    ]
