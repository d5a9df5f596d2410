"""The models and data behind the golden files: the same in every version, on every machine."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import onnx
import torch
from onnx import TensorProto, helper, numpy_helper
from torch import nn


def _matrix(seed: int, *shape: int) -> np.ndarray:
    """Small multiples of a power of two, which every number type that is used here holds."""
    return np.random.default_rng(seed).integers(-16, 17, shape).astype(np.float32) / 64


def _sparse(seed: int, *shape: int) -> np.ndarray:
    matrix = _matrix(seed, *shape)
    matrix[np.random.default_rng(seed + 100).random(shape) < 0.75] = 0
    return matrix


class Network(nn.Module):
    """Three layers, the last of which shares the first one's weight."""

    def __init__(self, matrix: Callable[..., np.ndarray] = _matrix) -> None:
        super().__init__()
        self.first, self.second, self.last = nn.Linear(24, 32), nn.Linear(32, 32), nn.Linear(24, 32)
        with torch.no_grad():
            for index, layer in enumerate((self.first, self.second)):
                layer.weight.copy_(torch.from_numpy(matrix(index, *layer.weight.shape)))
                layer.bias.copy_(torch.from_numpy(_matrix(index + 10, *layer.bias.shape)))
        self.last.weight = self.first.weight
        self.last.bias = self.first.bias
        self.eval()

    def forward(self, input: torch.Tensor) -> torch.Tensor:
        """Map `[samples, 24]` to `[samples, 24]`."""
        hidden = torch.relu(self.second(torch.relu(self.first(input))))
        return hidden @ self.last.weight


def dense_network() -> Network:
    """The network without zeros to speak of."""
    return Network()


def sparse_network() -> Network:
    """The network with three quarters of its weights zero."""
    return Network(_sparse)


def perceptron(*, sparse: bool) -> nn.Module:
    """A classifier of 24 inputs and 6 classes, for jobs and recovery."""
    make = _sparse if sparse else _matrix
    model = nn.Sequential(nn.Linear(24, 32), nn.ReLU(), nn.Linear(32, 24), nn.ReLU())
    model.append(nn.Linear(24, 6))
    with torch.no_grad():
        for index, parameter in enumerate(model.parameters()):
            made = make if parameter.ndim > 1 else _matrix
            parameter.copy_(torch.from_numpy(made(index + 20, *parameter.shape)))
    return model.eval()


def samples() -> np.ndarray:
    """`[64, 24]`, calibration data for both."""
    return _matrix(50, 64, 24)


def agreement(dense: nn.Module) -> Callable[[Any], float]:
    """An evaluation: how much of the dense model's outputs a module gives, one at most."""
    inputs = torch.from_numpy(samples())
    with torch.no_grad():
        expected = dense(inputs)

    def evaluate(model: Any) -> float:
        with torch.no_grad():
            lost = (model(inputs) - expected).square().sum() / expected.square().sum()
        return 1 - float(lost)

    return evaluate


def arrays() -> dict[str, np.ndarray]:
    """An array of every kind that a file has to keep: types, no elements, NaN, signed zeros."""
    import ml_dtypes

    found = {
        name: (_sparse(60, 8, 24) * 64).astype(name)
        for name in ("float32", "float64", "float16", "int8", "int64", "uint8", "bool")
    }
    found["bfloat16"] = _sparse(61, 8, 24).astype(ml_dtypes.bfloat16)
    found["scalar"] = np.array(2.5, np.float32)
    found["empty"] = np.zeros((0, 4), np.float32)
    found["odd values"] = np.array([0.0, -0.0, np.nan, np.inf, -np.inf, 1e-45], np.float32)
    found["all zeros"] = np.zeros((4, 16), np.float32)
    found["transposed"] = np.asfortranarray(_sparse(62, 24, 8))
    return found


def onnx_network() -> onnx.ModelProto:
    """An ONNX model with a Gemm, a MatMul and a weight in a Constant node; open batch."""
    nodes = [
        helper.make_node("Gemm", ["x", "w1", "b1"], ["h"], "first", transB=1),
        helper.make_node("Relu", ["h"], ["a"], "relu"),
        helper.make_node("Constant", [], ["w2"], value=numpy_helper.from_array(_sparse(71, 32, 8))),
        helper.make_node("MatMul", ["a", "w2"], ["y"], "last"),
    ]
    graph = helper.make_graph(
        nodes,
        "golden",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["batch", 24])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, ["batch", 8])],
        [
            numpy_helper.from_array(_sparse(70, 32, 24), "w1"),
            numpy_helper.from_array(_matrix(72, 32), "b1"),
        ],
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)


def onnx_output(x: np.ndarray) -> np.ndarray:
    """What `onnx_network` gives, by NumPy."""
    hidden = np.maximum(x @ _sparse(70, 32, 24).T + _matrix(72, 32), 0)
    return np.asarray(hidden @ _sparse(71, 32, 8))
