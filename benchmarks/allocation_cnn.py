"""A small residual network on handwritten digits, for the benchmark of allocation."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from sklearn.datasets import load_digits
from torch import nn

SIDE = 32
EPOCHS = 6


class Block(nn.Module):
    """Two convolutions with a shortcut around them."""

    def __init__(self, inputs: int, outputs: int, stride: int) -> None:
        super().__init__()
        self.first = nn.Conv2d(inputs, outputs, 3, stride, 1, bias=False)
        self.first_norm = nn.BatchNorm2d(outputs)
        self.second = nn.Conv2d(outputs, outputs, 3, 1, 1, bias=False)
        self.second_norm = nn.BatchNorm2d(outputs)
        self.shortcut = nn.Conv2d(inputs, outputs, 1, stride, bias=False)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        hidden = self.first_norm(self.first(x)).relu()
        return (self.second_norm(self.second(hidden)) + self.shortcut(x)).relu()


class ResNet(nn.Module):
    """0.7 M weights: a stem, three stages of two blocks, and a classifier."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Conv2d(1, 32, 3, 1, 1)
        sizes = [(32, 32, 1), (32, 32, 1), (32, 64, 2), (64, 64, 1), (64, 128, 2), (128, 128, 1)]
        self.blocks = nn.Sequential(*(Block(*size) for size in sizes))
        self.classifier = nn.Linear(128, 10)

    def forward(self, pixels: torch.Tensor) -> torch.Tensor:
        hidden = self.blocks(self.stem(pixels).relu())
        return self.classifier(hidden.mean((2, 3)))


class Task:
    """Trained anew each time, from a fixed seed: a minute on two cores."""

    name = "cnn"

    def __init__(self, epochs: int = EPOCHS) -> None:
        digits = load_digits()
        order = np.random.default_rng(0).permutation(len(digits.target))
        images = torch.from_numpy(digits.images[order].astype(np.float32) / 16).unsqueeze(1)
        pixels = nn.functional.interpolate(
            images, (SIDE, SIDE), mode="bilinear", align_corners=False
        )
        targets = torch.from_numpy(digits.target[order])
        # Training, calibration and what is measured share no image.
        self._calibration = pixels[1000:1400].numpy()
        self._held_out, self._targets = pixels[1400:], targets[1400:]
        torch.manual_seed(0)
        self._model = _train(ResNet(), pixels[:1000], targets[:1000], epochs)
        self._dense = self._logits(self._model)

    def load(self) -> nn.Module:
        """A fresh copy of the dense model."""
        model = ResNet()
        model.load_state_dict(self._model.state_dict())
        return model.eval()

    def calibration(self, seed: int, tokens: int) -> dict[str, np.ndarray[Any, Any]]:
        """So many images that there is one for 64 tokens, by the seed; 400 at most."""
        count = min(len(self._calibration), max(1, tokens // 64))
        chosen = np.random.default_rng(seed).choice(len(self._calibration), count, replace=False)
        return {"pixels": self._calibration[np.sort(chosen)]}

    def score(self, model: nn.Module) -> dict[str, Any]:
        """The logits' squared difference over their variance, and the accuracy."""
        found = self._logits(model)
        lost = (found - self._dense).square().mean() / self._dense.var(unbiased=False)
        right = (found.argmax(1) == self._targets).double().mean()
        return {"loss": float(lost), "accuracy": float(right), "images": len(self._targets)}

    def _logits(self, model: nn.Module) -> torch.Tensor:
        with torch.inference_mode():
            return torch.cat([model(part) for part in self._held_out.split(64)])


def _train(model: nn.Module, pixels: torch.Tensor, targets: torch.Tensor, epochs: int) -> nn.Module:
    optimizer = torch.optim.AdamW(model.parameters(), lr=2e-3, weight_decay=0.01)
    random = torch.Generator().manual_seed(0)
    model.train()
    for _ in range(epochs):
        for rows in torch.randperm(len(pixels), generator=random).split(50):
            optimizer.zero_grad()
            nn.functional.cross_entropy(model(pixels[rows]), targets[rows]).backward()
            optimizer.step()
    return model.eval()
