"""Make a PyTorch classifier very sparse, and win its accuracy back without a single label.

The data are scikit-learn's handwritten digits; all of it takes a few seconds.
"""

from __future__ import annotations

import torch
from sklearn.datasets import load_digits
from sklearn.model_selection import train_test_split

import gossamer as gs

torch.manual_seed(0)
digits = load_digits()
x, x_test, y, y_test = train_test_split(
    torch.tensor(digits.data / 16, dtype=torch.float32), digits.target, random_state=0
)
target = torch.tensor(y)

dense = torch.nn.Sequential(
    torch.nn.Linear(64, 256),
    torch.nn.ReLU(),
    torch.nn.Linear(256, 256),
    torch.nn.ReLU(),
    torch.nn.Linear(256, 10),
)
optimizer = torch.optim.Adam(dense.parameters(), lr=1e-3)
for _ in range(200):
    optimizer.zero_grad()
    torch.nn.functional.cross_entropy(dense(x), target).backward()
    optimizer.step()


def right(model: torch.nn.Module) -> torch.Tensor:
    """Return 1 for every held-out sample told right, else 0."""
    with torch.inference_mode():
        return (model(x_test).argmax(dim=1) == torch.tensor(y_test)).float()


sparse = gs.sparsify(dense, x[:256], sparsity=0.95, layers=".*")

# The dense model shows the sparse one what to answer: the samples need no labels.
recovered = gs.recover(
    sparse,
    dense,
    x,
    steps=300,
    learning_rate=1e-2,
    # The outputs are scores of classes, which a plain tensor does not tell.
    losses={"logits": 1.0},
    evaluate=right,
)

print(f"sparsity {recovered.sparsity:.2f} over the linear layers")
print(f"accuracy {recovered.after.dense:.3f} dense")
print(f"accuracy {recovered.before.sparse:.3f} sparse, in one pass")
print(f"accuracy {recovered.after.sparse:.3f} sparse, after {recovered.steps} steps of recovery")
print(f"CPU time of recovery: {recovered.cpu_seconds:.1f} s")
