"""Models and data small enough for every test."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import onnx
import pytest
from hypothesis import settings
from onnx import TensorProto, helper, numpy_helper

# The same examples in every run: a change is to blame for what it breaks, not chance.
settings.register_profile("stable", derandomize=True)
settings.load_profile("stable")


@pytest.fixture(scope="session", autouse=True)
def offline() -> Iterator[None]:
    """No test may reach a model hub."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("HF_HUB_OFFLINE", "1")
        yield


@pytest.fixture(scope="session", autouse=True)
def untimed() -> Iterator[None]:
    """No test depends on who is faster here: what is in doubt runs in generated code."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("gossamer.runtime.contest.lost", lambda ours, open_theirs: "")
        yield


def perceptron(seed: int = 0) -> onnx.ModelProto:
    """Make a classifier of 64 inputs, 128 hidden units and 10 outputs: Gemm, Relu, MatMul."""
    random = np.random.default_rng(seed)
    first = random.standard_normal((128, 64)).astype(np.float32)
    second = random.standard_normal((128, 10)).astype(np.float32)
    graph = helper.make_graph(
        [
            helper.make_node("Gemm", ["x", "first"], ["hidden"], "hidden_layer", transB=1),
            helper.make_node("Relu", ["hidden"], ["active"], "relu"),
            helper.make_node("MatMul", ["active", "second"], ["y"], "output_layer"),
        ],
        "perceptron",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["batch", 64])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, ["batch", 10])],
        [numpy_helper.from_array(first, "first"), numpy_helper.from_array(second, "second")],
    )
    return helper.make_model(
        graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8, producer_name="test"
    )


@pytest.fixture
def small_onnx(tmp_path: Path) -> Path:
    """An .onnx file of the perceptron."""
    path = tmp_path / "small.onnx"
    onnx.save(perceptron(), path)
    return path


@pytest.fixture
def small_data(tmp_path: Path) -> Path:
    """An .npz file of 64 samples for the perceptron."""
    path = tmp_path / "data.npz"
    np.savez(path, x=np.random.default_rng(1).standard_normal((64, 64)).astype(np.float32))
    return path
