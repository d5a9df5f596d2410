"""Train a text model sparse in transformers' Trainer, and run it where there is no PyTorch.

The model is a small BERT with random weights, and the task a made-up one that it learns in seconds:
whether word 7 occurs in a text.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np
import torch
from transformers import BertConfig, BertForSequenceClassification, Trainer, TrainingArguments

import gossamer as gs
from gossamer.integrations.transformers import SparsifierCallback

os.environ["HF_HUB_OFFLINE"] = "1"

DEVICE = """
import sys
sys.modules["torch"] = None  # This process could not import it.
import numpy as np
import gossamer as gs

folder, texts = sys.argv[1], np.load(sys.argv[2])
session = gs.compile(folder)
(logits,) = session.run(None, {"input_ids": texts, "attention_mask": np.ones_like(texts)})
print(*logits.argmax(axis=1))
"""

random = np.random.default_rng(0)
ids = random.integers(1, 20, (1400, 10))
labels = (ids == 7).any(axis=1).astype(int)
texts = [{"input_ids": row, "labels": label} for row, label in zip(ids, labels, strict=True)]

torch.manual_seed(0)
model = BertForSequenceClassification(
    BertConfig(
        vocab_size=20,
        hidden_size=64,
        num_hidden_layers=1,
        num_attention_heads=2,
        intermediate_size=128,
        max_position_embeddings=32,
    )
)
sparsifier = gs.Sparsifier(sparsity=0.8)
with tempfile.TemporaryDirectory() as name:
    folder = Path(name)
    Trainer(
        model,
        TrainingArguments(
            str(folder / "training"),
            num_train_epochs=6,
            per_device_train_batch_size=32,
            learning_rate=3e-3,
            save_strategy="no",
            report_to="none",
            disable_tqdm=True,
            use_cpu=True,
        ),
        train_dataset=texts[:1200],
        callbacks=[SparsifierCallback(sparsifier)],
    ).train()

    # The folder that a device needs: the sparse file with its graph, and ONNX beside it.
    sparsifier.save(folder / "device")

    np.save(folder / "texts.npy", ids[1200:])
    command = [sys.executable, "-c", DEVICE, str(folder / "device"), str(folder / "texts.npy")]
    done = subprocess.run(command, capture_output=True, text=True, check=True)

told = np.array(done.stdout.split(), int)
print(f"trained to a sparsity of {sparsifier.current_sparsity:.0%}")
right = np.mean(told == labels[1200:])
print(f"run without PyTorch: {right:.0%} of 200 unseen texts told right")
