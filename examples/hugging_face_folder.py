"""A Hugging Face folder made sparse, loaded by `from_pretrained`, recovered, and exported.

The model is a small BERT with random weights, and the texts are random numbers: what is shown is
the way of the files, which is that of a model from the hub.
"""

from __future__ import annotations

import os
import tempfile
from pathlib import Path

import numpy as np
import torch
from transformers import AutoModel, BertConfig, BertModel

import gossamer as gs

os.environ["HF_HUB_OFFLINE"] = "1"
random = np.random.default_rng(0)


def texts(count: int) -> dict[str, np.ndarray]:
    """Return so many texts of 16 words."""
    ids = random.integers(1, 60, (count, 16))
    return {"input_ids": ids, "attention_mask": np.ones_like(ids)}


with tempfile.TemporaryDirectory() as name:
    folder = Path(name)
    torch.manual_seed(0)
    config = BertConfig(
        vocab_size=60,
        hidden_size=64,
        num_hidden_layers=2,
        num_attention_heads=2,
        intermediate_size=128,
        max_position_embeddings=32,
    )
    BertModel(config).save_pretrained(folder / "dense")

    # In one pass, to a folder that holds every form of it.
    result = gs.sparsify(folder / "dense", texts(32), sparsity=0.7)
    result.save(folder / "sparse")
    model = AutoModel.from_pretrained(folder / "sparse")
    held = [parameter for name, parameter in model.named_parameters() if "query.weight" in name]
    print(f"from_pretrained holds the zeros: {(held[0] == 0).float().mean():.0%} of a layer")

    # The zeros stay where they are while the weights between them learn.
    recovered = gs.recover(folder / "sparse", folder / "dense", texts(128), steps=20)
    recovered.save(folder / "recovered")

    written = gs.export(folder / "recovered", folder / "model.onnx", to="onnx")
    session = gs.compile(written.path)
    outputs = session.run(None, texts(4))
    print(f"exported: {written.path.name}, which gives {outputs[0].shape}")
