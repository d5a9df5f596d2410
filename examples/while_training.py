"""Train a classifier that is sparse from the start, beside the same one trained dense.

The data are scikit-learn's handwritten digits; both trainings take a few seconds.
"""

from __future__ import annotations

import torch
from sklearn.datasets import load_digits
from sklearn.model_selection import train_test_split

import gossamer as gs

EPOCHS, BATCH = 40, 64

digits = load_digits()
x, x_test, y, y_test = train_test_split(
    torch.tensor(digits.data / 16, dtype=torch.float32),
    torch.tensor(digits.target),
    random_state=0,
)


def train(sparsity: float | None) -> torch.nn.Module:
    """Train the network, dense if `sparsity` is None."""
    torch.manual_seed(0)
    model = torch.nn.Sequential(
        torch.nn.Linear(64, 256),
        torch.nn.ReLU(),
        torch.nn.Linear(256, 256),
        torch.nn.ReLU(),
        torch.nn.Linear(256, 10),
    )
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-3)
    sparsifier = None
    if sparsity is not None:
        steps = EPOCHS * -(-len(x) // BATCH)
        sparsifier = gs.Sparsifier(sparsity, steps=steps, method="magnitude", layers=".*")
        sparsifier.prepare(model, optimizer)
    for _ in range(EPOCHS):
        for rows in torch.randperm(len(x)).split(BATCH):
            optimizer.zero_grad()
            torch.nn.functional.cross_entropy(model(x[rows]), y[rows]).backward()
            optimizer.step()
            if sparsifier is not None:
                sparsifier.step()
    if sparsifier is not None:
        sparsifier.finalize()
    return model.eval()


for name, sparsity in (("dense", None), ("sparse", 0.9)):
    model = train(sparsity)
    with torch.inference_mode():
        accuracy = (model(x_test).argmax(dim=1) == y_test).float().mean()
    weights = [layer.weight for layer in model if isinstance(layer, torch.nn.Linear)]
    zeros = sum(int((weight == 0).sum()) for weight in weights)
    total = sum(weight.numel() for weight in weights)
    print(f"{name}: held-out accuracy {accuracy:.3f}, {zeros:,} of {total:,} weights are zero")
