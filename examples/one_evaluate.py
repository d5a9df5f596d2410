"""A convolutional network searched, recovered and compared, with one and the same `evaluate`.

The data are scikit-learn's handwritten digits. The function is called with a module by the search
and by recovery, and with compiled ONNX models by the comparison: it need not care.
"""

from __future__ import annotations

import numpy as np
import torch
from sklearn.datasets import load_digits
from torch import nn
from torch.utils.data import DataLoader, TensorDataset

import gossamer as gs

torch.manual_seed(0)
digits = load_digits()
images = torch.tensor(digits.images[:, None] / 16, dtype=torch.float32)
labels = torch.tensor(digits.target)
training, search, final = slice(0, 1000), slice(1000, 1400), slice(1400, None)
loader = DataLoader(TensorDataset(images[training], labels[training]), batch_size=50, shuffle=True)

model = nn.Sequential(
    nn.Conv2d(1, 16, 3, padding=1),
    nn.ReLU(),
    nn.Conv2d(16, 32, 3, padding=1, stride=2),
    nn.ReLU(),
    nn.Flatten(),
    nn.Linear(512, 10),
)
optimizer = torch.optim.Adam(model.parameters(), lr=2e-3)
for _ in range(10):
    for x, y in loader:
        optimizer.zero_grad()
        nn.functional.cross_entropy(model(x), y).backward()
        optimizer.step()


def right(model, rows=search):
    """Return 1 for every image told right, else 0."""
    with torch.inference_mode():
        return (model(images[rows]).argmax(dim=1) == labels[rows]).float()


result = gs.sparsify(
    model,
    loader,  # of (image, label): labels are left out
    evaluate=right,
    max_drop=0.03,
    final_evaluate=lambda model: right(model, final),
    objective="bytes",
    layers=".*",
    levels=(0.5, 0.8, 0.9, 0.95),
    search_seconds=1,
)
print(result)

recovered = gs.recover(result, model, images[training].numpy(), steps=60, evaluate=right)
print(recovered)

proof = gs.compare(
    model,
    recovered,
    images[:1].numpy(),
    evaluate=lambda model: right(model, final),
    min_time=0.5,
    max_time=1,
    rivals=False,
)
assert np.isfinite(proof.scores.sparse)
print(f"compiled: {proof.scores.sparse:.3f} of unseen images right, {proof.scores.dense:.3f} dense")
