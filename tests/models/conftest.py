from __future__ import annotations

from typing import Any

import numpy as np
import onnx
import pytest
import torch
from onnx import TensorProto, helper, numpy_helper
from torch import nn


@pytest.fixture(autouse=True)
def one_thread() -> None:
    torch.set_num_threads(1)
    torch.manual_seed(0)


class SmallCnn(nn.Module):
    """Stem, grouped and strided convolutions, a depthwise one and a classifier."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Conv2d(3, 8, 3, padding=1)
        self.grouped = nn.Conv2d(8, 12, 3, stride=2, padding=(1, 0), groups=2)
        self.depthwise = nn.Conv2d(12, 12, 3, padding="same", groups=12)
        self.pointwise = nn.Conv2d(12, 6, 1, bias=False)
        self.classifier = nn.Linear(6, 4)

    def forward(self, pixels: torch.Tensor) -> torch.Tensor:
        hidden = self.grouped(self.stem(pixels).relu()).relu()
        hidden = self.pointwise(self.depthwise(hidden).relu()).relu()
        return self.classifier(hidden.mean((2, 3)))


@pytest.fixture
def cnn() -> nn.Module:
    return SmallCnn().eval()


@pytest.fixture
def bert() -> nn.Module:
    from transformers import BertConfig, BertModel

    config = BertConfig(
        vocab_size=40,
        hidden_size=16,
        num_hidden_layers=3,
        num_attention_heads=2,
        intermediate_size=24,
        max_position_embeddings=16,
    )
    return BertModel(config).eval()


@pytest.fixture
def tokens() -> dict[str, np.ndarray[Any, Any]]:
    random = np.random.default_rng(0)
    mask = np.ones((10, 8), np.int64)
    mask[::2, 5:] = 0
    return {"input_ids": random.integers(0, 40, (10, 8)), "attention_mask": mask}


@pytest.fixture
def pixels() -> dict[str, np.ndarray[Any, Any]]:
    random = np.random.default_rng(0)
    return {"pixels": random.standard_normal((6, 3, 9, 8)).astype(np.float32)}


@pytest.fixture
def onnx_cnn() -> onnx.ModelProto:
    """A grouped Conv, a Gemm with transB and a MatMul, whose weight is in a Constant node."""
    random = np.random.default_rng(0)

    def weight(name: str, *shape: int) -> onnx.TensorProto:
        return numpy_helper.from_array(random.standard_normal(shape).astype(np.float32), name)

    nodes = [
        helper.make_node("Constant", [], ["last"], "constant", value=weight("", 7, 5)),
        helper.make_node(
            "Conv",
            ["x", "kernel", "bias"],
            ["c"],
            "conv",
            group=2,
            strides=[2, 1],
            pads=[1, 0, 0, 2],
            dilations=[1, 2],
        ),
        helper.make_node("Relu", ["c"], ["r"], "relu"),
        helper.make_node("ReduceMean", ["r"], ["m"], "mean", axes=[2, 3], keepdims=0),
        helper.make_node("Gemm", ["m", "middle"], ["g"], "gemm", transB=1),
        helper.make_node("MatMul", ["g", "last"], ["y"], "matmul"),
    ]
    graph = helper.make_graph(
        nodes,
        "cnn",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["batch", 4, 9, 8])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, ["batch", 5])],
        [weight("kernel", 6, 2, 3, 3), weight("bias", 6), weight("middle", 7, 6)],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    onnx.checker.check_model(model)
    return model
