"""BERT-base with random weights: only how long solving takes, which its values hardly change."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import torch

TOKENS = 64


class Task:
    """What `accuracy.py` asks of a task.

    Args:
        folder: for the model as a Hugging Face directory.
        data: not used here.
    """

    name = "bert"
    loader = "AutoModel"

    def __init__(self, folder: Path, data: Path | None = None) -> None:
        import transformers

        self.directory = folder / "bert-base"
        torch.manual_seed(0)
        transformers.BertModel(transformers.BertConfig()).save_pretrained(self.directory)

    def load(self) -> torch.nn.Module:
        """A fresh copy of the dense model."""
        import transformers

        model: torch.nn.Module = transformers.AutoModel.from_pretrained(self.directory)
        return model.eval()

    def calibration(self, seed: int, tokens: int) -> dict[str, np.ndarray[Any, Any]]:
        """Random token ids by name."""
        random = np.random.default_rng(seed)
        ids = random.integers(1000, 30000, (max(tokens // TOKENS, 1), TOKENS), np.int64)
        return {"input_ids": ids, "attention_mask": np.ones_like(ids)}

    def score(self, model: torch.nn.Module) -> dict[str, Any]:
        """Nothing: random weights have no accuracy to lose."""
        return {}
