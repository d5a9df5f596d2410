"""A convolutional network in a session gives what ONNX Runtime gives, for any batch."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
import torch
from onnx import numpy_helper
from torch import nn


class Block(nn.Module):
    """Expansion, depthwise convolution, normalisation and a residual sum."""

    def __init__(self, channels: int, activation: type[nn.Module], stride: int = 1) -> None:
        super().__init__()
        wide = 2 * channels
        self.body = nn.Sequential(
            nn.Conv2d(channels, wide, 1, bias=False),
            nn.BatchNorm2d(wide),
            activation(),
            nn.Conv2d(wide, wide, 3, stride=stride, padding=1, groups=wide, bias=False),
            nn.BatchNorm2d(wide),
            activation(),
            nn.Conv2d(wide, channels, 1, bias=False),
            nn.BatchNorm2d(channels),
        )
        self.short = nn.Conv2d(channels, channels, 1, stride=stride)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return torch.relu(self.body(x) + self.short(x))


class Network(nn.Module):
    """Every kind of convolution and pooling that has a kernel."""

    def __init__(self, activation: type[nn.Module]) -> None:
        super().__init__()
        self.stem = nn.Conv2d(3, 8, 5, stride=2, padding=2)
        self.act = activation()
        self.pool = nn.MaxPool2d(3, stride=2, padding=1)
        self.first = Block(8, activation)
        self.second = Block(8, activation, stride=2)
        self.dilated = nn.Conv2d(8, 12, 3, padding=2, dilation=2, groups=4)
        self.valid = nn.Conv2d(12, 12, (2, 1))
        self.average = nn.AvgPool2d(2, stride=1)
        self.head = nn.Linear(12, 5)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = self.pool(self.act(self.stem(x)))
        x = self.second(self.first(x))
        x = self.average(self.valid(self.act(self.dilated(x))))
        return self.head(x.mean((2, 3)))


def export(activation: type[nn.Module], path: Path) -> onnx.ModelProto:
    torch.set_num_threads(1)
    torch.manual_seed(0)
    network = Network(activation)
    for module in network.modules():
        if isinstance(module, nn.BatchNorm2d):
            nn.init.uniform_(module.running_mean, -0.5, 0.5)
            nn.init.uniform_(module.running_var, 0.5, 2)
            nn.init.uniform_(module.weight, 0.5, 2)
            nn.init.uniform_(module.bias, -0.5, 0.5)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        torch.onnx.export(
            network.eval(),
            (torch.zeros(2, 3, 37, 29),),
            str(path),
            input_names=["pixels"],
            dynamic_axes={"pixels": {0: "batch"}},
            opset_version=17,
            dynamo=False,
            # Batch normalisation is left to the compiler to fold.
            do_constant_folding=False,
            training=torch.onnx.TrainingMode.PRESERVE,
        )
    return onnx.load(path)


def prune(model: onnx.ModelProto) -> None:
    for tensor in model.graph.initializer:
        weight = numpy_helper.to_array(tensor)
        if weight.ndim == 4:
            kept = np.abs(weight) > np.quantile(np.abs(weight), 0.7)
            tensor.CopyFrom(numpy_helper.from_array(weight * kept, tensor.name))


@pytest.fixture(scope="module")
def networks(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], onnx.ModelProto]:
    folder = tmp_path_factory.mktemp("cnn")
    kinds: dict[str, type[nn.Module]] = {
        "SiLU": nn.SiLU,
        "GELU": nn.GELU,
        "Hardswish": nn.Hardswish,
        "ReLU6": nn.ReLU6,
    }
    return lambda name: export(kinds[name], folder / f"{name}.onnx")


@pytest.mark.parametrize("activation", ["SiLU", "GELU", "Hardswish", "ReLU6"])
def test_network_agrees_with_onnx_runtime(
    networks: Callable[[str], onnx.ModelProto], agrees: Any, activation: str
) -> None:
    network = networks(activation)
    random = np.random.default_rng(0)
    for batch, threads, target in [(1, 1, "host"), (3, 2, "host"), (2, 3, "avx2")]:
        pixels = random.standard_normal((batch, 3, 37, 29)).astype(np.float32)
        agrees(network, {"pixels": pixels}, threads=threads, target=target, tolerance=1e-4)


def test_pruned_network_agrees_for_several_batches(
    networks: Callable[[str], onnx.ModelProto], agrees: Any, reference: Any, close: Any
) -> None:
    network = networks("SiLU")
    prune(network)
    random = np.random.default_rng(0)
    feeds = {"pixels": random.standard_normal((1, 3, 37, 29)).astype(np.float32)}
    session = agrees(network, feeds, threads=2, tolerance=1e-4)
    for batch in (4, 1, 7):
        feeds = {"pixels": random.standard_normal((batch, 3, 37, 29)).astype(np.float32)}
        (ours,) = session.run(None, feeds)
        close(ours, reference(network, feeds)[0], 1e-4)


def test_batch_normalisation_and_activations_cost_no_kernel_of_their_own(
    networks: Callable[[str], onnx.ModelProto], agrees: Any
) -> None:
    network = networks("ReLU6")
    assert "BatchNormalization" in {node.op_type for node in network.graph.node}
    pixels = np.zeros((1, 3, 37, 29), np.float32)
    ops = [line.op for line in agrees(network, {"pixels": pixels}).explain()]
    assert "BatchNormalization" not in " ".join(ops)
    assert ops.count("Convolution") == sum(n.op_type == "Conv" for n in network.graph.node)
