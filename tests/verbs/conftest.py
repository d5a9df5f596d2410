"""Models that the verbs are tried on."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

import gossamer as gs

X = np.random.default_rng(0).standard_normal((16, 12)).astype(np.float32)
IDS = np.random.default_rng(0).integers(0, 40, (8, 6))
TOKENS = {"input_ids": IDS, "attention_mask": np.ones_like(IDS)}


@pytest.fixture(scope="module")
def mlp() -> Any:
    torch = pytest.importorskip("torch")
    torch.manual_seed(0)
    torch.set_num_threads(1)
    return torch.nn.Sequential(
        torch.nn.Linear(12, 24), torch.nn.ReLU(), torch.nn.Linear(24, 5)
    ).eval()


@pytest.fixture
def module() -> Any:
    """A classifier of 64 numbers, anew for each test."""
    torch = pytest.importorskip("torch")
    torch.manual_seed(0)
    torch.set_num_threads(1)
    return torch.nn.Sequential(
        torch.nn.Linear(64, 128), torch.nn.ReLU(), torch.nn.Linear(128, 10)
    ).eval()


@pytest.fixture(scope="module")
def result(mlp: Any) -> Any:
    return gs.sparsify(mlp, X, sparsity=0.5, solver="magnitude", layers=".*")


@pytest.fixture(scope="module")
def directory(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A tiny text classifier with a tokenizer's file beside it."""
    transformers = pytest.importorskip("transformers")
    import torch

    torch.manual_seed(0)
    path = tmp_path_factory.mktemp("dense")
    config = transformers.BertConfig(
        vocab_size=40,
        hidden_size=16,
        num_hidden_layers=1,
        num_attention_heads=2,
        intermediate_size=24,
        max_position_embeddings=16,
    )
    transformers.BertForSequenceClassification(config).save_pretrained(path)
    (path / "vocab.txt").write_text("hello\nworld\n")
    return path


@pytest.fixture(scope="module")
def folder(directory: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What sparsifying the text classifier leaves."""
    made = gs.sparsify(directory, TOKENS, sparsity=0.5, solver="magnitude")
    path = tmp_path_factory.mktemp("made") / "sparse"
    made.save(path)
    return path
