from __future__ import annotations

import copy
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from gossamer.pruning import sparsify


@pytest.fixture(autouse=True)
def one_thread() -> Iterator[None]:
    """Sums in one order, so that equal work gives equal bits."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    torch.manual_seed(0)
    yield
    torch.set_num_threads(threads)


@pytest.fixture
def x() -> np.ndarray[Any, Any]:
    """96 samples of 12 numbers."""
    return np.random.default_rng(0).standard_normal((96, 12)).astype(np.float32)


@pytest.fixture
def dense() -> nn.Module:
    """A classifier of 12 inputs and 5 classes."""
    return nn.Sequential(
        nn.Linear(12, 32), nn.ReLU(), nn.Linear(32, 32), nn.ReLU(), nn.Linear(32, 5)
    )


@pytest.fixture
def sparse(dense: nn.Module) -> nn.Module:
    """The same with four of five weights gone."""
    return sparsify(dense, sparsity=0.8, solver="magnitude", layers=".*").model


@pytest.fixture
def bert() -> nn.Module:
    from transformers import BertConfig, BertModel

    config = BertConfig(
        vocab_size=40,
        hidden_size=16,
        num_hidden_layers=2,
        num_attention_heads=2,
        intermediate_size=24,
        max_position_embeddings=16,
        # Large enough for the blocks to matter.
        initializer_range=0.4,
    )
    return BertModel(config).eval()


@pytest.fixture
def sparse_bert(bert: nn.Module) -> nn.Module:
    return sparsify(copy.deepcopy(bert), sparsity=0.7, solver="magnitude").model


@pytest.fixture
def tokens() -> dict[str, np.ndarray[Any, Any]]:
    """24 sequences of 8 tokens; every other one ends in three that are padding."""
    random = np.random.default_rng(0)
    mask = np.ones((24, 8), np.int64)
    mask[::2, 5:] = 0
    return {"input_ids": random.integers(1, 40, (24, 8)), "attention_mask": mask}
