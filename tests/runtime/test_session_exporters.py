"""What exporters make of common architectures runs natively as a whole."""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from gossamer.runtime import compile

pytestmark = pytest.mark.slow

f32 = np.float32


def image_model(name: str) -> Any:
    """A small model with random weights, as a function of an image."""
    import torch
    import transformers as hub

    torch.manual_seed(0)
    small = {"hidden_size": 64, "num_hidden_layers": 2, "num_attention_heads": 4}
    makers = {
        "mobilenet": lambda: hub.MobileNetV2ForImageClassification(
            hub.MobileNetV2Config(image_size=32, depth_multiplier=0.25)
        ),
        "efficientnet": lambda: hub.EfficientNetForImageClassification(
            hub.EfficientNetConfig(
                image_size=32, width_coefficient=0.25, depth_coefficient=0.25, hidden_dim=320
            )
        ),
        "convnext": lambda: hub.ConvNextForImageClassification(
            hub.ConvNextConfig(hidden_sizes=[16, 32], depths=[1, 1], num_stages=2)
        ),
        "vit": lambda: hub.ViTForImageClassification(
            hub.ViTConfig(**small, intermediate_size=128, image_size=32, patch_size=8)
        ),
    }

    class Logits(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.model = makers[name]()

        def forward(self, pixel_values: torch.Tensor) -> torch.Tensor:
            logits: torch.Tensor = self.model(pixel_values).logits
            return logits

    return Logits().eval()


@pytest.mark.parametrize("dynamo", [False, True])
@pytest.mark.parametrize("name", ["mobilenet", "efficientnet", "convnext", "vit"])
def test_image_models(name: str, dynamo: bool, tmp_path: Path, reference: Any, close: Any) -> None:
    import torch

    path = tmp_path / "model.onnx"
    sizes: dict[str, Any] = {"dynamic_axes": {"pixel_values": {0: "batch"}}}
    if dynamo:
        sizes = {"dynamic_shapes": ({0: torch.export.Dim("batch")},)}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        torch.onnx.export(
            image_model(name),
            (torch.zeros(2, 3, 32, 32),),
            str(path),
            input_names=["pixel_values"],
            opset_version=18 if dynamo else 17,
            dynamo=dynamo,
            verbose=False,
            **sizes,
        )
    session = compile(path, engine="gossamer")
    assert not [line for line in session.explain() if line.kernel == "ONNX Runtime"]
    x = np.random.default_rng(0).standard_normal((3, 3, 32, 32)).astype(f32)
    feeds = {"pixel_values": x}
    close(session.run(None, feeds)[0], reference(path, feeds)[0], 1e-4)
